//! Which tasks go when there are more than wanted: first what does not run, then the most crowded, then the
//! newest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::Stamp;
use sleep_wire::slot::{RetireReason, Retired};
use sleep_wire::task::TaskState;

use super::pass::Pass;
use super::plan::{SlotWrite, Why};
use crate::mutant::{Mutant, is_sown};
use crate::rollout::seat::{Seat, Standing};

/// Tasks of one node, newest last: name and seat.
type Stack = Vec<(Stamp, usize)>;

/// How many tasks a domain has; and its nodes: how many each has, its newest, its place.
type Crowd = (u32, BTreeSet<(u32, Stamp, u32)>);

impl<'a> Pass<'a> {
    /// Lets so many slots go.
    pub(crate) fn let_go(&mut self, seats: &mut [Seat<'a>], surplus: usize) {
        if surplus == 0 || is_sown(Mutant::SurplusStays) {
            return;
        }
        // One that this plan has settled is left for the next: it has a new body already.
        let mut going: Vec<(u8, Option<Stamp>, usize)> = (0..seats.len())
            .filter(|at| seats[*at].is_active() && !seats[*at].acted)
            .filter_map(|at| uselessness(&seats[at]).map(|rank| (rank, newest(&seats[at]), at)))
            .collect();
        going.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
        going.truncate(surplus);
        let crowded = surplus - going.len();
        for (_, _, at) in going {
            self.vacate(&mut seats[at], Why::Surplus);
        }
        for at in self.most_crowded(seats, crowded) {
            self.vacate(&mut seats[at], Why::Surplus);
        }
    }

    /// Takes a slot's task away. What has ended, or whose node is gone for good, need not be told.
    pub(crate) fn vacate(&mut self, seat: &mut Seat<'a>, why: Why) {
        let mut retire = seat.retire.clone();
        if let Some(current) = seat.current()
            && !matches!(
                seat.standing,
                Standing::Done | Standing::Lost(sleep_wire::slot::Cause::NodeRemoved(_))
            )
        {
            let (assignment, node) = (current.assignment, current.node);
            retire.push(Retired { assignment, node, reason: RetireReason::Command });
        }
        if seat.is_placed()
            && let Some(place) = seat.place
        {
            self.tally.take(self.fleet.pool(self.spec.pool), place);
        }
        let (order, fence) = (seat.fact.slot.order, seat.fact.slot.fence);
        self.writes.push(SlotWrite { key: self.key(seat.name), current: None, order, fence, retire, why });
        seat.standing = Standing::Vacant;
        seat.acted = true;
    }

    /// The seats of so many tasks, each from the node that is most crowded once those before it are gone.
    fn most_crowded(&self, seats: &[Seat<'_>], count: usize) -> Vec<usize> {
        let pool = self.fleet.pool(self.spec.pool);
        let mut stacks: BTreeMap<u32, Stack> = BTreeMap::new();
        for (at, seat) in seats.iter().enumerate().filter(|(_, seat)| seat.is_active() && !seat.acted) {
            if let (Some(place), Some(stamp)) = (seat.place, newest(seat)) {
                stacks.entry(place).or_default().push((stamp, at));
            }
        }
        let mut domains: BTreeMap<Option<usize>, Crowd> = BTreeMap::new();
        for (place, stack) in &mut stacks {
            stack.sort_unstable();
            let domain = pool.domain_of(*place);
            let (of_domain, nodes) = domains.entry(domain).or_default();
            *of_domain = domain.map_or(u32::MAX, |domain| self.tally.in_domain(domain));
            nodes.extend(stack.last().map(|(stamp, _)| (self.tally.on_node(*place), *stamp, *place)));
        }
        let mut going = Vec::with_capacity(count);
        while going.len() < count {
            let some = domains.values_mut().filter(|(_, nodes)| !nodes.is_empty());
            let fullest = some.max_by_key(|(count, nodes)| (*count, nodes.last().copied()));
            let Some((of_domain, nodes)) = fullest else { break };
            let Some((of_node, _, place)) = nodes.pop_last() else { break };
            let stack = stacks.entry(place).or_default();
            going.extend(stack.pop().map(|(_, at)| at));
            *of_domain = of_domain.saturating_sub(1);
            nodes.extend(stack.last().map(|(stamp, _)| (of_node.saturating_sub(1), *stamp, place)));
        }
        going
    }
}

/// How little a task would be missed; `None` if it serves where it is, or did when it was last told of: its
/// agent has just been restarted, and will say.
fn uselessness(seat: &Seat<'_>) -> Option<u8> {
    let ran = seat.current().and_then(|current| seat.fact.latest(&current.assignment));
    let ran = ran.is_some_and(|task| !task.fresh && task.state == TaskState::Running);
    match seat.standing {
        Standing::Starting if ran => None,
        Standing::Lost(_) => Some(0),
        Standing::Away => Some(1),
        Standing::Failing => Some(2),
        Standing::Starting => Some(3),
        Standing::Done => Some(4),
        Standing::Healthy if seat.leave.is_some() => Some(5),
        Standing::Healthy => None,
        Standing::Vacant => None,
    }
}

fn newest(seat: &Seat<'_>) -> Option<Stamp> {
    seat.current().map(|current| current.assignment)
}
