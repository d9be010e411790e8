//! `/metrics`: what the agent sees of its cluster and of itself, for programs that draw it.
//!
//! Names say their unit, which is a base unit (seconds, bytes); what only rises ends in `_total`. Every state
//! has its series from the first day, so that none is missing where it is zero. A few facts are told under
//! Docker Swarm's names too, so that boards drawn for it go on working.
//!
//! # Not here
//! Counts of what happened: whoever makes it happen counts it.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustix::time::{ClockId, clock_gettime};
use sleep_core::Now;
use sleep_core::view::{StatusRow, TaskFilter, TaskLife};
use sleep_wire::api::NodeStatus;
use sleep_wire::task::TaskState;
use sleep_wire::trust::Role;

use super::Handle;
use super::render::{node_status, state, status_word};
use crate::agent::Core;

const NODE_STATUSES: [NodeStatus; 5] =
    [NodeStatus::Ready, NodeStatus::Ill, NodeStatus::Suspect, NodeStatus::Restarting, NodeStatus::Down];

const TASK_LIVES: [TaskLife; 10] = [
    TaskLife::Pending,
    TaskLife::Told(TaskState::Assigned),
    TaskLife::Told(TaskState::Preparing),
    TaskLife::Told(TaskState::Starting),
    TaskLife::Told(TaskState::Running),
    TaskLife::Told(TaskState::Stopping),
    TaskLife::Told(TaskState::Complete),
    TaskLife::Told(TaskState::Failed),
    TaskLife::Told(TaskState::Stopped),
    TaskLife::Lost,
];

/// Gauges, and what they say.
const GAUGES: &[(&str, &str)] = &[
    ("sleepd_build_info", "1, labelled with the release of this agent"),
    ("sleepd_cluster_member", "Whether this node is a member of a cluster"),
    ("sleepd_leader", "Whether this node holds the lease"),
    ("sleepd_leader_known", "Whether this node has heard of a leader within a lease"),
    ("sleepd_lease_term", "The term of the leader's tenure"),
    ("sleepd_nodes", "Nodes by what this one knows of their life"),
    ("sleepd_nodes_seen", "Nodes that this one sees, itself included"),
    ("sleepd_voters", "Nodes that vote on the lease"),
    ("sleepd_services", "Services"),
    ("sleepd_tasks", "Tasks by state; those that are over are not counted"),
    ("sleepd_tasks_desired", "Tasks that should run"),
    ("sleepd_alarms", "What needs a person"),
    ("process_start_time_seconds", "When this agent started, since 1970"),
    ("process_resident_memory_bytes", "Memory that this agent holds"),
    ("process_open_fds", "Files that this agent has open"),
    ("swarm_manager_leader", "As sleepd_leader"),
    ("swarm_manager_nodes", "As sleepd_nodes, in Swarm's states"),
    ("swarm_manager_services_total", "As sleepd_services"),
    ("swarm_manager_tasks_total", "As sleepd_tasks, in Swarm's states"),
    ("swarm_node_info", "1, labelled with the ids of cluster and node"),
    ("swarm_node_manager", "Whether this node has the role `control`"),
];

/// Counters, and what they count.
const COUNTERS: &[(&str, &str)] = &[
    ("sleepd_task_transitions_total", "Changes of this node's tasks, by the state that they came to"),
    ("sleepd_records_refused_total", "Records of others that this node refused"),
    ("sleepd_bad_frames_total", "Frames of others that mean nothing"),
    ("process_cpu_seconds_total", "Processor time that this agent took"),
];

