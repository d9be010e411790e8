//! How far a service is from what is wanted of it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::SlotName;
use sleep_wire::spec::Mode;
use sleep_wire::{NodeId, ServiceId};

use super::explain::Reading;
use super::facts::Liveness;
use super::global::is_wanted;
use super::planner::Planner;
use crate::rollout::RolloutStatus;
use crate::rollout::seat::{Seat, Standing, sooner};
use crate::time::Instant;

/// How long a task must have been running to count as stable.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// How far a service is from what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many tasks are wanted.
    pub desired: u32,
    /// How many slots have a task that runs, and whose check passes; while a slot is handed over, either.
    pub running: u32,
    /// How many of these have done so for a second.
    pub stable: u32,
    /// How many slots are done for good.
    pub done: u32,
    /// Slots whose tasks failed, and do not run now.
    pub failing: Vec<SlotName>,
    /// How many slots have no task that could run, since no node takes one; as of the last [`Planner::step`].
    pub pending: u32,
    /// How many slots have a task that is to be replaced, and keep it, since no node takes another; the same.
    pub stuck: u32,
    /// How many slots have tasks that are to stop and have not, on nodes that can be reached.
    pub stopping: u32,
    /// How many tasks are to leave their nodes and have not begun to.
    pub leaving: u32,
    /// Nodes that cannot be reached and that tasks of the service are on: they will be told when they are
    /// back.
    pub away: Vec<NodeId>,
    /// How far its update has come.
    pub rollout: RolloutStatus,
    /// When time alone may change this.
    pub wake_at: Option<Instant>,
}

impl Progress {
    /// Whether everything is as wanted. Nodes that cannot be reached are not waited for.
    pub fn is_converged(&self) -> bool {
        self.stable + self.done == self.desired
            && self.stopping == 0
            && self.leaving == 0
            && self.rollout == RolloutStatus::Idle
    }
}

impl Planner {
    /// How far a service is from what is wanted of it; `None` if it or its revision is not known.
    pub fn progress(&self, id: &ServiceId, now: Instant) -> Option<Progress> {
        let reading = self.reading(id, now)?;
        let Reading { service, seats, .. } = &reading;
        let count = |wanted: &dyn Fn(&Seat<'_>) -> bool| {
            u32::try_from(seats.iter().filter(|seat| wanted(seat)).count()).unwrap_or(u32::MAX)
        };
        let mut wake_at = None;
        let mut stable = 0;
        for seat in seats.iter().filter(|seat| seat.standing == Standing::Healthy) {
            match self.stable_at(seat, now) {
                Some(at) if at > now => sooner(&mut wake_at, at),
                Some(_) => stable += 1,
                None => {}
            }
        }
        let failing = seats.iter().filter(|seat| seat.standing == Standing::Failing).map(|seat| seat.name);
        let has_task = |key: SlotName| seats.iter().any(|seat| seat.name == key && seat.is_placed());
        let (stuck, pending): (Vec<_>, Vec<_>) =
            service.last.pending.iter().partition(|pending| has_task(pending.key.slot));
        let is_stopping = |seat: &Seat<'_>| match service.fact.removed {
            true => !service.occupants(seat.fact).is_empty(),
            false => seat.retiring,
        };
        Some(Progress {
            desired: self.desired(&reading),
            running: count(&|seat| seat.is_served()),
            stable,
            done: count(&|seat| seat.standing == Standing::Done),
            failing: failing.collect(),
            pending: u32::try_from(pending.len()).unwrap_or(u32::MAX),
            stuck: u32::try_from(stuck.len()).unwrap_or(u32::MAX),
            stopping: count(&is_stopping),
            leaving: count(&|seat| seat.leave.is_some()),
            away: self.away(seats),
            rollout: crate::rollout::status(service, seats),
            wake_at,
        })
    }

    fn desired(&self, reading: &Reading<'_>) -> u32 {
        let Reading { service, seats, .. } = reading;
        if service.fact.removed {
            return 0;
        }
        match service.fact.mode {
            Mode::Replicated => service.fact.replicas,
            Mode::Global => {
                let Some(spec) = service.spec() else { return 0 };
                let wanted = self.fleet.in_order().filter(|place| {
                    let name = SlotName::Node(self.fleet.entry(*place).id);
                    is_wanted(&self.fleet, spec, *place)
                        || seats.iter().any(|seat| seat.name == name && seat.is_within_reach())
                });
                u32::try_from(wanted.count()).unwrap_or(u32::MAX)
            }
        }
    }

    /// When a healthy slot's task will have been running for long enough.
    fn stable_at(&self, seat: &Seat<'_>, now: Instant) -> Option<Instant> {
        let current = seat.current()?;
        let task = seat.fact.latest(&current.assignment)?;
        let running = Duration::from_millis(task.running_ms(now));
        Some(now + STABLE_AFTER.saturating_sub(running))
    }

    fn away(&self, seats: &[Seat<'_>]) -> Vec<NodeId> {
        let named = seats.iter().flat_map(|seat| {
            let current = seat.current().map(|current| current.node);
            current.into_iter().chain(seat.retire.iter().map(|retired| retired.node))
        });
        let away = named.filter(|node| {
            let liveness = self.fleet.fact(node).map(|node| node.liveness);
            !matches!(liveness, Some(Liveness::Up { .. } | Liveness::Removed))
        });
        away.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
