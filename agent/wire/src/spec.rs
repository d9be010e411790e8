//! What people ask for: services, in every detail.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{CommandId, RevisionId, WallTime};
use crate::record::Record;

/// Body of a service's birth: written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ServiceBirth {
    /// What people call it: 1–63 characters of a–z, 0–9 and `-`.
    pub name: String,
    /// How many tasks it has.
    pub mode: Mode,
    /// Whether it must never run twice, whatever that costs in availability.
    pub singleton: bool,
    /// The first value of its scale.
    pub replicas: u32,
    /// Its first revision.
    pub revision: RevisionId,
    /// What that revision says.
    pub spec: Arc<Revision>,
    /// The command that made it.
    pub command: CommandId,
    /// For display.
    pub created_at: WallTime,
}

/// How many tasks a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum Mode {
    /// As many as its scale says.
    Replicated,
    /// One on every eligible node.
    Global,
}

/// Body of a revision: template, placement and policies change together.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revision {
    /// The leaves that its author saw, and which it replaces.
    pub parents: Vec<RevisionId>,
    /// What a task runs.
    pub template: TaskTemplate,
    /// Where tasks may run.
    pub placement: Placement,
    /// How old tasks give way to new ones.
    pub update: UpdatePolicy,
    /// What happens when nodes cannot see each other.
    pub partition: PartitionPolicy,
    /// Labels of the service itself, as `key=value`.
    pub labels: Vec<String>,
    /// For display.
    pub at: WallTime,
}

impl Revision {
    /// A service's first, of which nothing but this template is asked for.
    pub fn running(template: TaskTemplate) -> Self {
        Self {
            parents: Vec::new(),
            template,
            placement: Placement::default(),
            update: UpdatePolicy::default(),
            partition: PartitionPolicy::default(),
            labels: Vec::new(),
            at: WallTime(0),
        }
    }
}

/// Body of a revision's record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RevisionBody {
    /// What it says.
    pub spec: Arc<Revision>,
    /// The command that made it.
    pub command: CommandId,
}

/// Body of a scale register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Scale {
    /// How many replicas.
    pub replicas: u32,
    /// The command that said so.
    pub command: CommandId,
    /// For display.
    pub at: WallTime,
}

/// Body of a service's removal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ServiceRemoval {
    /// The leaves that its author saw: a revision that none of them knows is a conflict to show.
    pub seen: Vec<RevisionId>,
    /// The command that said so.
    pub command: CommandId,
    /// For display.
    pub at: WallTime,
}

/// What runs a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum Runtime {
    /// A container engine.
    Docker,
    /// A plain process under a shim.
    Process,
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct TaskTemplate {
    /// What runs it.
    pub runtime: Runtime,
    /// The image, as typed; empty for processes.
    pub image: String,
    /// Replaces the image's entry point, if not empty.
    pub entrypoint: Vec<String>,
    /// The command: arguments of the entry point.
    pub command: Vec<String>,
    /// Environment, as `KEY=value`.
    pub env: Vec<String>,
    /// Labels of the container, as `key=value`.
    pub labels: Vec<String>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// What it needs and what it may use.
    pub resources: Resources,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// How long it may take to stop, in milliseconds.
    pub stop_grace_ms: u64,
    /// The signal that asks it to stop; empty for the image's own, or TERM.
    pub stop_signal: String,
    /// Whom it runs as; empty for the image's own.
    pub user: String,
    /// Where it runs; empty for the image's own.
    pub workdir: String,
    /// What it calls itself; empty for the engine's choice.
    pub hostname: String,
}

/// A port of a task that its host publishes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub struct Port {
    /// The host's address to listen on; empty for all.
    pub host_ip: String,
    /// The host's port.
    pub published: u16,
    /// The task's port.
    pub target: u16,
    /// Over what.
    pub protocol: Protocol,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Reservations decide placement; limits are the engine's to enforce. Zero means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct Resources {
    /// In thousandths of a core.
    pub reserve_cpu_milli: u64,
    /// In bytes.
    pub reserve_memory: u64,
    /// In thousandths of a core.
    pub limit_cpu_milli: u64,
    /// In bytes.
    pub limit_memory: u64,
}

