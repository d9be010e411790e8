//! What the engine says of single tasks.

use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::WallTime;
use sleep_wire::engine::{EngineError, EngineReport, StartStep};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId, TaskState};

use super::engine::{Engine, words};
use super::leftover::{Leftover, is_gone};
use super::restart::{CAP, PREPARE_AGAIN, again_after};
use super::task::{Step, Task};
use super::{Reconcile, ReconcileOutput};
use crate::mutant::{Mutant, is_sown};
use crate::time::Now;

/// How a task ended, as the engine tells it.
struct Ending {
    container: String,
    exit: Exit,
    deaf: bool,
    last_lines: Vec<String>,
}

impl Reconcile {
    pub(crate) fn report(&mut self, now: Now, report: EngineReport) {
        match report {
            EngineReport::Progress { task, step } => self.progress(now, task, step),
            EngineReport::StartFailed { task, error } => self.start_failed(now, task, error),
            // When it ended is told by `since`, from this node's own clock, like every other state.
            EngineReport::Exited { task, container, exit, at: WallTime(_), deaf, last_lines } => {
                self.exited(now, task, Ending { container, exit, deaf, last_lines });
            }
            EngineReport::StopFailed { task, error } => self.stop_failed(now, task, &error),
            EngineReport::HealthChanged { task, health } => self.health(task, health),
            EngineReport::Removed { task } => {
                self.leftovers.remove(&task);
            }
            EngineReport::RemoveFailed { task, error } => self.remove_failed(now, task, &error),
            EngineReport::Listed { runtime, found, images } => self.listed(now, runtime, found, images),
            EngineReport::ListFailed { runtime, error } => {
                let dice = &mut self.dice;
                let engine = self.engines.entry(runtime).or_insert_with(|| Engine::new(now.instant));
                let before = engine.health.clone();
                engine.list_failed(now.instant, error, dice);
                if engine.health != before {
                    self.outputs.push_back(ReconcileOutput::RuntimesChanged);
                }
            }
            EngineReport::Well { runtime, engine, version } => {
                self.told(now, runtime, |known, _| known.well(now.instant, engine, version));
            }
            EngineReport::Ill { runtime, error } => {
                self.told(now, runtime, |known, turn| known.ill(turn, error));
            }
        }
    }

    /// A runtime has said something of itself.
    fn told(&mut self, now: Now, runtime: Runtime, what: impl FnOnce(&mut Engine, u64)) {
        let engine = self.engines.entry(runtime).or_insert_with(|| Engine::new(now.instant));
        let before = (engine.health.clone(), engine.id.clone(), engine.version.clone());
        what(engine, self.turn);
        if before != (engine.health.clone(), engine.id.clone(), engine.version.clone()) {
            self.outputs.push_back(ReconcileOutput::RuntimesChanged);
        }
    }

    /// The task whose newest attempt this is, if that is not over.
    fn live(&mut self, id: TaskId) -> Option<&mut Task> {
        let task = self.tasks.get_mut(&id.assignment)?;
        (task.id() == id && !task.is_over()).then_some(task)
    }

    fn progress(&mut self, now: Now, id: TaskId, step: StartStep) {
        let turn = self.turn;
        if matches!(step, StartStep::Running { .. }) {
            self.starting.remove(&id);
        } else if let Some(asking) = self.starting.get_mut(&id) {
            asking.pulling = step == StartStep::Pulling;
        }
        let Some(task) = self.live(id) else {
            // Something of an older attempt stirs: only a list can tell whether it still does.
            self.want_list(None, now.instant);
            return;
        };
        let stopping = task.stop.is_some();
        let attempt = &mut task.attempt;
        match step {
            StartStep::Pulling => attempt.advance(now, TaskState::Preparing),
            StartStep::ImageReady { digest } => {
                attempt.image_digest = digest;
                attempt.advance(now, TaskState::Starting);
                if !stopping {
                    attempt.message.clear();
                }
            }
            StartStep::Created { container } => {
                attempt.container = container;
                attempt.changed = turn;
                attempt.advance(now, TaskState::Starting);
            }
            StartStep::Running { container, pid: _, at, health } => {
                attempt.container = container;
                attempt.health = health;
                task.up(now, turn, Some(at));
            }
        }
    }

    /// What is known to have failed is repeated or given up; what is not is left to the next list.
    fn start_failed(&mut self, now: Now, id: TaskId, error: EngineError) {
        let turn = self.turn;
        self.starting.remove(&id);
        let Some(task) = self.live(id) else { return };
        let Step::Asked { tries, .. } = task.attempt.step else { return };
        let (stopping, runtime) = (task.stop.is_some(), task.runtime);
        let tries = tries.saturating_add(1);
        task.attempt.changed = turn;
        if !stopping {
            task.attempt.message = words(&error);
        }
        match outcome(&error, task.attempt.state() < TaskState::Starting) {
            Outcome::Unknown => {
                task.attempt.doubt(tries, None);
                self.want_list(runtime, now.instant);
            }
            Outcome::Doubtful => {
                task.attempt.doubt(tries, Some(error));
                self.want_list(runtime, now.instant);
            }
            Outcome::NotPrepared if !stopping => {
                let wait = self.dice.lengthen(again_after(PREPARE_AGAIN, tries, CAP));
                if let Some(task) = self.live(id) {
                    task.attempt.step = Step::Waiting { until: now.instant + wait, tries };
                }
            }
            Outcome::NotPrepared | Outcome::Failed => self.failed_to_start(now, id),
        }
    }

