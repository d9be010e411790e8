//! Rows of the core into the API's views: names for ids, words for facts, RFC 3339 for times.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sleep_core::Now;
use sleep_core::view::{
    Life, NodeRow, OperatorRow, RefusalRow, RevisionRow, ServiceRow, TaskFilter, TaskLife, TaskRow, TokenRow,
    UpdateRow,
};
use sleep_wire::api::*;
use sleep_wire::node::Availability;
use sleep_wire::spec::{Port, Protocol, Revision, Runtime};
use sleep_wire::task::TaskState;
use sleep_wire::{NodeId, ServiceId, SlotName, WallTime};

use super::names;
use crate::agent::Core;

/// An id that gives way to a name in a moment tells people nothing.
fn spoken(row: &NodeRow) -> &str {
    if row.facts.is_some() { &row.name } else { "a node that just joined" }
}

/// Renders rows of one moment, with the names of that moment.
pub(super) struct Words<'a> {
    pub(super) core: &'a Core,
    pub(super) now: Now,
    nodes: BTreeMap<NodeId, String>,
    /// The same names for sentences.
    spoken: BTreeMap<NodeId, String>,
}

impl<'a> Words<'a> {
    pub(super) fn new(core: &'a Core, now: Now) -> Self {
        let rows = core.nodes(now);
        let spoken = rows.iter().map(|row| (row.id, spoken(row).to_owned())).collect();
        let nodes = rows.into_iter().map(|row| (row.id, row.name)).collect();
        Self { core, now, nodes, spoken }
    }

    /// What people call a node, in a sentence.
    pub(super) fn called(&self, node: NodeId) -> String {
        self.spoken.get(&node).cloned().unwrap_or_else(|| self.name(node))
    }

    pub(super) fn name(&self, node: NodeId) -> String {
        self.nodes.get(&node).cloned().unwrap_or_else(|| names::of_node(self.core, self.now, node))
    }

    pub(super) fn status(&self, alarms: Vec<String>, addresses: Vec<String>) -> Status {
        let row = self.core.status(self.now);
        let leader = row.leader.map(|(epoch, fresh)| Leader {
            id: epoch.candidate.to_string(),
            name: self.name(epoch.candidate),
            term: epoch.term,
            fresh,
        });
        let voters = row.voters.iter().map(|(node, weight)| VoterView {
            id: node.to_string(),
            name: self.name(*node),
            weight: *weight,
            heard: row.voters_heard.contains(node),
        });
        Status {
            node: row.node.to_string(),
            name: self.name(row.node),
            version: sleep_wire::RELEASE.to_owned(),
            cluster: row.cluster.map(|cluster| cluster.to_string()),
            role: row.role,
            leader,
            nodes: row.nodes,
            seen: row.seen,
            generation: u32::from(row.generation),
            voters: voters.collect(),
            services: row.services,
            running: row.running,
            desired: row.desired,
            alarms,
            addresses,
            seen_from: self.name(row.node),
        }
    }

    pub(super) fn token(&self, row: &TokenRow) -> TokenView {
        TokenView {
            id: row.id.to_string(),
            role: row.token.role,
            single_use: row.token.single_use,
            expires_in_ms: row.left_ms,
            revoked: row.token.revoked,
            created_at: time(row.token.created_at),
            creator: self.name(row.token.creator),
        }
    }

    pub(super) fn operator(&self, row: &OperatorRow) -> OperatorView {
        OperatorView {
            id: row.id.to_string(),
            name: row.name.clone(),
            created_at: time(row.at),
            creator: self.name(row.author),
        }
    }

