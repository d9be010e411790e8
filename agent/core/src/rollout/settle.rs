//! Which of several tasks of one slot stays: after a heal a slot may have two.
//!
//! The losers are retired by name behind the winner, start-first: they stop when the winner is observed
//! healthy, so the last healthy copy of a slot never dies of this.

use alloc::vec::Vec;
use core::cmp::Reverse;

use sleep_wire::node::Availability;
use sleep_wire::slot::{RetireReason, Retired};
use sleep_wire::spec::{Mode, OnHeal, Order};
use sleep_wire::{NodeId, RevisionId, Stamp};

use super::SETTLES_AFTER;
use super::seat::{Reader, Seat, Standing, sooner};
use crate::mutant::{Mutant, is_sown};
use crate::placement::facts::TaskFact;
use crate::placement::plan::Current;
use crate::time::Instant;

/// How a slot with more than one task is settled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) current: Option<Current>,
    /// Where the winner is; `None` if it is what the record names already, or there is none.
    pub(crate) adopted: Option<u32>,
    pub(crate) order: Order,
    pub(crate) retire: Vec<Retired>,
}

struct Rival {
    assignment: Stamp,
    node: NodeId,
    revision: RevisionId,
    adopted: Option<u32>,
    /// Whether it may stay where it is.
    placed_well: bool,
    /// Whether it is of a revision that is to go.
    outdated: bool,
    healthy: bool,
    running_ms: u64,
}

impl Reader<'_> {
    /// Settles a slot whose tasks are not all named by its record; `None` if there is nothing to do, or not
    /// yet. `wanted` says whether a slot without a task is to have one.
    pub(crate) fn settle(&self, seat: &mut Seat<'_>, wanted: bool) -> Option<Settlement> {
        let mut unlisted: Vec<Rival> = Vec::new();
        for task in seat.fact.unlisted() {
            unlisted.extend(self.unlisted(task, &mut seat.wake));
        }
        if unlisted.is_empty() || is_sown(Mutant::DuplicatesStay) {
            return None;
        }
        match seat.standing {
            // Its node may be alive behind a cut: nothing is known of the task that the record names.
            Standing::Away => None,
            Standing::Vacant if !wanted => Some(retire_all(seat, &unlisted)),
            // Where nothing is to come in its place it stays as it is, or goes: the slot's node may be
            // paused.
            Standing::Lost(_) if !wanted && self.service.fact.mode == Mode::Global => {
                let stays = unlisted.iter().any(|rival| rival.placed_well);
                if stays { self.choose(seat, unlisted) } else { Some(retire_all(seat, &unlisted)) }
            }
            Standing::Vacant | Standing::Lost(_) if !unlisted.iter().any(Rival::is_acceptable) => None,
            Standing::Vacant | Standing::Lost(_) => self.choose(seat, unlisted),
            // What is done is not done again, and nothing will ever run in its place.
            Standing::Done => {
                let mut retire = seat.retire.clone();
                retire.extend(unlisted.iter().map(|rival| rival.retired(RetireReason::Duplicate)));
                let current = seat.current().cloned().map(Current::Kept);
                Some(Settlement { current, adopted: None, order: Order::StopFirst, retire })
            }
            Standing::Healthy | Standing::Starting | Standing::Failing => {
                unlisted.extend(self.named(seat));
                self.choose(seat, unlisted)
            }
        }
    }

    fn choose(&self, seat: &Seat<'_>, mut rivals: Vec<Rival>) -> Option<Settlement> {
        let on_heal = self.spec.revision.partition.on_heal;
        rivals.sort_by_key(|rival| {
            let original = match on_heal {
                OnHeal::KeepOriginal => {
                    // Where nothing runs, there is no original: what the record names goes on trying.
                    let stray = !rival.healthy && rival.adopted.is_some();
                    Some((!rival.healthy, Reverse(rival.running_ms), stray, rival.assignment))
                }
                OnHeal::KeepNewest => None,
            };
            (!rival.is_acceptable(), !rival.placed_well, original, Reverse(rival.assignment))
        });
        let mut rivals = rivals.into_iter();
        let winner = rivals.next()?;
        let current = match (winner.adopted, seat.current()) {
            (None, Some(named)) => Current::Kept(named.clone()),
            (_, _) => Current::Adopted {
                assignment: winner.assignment,
                node: winner.node,
                revision: winner.revision,
            },
        };
        let mut retire = seat.retire.clone();
        retire.extend(rivals.map(|rival| rival.retired(RetireReason::Duplicate)));
        let order = if self.service.fact.singleton { Order::StopFirst } else { Order::StartFirst };
        Some(Settlement { current: Some(current), adopted: winner.adopted, order, retire })
    }

    fn named(&self, seat: &Seat<'_>) -> Option<Rival> {
        let current = seat.current()?;
        let task = seat.fact.latest(&current.assignment);
        Some(Rival {
            assignment: current.assignment,
            node: current.node,
            revision: current.revision,
            adopted: None,
            placed_well: seat.leave.is_none(),
            outdated: seat.outdated,
            healthy: seat.standing == Standing::Healthy,
            running_ms: task.filter(|task| task.is_healthy()).map_or(0, |task| task.running_ms(self.now)),
        })
    }

    /// A task that the record does not name, once its node has had time to say what became of it.
    fn unlisted(&self, task: &TaskFact, wake: &mut Option<Instant>) -> Option<Rival> {
        let place = self.fleet.place(&task.node)?;
        let ready = self.fleet.entry(place).up_since()? + SETTLES_AFTER;
        if ready > self.now {
            sooner(wake, ready);
            return None;
        }
        if !task.fresh {
            return None;
        }
        let entry = self.fleet.entry(place);
        let drained = entry.fact.as_ref().is_none_or(|node| node.availability == Availability::Drained);
        let fits = self.fleet.pool(self.spec.pool).domain_of(place).is_some();
        Some(Rival {
            assignment: task.task.assignment,
            node: task.node,
            revision: task.revision,
            adopted: Some(place),
            placed_well: fits && !drained,
            outdated: self.service.is_outdated(task.revision),
            healthy: task.is_healthy(),
            running_ms: if task.is_healthy() { task.running_ms(self.now) } else { 0 },
        })
    }
}

/// Nobody is to be in this slot.
fn retire_all(seat: &Seat<'_>, unlisted: &[Rival]) -> Settlement {
    let mut retire = seat.retire.clone();
    retire.extend(unlisted.iter().map(|rival| rival.retired(RetireReason::Command)));
    Settlement { current: None, adopted: None, order: Order::StopFirst, retire }
}

impl Rival {
    /// Whether it may stay at all: where it is, and as it is.
    const fn is_acceptable(&self) -> bool {
        self.placed_well && !self.outdated
    }

    fn retired(&self, reason: RetireReason) -> Retired {
        Retired { assignment: self.assignment, node: self.node, reason }
    }
}
