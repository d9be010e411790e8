//! Whom to tell when what they wrote is safe.
//!
//! ```text
//!          durable here           durable at a live member
//! written ─────────────▶ offered ──────────────────────────▶ Shared
//!             │             │ 2 s after it was written
//!             │             ▼
//!             │          HereOnly
//!             │ no live member
//!             ▼
//!           Alone
//! ```
//! Where few live all are asked, and else three. A member that does not confirm within half a second is not
//! waited for: others are asked as well.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::record::Batch;

use super::entry::Entry;
use super::push::{Dice, FANOUT, FEW, batches};
use crate::Instant;
use crate::io::Durability;
use crate::mutant::{Mutant, is_sown};

/// How long another member may take to confirm before the answer is "recorded here only".
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(2);

/// After how long others are asked too.
pub const ASK_OTHERS: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Pending {
    waiter: u64,
    entries: Vec<Arc<Entry>>,
    /// The write that it rests on; `None` once that is durable.
    token: Option<u64>,
    first_ack: u64,
    /// What each member that was asked has yet to confirm.
    asked: BTreeMap<NodeId, BTreeSet<u64>>,
    deadline: Instant,
    ask_at: Instant,
}

/// Something to send, or to tell.
#[derive(Debug)]
pub(crate) enum Step {
    Ask { peer: NodeId, ack: u64, batch: Batch },
    Tell { waiter: u64, durability: Durability },
}

#[derive(Debug, Default)]
pub(crate) struct Acks {
    pending: Vec<Pending>,
    next_ack: u64,
}

impl Acks {
    /// The next question has this number, and those after it greater ones.
    pub(crate) const fn count_from(&mut self, first: u64) {
        self.next_ack = first;
    }

    /// Somebody waits until these records are safe. They rest on the write `token`, or are durable already.
    pub(crate) fn wait(&mut self, now: Instant, waiter: u64, entries: Vec<Arc<Entry>>, token: Option<u64>) {
        let first_ack = self.next_ack;
        self.next_ack += batches(entries.iter()).len() as u64;
        self.pending.push(Pending {
            waiter,
            entries,
            token: token.filter(|_| !is_sown(Mutant::AckBeforeDurable)),
            first_ack,
            asked: BTreeMap::new(),
            deadline: now + CONFIRM_WITHIN,
            ask_at: now,
        });
    }

    /// Whether somebody waits for this record to be safe.
    pub(crate) fn concern(&self, entry: &Entry) -> bool {
        let of = |pending: &Pending| pending.entries.iter().any(|waited| waited.hash() == entry.hash());
        self.pending.iter().any(of)
    }

    /// A write is durable.
    pub(crate) fn durable(&mut self, is_durable: impl Fn(u64) -> bool) {
        for pending in &mut self.pending {
            pending.token = pending.token.filter(|token| !is_durable(*token));
        }
    }

    /// A write failed: whoever waited for it.
    pub(crate) fn failed(&mut self, failed: u64) -> Vec<u64> {
        let of = |pending: &Pending| pending.token.is_some_and(|token| token >= failed);
        let waiters =
            self.pending.iter().filter(|pending| of(pending)).map(|pending| pending.waiter).collect();
        self.pending.retain(|pending| !of(pending));
        waiters
    }

    /// A member confirms. Only what it was asked to confirm counts.
    pub(crate) fn confirmed(&mut self, peer: NodeId, ack: u64) -> Option<Step> {
        let at = self.pending.iter_mut().position(|pending| {
            pending.asked.get_mut(&peer).is_some_and(|open| open.remove(&ack) && open.is_empty())
        })?;
        let Pending { waiter, .. } = self.pending.remove(at);
        Some(Step::Tell { waiter, durability: Durability::Shared })
    }

    /// What is due.
    pub(crate) fn tick(&mut self, now: Instant, live: &BTreeSet<NodeId>, dice: &mut Dice) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut waiting = Vec::new();
        for mut pending in core::mem::take(&mut self.pending) {
            if pending.token.is_some() {
                waiting.push(pending);
            } else if is_sown(Mutant::AckBeforeConfirmed) {
                steps.push(Step::Tell { waiter: pending.waiter, durability: Durability::Shared });
            } else if live.is_empty() {
                steps.push(Step::Tell { waiter: pending.waiter, durability: Durability::Alone });
            } else if now >= pending.deadline {
                if pending.asked.is_empty() {
                    // It was too late for an answer when it was durable: they have it from here all the same.
                    pending.ask(live, dice, &mut steps);
                }
                steps.push(Step::Tell { waiter: pending.waiter, durability: Durability::HereOnly });
            } else {
                if now >= pending.ask_at {
                    pending.ask_at = now + ASK_OTHERS;
                    pending.ask(live, dice, &mut steps);
                }
                waiting.push(pending);
            }
        }
        self.pending = waiting;
        steps
    }

    /// When something is due by itself.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let of = |pending: &Pending| pending.ask_at.min(pending.deadline);
        self.pending.iter().filter(|pending| pending.token.is_none()).map(of).min()
    }
}

impl Pending {
    /// Asks members that were not asked yet, or all again if all were.
    fn ask(&mut self, live: &BTreeSet<NodeId>, dice: &mut Dice, steps: &mut Vec<Step>) {
        let mut others: Vec<NodeId> =
            live.iter().filter(|peer| !self.asked.contains_key(*peer)).copied().collect();
        if others.is_empty() {
            others = live.iter().copied().collect();
        }
        let batches = batches(self.entries.iter());
        let count = if live.len() <= FEW { live.len() } else { FANOUT };
        for peer in dice.choose(others, count) {
            let mut open = BTreeSet::new();
            for (ack, batch) in (self.first_ack..).zip(&batches) {
                open.insert(ack);
                steps.push(Step::Ask { peer, ack, batch: batch.clone() });
            }
            self.asked.insert(peer, open);
        }
    }
}
