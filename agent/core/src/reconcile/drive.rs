//! One step further for every task: what its orders and where it stands make of it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::Stamp;
use sleep_wire::engine::{EngineAction, Launch};
use sleep_wire::spec::{RestartPolicy, Runtime, TaskTemplate};
use sleep_wire::task::{TaskId, TaskState};

use super::accept::{Go, Orders};
use super::again::NextAttempt;
use super::leftover::{AGAIN, AGAIN_CAP, Leftover};
use super::restart::{End, again_after};
use super::task::{Attempt, Call, Step, Task};
use super::{Asking, Novelty, Reconcile, publish_one};
use crate::mutant::{Mutant, is_sown};
use crate::time::{Instant, Now};

/// How long a start may take before its answer counts as lost: an image may be large and its registry slow.
const START_PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How long a stop may take beyond its grace, and a removal at all.
const CALL_PATIENCE: Duration = Duration::from_secs(60);

/// How many calls are under way.
#[derive(Clone, Copy, Debug)]
struct Busy {
    starts: usize,
    pulls: usize,
    stops: usize,
    removes: usize,
}

impl Reconcile {
    /// One step for every task. Whether one of them ended by it.
    pub(crate) fn drive(&mut self, now: Now) -> bool {
        let assignments: Vec<Stamp> = self.tasks.keys().copied().collect();
        self.starting.retain(|_, asking| asking.overdue > now.instant);
        let mut busy = self.under_way();
        let mut ended = false;
        for assignment in assignments {
            let Some(mut orders) = self.judge(now, &assignment) else { continue };
            let was_over = self.tasks.get(&assignment).is_some_and(Task::is_over);
            if self.next_attempt(now, &assignment, &orders) {
                let Some(anew) = self.judge(now, &assignment) else { continue };
                orders = anew;
            }
            self.note_stop(now, &assignment, &orders);
            match self.tasks.get(&assignment).map(|task| task.attempt.step.clone()) {
                Some(Step::Waiting { until, tries }) => {
                    self.waiting(now, &assignment, orders, (until, tries), &mut busy);
                }
                Some(Step::Asked { by, tries }) => self.asked(now, &assignment, by, tries),
                Some(Step::Halting { tries, misses, call }) => {
                    self.halting(now, &assignment, (tries, misses, call), &mut busy);
                }
                Some(Step::Doubtful { .. } | Step::Up { .. } | Step::Over { .. }) | None => {}
            }
            ended |= !was_over && self.tasks.get(&assignment).is_some_and(Task::is_over);
        }
        ended
    }

    /// An attempt that ended by itself is followed by another if the policy says so. Whether it was.
    fn next_attempt(&mut self, now: Now, assignment: &Stamp, orders: &Orders) -> bool {
        let Some(task) = self.tasks.get_mut(assignment) else { return false };
        let Step::Over { next: Some(end) } = task.attempt.step else { return false };
        if orders.stop.is_some() {
            task.attempt.step = Step::Over { next: None };
            return false;
        }
        if orders.unlisted || is_sown(Mutant::NoRestarts) {
            return false;
        }
        let Some(state) = self.slots.get_mut(&task.slot) else { return false };
        let template = state.desired.as_ref().and_then(|desired| desired.template(&task.revision));
        let Some(policy) = template.map(|template| template.restart) else { return false };
        publish_one(now, task, &mut state.history, Novelty::State, &mut self.outputs);
        let past = task.past.clone();
        let Some(wait) = task.past.next(now.instant, &policy, end, &mut self.dice) else {
            task.attempt.step = Step::Over { next: None };
            return false;
        };
        let Some(place) = state.history.take() else {
            task.past = past;
            return false;
        };
        let number = end.attempt.saturating_add(1);
        task.attempt = Attempt::new(now, number, place, now.instant + wait);
        if !wait.is_zero() {
            task.attempt.message = starts_again(wait, &policy, end).to_string();
        }
        true
    }

    /// Being told to stop is not untold: what has begun is carried through.
    fn note_stop(&mut self, now: Now, assignment: &Stamp, orders: &Orders) {
        let turn = self.turn;
        let hidden = self.may_be_there(assignment);
        let Some(task) = self.tasks.get_mut(assignment) else { return };
        if task.is_over() {
            return;
        }
        let anew = task.stop.is_none();
        task.stop = task.stop.or(orders.stop);
        let Some(cause) = task.stop else { return };
        let (runtime, id) = (task.runtime, task.id());
        let mut doubts = false;
        match task.attempt.step {
            Step::Waiting { tries, .. } if task.attempt.unsure || hidden => {
                task.attempt.doubt(tries, None);
                doubts = true;
            }
            Step::Waiting { .. } => {
                task.end(now, turn, None, String::from(cause.words()));
                return;
            }
            Step::Asked { .. } | Step::Doubtful { .. } | Step::Halting { .. } | Step::Over { .. } => {}
            Step::Up { misses } => {
                let call = Call::Due(now.instant);
                task.attempt.step = Step::Halting { tries: 0, misses, call };
            }
        }
        if task.attempt.state() < TaskState::Stopping {
            task.attempt.advance(now, TaskState::Stopping);
            task.attempt.message = String::from(cause.words());
        }
        if doubts {
            self.want_list(runtime, now.instant);
        }
        if let Some(runtime) = runtime.filter(|_| anew && self.starting.contains_key(&id)) {
            self.emit(EngineAction::Cancel { runtime, task: id });
        }
    }