    pub(super) fn node(&self, row: &NodeRow) -> NodeView {
        let facts = row.facts.as_ref();
        let addresses = facts.map(|facts| {
            facts.addresses.iter().map(|address| std::net::SocketAddr::from(*address).to_string()).collect()
        });
        NodeView {
            id: row.id.to_string(),
            name: row.name.clone(),
            status: node_status(row),
            availability: row.availability,
            role: row.role,
            leader: row.leader,
            version: facts.map(|facts| facts.release.clone()).unwrap_or_default(),
            addresses: addresses.unwrap_or_default(),
            is_self: row.is_self,
            runtimes: facts.map(|facts| facts.runtimes.iter().map(runtime).collect()).unwrap_or_default(),
        }
    }

    pub(super) fn node_detail(&self, row: &NodeRow) -> NodeDetail {
        let facts = row.facts.as_ref();
        NodeDetail {
            node: self.node(row),
            labels: row.labels.clone(),
            architecture: facts.map(|facts| facts.architecture.clone()).unwrap_or_default(),
            os: facts.map(|facts| facts.os.clone()).unwrap_or_default(),
            cpu_milli: facts.map_or(0, |facts| facts.cpu_milli),
            memory: facts.map_or(0, |facts| facts.memory),
            wall_clock_off_ms: self.core.wall_clock_off_ms(self.now, row.id),
            running: row.running,
        }
    }

    pub(super) fn service(&self, row: &ServiceRow) -> ServiceView {
        ServiceView {
            id: row.id.to_string(),
            name: row.name.clone(),
            mode: row.mode,
            desired: row.desired,
            running: row.running,
            image: image(&row.spec),
            ports: row.spec.template.ports.iter().map(port).collect(),
            revision: row.revision.to_string(),
        }
    }

    pub(super) fn service_detail(&self, row: &ServiceRow) -> ServiceDetail {
        let revisions = self.core.revisions(row.id);
        let conflicts = revisions.iter().filter(|revision| row.conflicts.contains(&revision.id));
        ServiceDetail {
            service: self.service(row),
            spec: spec(&row.spec),
            created_at: time(row.created_at),
            updated_at: time(row.spec.at),
            update: row.update.as_ref().map(update).unwrap_or_default(),
            conflicts: conflicts.map(|revision| self.revision(revision, &revisions)).collect(),
        }
    }

    pub(super) fn revisions(&self, service: ServiceId) -> Vec<RevisionView> {
        let rows = self.core.revisions(service);
        rows.iter().map(|row| self.revision(row, &rows)).collect()
    }

    fn revision(&self, row: &RevisionRow, all: &[RevisionRow]) -> RevisionView {
        let parent = row.spec.parents.first().and_then(|id| all.iter().find(|row| row.id == *id));
        RevisionView {
            id: row.id.to_string(),
            at: time(row.spec.at),
            author: self.name(row.author),
            image: image(&row.spec),
            current: row.current,
            parents: row.spec.parents.iter().map(ToString::to_string).collect(),
            changes: parent.map(|parent| changes(&parent.spec, &row.spec)).unwrap_or_default(),
        }
    }

    pub(super) fn tasks(&self, filter: &TaskFilter) -> Vec<TaskView> {
        let mut rows: Vec<(TaskRow, String)> =
            self.core.tasks(filter).into_iter().map(|row| (row, String::new())).collect();
        if filter.node.is_none() {
            let vacant = self.core.vacant(self.now, filter.service).into_iter();
            rows.extend(vacant.map(|slot| (slot.task, self.homeless(&slot.refusals))));
        }
        rows.sort_by(|(a, _), (b, _)| {
            (&a.service_name, a.slot, a.history).cmp(&(&b.service_name, b.slot, b.history))
        });
        rows.iter().map(|(row, why)| self.task(row, why)).collect()
    }

    /// Why no node took a task, each reason once: `no suitable node (drained: nuc, pi-1; …)`.
    fn homeless(&self, refusals: &[RefusalRow]) -> String {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for refusal in refusals {
            by_reason.entry(&refusal.reason).or_default().push(self.called(refusal.node));
        }
        if by_reason.is_empty() {
            return String::new();
        }
        let parts: Vec<String> =
            by_reason.iter().map(|(reason, nodes)| format!("{reason}: {}", nodes.join(", "))).collect();
        format!("no suitable node ({})", parts.join("; "))
    }

