//! One assignment on this node: its newest attempt, and what it means for the next.
//!
//! ```text
//!            turn, fence,             not known          listed: runs
//!            engine     ┌───────┐     to have failed ┌──────────┐
//! Waiting ─────────────▶│ Asked │───────────────────▶│ Doubtful │
//!    ▲                  └───────┘                    └──────────┘
//!    │ not prepared         │ runs    listed: absent    │    │ recovered
//!    └──────────────────────│───────────────────────────┘    │ at a start
//!                           ▼                                ▼
//!                          Up ─────────▶ Halting ─────────▶ Over ──▶ next attempt, or none
//!                                to stop          ended
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::engine::EngineError;
use sleep_wire::key::SlotKey;
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel, TaskState, TaskStatus};
use sleep_wire::{Epoch, NodeId, RevisionId, Stamp, WallTime};

use super::desired::{StopCause, is_well};
use super::restart::{End, Past};
use crate::time::{Instant, Now};

/// The longest message of a status, in bytes.
const MESSAGE_LIMIT: usize = 512;
/// How many last lines a status keeps.
const LINES: usize = 20;
/// The longest of them, in bytes.
const LINE_LIMIT: usize = 400;
/// The longest name that an engine may have for something, in bytes.
const NAME_LIMIT: usize = 256;

/// An assignment that this node holds.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) slot: SlotKey,
    pub(crate) assignment: Stamp,
    pub(crate) revision: RevisionId,
    /// The epoch under which it was taken up: judged once, then it goes on.
    pub(crate) epoch: Epoch,
    /// What runs it, once the revision or a list has told.
    pub(crate) runtime: Option<Runtime>,
    pub(crate) attempt: Attempt,
    pub(crate) past: Past,
    pub(crate) stop: Option<StopCause>,
}

/// One attempt at an assignment.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) place: u8,
    state: TaskState,
    since: WallTime,
    pub(crate) health: Health,
    pub(crate) started_at: Option<WallTime>,
    uptime: Uptime,
    pub(crate) exit: Option<Exit>,
    pub(crate) message: String,
    pub(crate) container: String,
    pub(crate) image_digest: String,
    pub(crate) last_lines: Vec<String>,
    pub(crate) step: Step,
    /// Whether a try that one list lacked may have come to something all the same.
    pub(crate) unsure: bool,
    /// Whether what is published of it is an earlier boot's word, which nobody takes for the present.
    pub(crate) inherited: bool,
    /// Whether its end is published: from then on its place may be another's.
    pub(crate) told: bool,
    /// The turn in which this node last learned or did something: a list asked for earlier says nothing about
    /// it.
    pub(crate) changed: u64,
}

/// For how long an attempt has been running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uptime {
    /// It does not run.
    Frozen(Duration),
    /// It does.
    Ticking {
        /// When this node learned of it.
        from: Instant,
        /// For how long it had been running then.
        before: Duration,
    },
}

/// Where this node stands with an attempt: finer than the state that it publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The engine has not been asked, or what was asked of it came to nothing.
    Waiting {
        /// Not before then.
        until: Instant,
        /// How often it came to nothing.
        tries: u32,
    },
    /// The engine was asked to start it.
    Asked {
        /// When an answer is overdue.
        by: Instant,
        /// How often it came to nothing before.
        tries: u32,
    },
    /// Only a list can tell.
    Doubtful {
        /// How often it came to nothing before.
        tries: u32,
        /// How many lists in a row did not have it.
        misses: u8,
        /// What the engine said of the start, if it said anything.
        error: Option<EngineError>,
    },
    /// It runs.
    Up {
        /// How many lists in a row did not have it.
        misses: u8,
    },
    /// It runs and is to stop.
    Halting {
        /// How often it was asked in vain.
        tries: u32,
        /// How many lists in a row did not have it.
        misses: u8,
        /// Not before then, or asked already and an answer is overdue then.
        call: Call,
    },
    /// It is over.
    Over {
        /// Whether another attempt is still to be decided on, and what it hangs on.
        next: Option<End>,
    },
}

/// A call to the engine that may have to be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// To be made.
    Due(Instant),
    /// Made; an answer is overdue then.
    Made(Instant),
}