/// What happens when a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct RestartPolicy {
    /// Which ends are followed by a new attempt.
    pub condition: RestartCondition,
    /// The least time between two attempts, in milliseconds.
    pub delay_ms: u64,
    /// How many attempts within the window; 0 for no bound.
    pub max_attempts: u32,
    /// The window over which attempts are counted, in milliseconds; 0 for all time.
    pub window_ms: u64,
}

/// Which ends of a task are followed by a new attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum RestartCondition {
    /// None.
    None,
    /// Those with an exit code other than 0.
    OnFailure,
    /// All.
    Any,
}

/// Where tasks may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct Placement {
    /// `node.labels.zone==a`, `node.role!=control` and the like; all must hold.
    pub constraints: Vec<String>,
    /// The node label whose values are failure domains; empty for none.
    pub spread_by: String,
    /// The most tasks of the service on one node; 0 for no bound.
    pub max_per_node: u32,
}

/// Which of two tasks of a slot goes first when one replaces the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum Order {
    /// The old one stops, then the new one starts.
    StopFirst,
    /// The new one starts and is healthy, then the old one stops.
    StartFirst,
}

/// How old tasks give way to new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct UpdatePolicy {
    /// Which goes first.
    pub order: Order,
    /// How many slots at a time; 0 for all.
    pub parallelism: u32,
    /// Between two slots, in milliseconds.
    pub delay_ms: u64,
    /// How long a new task is watched, in milliseconds.
    pub monitor_ms: u64,
    /// What a failed update does.
    pub on_failure: OnFailure,
    /// How many failed tasks, in thousandths, an update survives.
    pub max_failure_permille: u32,
}

/// What a failed update does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum OnFailure {
    /// Stops where it is.
    Pause,
    /// Goes on.
    Continue,
    /// Goes back to the revision before.
    Rollback,
}

/// What happens when nodes cannot see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields, default))]
pub struct PartitionPolicy {
    /// How long a node must be down before its work is placed elsewhere, in milliseconds.
    pub reschedule_delay_ms: u64,
    /// What a node does with the tasks when it sees nobody; `None` keeps them, else stops after milliseconds.
    pub on_isolation_stop_ms: Option<u64>,
    /// Which of two tasks of a slot stays after a heal.
    pub on_heal: OnHeal,
}

/// Which of two tasks of a slot stays after a heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum OnHeal {
    /// The one that has been running longest without interruption.
    KeepOriginal,
    /// The one that was started last.
    KeepNewest,
}

impl Default for TaskTemplate {
    fn default() -> Self {
        Self {
            runtime: Runtime::Docker,
            image: String::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            env: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            resources: Resources::default(),
            restart: RestartPolicy::default(),
            stop_grace_ms: 10_000,
            stop_signal: String::new(),
            user: String::new(),
            workdir: String::new(),
            hostname: String::new(),
        }
    }
}

/// Docker's defaults.
impl Default for RestartPolicy {
    fn default() -> Self {
        Self { condition: RestartCondition::Any, delay_ms: 5_000, max_attempts: 0, window_ms: 0 }
    }
}

/// Docker's defaults.
impl Default for UpdatePolicy {
    fn default() -> Self {
        Self {
            order: Order::StopFirst,
            parallelism: 1,
            delay_ms: 0,
            monitor_ms: 5_000,
            on_failure: OnFailure::Pause,
            max_failure_permille: 0,
        }
    }
}

impl Default for PartitionPolicy {
    fn default() -> Self {
        Self { reschedule_delay_ms: 1_000, on_isolation_stop_ms: None, on_heal: OnHeal::KeepOriginal }
    }
}

macro_rules! bodies {
    ($($kind:ty),*) => { $(impl Wire for $kind { const LIMIT: usize = Record::BODY_LIMIT; })* };
}

bodies!(ServiceBirth, Revision, RevisionBody, Scale, ServiceRemoval);
