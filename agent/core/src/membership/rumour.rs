//! What others say of a member, where this node knows better or may find out.
//!
//! ```text
//! "it is down" ──▶ ping it ──▶ it answers ─────────────────────▶ a rumour, and no more
//!                     ├─ silent once, and two say so ──────────▶ down
//!                     └─ silent three times, or just before ───▶ down
//! ```
//! One member may lie. Nobody passes on what it does not believe itself, so a lie goes no further than to
//! whom it is told, and costs a question; and two who say the same are two who found out.
//!
//! # Invariants
//! - Nobody is called dead on hearsay alone: this node's own probe of it has failed, too.
//!
//! # Not here
//! What a member says of itself is believed: see `drive`. A suspicion of this node's own: `suspicion`.

use alloc::collections::BTreeSet;

use foca::{Member, State};
use sleep_wire::NodeId;
use sleep_wire::swim::Peer;

use super::Membership;
use super::confirm::Purpose;
use super::profile::{RUMOUR_EVERY, TELLERS};
use super::table::Known;
use crate::time::Instant;

/// What is said of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumour {
    /// Who called it dead since it answered last: no more than are needed.
    dead: BTreeSet<NodeId>,
    /// When it answered a question that such a rumour made this node ask.
    answered: Option<Instant>,
}

impl Rumour {
    fn call_dead(&mut self, by: NodeId) {
        if self.dead.len() < TELLERS {
            self.dead.insert(by);
        }
    }

    fn is_told_by_enough(&self) -> bool {
        self.dead.len() >= TELLERS
    }
}

impl Membership {
    /// What to believe of what one member says of another, if anything is new in it.
    pub(super) fn weigh(
        &mut self,
        now: Instant,
        from: NodeId,
        update: &Member<Peer>,
    ) -> Option<Member<Peer>> {
        let node = update.id().node;
        let known = self.table.get(node).copied().filter(|_| self.table.is_news(update))?;
        if update.state() == State::Down && known.is_live() {
            self.weigh_death(now, from, &known)
        } else {
            Some(update.clone())
        }
    }

    /// Somebody calls a member dead that this node believes in: believed if this node's own probe has failed,
    /// and else that probe begins now.
    fn weigh_death(&mut self, now: Instant, from: NodeId, known: &Known) -> Option<Member<Peer>> {
        let node = known.peer.node;
        if known.is_silent(now) {
            return Some(known.dead());
        }
        let rumour = self.rumours.entry(node).or_default();
        if rumour.answered.is_some_and(|at| now.since(at) < RUMOUR_EVERY) {
            return None;
        }
        rumour.call_dead(from);
        if rumour.is_told_by_enough() && self.has_failed_rumour(node) {
            return Some(known.dead());
        }
        self.ping(now, node, Purpose::Rumour);
        None
    }

    /// Whether a member that did not answer once is dead, for two said so.
    pub(super) fn is_rumoured_dead(&self, node: NodeId) -> bool {
        self.rumours.get(&node).is_some_and(Rumour::is_told_by_enough)
    }

    /// What came of a probe that a rumour began.
    pub(super) fn end_rumour(&mut self, now: Instant, node: NodeId, reached: bool) {
        let Some(rumour) = self.rumours.get_mut(&node) else { return };
        rumour.dead.clear();
        if reached {
            rumour.answered = Some(now);
            return;
        }
        let Some(known) = self.table.get(node).copied().filter(Known::is_live) else { return };
        self.believe(now, &known.dead());
    }
}
