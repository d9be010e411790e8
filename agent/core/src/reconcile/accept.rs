//! What the slots' records mean for this node's tasks: which to take up, which to stop, which may start.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::slot::Assigned;
use sleep_wire::spec::{Revision, Runtime};
use sleep_wire::task::{TaskId, TaskState, TaskStatus};
use sleep_wire::{RevisionId, Stamp};

use super::desired::{Local, SlotRecord, StopCause};
use super::engine::{RuntimeHealth, words};
use super::fence::Verdict;
use super::restart::Past;
use super::task::{Attempt, Step, Task};
use super::{Reconcile, ReconcileOutput, Seek, SlotState, epoch_of};
use crate::mutant::{Mutant, is_sown};
use crate::time::Now;

/// What the records say of one task.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// Why it is to stop, if it is.
    pub(crate) stop: Option<StopCause>,
    /// Whether its slot is another's now: then it is not begun again.
    pub(crate) unlisted: bool,
    /// Whether an attempt may start now.
    pub(crate) start: Result<Go, Wait>,
}

/// What a start needs.
#[derive(Clone, Debug)]
pub(crate) struct Go {
    pub(crate) service_name: String,
    pub(crate) spec: Arc<Revision>,
    pub(crate) fence: u64,
}

/// Why an attempt does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It needs a permit.
    Singleton,
    /// Nobody has said what it runs.
    Revision,
    /// This node has no such runtime.
    NoRuntime(Runtime),
    /// The host was restarted and looks for its peers.
    Seeking,
    /// Those that it replaces are not known to have ended.
    Predecessor,
    /// The engine is ill.
    Engine(String),
    /// For a moment: the engine was not listed yet, or something of it is still to be removed.
    Shortly,
}

impl Wait {
    /// In words, for a task's status; `None` where it is too short a wait to be told.
    pub(crate) fn words(&self) -> Option<String> {
        Some(match self {
            Self::Singleton => String::from("waits: singleton permits are not available in this release"),
            Self::Revision => String::from("waits: its revision is not known here yet"),
            Self::NoRuntime(Runtime::Docker) => String::from("waits: this node has no container engine"),
            Self::NoRuntime(Runtime::Process) => String::from("waits: this node does not run processes"),
            Self::Seeking => String::from("waits: this host was restarted and looks for its peers"),
            Self::Predecessor => String::from("waits: the task that it replaces has not ended"),
            Self::Engine(what) => alloc::format!("waits: {what}"),
            Self::Shortly => return None,
        })
    }
}

/// Something that a slot's record newly asks of this node.
enum News {
    TakeUp(Assigned),
    /// It ended by itself while its slot was another's, or before this agent was restarted: its policy is to
    /// say whether another attempt follows.
    TakeUpAgain(u8, Box<TaskStatus>),
    /// Retired before this node had anything of it.
    NeverHeld(Stamp),
}

impl Reconcile {
    /// Takes up what is newly assigned to this node, and answers for what was retired before it had it.
    pub(crate) fn accept(&mut self, now: Now) {
        if self.leaving {
            return;
        }
        // What is news of one slot changes nothing of another's.
        let of_slot = |(slot, state): (&SlotKey, &SlotState)| {
            let slot = *slot;
            self.news(&slot, state).into_iter().map(move |news| (slot, news))
        };
        let news: Vec<(SlotKey, News)> = self.slots.iter().flat_map(of_slot).collect();
        for (slot, news) in news {
            if !self.is_open(now, &slot) {
                continue;
            }
            match news {
                News::TakeUp(assigned) => self.take_up(now, slot, &assigned),
                News::TakeUpAgain(place, status) => self.take_up_again(now, slot, place, &status),
                News::NeverHeld(assignment) => self.never_held(now, slot, assignment),
            }
        }
    }