    fn waiting(
        &mut self,
        now: Now,
        assignment: &Stamp,
        orders: Orders,
        (until, tries): (Instant, u32),
        busy: &mut Busy,
    ) {
        let turn = self.turn;
        let hidden = self.may_be_there(assignment);
        let Some(task) = self.tasks.get_mut(assignment) else { return };
        if orders.unlisted {
            // Nothing of it runs, and its slot is another's: there is nothing that a holder could want of it.
            if task.attempt.unsure || hidden {
                task.attempt.doubt(tries, None);
                let runtime = task.runtime;
                self.want_list(runtime, now.instant);
            } else {
                task.abandon(now, turn);
            }
            return;
        }
        let owed = |go: &Go| task.past.owed(now.instant, &go.spec.template.restart);
        let owed = orders.start.as_ref().map_or(Duration::ZERO, owed);
        let until = until.max(now.instant + owed);
        // Where the image is there, nothing is fetched.
        let holds = |go: &Go| {
            let template = &go.spec.template;
            self.engines.get(&template.runtime).is_some_and(|engine| engine.holds(&template.image))
        };
        let may_pull = busy.pulls < self.limits.pulls || orders.start.as_ref().is_ok_and(holds);
        match orders.start {
            Err(wait) => task.attempt.tell(wait.words()),
            Ok(_) if now.instant < until => self.wake_at(now, until),
            Ok(_) if busy.starts >= self.limits.starts || !may_pull => {
                if tries == 0 {
                    task.attempt.message.clear();
                }
                task.attempt.advance(now, TaskState::Preparing);
            }
            Ok(go) => {
                busy.starts += 1;
                self.start(now, assignment, go, tries);
            }
        }
    }

    fn start(&mut self, now: Now, assignment: &Stamp, go: Go, tries: u32) {
        let (me, cluster, turn) = (self.me, self.cluster, self.turn);
        let Some(task) = self.tasks.get_mut(assignment) else { return };
        let Go { service_name, spec, fence } = go;
        let by = now.instant + START_PATIENCE;
        task.runtime = Some(spec.template.runtime);
        task.attempt.step = Step::Asked { by, tries };
        task.attempt.changed = turn;
        task.attempt.container.clear();
        task.attempt.advance(now, TaskState::Preparing);
        if tries == 0 {
            task.attempt.message.clear();
        }
        let label = task.label(me);
        self.starting.insert(label.task, Asking { overdue: by, pulling: false });
        let template = spec.template.clone();
        let launch = Launch { cluster, label, service_name, template, fence };
        self.emit(EngineAction::Start(Box::new(launch)));
        self.wake_at(now, by);
    }

    fn asked(&mut self, now: Now, assignment: &Stamp, by: Instant, tries: u32) {
        if now.instant < by {
            self.wake_at(now, by);
            return;
        }
        let Some(task) = self.tasks.get_mut(assignment) else { return };
        task.attempt.doubt(tries.saturating_add(1), None);
        task.attempt.changed = self.turn;
        let runtime = task.runtime;
        self.want_list(runtime, now.instant);
    }

    fn halting(
        &mut self,
        now: Now,
        assignment: &Stamp,
        (tries, misses, call): (u32, u8, Call),
        busy: &mut Busy,
    ) {
        let turn = self.turn;
        let Some(task) = self.tasks.get(assignment) else { return };
        let (runtime, slot, revision) = (task.runtime, task.slot, task.revision);
        let (id, container) = (task.id(), task.attempt.container.clone());
        match call {
            Call::Due(at) | Call::Made(at) if now.instant < at => self.wake_at(now, at),
            Call::Made(_) => {
                self.stop_in_vain(now, assignment, tries, misses);
                self.want_list(runtime, now.instant);
            }
            Call::Due(_) => {
                let Some(runtime) = runtime.filter(|_| busy.stops < self.limits.stops) else { return };
                busy.stops += 1;
                let template = self.desired(&slot).and_then(|desired| desired.template(&revision));
                let (signal, grace_ms) = how_to_stop(template);
                let by = now.instant + Duration::from_millis(grace_ms) + CALL_PATIENCE;
                self.emit(EngineAction::Stop { runtime, task: id, container, signal, grace_ms });
                if let Some(task) = self.tasks.get_mut(assignment) {
                    task.attempt.step = Step::Halting { tries, misses, call: Call::Made(by) };
                    task.attempt.changed = turn;
                }
                self.wake_at(now, by);
            }
        }
    }