    fn task(&self, row: &TaskRow, why: &str) -> TaskView {
        let status = row.status.as_ref();
        TaskView {
            id: row.task.map(|task| task.short()).unwrap_or_default(),
            service: row.service_name.clone(),
            slot: row.slot.to_string(),
            name: self.task_name(row),
            node: row.node.map(|node| self.name(node)).unwrap_or_default(),
            image: row.image.clone(),
            desired: if row.wanted { "running" } else { "stopped" }.to_owned(),
            state: state(row.life),
            since: status.map(|status| time(status.since)),
            error: trouble(row).unwrap_or_else(|| why.to_owned()),
            next_attempt_at: row.next.map(|(_, at)| time(at)),
            started_at: status.and_then(|status| status.started_at).map(time),
            exit_code: status.and_then(|status| status.exit).map(|exit| exit.code),
            container: status.map(|status| status.container.clone()).unwrap_or_default(),
            ports: row.ports.clone(),
            history: row.history,
            last_lines: status.map(|status| status.last_lines.clone()).unwrap_or_default(),
        }
    }

    /// `service.slot`; a global service's slots are named after their nodes.
    pub(super) fn task_name(&self, row: &TaskRow) -> String {
        match row.slot {
            SlotName::Node(node) => format!("{}.{}", row.service_name, self.name(node)),
            SlotName::Number(_) | SlotName::Run { .. } => format!("{}.{}", row.service_name, row.slot),
        }
    }

    pub(super) fn refusals(&self, rows: &[RefusalRow]) -> Vec<Refusal> {
        let refusal = |row: &RefusalRow| Refusal {
            node: self.called(row.node),
            filter: row.filter.to_owned(),
            reason: row.reason.clone(),
        };
        rows.iter().map(refusal).collect()
    }
}

pub(super) fn node_status(row: &NodeRow) -> NodeStatus {
    let runtimes = row.facts.as_ref().map(|facts| facts.runtimes.as_slice()).unwrap_or_default();
    match row.life {
        Life::Down => NodeStatus::Down,
        Life::Restarting => NodeStatus::Restarting,
        Life::Suspect => NodeStatus::Suspect,
        Life::Alive if runtimes.iter().any(|runtime| !runtime.ill.is_empty()) => NodeStatus::Ill,
        Life::Alive => NodeStatus::Ready,
    }
}

pub(super) const fn status_word(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Ready => "ready",
        NodeStatus::Ill => "ill",
        NodeStatus::Suspect => "suspect",
        NodeStatus::Restarting => "restarting",
        NodeStatus::Down => "down",
    }
}

pub(super) const fn availability_word(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Paused => "paused",
        Availability::Drained => "drained",
    }
}

fn runtime(facts: &sleep_wire::node::RuntimeFacts) -> RuntimeView {
    RuntimeView {
        runtime: runtime_name(facts.runtime).to_owned(),
        version: facts.version.clone(),
        ill: facts.ill.clone(),
    }
}

pub(super) const fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Docker => "docker",
        Runtime::Process => "process",
    }
}

fn spec(revision: &Revision) -> Spec {
    Spec {
        template: revision.template.clone(),
        placement: revision.placement.clone(),
        update: revision.update,
        partition: revision.partition,
        labels: revision.labels.clone(),
    }
}

/// What a revision runs, in one word or line.
fn image(spec: &Revision) -> String {
    match spec.template.runtime {
        Runtime::Docker => spec.template.image.clone(),
        Runtime::Process => {
            let parts = spec.template.entrypoint.iter().chain(&spec.template.command);
            parts.cloned().collect::<Vec<_>>().join(" ")
        }
    }
}