    fn news(&self, slot: &SlotKey, state: &SlotState) -> Vec<News> {
        let Some(desired) = state.desired.as_ref().filter(|desired| !desired.removed) else {
            return Vec::new();
        };
        let Some(record) = &desired.record else { return Vec::new() };
        let unknown = |assignment: &Stamp| {
            !self.tasks.contains_key(assignment) && state.history.state_of(assignment).is_none()
        };
        let mine = record.slot.current.iter().filter(|c| c.node == self.me && unknown(&c.assignment));
        let mut news: Vec<News> = mine.cloned().map(News::TakeUp).collect();
        let again = record.slot.current.iter().filter(|current| current.node == self.me);
        let again = again.filter(|current| !self.tasks.contains_key(&current.assignment));
        let ended = |current: &Assigned| {
            let (place, status) = state.history.newest_of(&current.assignment)?;
            let by_itself = matches!(status.state, TaskState::Failed | TaskState::Complete);
            by_itself.then(|| News::TakeUpAgain(place, Box::new(status.clone())))
        };
        news.extend(again.filter_map(ended));
        let retired = record.slot.retire.iter().filter(|r| r.node == self.me && unknown(&r.assignment));
        let retired = retired.filter(|r| desired.retired(self.me, &r.assignment).is_some());
        let nothing = |assignment: &&Stamp| self.local(slot, assignment) == Local::Nothing;
        news.extend(retired.map(|r| &r.assignment).filter(nothing).copied().map(News::NeverHeld));
        news
    }

