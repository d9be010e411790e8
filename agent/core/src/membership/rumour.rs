//! What others say of a member, where this node knows better or may find out.
//!
//! ```text
//! "it is down" ──▶ ping it ──▶ it answers ─────────────────────▶ a rumour, and no more
//!                     ├─ silent once, and two say so ──────────▶ down
//!                     └─ silent three times, or just before ───▶ down
//! ```
//! ```text
//! "it has a newer identity" ──▶ ask it ──▶ what it says itself
//!                                └─ two say so, or nobody else could ──▶ believed until it says otherwise
//! ```
//! One member may lie. Nobody passes on what it does not believe itself, so a lie goes no further than to
//! whom it is told, and costs a question; and two who say the same are two who found out.
//!
//! # Invariants
//! - Nobody is called dead on hearsay alone: this node's own probe of it has failed, too.
//!
//! # Not here
//! What a member says of itself is believed: see `drive`. A suspicion of this node's own: `suspicion`.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use foca::{Identity as _, Member, State};
use sleep_wire::NodeId;
use sleep_wire::swim::Peer;

use super::Membership;
use super::confirm::Purpose;
use super::profile::{NEWS_AFTER, RUMOUR_EVERY, TELLERS};
use super::table::Known;
use crate::time::Instant;

/// What is said of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumour {
    /// Who called it dead since it answered last: no more than are needed.
    dead: BTreeSet<NodeId>,
    /// When it answered a question that such a rumour made this node ask.
    answered: Option<Instant>,
    /// When it said who it is after somebody else had said otherwise.
    named: Option<Instant>,
    /// Who gave it which identity that is newer than the one it has here: two at most, for then one is
    /// believed.
    names: BTreeMap<NodeId, Member<Peer>>,
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
        if !known.is_heard_of() {
            // The first word is as good as any, until it speaks itself.
            Some(update.clone())
        } else if update.state() == State::Down && known.is_live() {
            self.weigh_death(now, from, &known)
        } else if known.peer == *update.id() {
            known.may_be_at(update.incarnation()).then(|| update.clone())
        } else {
            self.weigh_name(now, from, &known, update)
        }
    }

    /// Somebody gives a member an identity that it has not shown: it is asked, unless another says so, too.
    fn weigh_name(
        &mut self,
        now: Instant,
        from: NodeId,
        known: &Known,
        update: &Member<Peer>,
    ) -> Option<Member<Peer>> {
        let node = known.peer.node;
        let names = &mut self.rumours.entry(node).or_default().names;
        names.insert(from, update.clone());
        if names.len() < TELLERS {
            self.ping(now, node, Purpose::Name);
            return None;
        }
        // Of two the lesser: both say that it is no older than that.
        let told = names.values().min_by_key(|told| (told.id().boot, told.id().renewal)).cloned()?;
        names.retain(|_, other| told.id() != other.id() && !told.id().win_addr_conflict(other.id()));
        self.stop_asking_name(node);
        if told.state() == State::Down && known.is_live() {
            return self.weigh_death(now, from, known);
        }
        Some(told)
    }

    /// How long a second teller is waited for before a member itself is asked for its identity: where many
    /// are told of it at once, most of them need not ask.
    pub(super) fn name_wait(&mut self, now: Instant, node: NodeId) -> Duration {
        let crowd = u32::try_from(self.table.live_count() / 32).unwrap_or(u32::MAX);
        let named = self.rumours.get(&node).and_then(|rumour| rumour.named);
        let rest = named.map_or(Duration::ZERO, |at| RUMOUR_EVERY.saturating_sub(now.since(at)));
        self.jitter(NEWS_AFTER * crowd).max(rest)
    }

    /// A member says who it is.
    pub(super) fn end_names(&mut self, now: Instant, node: NodeId) {
        if let Some(rumour) = self.rumours.get_mut(&node).filter(|rumour| !rumour.names.is_empty()) {
            rumour.names.clear();
            rumour.named = Some(now);
            self.stop_asking_name(node);
        }
    }

    /// A member does not say who it is. Where one other alone could tell, its word is taken.
    pub(super) fn name_unanswered(&mut self, now: Instant, node: NodeId) {
        if self.table.count() <= TELLERS
            && let Some(rumour) = self.rumours.get_mut(&node)
            && let Some((_, told)) = rumour.names.pop_first()
            && told.state() != State::Down
        {
            self.believe(now, &told);
        }
    }

    /// Somebody calls a member dead that this node believes in: believed if this node's own probe has failed,
    /// and else that probe begins now.
    fn weigh_death(&mut self, now: Instant, from: NodeId, known: &Known) -> Option<Member<Peer>> {
        let node = known.peer.node;
        if known.is_silent(now) {
            return Some(known.dead());
        }
        // Of one that answers too rarely an answer proves little: it is asked again for each who says so.
        let contested = known.is_contested(now);
        let rumour = self.rumours.entry(node).or_default();
        if !contested && rumour.answered.is_some_and(|at| now.since(at) < RUMOUR_EVERY) {
            return None;
        }
        rumour.call_dead(from);
        if rumour.is_told_by_enough() && self.has_failed_rumour(node, contested) {
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
        let contested = self.table.is_contested(node, now);
        let Some(rumour) = self.rumours.get_mut(&node) else { return };
        if !(reached && contested) {
            rumour.dead.clear();
        }
        if reached {
            rumour.answered = Some(now);
            return;
        }
        let Some(known) = self.table.get(node).copied().filter(Known::is_live) else { return };
        self.believe(now, &known.dead());
    }
}