/// As Docker writes it: `8080->80/tcp`.
fn port(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    match port.host_ip.as_str() {
        "" => format!("{}->{}/{protocol}", port.published, port.target),
        ip if ip.contains(':') => format!("[{ip}]:{}->{}/{protocol}", port.published, port.target),
        ip => format!("{ip}:{}->{}/{protocol}", port.published, port.target),
    }
}

pub(super) fn update(row: &UpdateRow) -> String {
    let so_far = format!("{} of {} updated", row.done, row.total);
    row.paused.as_ref().map_or_else(|| so_far.clone(), |why| format!("paused, {so_far}: {why}"))
}

/// What is wrong with a task, or which attempt it waits for, if its node has said anything. Why it was
/// stopped is nothing wrong with it.
pub(super) fn trouble(row: &TaskRow) -> Option<String> {
    let status = row.status.as_ref()?;
    let attempt = row.next.map(|(next, _)| match next.restart {
        Some((restart, of)) => format!("attempt {} (restart {restart} of {of})", next.number),
        None => format!("attempt {}", next.number),
    });
    Some(match status.state {
        TaskState::Stopping | TaskState::Stopped => String::new(),
        TaskState::Assigned
        | TaskState::Preparing
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Complete
        | TaskState::Failed => attempt.unwrap_or_else(|| status.message.clone()),
    })
}

pub(super) fn state(life: TaskLife) -> String {
    match life {
        TaskLife::Pending => "pending".to_owned(),
        TaskLife::Lost => "lost".to_owned(),
        TaskLife::Told(state) => state.to_string(),
    }
}

/// What differs between two revisions, a line a part.
pub(super) fn changes(before: &Revision, after: &Revision) -> Vec<String> {
    let mut changes = Vec::new();
    let (old, new) = (image(before), image(after));
    if old != new {
        changes.push(format!("image {old} → {new}"));
    }
    let (old, new) = (&before.template, &after.template);
    for (part, differs) in [
        ("runtime", old.runtime != new.runtime),
        ("command", old.command != new.command || old.entrypoint != new.entrypoint),
        ("env", old.env != new.env),
        ("ports", old.ports != new.ports),
        ("resources", old.resources != new.resources),
        ("restart policy", old.restart != new.restart),
        ("stop", (old.stop_grace_ms, &old.stop_signal) != (new.stop_grace_ms, &new.stop_signal)),
        (
            "user or directory",
            (&old.user, &old.workdir, &old.hostname) != (&new.user, &new.workdir, &new.hostname),
        ),
        ("labels", old.labels != new.labels || before.labels != after.labels),
        ("placement", before.placement != after.placement),
        ("update policy", before.update != after.update),
        ("partition policy", before.partition != after.partition),
    ] {
        if differs {
            changes.push(part.to_owned());
        }
    }
    changes
}

/// RFC 3339 in UTC, to the millisecond; a time that no calendar has is shown as the nearest that one has.
pub(crate) fn time(at: WallTime) -> String {
    let nearest = if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(at.0).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use sleep_wire::node::NodeFacts;
    use sleep_wire::trust::Role;

    use super::*;

    #[test]
    fn a_node_that_has_said_nothing_yet_is_no_id_to_people() {
        let id = NodeId([7; 16]);
        let mut row = NodeRow {
            id,
            name: id.to_string(),
            role: Role::Worker,
            life: Life::Down,
            availability: Availability::Active,
            leader: false,
            is_self: false,
            facts: None,
            labels: BTreeMap::new(),
            running: 0,
            tasks: 0,
        };
        assert_eq!(spoken(&row), "a node that just joined");
        row.name = "pi-1".to_owned();
        row.facts = Some(NodeFacts {
            name: "pi-1".to_owned(),
            addresses: Vec::new(),
            release: String::new(),
            protocol: 1,
            architecture: String::new(),
            os: String::new(),
            cpu_milli: 0,
            memory: 0,
            runtimes: Vec::new(),
            labels: Vec::new(),
            wall: WallTime(0),
            at_ms: 0,
        });
        assert_eq!(spoken(&row), "pi-1");
    }
}
