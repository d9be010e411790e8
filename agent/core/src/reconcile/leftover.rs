//! Containers that are no task's newest attempt: ended attempts, and those of nodes that are removed.
//!
//! Each is stopped if it still runs, then removed. The newest attempt that ended stays for a look at its
//! output for as long as its slot is this node's.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use sleep_wire::engine::EngineError;
use sleep_wire::spec::Runtime;
use sleep_wire::task::TaskId;

use super::desired::StopCause;
use super::engine::MISSES;
use super::restart::again_after;
use super::task::Call;
use crate::time::Instant;

/// The longest wait between two tries to stop or remove one.
pub(crate) const AGAIN_CAP: Duration = Duration::from_secs(10);
/// The wait after the first such try that failed.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) container: String,
    pub(crate) runtime: Runtime,
    /// Why it is stopped, if it runs.
    pub(crate) running: Option<StopCause>,
    /// Whether it ever ran: then its output may be worth a look.
    pub(crate) ran: bool,
    /// How many lists in a row did not have it.
    misses: u8,
    pub(crate) tries: u32,
    pub(crate) call: Call,
    /// As for attempts: a list asked for earlier says nothing about it.
    pub(crate) changed: u64,
}

/// All of them, by task.
pub(crate) type Leftovers = BTreeMap<TaskId, Leftover>;

impl Leftover {
    /// One that was made, or seen, in this turn.
    pub(crate) const fn new(container: String, runtime: Runtime, ran: bool, now: Instant, turn: u64) -> Self {
        let call = Call::Due(now);
        Self { container, runtime, running: None, ran, misses: 0, tries: 0, call, changed: turn }
    }

    pub(crate) const fn is_being_stopped(&self) -> bool {
        self.running.is_some() && matches!(self.call, Call::Made(_))
    }

    pub(crate) const fn is_being_removed(&self) -> bool {
        self.running.is_none() && matches!(self.call, Call::Made(_))
    }

    /// What was asked of the engine came to nothing.
    pub(crate) fn again(&mut self, now: Instant, turn: u64) {
        self.tries = self.tries.saturating_add(1);
        self.call = Call::Due(now + again_after(AGAIN, self.tries, AGAIN_CAP));
        self.changed = turn;
    }

    /// It ended.
    pub(crate) fn ended(&mut self, now: Instant, turn: u64) {
        self.running = None;
        self.tries = 0;
        self.call = Call::Due(now);
        self.changed = turn;
    }

    /// A list has it.
    pub(crate) fn seen(&mut self, running: bool, cause: StopCause) {
        self.running = running.then_some(cause);
        self.misses = 0;
    }

    /// A list does not have it. Whether it may be there all the same: nothing starts beside what runs. What
    /// ended is in nobody's way, and is found again.
    pub(crate) fn missed(&mut self) -> bool {
        self.misses = self.misses.saturating_add(1);
        self.running.is_some() && self.misses < MISSES
    }
}

/// Whether the engine says that there is nothing left to stop or remove.
pub(crate) const fn is_gone(error: &EngineError) -> bool {
    match error {
        EngineError::NoSuchContainer => true,
        EngineError::TimedOut { .. }
        | EngineError::Unreachable { .. }
        | EngineError::NoSuchImage { .. }
        | EngineError::PortTaken { .. }
        | EngineError::NameTaken { .. }
        | EngineError::Cancelled
        | EngineError::BadCommand { .. }
        | EngineError::Other { .. } => false,
    }
}
