//! Global services: one task on every node that takes them.

use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::node::Availability;
use sleep_wire::slot::Cause;

use super::facts::Liveness;
use super::fleet::{Fleet, Spec};
use super::pass::Pass;
use super::plan::Why;
use crate::rollout::paused_by;
use crate::rollout::seat::{Seat, Standing};

/// Whether a global service wants a task on a node, if it had none.
pub(crate) fn is_wanted(fleet: &Fleet, spec: &Spec, place: u32) -> bool {
    let Some(node) = &fleet.entry(place).fact else { return false };
    matches!(node.liveness, Liveness::Up { .. })
        && node.availability == Availability::Active
        && fleet.pool(spec.pool).domain_of(place).is_some()
}

impl Seat<'_> {
    /// Whether a global service wants a task in this slot.
    pub(crate) fn name_is_wanted(&self, fleet: &Fleet, spec: &Spec) -> bool {
        match self.name {
            SlotName::Node(node) => fleet.place(&node).is_some_and(|place| is_wanted(fleet, spec, place)),
            SlotName::Number(_) | SlotName::Run { .. } => false,
        }
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn global(&mut self, seats: &mut [Seat<'a>]) {
        for seat in seats.iter_mut().filter(|seat| !seat.acted) {
            match (&seat.standing, &seat.leave) {
                (Standing::Lost(Cause::NodeRemoved(_)), _)
                | (_, Some(Cause::Drained(_) | Cause::Unfit(_))) => self.vacate(seat, Why::NotWanted),
                // Not elsewhere, so there is nothing to move it to.
                (_, _) => seat.leave = None,
            }
        }
        let filled = self.fill_nodes(seats);
        let paused = paused_by(self.service, seats).is_some();
        self.step(seats, paused, filled);
    }

    fn fill_nodes(&mut self, seats: &mut [Seat<'a>]) -> usize {
        let before = self.writes.len();
        let pool = self.fleet.pool(self.spec.pool);
        let mut nodes: Vec<u32> =
            pool.domains.iter().flat_map(|domain| domain.nodes.iter().copied()).collect();
        nodes.retain(|place| is_wanted(self.fleet, self.spec, *place));
        nodes.sort_unstable_by_key(|place| self.fleet.entry(*place).id);
        let revision = self.service.fact.revision;
        for place in nodes {
            let name = SlotName::Node(self.fleet.entry(place).id);
            let at = seats.binary_search_by_key(&name, |seat| seat.name);
            let (fence, retire) = match at {
                Ok(at) if seats[at].acted || !seats[at].is_empty() => continue,
                Ok(at) => (seats[at].fact.slot.fence, seats[at].retire.clone()),
                Err(_) => (0, Vec::new()),
            };
            let Some((place, choice)) = self.seek_at(place, revision, None) else {
                self.pend(name, Cause::Wanted);
                continue;
            };
            let current = self.book(place, revision, Cause::Wanted, choice);
            let order = self.service.fact.order();
            self.write(name, current, order, fence.saturating_add(1), retire, Why::Assigned(Cause::Wanted));
            if let Ok(at) = at {
                seats[at].acted = true;
            }
        }
        self.writes.len() - before
    }
}
