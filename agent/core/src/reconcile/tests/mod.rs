//! A node's tasks, one claim a test. What comes out is written as lines, so that a test compares all of it.

mod adoption;
mod chaos;
mod fake;
mod fencing;
mod retiring;
mod running;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, StartStep};
use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::{Assigned, Cause, Choice, RetireReason, Retired, Slot};
use sleep_wire::spec::{Order, RestartCondition, RestartPolicy, Revision, Runtime, TaskTemplate};
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel, TaskState, TaskStatus};
use sleep_wire::{ClusterId, Epoch, NodeId, RevisionId, ServiceId, Stamp, WallTime};

use super::*;
use crate::io::Event;

const ME: NodeId = NodeId([1; 16]);
const PEER: NodeId = NodeId([2; 16]);
const GONE: NodeId = NodeId([3; 16]);
const CLUSTER: ClusterId = ClusterId([9; 32]);
const REVISION: RevisionId = RevisionId([4; 16]);

fn epoch(term: u64) -> Epoch {
    Epoch { generation: 0, term, candidate: PEER }
}

/// The record `counter` of epoch `term`.
fn stamp(term: u64, counter: u64) -> Stamp {
    Stamp::Lease { epoch: epoch(term), counter }
}

fn slot(number: u32) -> SlotKey {
    SlotKey { service: ServiceId([5; 16]), slot: SlotName::Number(number) }
}

fn task(term: u64, counter: u64, attempt: u32) -> TaskId {
    TaskId { assignment: stamp(term, counter), attempt }
}

fn template() -> TaskTemplate {
    TaskTemplate {
        image: "app:1".to_string(),
        restart: RestartPolicy { delay_ms: 0, ..RestartPolicy::default() },
        ..TaskTemplate::default()
    }
}

fn assigned(assignment: Stamp, node: NodeId) -> Assigned {
    let (cause, choice, at) = (Cause::Wanted, Choice::default(), WallTime(0));
    Assigned { assignment, node, revision: REVISION, cause, choice, at }
}

fn retired(assignment: Stamp, node: NodeId) -> Retired {
    Retired { assignment, node, reason: RetireReason::Moved }
}

/// A slot's record by epoch `term`, with whatever it says.
fn desired(term: u64, current: Option<Assigned>, order: Order, retire: Vec<Retired>) -> Desired {
    let record = SlotRecord { stamp: stamp(term, 1_000), slot: Slot { current, order, fence: 1, retire } };
    Desired {
        service_name: "web".to_string(),
        removed: false,
        singleton: false,
        record: Some(record),
        templates: Vec::from([Template {
            revision: REVISION,
            spec: Arc::new(Revision::running(template())),
        }]),
        peers: Vec::new(),
    }
}

/// A slot that this node is to fill, by a record of the epoch of its assignment.
fn mine(assignment: Stamp) -> Desired {
    desired(term_of(assignment), Some(assigned(assignment, ME)), Order::StopFirst, Vec::new())
}

fn with_template(mut desired: Desired, change: impl FnOnce(&mut TaskTemplate)) -> Desired {
    let mut changed = template();
    change(&mut changed);
    desired.templates =
        Vec::from([Template { revision: REVISION, spec: Arc::new(Revision::running(changed)) }]);
    desired
}

fn peer(assignment: Stamp, state: TaskState, health: Health) -> PeerTask {
    PeerTask { assignment, node: PEER, state: Some(state), health, node_down_confirmed: false }
}

fn term_of(assignment: Stamp) -> u64 {
    match assignment {
        Stamp::Lease { epoch, .. } => epoch.term,
        Stamp::Time { .. } | Stamp::Boot { .. } => 0,
    }
}

fn label(slot: SlotKey, task: TaskId) -> TaskLabel {
    TaskLabel { node: ME, slot, task, revision: REVISION, epoch: epoch(1) }
}

fn container(task: TaskId) -> String {
    format!("c{}", name(task))
}

/// `counter.attempt`
fn name(task: TaskId) -> String {
    match task.assignment {
        Stamp::Lease { counter, .. } => format!("{counter}.{}", task.attempt),
        Stamp::Time { .. } | Stamp::Boot { .. } => "?".to_string(),
    }
}

fn found(label: TaskLabel) -> Found {
    Found {
        container: container(label.task),
        label: Some(label),
        running: true,
        started_at: Some(WallTime(0)),
        exit: None,
        health: Health::None,
        image_digest: String::new(),
        last_lines: Vec::new(),
    }
}

fn found_exited(label: TaskLabel, code: i32) -> Found {
    Found { running: false, exit: Some(Exit { code, out_of_memory: false }), ..found(label) }
}

fn found_created(label: TaskLabel) -> Found {
    Found { running: false, started_at: None, ..found(label) }
}

fn status(task: TaskId, state: TaskState) -> TaskStatus {
    TaskStatus::new(task, REVISION, state, WallTime(0))
}

fn exited(task: TaskId, code: i32) -> EngineReport {
    EngineReport::Exited {
        task,
        container: container(task),
        exit: Exit { code, out_of_memory: false },
        at: WallTime(0),
        deaf: false,
        last_lines: Vec::new(),
    }
}

