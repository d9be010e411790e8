//! People who type commands at random nodes, and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use sleep_core::io::{Command, Reply, Ticket};
use sleep_wire::node::Availability;
use sleep_wire::spec::{Mode, Order, Revision, TaskTemplate, UpdatePolicy};
use sleep_wire::{CommandId, NodeId, ServiceId, WallTime};

use crate::random::Stream;
use crate::world::World;

/// The most services that stand at once, as far as users know.
const SERVICES: usize = 5;

/// Users, and what they know.
pub struct Users {
    stream: Stream,
    count: u64,
    /// Services of which a user was told.
    services: BTreeSet<ServiceId>,
    /// Nodes that a user drained or paused last.
    away: BTreeSet<NodeId>,
    /// Services that a user was told are gone: others may not have heard, and act on them still.
    gone: BTreeSet<ServiceId>,
    waiting: BTreeMap<Ticket, Typed>,
}

/// A command that was typed, and the service that it removes.
struct Typed {
    wanted: Command,
    removes: Option<ServiceId>,
}

impl Users {
    /// Users of a world, who know of these services.
    pub fn new(seed: u64, services: BTreeSet<ServiceId>) -> Self {
        Self {
            stream: Stream::new(seed, "what users do", 0),
            count: 0,
            services,
            away: BTreeSet::new(),
            gone: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// One of them types something.
    pub fn act(&mut self, world: &mut World) {
        self.read(world);
        let (host, kind) = (self.host(world), self.stream.below(100));
        let (pick, number) = (self.stream.any(), self.stream.any());
        let command = CommandId(self.stream.bytes());
        self.count += 1;
        if pick.is_multiple_of(7) && self.again(world, host) {
            return;
        }
        let service = self.service(pick);
        let node = world.hosts[usize::try_from(number % world.hosts.len() as u64).unwrap_or(0)].id;
        let (wanted, removes) = match (kind, service) {
            (0..20, _) if self.services.len() < SERVICES => (self.create(number, command), None),
            (20..50, Some(service)) => {
                let scales = vec![(service, u32::try_from(number % 8).unwrap_or(0))];
                (Command::ServiceScale { scales, command }, None)
            }
            (50..65, Some(service)) => {
                let spec = Box::new(revision(number));
                (Command::ServiceUpdate { service, spec, replicas: None, expected: None, command }, None)
            }
            (65..70, Some(service)) if self.services.len() > 1 => {
                (Command::ServiceRemove { services: vec![service], command }, Some(service))
            }
            (70..80, _) if self.away.len() < world.hosts.len() / 3 => {
                self.away.insert(node);
                let availability =
                    if pick.is_multiple_of(4) { Availability::Paused } else { Availability::Drained };
                (Command::NodeAvailability { node, availability, command }, None)
            }
            (80..90, _) => {
                let node = self.away.pop_first().unwrap_or(node);
                (Command::NodeAvailability { node, availability: Availability::Active, command }, None)
            }
            _ => {
                let value = (!pick.is_multiple_of(3)).then(|| (number % 3).to_string());
                (Command::NodeLabels { node, labels: vec![("zone".to_owned(), value)], command }, None)
            }
        };
        if world.hosts[host].node.is_some() {
            let ticket = world.command(host, wanted.clone());
            self.waiting.insert(ticket, Typed { wanted, removes });
        }
    }

    /// Who got no answer asks the same again, of whatever node. Whether there was anybody.
    fn again(&mut self, world: &mut World, host: usize) -> bool {
        let Some((_, Typed { wanted, removes })) = self.waiting.first_key_value() else { return false };
        let (wanted, removes) = (wanted.clone(), *removes);
        if world.hosts[host].node.is_some() {
            let ticket = world.command(host, wanted.clone());
            self.waiting.insert(ticket, Typed { wanted, removes });
        }
        true
    }

    fn read(&mut self, world: &World) {
        let answered: Vec<Ticket> =
            self.waiting.keys().filter(|ticket| world.answers.contains_key(ticket)).copied().collect();
        for ticket in answered {
            let removed = self.waiting.remove(&ticket).and_then(|typed| typed.removes);
            match (world.answers.get(&ticket), removed) {
                (Some((_, Ok(Reply::Service { service, .. }))), _) if self.gone.contains(service) => {}
                (Some((_, Ok(Reply::Service { service, .. }))), _) => drop(self.services.insert(*service)),
                (Some((_, Ok(_))), Some(service)) => {
                    self.services.remove(&service);
                    self.gone.insert(service);
                }
                _ => {}
            }
        }
    }

    fn host(&mut self, world: &World) -> usize {
        usize::try_from(self.stream.below(world.hosts.len() as u64)).unwrap_or(0)
    }

    fn service(&self, pick: u64) -> Option<ServiceId> {
        let known = if pick.is_multiple_of(5) && !self.gone.is_empty() { &self.gone } else { &self.services };
        let place = usize::try_from(pick.checked_rem(known.len() as u64)?).unwrap_or(0);
        known.iter().nth(place).copied()
    }

    fn create(&self, number: u64, command: CommandId) -> Command {
        let global = number.is_multiple_of(5);
        Command::ServiceCreate {
            // Few names: two services may claim one.
            name: format!("app-{}", self.count % 7),
            mode: if global { Mode::Global } else { Mode::Replicated },
            singleton: false,
            replicas: if global { 0 } else { u32::try_from(number % 6).unwrap_or(0) },
            spec: Box::new(revision(number)),
            command,
        }
    }
}

/// A revision that differs from others in its image and in how it is rolled out.
pub(crate) fn revision(number: u64) -> Revision {
    let order = if number.is_multiple_of(2) { Order::StartFirst } else { Order::StopFirst };
    Revision {
        parents: Vec::new(),
        template: TaskTemplate {
            image: format!("busybox:{}", number % 4),
            command: vec!["sleep".to_owned(), "infinity".to_owned()],
            ..TaskTemplate::default()
        },
        placement: Default::default(),
        update: UpdatePolicy { order, ..UpdatePolicy::default() },
        partition: Default::default(),
        labels: Vec::new(),
        at: WallTime::default(),
    }
}
