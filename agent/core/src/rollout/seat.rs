//! One slot as it stands: what its record says, what its tasks do, and what its node is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::node::Availability;
use sleep_wire::slot::{Assigned, Cause, Retired};
use sleep_wire::task::TaskState;

use super::{ENDED_STAYS_NAMED, UNSEEN_STAYS_NAMED};
use crate::mutant::{Mutant, is_sown};
use crate::placement::facts::{Liveness, SlotFact, TaskFact};
use crate::placement::fleet::{Fleet, Spec};
use crate::placement::service::Service;
use crate::placement::{MAX_FAILED_NODES, MAX_START_FAILURES};
use crate::time::Instant;

/// How a slot stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no task.
    Vacant,
    /// Its task is over, and its restart policy asks for no more.
    Done,
    /// Its task runs, and its check passes.
    Healthy,
    /// Its task is on its way, for the first time.
    Starting,
    /// Its task has failed before and does not run now, or its check fails.
    Failing,
    /// Its node does not answer, or nothing is known of it; too early to place its work elsewhere.
    Away,
    /// Its node is gone, for this reason.
    Lost(Cause),
}

/// A slot with everything that its next step depends on.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    pub(crate) name: SlotName,
    pub(crate) fact: &'a SlotFact,
    /// Where its task is.
    pub(crate) place: Option<u32>,
    pub(crate) standing: Standing,
    /// Whether its task is of a revision that differs from the present one.
    pub(crate) outdated: bool,
    /// Why its task cannot stay where it is.
    pub(crate) leave: Option<Cause>,
    /// Whether a retired task may still run on a node that can be reached.
    pub(crate) retiring: bool,
    /// The retired tasks that are still to be named.
    pub(crate) retire: Vec<Retired>,
    /// When time alone may change this.
    pub(crate) wake: Option<Instant>,
    /// Whether this plan has given it a new body already.
    pub(crate) acted: bool,
}

/// What slots are read with.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) service: &'a Service,
    pub(crate) spec: &'a Spec,
    pub(crate) now: Instant,
    pub(crate) brake: bool,
    /// How many starts of the present revision failed lately, by node.
    pub(crate) failures: &'a BTreeMap<u32, u32>,
}

impl<'a> Seat<'a> {
    pub(crate) fn current(&self) -> Option<&'a Assigned> {
        self.fact.slot.current.as_ref()
    }

    /// Whether the record would be different without the retired tasks that have ended.
    pub(crate) fn is_untidy(&self) -> bool {
        self.retire.len() != self.fact.slot.retire.len()
    }

    /// Whether it has a task, wherever that may be.
    pub(crate) fn is_active(&self) -> bool {
        self.standing != Standing::Vacant
    }

    /// Whether it has no task, or one that its node has stopped for good.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.standing, Standing::Vacant | Standing::Lost(Cause::Wanted))
    }

    /// Whether its task is where it is looked for: counts for spread.
    pub(crate) fn is_placed(&self) -> bool {
        match self.standing {
            Standing::Healthy | Standing::Starting | Standing::Failing | Standing::Away => true,
            Standing::Vacant | Standing::Done | Standing::Lost(_) => false,
        }
    }

    /// Whether a task of it runs well: its own, or the one that goes on until its own does.
    pub(crate) fn is_served(&self) -> bool {
        let goes_on = |retired: &Retired| {
            let task = self.fact.latest(&retired.assignment);
            task.is_some_and(|task| task.node == retired.node && task.is_healthy())
        };
        self.standing == Standing::Healthy
            || (self.is_placed() && self.retiring && self.fact.slot.retire.iter().any(goes_on))
    }

    /// Whether its node can be told to stop its task.
    pub(crate) fn is_within_reach(&self) -> bool {
        match self.standing {
            Standing::Healthy | Standing::Starting | Standing::Failing => true,
            Standing::Vacant | Standing::Done | Standing::Away | Standing::Lost(_) => false,
        }
    }
}