fn running(task: TaskId, health: Health) -> EngineReport {
    let step = StartStep::Running { container: container(task), pid: 7, at: WallTime(0), health };
    EngineReport::Progress { task, step }
}

fn timed_out() -> EngineError {
    EngineError::TimedOut { call: "start" }
}

/// One node, and what it said since last asked.
struct Bench {
    node: Reconcile,
    now: Now,
}

impl Bench {
    fn setup(fence: u64, host_rebooted: bool) -> Setup {
        Setup {
            me: ME,
            cluster: CLUSTER,
            fence: epoch(fence),
            host_rebooted,
            seed: 1,
            runtimes: Vec::from([Runtime::Docker]),
            limits: Limits::default(),
        }
    }

    /// A node that has just started, an hour after its host.
    fn new(fence: u64) -> Self {
        Self::with(Self::setup(fence, false))
    }

    fn with(setup: Setup) -> Self {
        let now = Now { instant: Instant(3_600_000_000), wall: WallTime(3_600_000) };
        Self { node: Reconcile::new(now, setup), now }
    }

    /// One that was listed, and has nothing.
    fn listed(fence: u64) -> Self {
        let mut bench = Self::new(fence);
        assert_eq!(bench.tick(), ["list"]);
        assert_eq!(bench.list(Vec::new()), ["runtimes"]);
        bench
    }

    /// One that runs attempt 1 of `assignment` in slot 1.
    fn running(assignment: Stamp) -> Self {
        let mut bench = Self::listed(term_of(assignment));
        bench.assign(1, mine(assignment));
        bench.engine(running(TaskId { assignment, attempt: 1 }, Health::None));
        bench
    }

    fn input(&mut self, input: ReconcileInput) -> Vec<String> {
        self.node.handle(self.now, input);
        self.said()
    }

    fn engine(&mut self, report: EngineReport) -> Vec<String> {
        self.input(ReconcileInput::Engine(report))
    }

    fn list(&mut self, found: Vec<Found>) -> Vec<String> {
        let images = Vec::new();
        self.engine(EngineReport::Listed { runtime: Runtime::Docker, found, images })
    }

    /// The lists that follow the first where there is a past: what they show, and what comes of it.
    fn look_again(&mut self, found: &[Found]) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 1..engine::MISSES {
            assert_eq!(self.wake(), (1_000, Vec::from(["list".to_string()])));
            said.extend(self.list(found.into()));
        }
        said
    }

    fn assign(&mut self, number: u32, desired: Desired) -> Vec<String> {
        self.node.set_assignment(slot(number), Some(desired));
        self.node.settle(self.now);
        self.said()
    }

    fn tick(&mut self) -> Vec<String> {
        self.input(ReconcileInput::Tick)
    }

    /// Moves on to the next wake, and ticks. How many milliseconds that took comes first.
    fn wake(&mut self) -> (u128, Vec<String>) {
        let at = self.node.next_wake().expect("a node always lists again some time");
        let waited = at.since(self.now.instant);
        (waited.as_millis(), self.after(waited))
    }

    fn after(&mut self, time: Duration) -> Vec<String> {
        self.now.instant += time;
        self.now.wall.0 += i64::try_from(time.as_millis()).expect("tests are short");
        self.tick()
    }

    /// Everything that came out, in order, a line each; an event and the record of one change are one line.
    fn said(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut event = None;
        while let Some(output) = self.node.poll_output() {
            let line = match output {
                ReconcileOutput::Event(Event::Task { state, message, .. }) => {
                    assert_eq!(event.replace((state, message)), None);
                    continue;
                }
                ReconcileOutput::Publish { place, status, .. } => {
                    let told = event.take();
                    let expected = (state_word(status.state), status.message.clone());
                    assert!(told.as_ref().is_none_or(|told| *told == expected));
                    let sign = if told.is_some() { "" } else { "=" };
                    let line =
                        format!("{sign}{} {} @{place} {}", name(status.task), status.state, status.message);
                    line.trim_end().to_string()
                }
                ReconcileOutput::Engine(EngineAction::Start(launch)) => {
                    assert_eq!((launch.cluster, launch.label.node), (CLUSTER, ME));
                    format!("start {}", name(launch.label.task))
                }
                ReconcileOutput::Engine(EngineAction::Stop { container, signal, grace_ms, .. }) => {
                    format!("stop {container} {signal} {grace_ms}").replace("  ", " ")
                }
                ReconcileOutput::Engine(EngineAction::Cancel { task, .. }) => {
                    format!("cancel {}", name(task))
                }
                ReconcileOutput::Engine(EngineAction::Remove { container, .. }) => {
                    format!("remove {container}")
                }
                ReconcileOutput::Engine(EngineAction::List { .. }) => "list".to_string(),
                ReconcileOutput::PersistFence { epoch } => format!("persist {}", epoch.term),
                ReconcileOutput::RuntimesChanged => "runtimes".to_string(),
                ReconcileOutput::ImagesChanged => "images".to_string(),
                ReconcileOutput::Forget { .. } => "forget".to_string(),
                ReconcileOutput::Event(other) => format!("{other:?}"),
            };
            assert_eq!(event, None, "an event without its record");
            lines.push(line);
        }
        lines
    }
}