    fn take_up(&mut self, now: Now, slot: SlotKey, assigned: &Assigned) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        let record = state.desired.as_ref().and_then(|desired| desired.record.as_ref());
        let Some(epoch) = record.and_then(SlotRecord::epoch) else { return };
        let Some(place) = state.history.take() else { return };
        let task = Task {
            slot,
            assignment: assigned.assignment,
            revision: assigned.revision,
            epoch,
            runtime: None,
            attempt: Attempt::new(now, 1, place, now.instant),
            past: Past::default(),
            stop: None,
        };
        self.tasks.insert(assigned.assignment, task);
    }

    fn take_up_again(&mut self, now: Now, slot: SlotKey, place: u8, status: &TaskStatus) {
        let Some(state) = self.slots.get(&slot) else { return };
        let record = state.desired.as_ref().and_then(|desired| desired.record.as_ref());
        let Some(epoch) = record.and_then(SlotRecord::epoch) else { return };
        let assignment = status.task.assignment;
        let past = Past::recovered(now, &state.history.attempts(&assignment));
        self.tasks.insert(assignment, Task::recovered(slot, place, status, epoch, past));
    }

    /// Whoever waits for it to end must learn that there was nothing to end.
    fn never_held(&mut self, now: Now, slot: SlotKey, assignment: Stamp) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        let Some(place) = state.history.take() else { return };
        let id = TaskId { assignment, attempt: 0 };
        let status = TaskStatus {
            message: String::from("retired before it was started here"),
            ..TaskStatus::new(id, RevisionId([0; 16]), TaskState::Stopped, now.wall)
        };
        state.history.put(place, status.clone());
        self.outputs.push_back(ReconcileOutput::Publish { slot, place, status: Box::new(status) });
    }

    /// Whether something may newly be done because of a slot's record. Asks for the fence to be written if
    /// that is what is missing.
    fn is_open(&mut self, now: Now, slot: &SlotKey) -> bool {
        let record = self.slots.get(slot).and_then(|state| state.desired.as_ref()?.record.as_ref());
        match record.map(|record| record.verdict(&self.fence)) {
            Some(Verdict::Open) => true,
            Some(Verdict::Wait) => {
                if let Some(epoch) = self.fence.next_write(now.instant) {
                    self.outputs.push_back(ReconcileOutput::PersistFence { epoch });
                }
                false
            }
            Some(Verdict::Stale) | None => false,
        }
    }

    /// What the records say of a task that this node holds.
    pub(crate) fn judge(&mut self, now: Now, assignment: &Stamp) -> Option<Orders> {
        let task = self.tasks.get(assignment)?;
        let slot = task.slot;
        let desired = self.desired(&slot);
        let unlisted = desired.is_some_and(|desired| !desired.may_repeat(assignment));
        let retired = desired
            .filter(|desired| desired.retired_may_stop(self.me, |other| self.local(&slot, other)))
            .and_then(|desired| desired.retired(self.me, assignment));
        let stop = if self.leaving {
            Some(StopCause::Leaving)
        } else if desired.is_some_and(|desired| desired.removed) {
            (!is_sown(Mutant::RemovedServiceGoesOn)).then_some(StopCause::ServiceRemoved)
        } else if task.is_over() || task.stop.is_some() {
            None
        } else if unlisted && is_sown(Mutant::StopsTheUnlisted)
            || desired.is_none() && is_sown(Mutant::StopsTheUnknown)
        {
            Some(StopCause::Superseded)
        } else {
            retired.filter(|_| self.is_open(now, &slot)).map(StopCause::Retired)
        };
        let start = self.tasks.get(assignment).map(|task| self.may_start(task))?;
        Some(Orders { stop, unlisted, start })
    }

    fn may_start(&self, task: &Task) -> Result<Go, Wait> {
        if !matches!(task.attempt.step, Step::Waiting { .. }) {
            return Err(Wait::Shortly);
        }
        let desired = self.desired(&task.slot).ok_or(Wait::Revision)?;
        if desired.singleton {
            return Err(Wait::Singleton);
        }
        // An old disk may lack the slot of a task that its engine still knows.
        let record = desired.record.as_ref().ok_or(Wait::Revision)?;
        let spec = desired.spec(&task.revision).ok_or(Wait::Revision)?;
        let template = &spec.template;
        let engine = self.engines.get(&template.runtime).ok_or(Wait::NoRuntime(template.runtime))?;
        match self.seek {
            Seek::Done => {}
            Seek::Until(_) | Seek::Sync => return Err(Wait::Seeking),
        }
        // Judged once: what this node has begun goes on.
        let fresh = task.attempt.number == 1 && task.attempt.state() == TaskState::Assigned;
        if fresh && !desired.current_may_start(self.me, |other| self.local(&task.slot, other)) {
            return Err(Wait::Predecessor);
        }
        if let RuntimeHealth::Ill(error) = &engine.health {
            return Err(Wait::Engine(words(error)));
        }
        // A lower attempt runs where the disk is older than what it says of later ones.
        let first = TaskId { attempt: 0, ..task.id() };
        let mut lower = self.leftovers.range(first..=task.id());
        if !engine.takes_work() || lower.any(|(id, left)| *id == task.id() || left.running.is_some()) {
            return Err(Wait::Shortly);
        }
        let fence = record.slot.fence;
        Ok(Go { service_name: desired.service_name.clone(), spec: Arc::clone(spec), fence })
    }

    /// A task that a list found and that this node had forgotten.
    pub(crate) fn remember(&mut self, now: Now, label: &sleep_wire::task::TaskLabel) -> bool {
        let state = self.slots.entry(label.slot).or_default();
        let Some(place) = state.history.take() else { return false };
        let mut attempt = Attempt::new(now, label.task.attempt, place, now.instant);
        attempt.doubt(0, None);
        // A disk that is older than what the engine holds knows of no such epoch: none above the fence is
        // named by whatever goes on.
        let epoch = label.epoch.max(epoch_of(&label.task.assignment)).min(self.fence.durable());
        let task = Task {
            slot: label.slot,
            assignment: label.task.assignment,
            revision: label.revision,
            epoch,
            runtime: None,
            attempt,
            past: Past::default(),
            stop: None,
        };
        self.tasks.insert(label.task.assignment, task);
        true
    }
}
