//! Members that go and come: held down longer each time.

use sleep_wire::NodeId;

use super::table::Known;
use super::timers::Due;
use super::{Membership, MembershipOutput, profile};
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

/// A member that was down, and how often lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flap {
    /// How often it came back within the window.
    count: u32,
    last: Instant,
    /// When it was last believed down; to come and go unbelieved changes nothing of that.
    down: Instant,
    /// Whether it answers and is not believed yet.
    held: bool,
}

impl Membership {
    /// This node itself calls a member dead. If most are, they need not have gone: it may have been this
    /// node.
    pub(super) fn call_dead(&mut self, node: NodeId) {
        self.called_dead.insert(node);
        if self.called_dead.len() > self.table.live_count() {
            self.cut_off_from.extend(&self.called_dead);
        }
    }

    /// A member is up again. Returns whether it is held down all the same: a restart is a fresh start,
    /// whoever was there while this node was cut off did not go, the same boot that comes and goes is a bad
    /// link.
    pub(super) fn hold_down(&mut self, now: Instant, node: NodeId, restarted: bool) -> bool {
        if is_sown(Mutant::DownForEver) {
            self.flaps.insert(node, Flap { count: 0, last: now, down: now, held: true });
            return true;
        }
        let found_again = self.cut_off_from.remove(&node);
        if restarted {
            self.flaps.remove(&node);
        }
        if restarted || found_again {
            return false;
        }
        let before = self.flaps.get(&node).filter(|flap| now.since(flap.last) < profile::FLAP_WINDOW);
        let count = before.map_or(0, |flap| flap.count.saturating_add(1));
        let hold = profile::FLAP_HOLDS
            .get(count as usize)
            .or(profile::FLAP_HOLDS.last())
            .copied()
            .unwrap_or_default();
        let held = !hold.is_zero();
        let down = self.flaps.get(&node).map_or(now, |flap| flap.down);
        self.flaps.insert(node, Flap { count, last: now, down, held });
        if held {
            self.timers.arm(now + hold, Due::Believe { node, count });
            self.outputs.push_back(MembershipOutput::Doubted { node, hold });
        }
        held
    }

    pub(super) fn is_held_down(&self, node: NodeId) -> bool {
        self.flaps.get(&node).is_some_and(|flap| flap.held)
    }

    /// Since when a member is believed down that is.
    pub(super) fn down_since(&self, known: &Known) -> Instant {
        self.flaps.get(&known.peer.node).map_or(known.since, |flap| flap.down)
    }

    /// Whether a member that has just come back, without a restart, says of a live one that it is not: what
    /// it knows of others dates from when it was cut off.
    pub(super) fn is_stale(&self, now: Instant, from: NodeId, about: NodeId) -> bool {
        let back = self.flaps.get(&from);
        back.is_some_and(|flap| flap.held || now.since(flap.last) < profile::BACK_FOR)
            && about != from
            && self.table.get(about).is_some_and(Known::is_live)
    }

    /// A member is down. Returns whether everybody thought so anyway. One that was there all the time, and
    /// hardly, has not gone to come back: its first return is like another's second.
    pub(super) fn let_go(&mut self, now: Instant, node: NodeId) -> bool {
        if self.table.is_contested(node, now) {
            let came = Flap { count: 0, last: now, down: now, held: false };
            self.flaps.entry(node).or_insert(came);
        }
        let Some(flap) = self.flaps.get_mut(&node) else { return false };
        flap.last = now;
        if !flap.held {
            flap.down = now;
        }
        core::mem::take(&mut flap.held)
    }

    /// It stayed up for long enough.
    pub(super) fn end_disbelief(&mut self, node: NodeId, count: u32) {
        let Some(flap) = self.flaps.get_mut(&node) else { return };
        if flap.held && flap.count == count {
            flap.held = false;
            self.outputs.push_back(MembershipOutput::Up { node });
        }
    }
}