impl Task {
    /// One that this node published and does not hold any more: before its agent restarted, or while its slot
    /// was another's. Under which epoch it was taken up was not published: the given one is not below it.
    pub(crate) fn recovered(slot: SlotKey, place: u8, status: &TaskStatus, epoch: Epoch, past: Past) -> Self {
        Self {
            slot,
            assignment: status.task.assignment,
            revision: status.revision,
            epoch,
            runtime: None,
            attempt: Attempt::recovered(place, status),
            past,
            stop: (status.state == TaskState::Stopping).then_some(StopCause::Begun),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        TaskId { assignment: self.assignment, attempt: self.attempt.number }
    }

    pub(crate) fn label(&self, me: NodeId) -> TaskLabel {
        TaskLabel { node: me, slot: self.slot, task: self.id(), revision: self.revision, epoch: self.epoch }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.attempt.step, Step::Over { .. })
    }

    /// Whether it runs and its health check, if any, passes.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.attempt.step, Step::Up { .. }) && is_well(self.attempt.health)
    }

    pub(crate) fn status(&self, now: Now) -> TaskStatus {
        let attempt = &self.attempt;
        TaskStatus {
            task: self.id(),
            revision: self.revision,
            state: attempt.state,
            health: attempt.health,
            since: attempt.since,
            started_at: attempt.started_at,
            running_for_ms: attempt.ran_ms(now.instant),
            exit: attempt.exit,
            message: String::from(clip(&attempt.message, MESSAGE_LIMIT)),
            container: String::from(clip(&attempt.container, NAME_LIMIT)),
            image_digest: String::from(clip(&attempt.image_digest, NAME_LIMIT)),
            last_lines: attempt.last_lines.clone(),
        }
    }

    /// It ended, as far as this node will ever know; whether by itself or because it was told to decides what
    /// that makes of it.
    pub(crate) fn end(&mut self, now: Now, turn: u64, exit: Option<Exit>, why: String) {
        let failed = exit.is_none_or(|exit| exit.code != 0 || exit.out_of_memory);
        let ran = self.attempt.ran(now.instant);
        let (state, next) = match self.stop {
            Some(_) => (TaskState::Stopped, None),
            None if failed => (TaskState::Failed, Some(failed)),
            None => (TaskState::Complete, Some(failed)),
        };
        let attempt = &mut self.attempt;
        attempt.advance(now, state);
        attempt.uptime = Uptime::Frozen(ran);
        attempt.exit = exit;
        attempt.message = why;
        attempt.changed = turn;
        let number = attempt.number;
        attempt.step = Step::Over { next: next.map(|failed| End { failed, ran, attempt: number }) };
    }

    /// It never ran, and is not going to.
    pub(crate) fn abandon(&mut self, now: Now, turn: u64) {
        let attempt = &mut self.attempt;
        attempt.advance(now, TaskState::Stopped);
        attempt.message = String::from("not started: its slot is another task's");
        attempt.changed = turn;
        attempt.step = Step::Over { next: None };
    }

    /// It runs.
    pub(crate) fn up(&mut self, now: Now, turn: u64, since: Option<WallTime>) {
        if self.is_over() {
            return;
        }
        let attempt = &mut self.attempt;
        attempt.started_at = since.or(attempt.started_at);
        attempt.start_counting(now);
        attempt.changed = turn;
        if self.stop.is_none() {
            attempt.advance(now, TaskState::Running);
            attempt.message.clear();
        }
        match attempt.step {
            Step::Halting { .. } => {}
            Step::Waiting { .. }
            | Step::Asked { .. }
            | Step::Doubtful { .. }
            | Step::Up { .. }
            | Step::Over { .. } => attempt.step = Step::Up { misses: 0 },
        }
    }
}

impl Attempt {
    /// One that has not begun: if a list has it all the same, the list is right.
    pub(crate) fn new(now: Now, number: u32, place: u8, until: Instant) -> Self {
        Self {
            number,
            place,
            state: TaskState::Assigned,
            since: now.wall,
            health: Health::None,
            started_at: None,
            uptime: Uptime::Frozen(Duration::ZERO),
            exit: None,
            message: String::new(),
            container: String::new(),
            image_digest: String::new(),
            last_lines: Vec::new(),
            step: Step::Waiting { until, tries: 0 },
            unsure: false,
            inherited: false,
            told: false,
            changed: 0,
        }
    }