    /// A start is known to have failed: what it left behind is removed.
    pub(crate) fn failed_to_start(&mut self, now: Now, id: TaskId) {
        let turn = self.turn;
        let Some(task) = self.live(id) else { return };
        let why = task.attempt.message.clone();
        task.end(now, turn, None, why);
        let (runtime, container) = (task.runtime, task.attempt.container.clone());
        if let Some(runtime) = runtime.filter(|_| !container.is_empty()) {
            let left = Leftover::new(container, runtime, false, now.instant, turn);
            self.leftovers.insert(id, left);
        }
    }

    fn exited(&mut self, now: Now, id: TaskId, ending: Ending) {
        let turn = self.turn;
        let signal = self.signal_of(id);
        let Some(task) = self.live(id) else {
            if let Some(left) = self.leftovers.get_mut(&id) {
                left.ended(now.instant, turn);
            }
            return;
        };
        let attempt = &task.attempt;
        let is_anothers = match attempt.step {
            // The driver tells of a container before it tells of its end: this one was the same attempt's
            // under an earlier agent, and is gone.
            Step::Asked { .. } if attempt.container.is_empty() => true,
            _ => !attempt.container.is_empty() && attempt.container != ending.container,
        };
        if is_anothers {
            return;
        }
        let mut why = match task.stop {
            Some(cause) => String::from(cause.words()),
            None => end_words(Some(ending.exit)),
        };
        if ending.deaf {
            why = alloc::format!("{why}; killed without waiting: its first process ignores {signal}");
        }
        task.attempt.container = ending.container;
        if task.stop.is_none() && ending.exit.code != 0 {
            task.attempt.keep_lines(&ending.last_lines);
        }
        task.end(now, turn, Some(ending.exit), why);
        self.leave_behind(now, id);
    }

    /// The container of an attempt that ran and is over.
    pub(crate) fn leave_behind(&mut self, now: Now, id: TaskId) {
        let Some(task) = self.tasks.get(&id.assignment).filter(|task| task.id() == id) else { return };
        let Some(runtime) = task.runtime.filter(|_| !task.attempt.container.is_empty()) else { return };
        let left = Leftover::new(task.attempt.container.clone(), runtime, true, now.instant, self.turn);
        self.leftovers.insert(id, left);
    }

    fn signal_of(&self, id: TaskId) -> String {
        let template = self
            .tasks
            .get(&id.assignment)
            .and_then(|task| self.desired(&task.slot)?.template(&task.revision));
        let signal = template.map_or("", |template| template.stop_signal.trim_start_matches("SIG"));
        alloc::format!("SIG{}", if signal.is_empty() { "TERM" } else { signal })
    }

    fn stop_failed(&mut self, now: Now, id: TaskId, error: &EngineError) {
        let turn = self.turn;
        let gone = is_gone(error);
        let Some(task) = self.live(id) else {
            if gone {
                self.leftovers.remove(&id);
            } else {
                self.leftover_again(now, id);
            }
            return;
        };
        let Step::Halting { tries, misses, .. } = task.attempt.step else { return };
        let runtime = task.runtime;
        if gone {
            let why = task.attempt.message.clone();
            task.end(now, turn, None, why);
        } else {
            self.stop_in_vain(now, &id.assignment, tries, misses);
            self.want_list(runtime, now.instant);
        }
    }

    fn remove_failed(&mut self, now: Now, id: TaskId, error: &EngineError) {
        if is_gone(error) {
            self.leftovers.remove(&id);
            return;
        }
        let runtime = self.leftovers.get(&id).map(|left| left.runtime);
        self.leftover_again(now, id);
        if runtime.is_some() {
            self.want_list(runtime, now.instant);
        }
    }

    fn health(&mut self, id: TaskId, health: Health) {
        if let Some(task) = self.live(id) {
            task.attempt.health = health;
        }
    }
}

/// What a failed start means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing: the engine may have done it.
    Unknown,
    /// Probably that it failed, but engines say such things of containers that run.
    Doubtful,
    /// Nothing was made yet, and it may go better next time: no attempt is spent.
    NotPrepared,
    /// It failed.
    Failed,
}

fn outcome(error: &EngineError, preparing: bool) -> Outcome {
    match error {
        EngineError::TimedOut { .. } | EngineError::Unreachable { .. }
            if is_sown(Mutant::UnknownIsFailed) =>
        {
            Outcome::Failed
        }
        EngineError::TimedOut { .. } | EngineError::Unreachable { .. } => Outcome::Unknown,
        EngineError::NoSuchImage { .. } | EngineError::NameTaken { .. } | EngineError::Cancelled => {
            Outcome::NotPrepared
        }
        EngineError::PortTaken { .. } | EngineError::BadCommand { .. } | EngineError::NoSuchContainer => {
            Outcome::Failed
        }
        EngineError::Other { .. } if preparing => Outcome::NotPrepared,
        EngineError::Other { .. } => Outcome::Doubtful,
    }
}

/// How an attempt ended, in words; nothing if it ended well.
pub(crate) fn end_words(exit: Option<Exit>) -> String {
    match exit {
        None => String::from("it is gone from its engine"),
        Some(Exit { out_of_memory: true, .. }) => String::from("killed by the kernel: out of memory"),
        Some(Exit { code: 0, .. }) => String::new(),
        Some(Exit { code, .. }) => alloc::format!("exited with code {code}"),
    }
}
