//! Which tasks run on this node: desired − observed → engine actions.
//!
//! ```text
//!  slot records ──▶ ┌────────┐      ┌───────┐ ──▶ engine actions
//!  own statuses ──▶ │ judged │ ───▶ │ driven│ ──▶ task statuses
//!  lists, reports ▶ └────────┘      └───────┘ ──▶ a fence to make durable
//!
//!  assigned ─▶ preparing ─▶ starting ─▶ running ─▶ stopping ─▶ complete | failed | stopped
//! ```
//! A task is an assignment (the stamp of the slot record that first made it) and an attempt, which this node
//! alone counts from 1. The newest attempt of an assignment is over only when this node will not try again by
//! itself.
//!
//! # Invariants
//! - `fenced`: an epoch is durable here before anything is newly done under it; nothing is newly done under
//!   an epoch lower than one seen. What this node holds already goes on, restarts included.
//! - `retired_by_name`: a task is stopped only for a [`StopCause`]: never because a slot names another node,
//!   never because a record is missing.
//! - `one_attempt`: an attempt whose start was not answered is looked for before the next is made.
//! - `hands_off`: only what bears this cluster's and this node's label is touched, or that of a node that is
//!   removed.
//! - `control_plane_is_harmless`: nothing is started before its runtime was listed, and as often as it takes
//!   for absence to say something where there is a past; what runs is adopted as it is.
//! - `forward_only`: a task's state never moves backwards.
//! - `one_attempt`: an attempt follows another only when the engine is known to have ended that.
//! - `unknown_is_not_dead`: an error or a missing answer ends nothing; lists decide, and not the first.
//! - `no_hot_loop`: whatever fails is repeated after a wait that grows.
//! - `bounded_calls`: no more starts, stops and removals are under way than [`Limits`] says.
//! - `quiet`: nothing is published that says nothing new.
//!
//! # Not here
//! Which node gets which task: `placement`. Permits and isolation: later, as further [`StopCause`]s. Engines'
//! calls, deadlines and names: drivers. Writing records: whoever takes [`ReconcileOutput::Publish`].

mod accept;
mod adopt;
mod again;
mod desired;
mod drive;
mod engine;
mod fence;
mod history;
mod io;
mod leftover;
mod report;
mod restart;
mod task;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use sleep_wire::engine::EngineAction;
use sleep_wire::key::SlotKey;
use sleep_wire::spec::Runtime;
use sleep_wire::task::{TaskId, TaskState};
use sleep_wire::{ClusterId, Epoch, NodeId, Stamp};

pub use again::NextAttempt;
pub use desired::{Desired, PeerTask, SlotRecord, StopCause, Template};
pub use engine::RuntimeHealth;
pub use io::{Limits, Peers, ReconcileInput, ReconcileOutput, Recovered, RuntimeView, Setup, TaskView};

use crate::io::Event;
use crate::time::{Instant, Now};
use desired::Local;
use engine::Engine;
use fence::Fence;
use history::History;
use leftover::Leftovers;
use restart::{Dice, Past};
use task::Task;

/// One slot that concerns this node.
#[derive(Clone, Debug, Default)]
struct SlotState {
    desired: Option<Desired>,
    history: History,
    /// Whether the cluster knows nothing of it any more.
    dropped: bool,
}

/// This node's tasks.
#[derive(Clone, Debug)]
pub struct Reconcile {
    me: NodeId,
    cluster: ClusterId,
    limits: Limits,
    dice: Dice,
    fence: Fence,
    /// Counts inputs: what is older than what.
    turn: u64,
    seek: Seek,
    leaving: bool,
    removed_nodes: BTreeSet<NodeId>,
    slots: BTreeMap<SlotKey, SlotState>,
    tasks: BTreeMap<Stamp, Task>,
    leftovers: Leftovers,
    /// Starts that were not answered, and when an answer is overdue. A list may show a task before the answer
    /// comes.
    starting: BTreeMap<TaskId, Asking>,
    engines: BTreeMap<Runtime, Engine>,
    outputs: VecDeque<ReconcileOutput>,
    wake: Option<Instant>,
    /// Whether something was told that was not acted upon.
    unsettled: bool,
}

/// A start that was not answered.
#[derive(Clone, Copy, Debug)]
struct Asking {
    overdue: Instant,
    /// Fetching an image is bounded apart: one that is slow to come must not keep others from starting.
    pulling: bool,
}