/// Says what each metric is. Once, before the first is told.
pub(crate) fn describe() {
    for (name, what) in GAUGES {
        describe_gauge!(*name, *what);
    }
    for (name, what) in COUNTERS {
        describe_counter!(*name, *what);
    }
    for name in ["sleepd_records_refused_total", "sleepd_bad_frames_total"] {
        counter!(name).absolute(0);
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(started.as_secs_f64());
    gauge!("sleepd_build_info", "version" => sleep_wire::RELEASE).set(1.0);
}

pub(super) async fn metrics(State(handle): State<Handle>) -> Response {
    let alarms = (handle.shared.alarms)().len();
    // An agent that is stopping tells what it saw last.
    if let Ok(seen) = handle.ask(Seen::now).await {
        seen.tell();
        gauge!("sleepd_alarms").set(number(alarms));
        of_process();
    }
    let text = (handle.shared.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// As which node of which cluster the agent told of itself last.
static WHO: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Tells as which node of which cluster the agent speaks: what it was before it left is told as 0, so that
/// one series of them is 1.
fn tell_who(who: Option<(String, String)>) {
    let set = |(cluster, node): (String, String), value: f64| {
        gauge!("swarm_node_info", "swarm_id" => cluster, "node_id" => node).set(value);
    };
    let mut last = WHO.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != who {
        let before = core::mem::replace(&mut *last, who.clone());
        before.into_iter().for_each(|before| set(before, 0.0));
    }
    who.into_iter().for_each(|who| set(who, 1.0));
}

/// What the agent sees of its cluster.
struct Seen {
    status: StatusRow,
    leads: bool,
    nodes: Vec<NodeStatus>,
    tasks: Vec<TaskLife>,
}

impl Seen {
    fn now(core: &Core, now: Now) -> Self {
        let tasks = core.tasks(&TaskFilter::default()).into_iter().map(|row| row.life);
        let vacant = core.vacant(now, None).into_iter().map(|slot| slot.task.life);
        Self {
            status: core.status(now),
            leads: core.holding(now).is_some(),
            nodes: core.nodes(now).iter().map(node_status).collect(),
            tasks: tasks.chain(vacant).collect(),
        }
    }

    fn tell(&self) {
        let StatusRow { node, cluster, role, leader, nodes: _, seen, voters, services, desired, .. } =
            &self.status;
        let truth = |holds: bool| f64::from(u8::from(holds));
        gauge!("sleepd_cluster_member").set(truth(cluster.is_some()));
        gauge!("sleepd_leader").set(truth(self.leads));
        gauge!("swarm_manager_leader").set(truth(self.leads));
        gauge!("sleepd_leader_known").set(truth(leader.is_some_and(|(_, fresh)| fresh)));
        gauge!("sleepd_lease_term").set(leader.map_or(0.0, |(epoch, _)| approximately(epoch.term)));
        gauge!("sleepd_nodes_seen").set(f64::from(*seen));
        gauge!("sleepd_voters").set(number(voters.len()));
        gauge!("sleepd_services").set(f64::from(*services));
        gauge!("swarm_manager_services_total").set(f64::from(*services));
        gauge!("sleepd_tasks_desired").set(f64::from(*desired));
        gauge!("swarm_node_manager").set(truth(*role == Some(Role::Control)));
        tell_who(cluster.map(|cluster| (cluster.to_string(), node.to_string())));
        let of_nodes = |wanted: &[NodeStatus]| {
            number(self.nodes.iter().filter(|status| wanted.contains(status)).count())
        };
        for status in NODE_STATUSES {
            gauge!("sleepd_nodes", "status" => status_word(status)).set(of_nodes(&[status]));
        }
        for (swarm, ours) in [
            ("ready", [NodeStatus::Ready, NodeStatus::Ill].as_slice()),
            ("unknown", &[NodeStatus::Suspect]),
            ("disconnected", &[NodeStatus::Restarting]),
            ("down", &[NodeStatus::Down]),
        ] {
            gauge!("swarm_manager_nodes", "state" => swarm).set(of_nodes(ours));
        }
        for life in TASK_LIVES {
            let count = number(self.tasks.iter().filter(|task| **task == life).count());
            gauge!("sleepd_tasks", "state" => state(life)).set(count);
            gauge!("swarm_manager_tasks_total", "state" => in_swarm(life)).set(count);
        }
    }
}

/// The word that Swarm has for how far a task is.
fn in_swarm(life: TaskLife) -> &'static str {
    match life {
        TaskLife::Pending => "pending",
        TaskLife::Lost => "orphaned",
        TaskLife::Told(TaskState::Assigned) => "assigned",
        TaskLife::Told(TaskState::Preparing) => "preparing",
        TaskLife::Told(TaskState::Starting) => "starting",
        TaskLife::Told(TaskState::Running) => "running",
        TaskLife::Told(TaskState::Stopping) => "remove",
        TaskLife::Told(TaskState::Complete) => "complete",
        TaskLife::Told(TaskState::Failed) => "failed",
        TaskLife::Told(TaskState::Stopped) => "shutdown",
    }
}

/// What the kernel says of this process. What it does not say is left as it was.
fn of_process() {
    let status = fs::read_to_string("/proc/self/status").ok();
    let resident = status.and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u32>().ok()
    });
    if let Some(kibibytes) = resident {
        gauge!("process_resident_memory_bytes").set(f64::from(kibibytes) * 1024.0);
    }
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let spent = Duration::try_from(spent).unwrap_or_default();
    // Counters count in whole numbers here, and this one has to tell parts of a second.
    gauge!("process_cpu_seconds_total").set(spent.as_secs_f64());
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(number(files.count()));
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// A number above 2⁵³ is told as the nearest that there is.
#[expect(clippy::cast_precision_loss, reason = "it is drawn, not counted with")]
fn approximately(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are_and_in_which_unit() {
        for (name, what) in GAUGES.iter().chain(COUNTERS) {
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert!(!what.is_empty(), "{name}");
            for unit in ["_ms", "_milli", "_kib", "_mb", "_percent", "_minutes"] {
                assert!(!name.ends_with(unit), "{name}");
            }
        }
        assert!(COUNTERS.iter().all(|(name, _)| name.ends_with("_total")));
        // Swarm's own names break the rule, and are as they are.
        let ours = GAUGES.iter().filter(|(name, _)| !name.starts_with("swarm_"));
        assert!(ours.into_iter().all(|(name, _)| !name.ends_with("_total")));
    }

    #[test]
    fn each_state_has_one_word_of_swarm_s() {
        let words: std::collections::BTreeSet<&str> = TASK_LIVES.into_iter().map(in_swarm).collect();
        assert_eq!(words.len(), TASK_LIVES.len());
    }
}
