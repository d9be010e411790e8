//! What scripts read: these keys, and no others. Nothing here depends on the node asked.

use std::collections::BTreeMap;

use serde::Serialize;
use sleep_wire::api::{
    NodeDetail, NodeStatus, NodeView, RevisionView, RuntimeView, ServiceDetail, ServiceView, Spec, TaskView,
};
use sleep_wire::node::Availability;
use sleep_wire::spec::Mode;
use sleep_wire::trust::Role;

/// A node.
#[derive(Serialize)]
pub struct Node {
    id: String,
    name: String,
    status: NodeStatus,
    availability: Availability,
    role: Role,
    leader: bool,
    version: String,
    addresses: Vec<String>,
}

/// A node, in detail.
#[derive(Serialize)]
pub struct NodeInspect {
    #[serde(flatten)]
    node: Node,
    labels: BTreeMap<String, String>,
    architecture: String,
    os: String,
    cpu_milli: u64,
    memory: u64,
    runtimes: Vec<RuntimeView>,
    wall_clock_off_ms: Option<i64>,
    running: u32,
}

/// A cluster that was recovered.
#[derive(Serialize)]
pub struct Recovered {
    /// Who was asked.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether anything is different now.
    pub changed: bool,
    /// How often the cluster was recovered by now.
    pub generation: u32,
    /// Who leads it, if anybody does yet.
    pub leader: Option<String>,
    /// Who votes.
    pub voters: Vec<String>,
    /// Which voters were not heard before.
    pub unheard: Vec<String>,
}

/// A service.
#[derive(Serialize)]
pub struct Service {
    id: String,
    name: String,
    mode: Mode,
    desired: u32,
    running: u32,
    image: String,
    ports: Vec<String>,
    revision: String,
}

/// A service, in detail.
#[derive(Serialize)]
pub struct ServiceInspect {
    #[serde(flatten)]
    service: Service,
    created_at: String,
    updated_at: String,
    update: String,
    spec: Spec,
    conflicts: Vec<RevisionView>,
}

/// A task.
#[derive(Serialize)]
pub struct Task {
    id: String,
    service: String,
    slot: String,
    name: String,
    node: String,
    image: String,
    desired: String,
    state: String,
    error: String,
    started_at: Option<String>,
    exit_code: Option<i32>,
    container: String,
}

/// Something by its id and name.
#[derive(Clone, Serialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// An operator that was admitted.
#[derive(Serialize)]
pub struct Admitted {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its key, as 64 hexadecimal digits.
    pub public_key: String,
}

/// The versions of both ends.
#[derive(Serialize)]
pub struct Versions {
    /// Of this program.
    pub client: String,
    /// Of the agent.
    pub agent: Option<String>,
}

impl From<&NodeView> for Node {
    fn from(view: &NodeView) -> Self {
        let NodeView { id, name, status, availability, role, leader, version, addresses, .. } = view.clone();
        Self { id, name, status, availability, role, leader, version, addresses }
    }
}

impl From<NodeDetail> for NodeInspect {
    fn from(detail: NodeDetail) -> Self {
        let NodeDetail { node, labels, architecture, os, cpu_milli, memory, wall_clock_off_ms, running } =
            detail;
        let runtimes = node.runtimes.clone();
        let node = Node::from(&node);
        Self { node, labels, architecture, os, cpu_milli, memory, runtimes, wall_clock_off_ms, running }
    }
}

impl From<&ServiceView> for Service {
    fn from(view: &ServiceView) -> Self {
        let ServiceView { id, name, mode, desired, running, image, ports, revision } = view.clone();
        Self { id, name, mode, desired, running, image, ports, revision }
    }
}

impl From<ServiceDetail> for ServiceInspect {
    fn from(detail: ServiceDetail) -> Self {
        let ServiceDetail { service, spec, created_at, updated_at, update, conflicts } = detail;
        Self { service: Service::from(&service), created_at, updated_at, update, spec, conflicts }
    }
}

impl From<&TaskView> for Task {
    fn from(view: &TaskView) -> Self {
        Self {
            id: view.id.clone(),
            service: view.service.clone(),
            slot: view.slot.clone(),
            name: view.name.clone(),
            node: view.node.clone(),
            image: view.image.clone(),
            desired: view.desired.clone(),
            state: view.state.clone(),
            error: view.error.clone(),
            started_at: view.started_at.clone(),
            exit_code: view.exit_code,
            container: view.container.clone(),
        }
    }
}