/// Whether a restarted host may trust its own last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seek {
    /// Not before then, unless peers are found.
    Until(Instant),
    /// Not before the state of the peers that were found is here.
    Sync,
    /// It may.
    Done,
}

impl Reconcile {
    /// A node that has just started.
    pub fn new(now: Now, setup: Setup) -> Self {
        let Setup { me, cluster, fence, host_rebooted, seed, runtimes, limits } = setup;
        let seek = if host_rebooted { Seek::Until(now.instant + limits.seek_peers) } else { Seek::Done };
        Self {
            me,
            cluster,
            limits,
            dice: Dice::new(seed),
            fence: Fence::new(fence),
            turn: 0,
            seek,
            leaving: false,
            removed_nodes: BTreeSet::new(),
            slots: BTreeMap::new(),
            tasks: BTreeMap::new(),
            leftovers: Leftovers::new(),
            starting: BTreeMap::new(),
            engines: runtimes.into_iter().map(|runtime| (runtime, Engine::new(now.instant))).collect(),
            outputs: VecDeque::new(),
            wake: Some(now.instant),
            unsettled: false,
        }
    }

    /// What the cluster wants of a slot that names this node, or of which this node has a task. `None`:
    /// nothing is known of it any more, which stops nothing. Acted upon by [`Reconcile::settle`], or by
    /// whatever else comes first: many slots may change at one moment.
    pub fn set_assignment(&mut self, slot: SlotKey, desired: Option<Desired>) {
        if let Some(epoch) = desired.as_ref().and_then(|d| d.record.as_ref()?.epoch()) {
            self.fence.see(epoch);
        }
        let known = self.slots.get(&slot).and_then(|state| state.desired.as_ref());
        if known == desired.as_ref() {
            return;
        }
        let state = self.slots.entry(slot).or_default();
        state.dropped = desired.is_none();
        state.desired = desired;
        self.unsettled = true;
    }

    /// Acts on all that [`Reconcile::set_assignment`] told. Whether there was anything.
    pub fn settle(&mut self, now: Now) -> bool {
        let unsettled = self.unsettled;
        if unsettled {
            self.turn += 1;
            self.sweep(now);
        }
        unsettled
    }

    /// Takes note of what happened. Outputs are drained before the next call.
    pub fn handle(&mut self, now: Now, input: ReconcileInput) {
        self.turn += 1;
        match input {
            ReconcileInput::Recovered(statuses) => self.recover(now, statuses),
            ReconcileInput::Engine(report) => self.report(now, report),
            ReconcileInput::Tick => {
                if !self.unsettled && self.wake.is_none_or(|at| now.instant < at) {
                    return;
                }
            }
            ReconcileInput::EpochSeen(epoch) => self.fence.see(epoch),
            ReconcileInput::FenceDurable(epoch) => self.fence.written(epoch),
            ReconcileInput::FenceFailed => self.fence.failed(now.instant),
            ReconcileInput::RemovedNodes(nodes) => {
                if self.removed_nodes != nodes {
                    self.removed_nodes = nodes;
                    self.want_list(None, now.instant);
                }
            }
            ReconcileInput::Peers(Peers::Synced) => self.seek = Seek::Done,
            ReconcileInput::Peers(Peers::Found) => {
                if self.seek != Seek::Done {
                    self.seek = Seek::Sync;
                }
            }
            ReconcileInput::RollCall => self.publish(now, Novelty::Uptime),
            ReconcileInput::Leave => self.leaving = true,
        }
        self.sweep(now);
    }

