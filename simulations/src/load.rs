//! How much faster than real time a cluster at work is: one load, always the same, for the benchmark.
//!
//! Twenty services with three tasks each on nine nodes, a command a second at random nodes, real signatures,
//! and every law checked after every event. Nothing goes wrong: faults make a world faster, not slower, as
//! the dead do nothing.
//!
//! # Not here
//! What users do in a run with faults: see `chaos::users`.

use std::time::{Duration, Instant};

use sleep_core::io::{Command, Ticket};
use sleep_core::node::Tuning;
use sleep_wire::node::Availability;
use sleep_wire::{CommandId, ServiceId};

use crate::chaos::users::revision;
use crate::invariants::Checks;
use crate::liveness::Missing;
use crate::random::Stream;
use crate::run::Failure;
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// How many services there are.
pub const SERVICES: u32 = 20;
/// How many tasks each of them has at first, and on average.
pub const REPLICAS: u32 = 3;

/// What a cluster at work took.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How long it worked in the world.
    pub world: Time,
    /// How long that took here.
    pub real: Duration,
    /// How many events that were.
    pub events: u64,
    /// How many commands were given.
    pub given: usize,
    /// How many of them were carried out.
    pub done: usize,
    /// The hash of all that happened.
    pub trace: u64,
}

/// A cluster that has taken up its work.
pub struct Load {
    /// The world that it is in.
    pub world: World,
    services: Vec<ServiceId>,
    stream: Stream,
    /// The node that a user has drained.
    away: Option<usize>,
}

impl Load {
    /// Forms the cluster and deploys.
    ///
    /// # Errors
    /// What did not happen in time.
    pub fn begin(nodes: usize, seed: u64, checked: bool) -> Result<Self, Failure> {
        Self::deployed(nodes, seed, checked).map_err(|how| Failure::Liveness(Missing::formed(how)))
    }

    fn deployed(nodes: usize, seed: u64, checked: bool) -> Result<Self, story::Failure> {
        let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
        world.checks = checked.then(Checks::default);
        story::form(&mut world)?;
        let mut services = Vec::new();
        for number in 0..SERVICES {
            let host = number as usize % nodes;
            services.push(story::create(&mut world, host, &format!("app-{number}"), REPLICAS)?);
        }
        for service in &services {
            story::running(&mut world, 60 * SECOND, *service, REPLICAS as usize)?;
        }
        let stream = Stream::new(seed, "load", 0);
        Ok(Self { world, services, stream, away: None })
    }

    /// Works for a while.
    ///
    /// # Errors
    /// The law that was broken.
    pub fn work(&mut self, time: Time) -> Result<Measured, Failure> {
        let (began, from, events) = (Instant::now(), self.world.now, self.world.trace.events());
        let mut tickets = Vec::new();
        while self.world.now < from + time {
            tickets.push(self.command());
            let next = self.world.now + SECOND;
            self.world.until(next, |_| false);
            if let Some(violation) = &self.world.broken {
                return Err(Failure::Safety(violation.clone()));
            }
        }
        let done = |ticket: &&Ticket| self.world.answers.get(ticket).is_some_and(|(_, told)| told.is_ok());
        Ok(Measured {
            world: self.world.now - from,
            real: began.elapsed(),
            events: self.world.trace.events() - events,
            given: tickets.len(),
            done: tickets.iter().filter(done).count(),
            trace: self.world.trace.digest(),
        })
    }

    fn command(&mut self) -> Ticket {
        let hosts = self.world.hosts.len();
        let (host, other) = (self.below(hosts), self.below(hosts));
        let node = self.world.hosts[other].id;
        let picked = self.below(SERVICES as usize);
        let service = self.services[picked];
        let number = self.stream.any();
        let command = CommandId(self.stream.bytes());
        let wanted = match self.below(10) {
            0..4 => {
                let replicas = REPLICAS - 1 + u32::try_from(number % 3).unwrap_or(0);
                Command::ServiceScale { scales: vec![(service, replicas)], command }
            }
            4..7 => {
                let spec = Box::new(revision(number));
                Command::ServiceUpdate { service, spec, replicas: None, expected: None, command }
            }
            7..9 => {
                let labels = vec![("zone".to_owned(), Some((number % 3).to_string()))];
                Command::NodeLabels { node, labels, command }
            }
            _ => self.drain_or_activate(other, command),
        };
        self.world.command(host, wanted)
    }

    /// One node is away at a time, so that there is always room for the work.
    fn drain_or_activate(&mut self, host: usize, command: CommandId) -> Command {
        let (host, availability) = match self.away.take() {
            Some(away) => (away, Availability::Active),
            None => (host, Availability::Drained),
        };
        if availability == Availability::Drained {
            self.away = Some(host);
        }
        Command::NodeAvailability { node: self.world.hosts[host].id, availability, command }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.stream.below(bound as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A benchmark of a cluster that refuses its work would measure nothing.
    #[test]
    fn the_load_is_carried_out_under_every_law() {
        let mut load = Load::begin(3, 1, true).expect("nothing goes wrong");
        let measured = load.work(5 * SECOND).expect("no law is broken");
        assert_eq!((measured.world, measured.given, measured.done), (5 * SECOND, 5, 5));
        assert!(measured.events > 0);
    }
}