    /// One that this node published: if it is not over, only a list can tell what became of it; if it ended
    /// by itself, whether another follows is decided when its slot is its own.
    fn recovered(place: u8, status: &TaskStatus) -> Self {
        let ran = Duration::from_millis(status.running_for_ms);
        let ended = |failed| Step::Over { next: Some(End { failed, ran, attempt: status.task.attempt }) };
        let step = match status.state {
            TaskState::Failed => ended(true),
            TaskState::Complete => ended(false),
            TaskState::Stopped => Step::Over { next: None },
            TaskState::Assigned
            | TaskState::Preparing
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Stopping => Step::Doubtful { tries: 0, misses: 0, error: None },
        };
        Self {
            number: status.task.attempt,
            place,
            state: status.state,
            since: status.since,
            health: status.health,
            started_at: status.started_at,
            uptime: Uptime::Frozen(ran),
            exit: status.exit,
            message: status.message.clone(),
            container: status.container.clone(),
            image_digest: status.image_digest.clone(),
            last_lines: status.last_lines.clone(),
            step,
            unsure: status.state > TaskState::Assigned,
            inherited: true,
            told: status.state.is_over(),
            changed: 0,
        }
    }

    /// From here on only a list can tell what became of the start.
    pub(crate) fn doubt(&mut self, tries: u32, error: Option<EngineError>) {
        self.step = Step::Doubtful { tries, misses: 0, error };
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.step, Step::Up { .. } | Step::Halting { .. })
    }

    /// A list has it.
    pub(crate) fn clear_misses(&mut self) {
        match &mut self.step {
            Step::Doubtful { misses, .. } | Step::Up { misses } | Step::Halting { misses, .. } => *misses = 0,
            Step::Waiting { .. } | Step::Asked { .. } | Step::Over { .. } => {}
        }
    }

    /// Says what it waits for, if that is worth a word.
    pub(crate) fn tell(&mut self, words: Option<String>) {
        if let Some(words) = words {
            self.message = words;
        }
    }

    /// Whether only a list can tell how it stands.
    pub(crate) const fn is_doubtful(&self) -> bool {
        matches!(self.step, Step::Doubtful { .. })
    }

    /// Whether a status that was published says what there is to say, its task left aside.
    pub(crate) fn is_told_by(&self, status: &TaskStatus) -> bool {
        status.state == self.state
            && status.health == self.health
            && status.exit == self.exit
            && status.message == clip(&self.message, MESSAGE_LIMIT)
    }

    pub(crate) const fn state(&self) -> TaskState {
        self.state
    }

    /// Moves forward; never back, and never from one end to another.
    pub(crate) fn advance(&mut self, now: Now, to: TaskState) {
        if to > self.state && !self.state.is_over() {
            self.state = to;
            self.since = now.wall;
        }
    }

    pub(crate) fn ran(&self, now: Instant) -> Duration {
        match self.uptime {
            Uptime::Frozen(ran) => ran,
            Uptime::Ticking { from, before } => before + now.since(from),
        }
    }

    pub(crate) fn ran_ms(&self, now: Instant) -> u64 {
        u64::try_from(self.ran(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// An adopted task has been running since before this process did, and the boot clock of its start is
    /// nobody's memory: the wall clock's difference stands in for it, between what was published and the
    /// host's age.
    fn start_counting(&mut self, now: Now) {
        let Uptime::Frozen(least) = self.uptime else { return };
        let age = now.instant.since(Instant::default());
        let by_wall = self.started_at.map_or(0, |at| now.wall.0.saturating_sub(at.0));
        let by_wall = Duration::from_millis(u64::try_from(by_wall).unwrap_or(0));
        let fresh = matches!(self.step, Step::Asked { .. });
        let before = if fresh { Duration::ZERO } else { by_wall.max(least).min(age) };
        self.uptime = Uptime::Ticking { from: now.instant, before };
    }

    pub(crate) fn keep_lines(&mut self, lines: &[String]) {
        let skipped = lines.len().saturating_sub(LINES);
        self.last_lines =
            lines.iter().skip(skipped).map(|line| String::from(clip(line, LINE_LIMIT))).collect();
    }
}

/// `text`, or as much of its beginning as fits.
fn clip(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