    /// What this node published may stand no more, as for a time it was no member: what is not there by now
    /// it tells anew. What it only has by an earlier boot's word it tells once its engine has shown it.
    pub fn tell_anew(&mut self, now: Now, stands: impl Fn(SlotKey, u8) -> bool) {
        let mut doubtful = BTreeSet::new();
        for task in self.tasks.values() {
            let place = task.attempt.place;
            if task.attempt.inherited && task.attempt.is_doubtful() {
                doubtful.insert((task.slot, place));
            } else if let Some(state) = self.slots.get_mut(&task.slot)
                && state.history.at(place).is_some_and(|known| known.task == task.id())
            {
                state.history.put(place, task.status(now));
            }
        }
        for (slot, state) in &self.slots {
            let lacking = |place| !stands(*slot, place) && !doubtful.contains(&(*slot, place));
            for (place, status) in state.history.all().filter(|(place, _)| lacking(*place)) {
                let status = Box::new(status.clone());
                self.outputs.push_back(ReconcileOutput::Publish { slot: *slot, place, status });
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ReconcileOutput> {
        self.outputs.pop_front()
    }

    /// When to call again with [`ReconcileInput::Tick`].
    pub const fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    /// The highest epoch that is durable here.
    pub const fn fence(&self) -> Epoch {
        self.fence.durable()
    }

    /// This node's runtimes.
    pub fn runtimes(&self) -> impl Iterator<Item = RuntimeView<'_>> {
        self.engines.iter().map(|(runtime, engine)| RuntimeView {
            runtime: *runtime,
            health: &engine.health,
            engine: &engine.id,
            version: &engine.version,
            images: &engine.images,
            unreadable: &engine.unreadable,
        })
    }

    /// Whether each runtime has said what it has since the agent's start, or that it cannot.
    pub fn has_looked(&self) -> bool {
        self.engines.values().all(|engine| engine.is_listed() || engine.is_ill())
    }

    /// The newest attempt of every assignment that this node has anything of.
    pub fn tasks(&self, now: Now) -> impl Iterator<Item = TaskView> {
        self.tasks.values().map(move |task| TaskView {
            slot: task.slot,
            status: task.status(now),
            listed: self.desired(&task.slot).is_some_and(|desired| desired.names(&task.assignment)),
            stop: task.stop,
        })
    }

    /// Whether nothing of this cluster is left on this node's engines, as far as it knows.
    pub fn is_idle(&self) -> bool {
        let hidden = self.engines.values().any(|engine| engine.may_hide() && !engine.is_ill());
        !self.unsettled && !hidden && self.leftovers.is_empty() && self.tasks.values().all(Task::is_over)
    }

    /// What runs a task, as far as that is known.
    fn runtime_of(&self, task: &Task) -> Option<Runtime> {
        let template = || self.desired(&task.slot)?.template(&task.revision);
        task.runtime.or_else(|| template().map(|template| template.runtime))
    }

    /// Whether an attempt that this life has not begun may be there already. A runtime that this node lacks
    /// hides nothing; one that is ill may, but whoever leaves does not wait for it.
    fn may_be_there(&self, assignment: &Stamp) -> bool {
        let hides = |engine: &Engine| engine.may_hide() && !(self.leaving && engine.is_ill());
        let runtime = self.tasks.get(assignment).and_then(|task| self.runtime_of(task));
        let mut engines = self.engines.iter().filter(|(known, _)| runtime.is_none_or(|it| it == **known));
        engines.any(|(_, engine)| hides(engine))
    }

    fn desired(&self, slot: &SlotKey) -> Option<&Desired> {
        self.slots.get(slot)?.desired.as_ref()
    }

    /// What this node itself knows of an assignment of a slot.
    fn local(&self, slot: &SlotKey, assignment: &Stamp) -> Local {
        if let Some(task) = self.tasks.get(assignment) {
            let complete = task.attempt.state() == TaskState::Complete;
            return if task.is_over() { Local::Over { complete } } else { Local::Live { up: task.is_up() } };
        }
        match self.slots.get(slot).and_then(|state| state.history.state_of(assignment)) {
            Some(state) => Local::Over { complete: state == TaskState::Complete },
            None if self.engines.values().all(Engine::has_shown_all) => Local::Nothing,
            None => Local::Unknown,
        }
    }

    fn recover(&mut self, now: Now, statuses: Vec<Recovered>) {
        if !statuses.is_empty() {
            self.engines.values_mut().for_each(Engine::note_past);
        }
        let mut slots = BTreeSet::new();
        for Recovered { slot, place, status } in statuses {
            slots.insert(slot);
            self.slots.entry(slot).or_default().history.recover(place, status);
        }
        let fence = self.fence();
        for slot in slots {
            let Some(state) = self.slots.get(&slot) else { continue };
            for (place, status) in state.history.newest().filter(|(_, status)| !status.state.is_over()) {
                let past = Past::recovered(now, &state.history.attempts(&status.task.assignment));
                let task = Task::recovered(slot, place, status, fence, past);
                self.tasks.insert(status.task.assignment, task);
            }
        }
    }

    /// Brings everything as far as it can be brought now.
    fn sweep(&mut self, now: Now) {
        self.unsettled = false;
        self.wake = None;
        if let Seek::Until(at) = self.seek {
            if now.instant >= at {
                self.seek = Seek::Done;
            } else {
                self.wake_at(now, at);
            }
        }
        self.accept(now);
        // One task's end may be another's leave to start: the second pass sees what the first one ended.
        while self.drive(now) {}
        self.clear_leftovers(now);
        self.ask_lists(now);
        self.publish(now, Novelty::State);
        self.prune();
    }

    fn wake_at(&mut self, now: Now, at: Instant) {
        if at > now.instant {
            self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
        }
    }

    fn emit(&mut self, action: EngineAction) {
        self.outputs.push_back(ReconcileOutput::Engine(action));
    }

    fn ask_lists(&mut self, now: Now) {
        let mut wakes = Vec::new();
        for (runtime, engine) in &mut self.engines {
            engine.overdue(now.instant, &mut self.dice);
            if engine.ask(now.instant, self.turn) {
                let list = EngineAction::List { runtime: *runtime };
                self.outputs.push_back(ReconcileOutput::Engine(list));
            }
            wakes.push(engine.next_wake());
        }
        wakes.extend(self.fence.next_wake());
        for at in wakes {
            self.wake_at(now, at);
        }
    }

    fn publish(&mut self, now: Now, novelty: Novelty) {
        for task in self.tasks.values_mut() {
            let history = &mut self.slots.entry(task.slot).or_default().history;
            publish_one(now, task, history, novelty, &mut self.outputs);
        }
    }

    /// Forgets tasks that are over and that nobody names, and slots of which nothing is left.
    fn prune(&mut self) {
        let Self { slots, tasks, leftovers, outputs, .. } = self;
        tasks.retain(|assignment, task| {
            let next = match task.attempt.step {
                task::Step::Over { next } => next,
                task::Step::Waiting { .. }
                | task::Step::Asked { .. }
                | task::Step::Doubtful { .. }
                | task::Step::Up { .. }
                | task::Step::Halting { .. } => return true,
            };
            let desired = slots.get(&task.slot).and_then(|state| state.desired.as_ref());
            let named = desired.is_some_and(|desired| desired.names(assignment));
            let silent = desired.is_none_or(|desired| desired.record.is_none());
            let dropped = slots.get(&task.slot).is_some_and(|state| state.dropped);
            let open = next.is_some() && silent && !dropped;
            named || open || leftovers.keys().any(|id| id.assignment == *assignment)
        });
        if slots.values().all(|state| !state.dropped) {
            return;
        }
        let kept: BTreeSet<SlotKey> = tasks.values().map(|task| task.slot).collect();
        slots.retain(|slot, state| {
            let keep = state.desired.is_some() || kept.contains(slot) || !state.dropped;
            if !keep {
                outputs.push_back(ReconcileOutput::Forget { slot: *slot });
            }
            keep
        });
    }
}

/// What is worth a new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    /// State, health, message or exit.
    State,
    /// Also for how long it has been running.
    Uptime,
}

/// Publishes a task's newest attempt if there is news.
fn publish_one(
    now: Now,
    task: &mut Task,
    history: &mut History,
    novelty: Novelty,
    outputs: &mut VecDeque<ReconcileOutput>,
) {
    let place = task.attempt.place;
    let known = history.at(place).filter(|known| known.task == task.id());
    let moved = known.is_none_or(|known| known.state != task.attempt.state());
    let renewed = task.attempt.inherited && !task.attempt.is_doubtful();
    let told = task.attempt.told || (!renewed && known.is_some_and(|known| task.attempt.is_told_by(known)));
    let older = known.is_some_and(|known| known.running_for_ms != task.attempt.ran_ms(now.instant));
    if told && (!older || novelty == Novelty::State) {
        return;
    }
    let status = task.status(now);
    task.attempt.told = task.is_over();
    task.attempt.inherited &= !renewed;
    history.put(place, status.clone());
    if moved {
        outputs.push_back(ReconcileOutput::Event(Event::Task {
            service: task.slot.service,
            assignment: task.assignment,
            state: state_word(status.state),
            message: status.message.clone(),
        }));
    }
    outputs.push_back(ReconcileOutput::Publish { slot: task.slot, place, status: Box::new(status) });
}

const fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Assigned => "assigned",
        TaskState::Preparing => "preparing",
        TaskState::Starting => "starting",
        TaskState::Running => "running",
        TaskState::Stopping => "stopping",
        TaskState::Complete => "complete",
        TaskState::Failed => "failed",
        TaskState::Stopped => "stopped",
    }
}

/// The epoch of the record that first made an assignment.
const fn epoch_of(assignment: &Stamp) -> Epoch {
    match assignment {
        Stamp::Lease { epoch, .. } => *epoch,
        Stamp::Time { .. } | Stamp::Boot { .. } => Epoch::ZERO,
    }
}