impl Reader<'_> {
    pub(crate) fn read<'a>(&self, name: SlotName, fact: &'a SlotFact) -> Seat<'a> {
        let current = fact.slot.current.as_ref();
        let mut seat = Seat {
            name,
            fact,
            place: current.and_then(|current| self.fleet.place(&current.node)),
            standing: Standing::Vacant,
            outdated: current.is_some_and(|current| self.service.is_outdated(current.revision)),
            leave: None,
            retiring: false,
            retire: Vec::new(),
            wake: None,
            acted: false,
        };
        if !fact.slot.retire.is_empty() {
            self.read_retired(&mut seat);
        }
        if let Some(current) = current {
            seat.standing = self.standing(current, &mut seat);
            if seat.is_within_reach() {
                seat.leave = self.leave(current, &seat);
            }
        }
        seat
    }

    fn standing(&self, current: &Assigned, seat: &mut Seat<'_>) -> Standing {
        let task = seat.fact.latest(&current.assignment);
        if task.is_some_and(|task| task.is_done(self.service.condition(current.revision))) {
            return Standing::Done;
        }
        let liveness = seat.place.and_then(|place| self.fleet.entry(place).fact.as_ref()).map(|n| n.liveness);
        match liveness {
            None | Some(Liveness::Held) => return Standing::Away,
            Some(Liveness::Removed) => return Standing::Lost(Cause::NodeRemoved(current.node)),
            Some(Liveness::Down { since, confirmed }) => {
                let until = self.gives_up(since);
                if !confirmed || self.brake {
                    return Standing::Away;
                }
                if until > self.now {
                    sooner(&mut seat.wake, until);
                    return Standing::Away;
                }
                return Standing::Lost(Cause::NodeDown(current.node));
            }
            Some(Liveness::Up { .. }) => {}
        }
        let failed =
            |task: &TaskFact| task.task.assignment == current.assignment && task.state == TaskState::Failed;
        match task {
            // Its node will not start it again, and no record says that nothing is to run: it must be
            // another.
            Some(task) if task.state == TaskState::Stopped => Standing::Lost(Cause::Wanted),
            Some(task) if task.is_healthy() => Standing::Healthy,
            Some(task) if is_unwell(task) || seat.fact.tasks.iter().any(failed) => Standing::Failing,
            Some(_) | None => Standing::Starting,
        }
    }

    /// From when on the work of a node that has been down since then may be placed elsewhere.
    fn gives_up(&self, since: Instant) -> Instant {
        since + core::time::Duration::from_millis(self.spec.revision.partition.reschedule_delay_ms)
    }

    fn leave(&self, current: &Assigned, seat: &Seat<'_>) -> Option<Cause> {
        let place = seat.place?;
        let node = self.fleet.entry(place).fact.as_ref()?;
        if node.availability == Availability::Drained && !is_sown(Mutant::DrainIgnored) {
            return Some(Cause::Drained(current.node));
        }
        // An update has rules of its own, and may be what brings the new constraint.
        if seat.outdated {
            return None;
        }
        if self.fleet.pool(self.spec.pool).domain_of(place).is_none() {
            return Some(Cause::Unfit(current.node));
        }
        (seat.standing == Standing::Failing && self.cannot_start(current, seat.fact))
            .then_some(Cause::Failed(current.node))
    }

    /// Whether a task never started, often enough; and not on so many nodes that it is the task's own fault.
    fn cannot_start(&self, current: &Assigned, fact: &SlotFact) -> bool {
        let attempts = || fact.tasks.iter().filter(|task| task.task.assignment == current.assignment);
        let failed = attempts().filter(|task| task.could_not_start()).count();
        failed >= MAX_START_FAILURES as usize
            && !attempts().any(|task| task.started)
            && self.failures.values().filter(|attempts| **attempts >= MAX_START_FAILURES).count()
                < MAX_FAILED_NODES
    }

    fn read_retired(&self, seat: &mut Seat<'_>) {
        for retired in &seat.fact.slot.retire {
            let liveness = self.fleet.fact(&retired.node).map(|node| node.liveness);
            if liveness == Some(Liveness::Removed) {
                continue;
            }
            let is_up = matches!(liveness, Some(Liveness::Up { .. }));
            if let Some(Liveness::Down { since, confirmed: true }) = liveness
                && self.gives_up(since) > self.now
            {
                sooner(&mut seat.wake, self.gives_up(since));
            }
            let stays_until = match seat.fact.latest(&retired.assignment).map(|task| task.state) {
                Some(TaskState::Stopped) => continue,
                // Its node may not have read yet that it is retired, and try again.
                Some(state) if state.is_over() => is_up.then(|| seat.fact.written + ENDED_STAYS_NAMED),
                // A node that never saw the assignment may have nothing to say about it.
                None => {
                    seat.retiring |= self.is_within_reach(liveness);
                    is_up.then(|| seat.fact.written + UNSEEN_STAYS_NAMED)
                }
                Some(_) => {
                    seat.retiring |= self.is_within_reach(liveness);
                    None
                }
            };
            match stays_until {
                Some(until) if until <= self.now => continue,
                Some(until) => sooner(&mut seat.wake, until),
                None => {}
            }
            seat.retire.push(retired.clone());
        }
    }

    fn is_within_reach(&self, liveness: Option<Liveness>) -> bool {
        match liveness {
            Some(Liveness::Down { since, confirmed }) => !confirmed || self.gives_up(since) > self.now,
            Some(Liveness::Up { .. } | Liveness::Held) | None => true,
            Some(Liveness::Removed) => false,
        }
    }
}

fn is_unwell(task: &TaskFact) -> bool {
    task.health == sleep_wire::task::Health::Unhealthy
}

/// Keeps the earlier of two moments.
pub(crate) fn sooner(wake: &mut Option<Instant>, at: Instant) {
    *wake = Some(wake.map_or(at, |known| known.min(at)));
}
