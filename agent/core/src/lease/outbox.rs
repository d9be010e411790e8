//! Nothing leaves before what it rests on is durable.

use alloc::collections::VecDeque;

use sleep_wire::NodeId;
use sleep_wire::lease::LeaseMessage;

use super::rules::{Rule, Rules};

/// Messages in the order in which they were made, each behind the write that was the newest then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    written: u64,
    durable: u64,
    held: VecDeque<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    behind: u64,
    to: NodeId,
    message: LeaseMessage,
}

impl Outbox {
    /// The most messages held: a disk that hangs must not fill the memory. The oldest are lost, as on a
    /// network.
    const LIMIT: usize = 64;

    /// A token for a write that is now asked for.
    pub(super) fn write(&mut self) -> u64 {
        self.written += 1;
        self.written
    }

    /// All writes up to this one are durable.
    pub(super) fn durable(&mut self, token: u64) {
        self.durable = self.durable.max(token.min(self.written));
    }

    /// Takes a message in. One that is held already is not said twice: whoever repeats a question while the
    /// disk is slow gets one answer.
    pub(super) fn push(&mut self, to: NodeId, message: LeaseMessage) {
        if self.held.iter().any(|held| held.to == to && held.message == message) {
            return;
        }
        if self.held.len() == Self::LIMIT {
            self.held.pop_front();
        }
        self.held.push_back(Held { behind: self.written, to, message });
    }

    /// The next message that may leave.
    pub(super) fn pop(&mut self, rules: Rules) -> Option<(NodeId, LeaseMessage)> {
        if self.held.front()?.behind > self.durable && rules.hold(Rule::DurableBeforeSaid) {
            return None;
        }
        self.held.pop_front().map(|held| (held.to, held.message))
    }

    /// Forgets all: nothing will be durable any more.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// Counts tokens from the newest durable one, so that equal futures are equal states. Gives what was
    /// taken off.
    #[cfg(test)]
    pub(super) fn rebase(&mut self) -> u64 {
        let by = self.durable;
        self.written -= by;
        self.durable = 0;
        for held in &mut self.held {
            held.behind = held.behind.saturating_sub(by);
        }
        by
    }
}
