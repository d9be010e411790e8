//! What each node answers when a service looks for one: the same code that refuses answers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::spec::Mode;
use sleep_wire::{NodeId, ServiceId};

use super::facts::Liveness;
use super::fleet::Want;
use super::pass::failures;
use super::planner::Planner;
use super::refused::Refused;
use super::score::Score;
use super::seek::Tally;
use super::service::Service;
use crate::rollout::RolloutStatus;
use crate::rollout::seat::{Reader, Seat};
use crate::time::Instant;

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the slot's task.
    Runs,
    /// It could take one.
    Fits(Fitness),
    /// It cannot.
    Refuses(Refused),
}

/// How well a node would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitness {
    /// What it is compared by.
    pub score: Score,
    /// How many nodes are better.
    pub rank: u32,
}

/// One service read, for questions about it.
pub(crate) struct Reading<'a> {
    pub(crate) service: &'a Service,
    pub(crate) seats: Vec<Seat<'a>>,
    pub(crate) failures: BTreeMap<u32, u32>,
}

impl Planner {
    /// What every node answers to a task of this slot, in the order of their ids; empty if the service is not
    /// known.
    pub fn why(&self, key: SlotKey, now: Instant) -> Vec<(NodeId, Answer)> {
        let Some(reading) = self.reading(&key.service, now) else { return Vec::new() };
        let Reading { service, seats, failures } = &reading;
        let Some(spec) = service.spec() else { return Vec::new() };
        let pool = self.fleet.pool(spec.pool);
        let mut tally = Tally::default();
        tally.clear(self.fleet.len(), pool.domains.len());
        for place in seats.iter().filter(|seat| seat.is_placed()).filter_map(|seat| seat.place) {
            tally.add(pool, place);
        }
        let max_per_node = match service.fact.mode {
            Mode::Replicated => spec.revision.placement.max_per_node,
            Mode::Global => 0,
        };
        let failures = Some(failures);
        let holders = self.fleet.holders(spec);
        let want = Want { service: key.service, spec, pool, holders, max_per_node, frees: None, failures };
        let here = seats.iter().find(|seat| seat.name == key.slot).and_then(|seat| seat.place);
        let mut answers = Vec::new();
        for place in self.fleet.in_order() {
            let entry = self.fleet.entry(place);
            if entry.fact.as_ref().is_none_or(|node| node.liveness == Liveness::Removed) {
                continue;
            }
            let of_service = tally.on_node(place);
            let answer = match self.fleet.judge(&want, place, of_service) {
                _ if here == Some(place) => Answer::Runs,
                Ok(()) => {
                    let score = self.fleet.score(&want, service.seed, place, of_service);
                    Answer::Fits(Fitness { score, rank: 0 })
                }
                Err(refused) => Answer::Refuses(refused),
            };
            answers.push((entry.id, answer));
        }
        rank(&mut answers);
        answers
    }

    /// How far a service's update has come; `None` if the service is not known.
    pub fn rollout(&self, service: &ServiceId, now: Instant) -> Option<RolloutStatus> {
        let reading = self.reading(service, now)?;
        Some(crate::rollout::status(reading.service, &reading.seats))
    }

    /// Reads a service; `None` if it or its revision is not known.
    pub(crate) fn reading(&self, id: &ServiceId, now: Instant) -> Option<Reading<'_>> {
        let service = self.services.get(id)?;
        let spec = service.spec()?;
        let (failures, _) = failures(&self.fleet, &service.fact, now);
        let (fleet, brake) = (&self.fleet, self.brake);
        let seats = {
            let reader = Reader { fleet, service, spec, now, brake, failures: &failures };
            service.fact.slots.iter().map(|(name, slot)| reader.read(*name, slot)).collect()
        };
        Some(Reading { service, seats, failures })
    }
}

fn rank(answers: &mut [(NodeId, Answer)]) {
    let score = |answer: &Answer| match answer {
        Answer::Fits(fitness) => Some(fitness.score),
        Answer::Runs | Answer::Refuses(_) => None,
    };
    let mut scores: Vec<Score> = answers.iter().filter_map(|(_, answer)| score(answer)).collect();
    scores.sort_unstable();
    for (_, answer) in answers {
        if let Answer::Fits(fitness) = answer {
            let better = scores.partition_point(|other| *other < fitness.score);
            fitness.rank = u32::try_from(better).unwrap_or(u32::MAX);
        }
    }
}