    /// A stop came to nothing: it is asked for again after a while.
    pub(crate) fn stop_in_vain(&mut self, now: Now, assignment: &Stamp, tries: u32, misses: u8) {
        let Some(task) = self.tasks.get_mut(assignment) else { return };
        let tries = tries.saturating_add(1);
        let at = now.instant + self.dice.lengthen(again_after(AGAIN, tries, AGAIN_CAP));
        task.attempt.step = Step::Halting { tries, misses, call: Call::Due(at) };
        task.attempt.changed = self.turn;
        self.wake_at(now, at);
    }

    /// Stops and removes what no task's newest attempt needs.
    pub(crate) fn clear_leftovers(&mut self, now: Now) {
        let ids: Vec<TaskId> = self.leftovers.keys().copied().collect();
        let mut busy = self.under_way();
        for id in ids {
            let Some(left) = self.leftovers.get(&id) else { continue };
            match left.call {
                Call::Due(at) | Call::Made(at) if now.instant < at => {
                    self.wake_at(now, at);
                    continue;
                }
                Call::Made(_) => {
                    let runtime = left.runtime;
                    self.leftover_again(now, id);
                    self.want_list(Some(runtime), now.instant);
                    continue;
                }
                Call::Due(_) => {}
            }
            let (runtime, container) = (left.runtime, left.container.clone());
            let (action, patience) = if left.running.is_some() {
                if busy.stops >= self.limits.stops {
                    continue;
                }
                busy.stops += 1;
                let (signal, grace_ms) = how_to_stop(self.template_of(&id));
                let patience = Duration::from_millis(grace_ms) + CALL_PATIENCE;
                (EngineAction::Stop { runtime, task: id, container, signal, grace_ms }, patience)
            } else {
                if busy.removes >= self.limits.removes || self.is_kept(&id, left) {
                    continue;
                }
                busy.removes += 1;
                (EngineAction::Remove { runtime, task: id, container }, CALL_PATIENCE)
            };
            let by = now.instant + patience;
            self.emit(action);
            if let Some(left) = self.leftovers.get_mut(&id) {
                left.call = Call::Made(by);
                left.changed = self.turn;
            }
            self.wake_at(now, by);
        }
    }

    /// What was asked of a leftover came to nothing.
    pub(crate) fn leftover_again(&mut self, now: Now, id: TaskId) {
        let Some(left) = self.leftovers.get_mut(&id) else { return };
        left.again(now.instant, self.turn);
        if let Call::Due(at) = left.call {
            self.wake_at(now, at);
        }
    }

    /// The newest attempt that ran and ended stays while its slot is this node's.
    fn is_kept(&self, id: &TaskId, left: &Leftover) -> bool {
        let Some(task) = self.tasks.get(&id.assignment).filter(|task| task.stop.is_none()) else {
            return false;
        };
        let current = self
            .desired(&task.slot)
            .is_some_and(|desired| desired.record.is_some() && desired.may_repeat(&id.assignment));
        let in_the_way = *id == task.id() && !task.is_over();
        let newest = self
            .leftovers
            .iter()
            .all(|(other, l)| other.assignment != id.assignment || other.attempt <= id.attempt || !l.ran);
        left.ran && current && newest && !in_the_way && !self.leaving
    }

    fn template_of(&self, id: &TaskId) -> Option<&TaskTemplate> {
        let task = self.tasks.get(&id.assignment)?;
        self.desired(&task.slot)?.template(&task.revision)
    }

    fn under_way(&self) -> Busy {
        let pulls = self.starting.values().filter(|asking| asking.pulling).count();
        let starts = self.starting.len() - pulls;
        let mut busy = Busy { starts, pulls, stops: 0, removes: 0 };
        for task in self.tasks.values() {
            match task.attempt.step {
                Step::Halting { call: Call::Made(_), .. } => busy.stops += 1,
                Step::Halting { call: Call::Due(_), .. }
                | Step::Waiting { .. }
                | Step::Asked { .. }
                | Step::Doubtful { .. }
                | Step::Up { .. }
                | Step::Over { .. } => {}
            }
        }
        busy.stops += self.leftovers.values().filter(|left| left.is_being_stopped()).count();
        busy.removes = self.leftovers.values().filter(|left| left.is_being_removed()).count();
        busy
    }

    /// Asks for a list of a runtime, or of all if it is not known which one matters.
    pub(crate) fn want_list(&mut self, runtime: Option<Runtime>, at: Instant) {
        for (known, engine) in &mut self.engines {
            if runtime.is_none_or(|runtime| runtime == *known) {
                engine.want(at);
            }
        }
    }
}

/// The signal and the grace of a template, or the default ones.
fn how_to_stop(template: Option<&TaskTemplate>) -> (String, u64) {
    match template {
        Some(template) => (template.stop_signal.clone(), template.stop_grace_ms),
        None => (String::new(), TaskTemplate::default().stop_grace_ms),
    }
}

fn starts_again(wait: Duration, policy: &RestartPolicy, end: End) -> NextAttempt {
    let counts = policy.max_attempts > 0 && policy.window_ms == 0;
    let restart = counts.then_some((end.attempt, policy.max_attempts));
    NextAttempt::new(end.attempt.saturating_add(1), wait, restart)
}
