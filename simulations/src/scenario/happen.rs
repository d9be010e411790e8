//! What a fault does to a world, and what follows from it later.
//!
//! # Not here
//! How it is named: `fault`.

use std::time::Duration;

use sleep_core::io::Command;
use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::trust::Role;
use sleep_wire::{CommandId, ServiceId};

use super::Fault;
use super::later::{Then, door};
use crate::disk::Failing;
use crate::engine::{Container, Survivors};
use crate::host::Host;
use crate::story;
use crate::world::{Network, SECOND, Time, World};

impl Fault {
    /// Lets it happen. What follows from it, and how much later.
    pub(crate) fn happen(&self, world: &mut World) -> Vec<(Time, Then)> {
        let later = self.between_hosts(world);
        let later = later.or_else(|| self.to_cards(world)).or_else(|| self.by_people(world));
        let later = later.or_else(|| self.at_engines(world));
        later.unwrap_or_else(|| self.at_hosts(world))
    }

    /// Whether what it waits for is there: most wait for nothing but their time.
    pub(crate) fn is_due(&self, world: &World) -> bool {
        match self {
            Self::Usurp { .. } => is_changing(world),
            Self::StartInterrupted { node, .. } => world.hosts[*node].engine.is_starting(),
            _ => true,
        }
    }

    /// The host that it ends for ever.
    pub(crate) const fn grave(&self) -> Option<usize> {
        match self {
            Self::Kill { node, lasts: None }
            | Self::Stop { node, lasts: None }
            | Self::PowerOff { node, lasts: None } => Some(*node),
            _ => None,
        }
    }

    /// Whether it starts this host's agent again in the end, though an earlier fault had ended it for ever.
    pub(crate) fn revives(&self, host: usize) -> bool {
        match self {
            Self::Kill { node, lasts } | Self::Stop { node, lasts } | Self::PowerOff { node, lasts } => {
                *node == host && lasts.is_some()
            }
            Self::Upgrade { node, .. }
            | Self::Rollback { node, .. }
            | Self::OldDisk { node, .. }
            | Self::EmptyDisk { node, .. } => *node == host,
            Self::KillAll { .. } | Self::Coup { .. } => true,
            _ => false,
        }
    }

    /// The host whose disk it lets fail: its agent will complain.
    pub(crate) const fn failing(&self) -> Option<usize> {
        match self {
            Self::DiskFails { node, .. } | Self::DiskFull { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The host whose agent it ends.
    pub(crate) const fn ending(&self) -> Option<usize> {
        match self {
            Self::Kill { node, .. }
            | Self::Stop { node, .. }
            | Self::Upgrade { node, .. }
            | Self::Rollback { node, .. }
            | Self::PowerOff { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The host that lies: others will complain of it.
    pub(crate) const fn lying(&self) -> Option<usize> {
        if let Self::Lies { node, .. } = self { Some(*node) } else { None }
    }

    /// The host whose disk goes back: it will be told so.
    pub(crate) const fn aged(&self) -> Option<usize> {
        if let Self::OldDisk { node, .. } = self { Some(*node) } else { None }
    }

    /// The same, if it is one of the network's.
    fn between_hosts(&self, world: &mut World) -> Option<Vec<(Time, Then)>> {
        Some(match self {
            Self::Cut { nodes, one_way, bridge, lasts } => {
                let pairs = across(world, nodes, bridge, !one_way);
                pairs.iter().for_each(|(from, to)| world.cut(*from, *to));
                lasts.iter().map(|after| (*after, Then::Mend(pairs.clone()))).collect()
            }
            Self::IsolateLeader { lasts } | Self::Usurp { lasts } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let cut = Self::Cut {
                    nodes: vec![holder],
                    one_way: false,
                    bridge: Vec::new(),
                    lasts: Some(*lasts),
                };
                cut.happen(world)
            }
            Self::Coup { lasts, after, down } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let mut later = Self::IsolateLeader { lasts: *lasts }.happen(world);
                for host in (0..world.hosts.len()).filter(|host| *host != holder) {
                    later.push((*after, Then::Kill(host)));
                    later.push((*after + *down, Then::Start(host)));
                }
                later
            }
            Self::Ambush { slow, after, lasts, witness } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let network = Network { least: *slow, most: *slow + *slow / 10, ..Network::default() };
                let weather = world.rain_on(holder, network);
                let bridge = witness.then_some((holder + 1) % world.hosts.len());
                let pairs = across(world, &[holder], bridge.as_slice(), true);
                let mended = (*after + *lasts, Then::Mend(pairs.clone()));
                vec![(*after, Then::Clear(weather)), (*after, Then::Cut(pairs)), mended]
            }
            Self::Weather { nodes, towards, network, lasts } => {
                let weather = world.rain(nodes.clone(), towards.clone(), *network);
                lasts.iter().map(|after| (*after, Then::Clear(weather))).collect()
            }
            Self::Clog { nodes, lasts } => {
                world.clog(nodes, *lasts);
                Vec::new()
            }
            Self::Reset { node } => {
                world.reset(*node);
                Vec::new()
            }
            Self::AddressesChange { node } => {
                world.move_away(*node);
                Vec::new()
            }
            Self::AddressesSwapped { node, with } => {
                world.swap_addresses(*node, *with);
                Vec::new()
            }
            _ => return None,
        })
    }

    /// The same, if it befalls what a node is, or its agent.
    fn to_cards(&self, world: &mut World) -> Option<Vec<(Time, Then)>> {
        Some(match self {
            Self::OldDisk { node, age, lasts, votes_kept } => {
                world.power_off(*node);
                world.put_back(*node, *age, *votes_kept);
                vec![(*lasts, Then::Start(*node))]
            }
            Self::Upgrade { node, lasts } | Self::Rollback { node, lasts } => {
                world.stop(*node);
                world.install(*node, matches!(self, Self::Upgrade { .. }));
                vec![(*lasts, Then::Start(*node))]
            }
            Self::EmptyDisk { node, lasts, recover } => {
                let door = door(world, *node);
                let helped = *recover && door.is_some();
                // With the last that may let anybody in the cluster itself would be gone, be it that the
                // others have not heard yet that they may not.
                let is_last = door.is_none() || !story::others_may_speak(world, *node);
                if is_last || !helped && !story::majority_without(world, *node) {
                    return Some(Vec::new());
                }
                let gone = world.hosts[*node].id;
                world.power_off(*node);
                world.empty_disk(*node);
                let join = (*lasts + SECOND, Then::Join(*node));
                let (start, remove) = (Then::Start(*node), Then::Remove(gone));
                let mut later = vec![(*lasts, start), join, (*lasts + 5 * SECOND, remove)];
                if helped {
                    later.push((10 * SECOND, Then::Recover { but: *node }));
                }
                later
            }
            _ => return None,
        })
    }

    /// The same, if people do it to the cluster itself.
    fn by_people(&self, world: &mut World) -> Option<Vec<(Time, Then)>> {
        let (host, wanted) = match self {
            Self::Recover { node, force } => (*node, Command::Recover { force: *force }),
            // With a disk that is lost the last control node may be: people look first.
            Self::Role { node, worker: true, .. }
                if door(world, *node).is_none() && world.hosts.iter().any(|host| host.node.is_none()) =>
            {
                return Some(Vec::new());
            }
            Self::Role { node, by, worker } => {
                let role = if *worker { Role::Worker } else { Role::Control };
                let (node, command) = (world.hosts[*node].id, CommandId(world.draw()));
                (*by, Command::NodeRole { node, role, command })
            }
            Self::Scale { service, replicas, by } => {
                let Some(service) = named(world, *by, service) else { return Some(Vec::new()) };
                let command = CommandId(world.draw());
                (*by, Command::ServiceScale { scales: vec![(service, *replicas)], command })
            }
            _ => return None,
        };
        if world.hosts[host].node.is_some() {
            world.command(host, wanted);
        }
        Some(Vec::new())
    }

    /// The same, if it befalls an engine.
    fn at_engines(&self, world: &mut World) -> Option<Vec<(Time, Then)>> {
        match self {
            Self::EngineHangs { node, lasts } => {
                world.with_engine(*node, |engine, now| engine.hang(now, Duration::from_micros(*lasts)));
            }
            Self::EngineRestarts { node, lasts, survivors } => {
                let (time, survivors) = (Duration::from_micros(*lasts), *survivors);
                world.with_engine(*node, |engine, now| engine.restart(now, time, survivors));
            }
            Self::StartInterrupted { node, lasts } => {
                let survivors = Survivors::Running;
                return Self::EngineRestarts { node: *node, lasts: *lasts, survivors }.at_engines(world);
            }
            Self::ByHand { node, removed } => world.with_engine(*node, |engine, now| {
                let Some(task) = engine.running().find_map(Container::task) else { return };
                if *removed { engine.remove_by_hand(now, task) } else { engine.kill_by_hand(now, task) }
            }),
            _ => return None,
        }
        Some(Vec::new())
    }

    /// The same of all others.
    fn at_hosts(&self, world: &mut World) -> Vec<(Time, Then)> {
        let started = |host: &usize, lasts: &Option<Time>| {
            lasts.iter().map(|after| (*after, Then::Start(*host))).collect::<Vec<_>>()
        };
        match self {
            Self::Kill { node, lasts } => {
                world.kill(*node);
                return started(node, lasts);
            }
            Self::Stop { node, lasts } => {
                world.stop(*node);
                return started(node, lasts);
            }
            Self::KillAll { lasts, apart } => {
                let hosts = 0..world.hosts.len();
                hosts.clone().for_each(|host| world.kill(host));
                let at = |host: usize| *lasts + *apart * host as u64;
                return hosts.map(|host| (at(host), Then::Start(host))).collect();
            }
            Self::PowerOff { node, lasts } => {
                world.power_off(*node);
                return started(node, lasts);
            }
            Self::Pause { node, lasts } => world.pause(*node, *lasts),
            Self::Slow { node, each, lasts } => {
                world.hosts[*node].each = *each;
                return lasts.iter().map(|after| (*after, Then::Quick(*node))).collect();
            }
            Self::Lies { node, lies, lasts } => {
                world.lie(*node, lies.clone());
                return lasts.iter().map(|after| (*after, Then::Honest(*node))).collect();
            }
            Self::WallStep { node, by } => world.hosts[*node].step_wall(by / 1000),
            Self::DiskStalls { node, lasts } => world.stall_disk(*node, *lasts),
            Self::DiskFails { node, lasts, written } => {
                world.hosts[*node].disk.fail_next(Failing { written: *written, back_after: *lasts });
            }
            Self::DiskFull { node, lasts } => {
                world.hosts[*node].disk.fill();
                return lasts.iter().map(|after| (*after, Then::Room(*node))).collect();
            }
            Self::Cut { .. }
            | Self::IsolateLeader { .. }
            | Self::Usurp { .. }
            | Self::Coup { .. }
            | Self::Ambush { .. }
            | Self::Weather { .. }
            | Self::Clog { .. }
            | Self::Reset { .. }
            | Self::AddressesChange { .. }
            | Self::AddressesSwapped { .. }
            | Self::Upgrade { .. }
            | Self::Rollback { .. }
            | Self::OldDisk { .. }
            | Self::EmptyDisk { .. }
            | Self::Recover { .. }
            | Self::Role { .. }
            | Self::Scale { .. }
            | Self::EngineHangs { .. }
            | Self::EngineRestarts { .. }
            | Self::StartInterrupted { .. }
            | Self::ByHand { .. } => {}
        }
        Vec::new()
    }
}

fn holder(world: &World) -> Option<usize> {
    let holds =
        |host: &Host| host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some());
    world.hosts.iter().position(holds)
}

/// The service that a host knows by a name.
fn named(world: &World, host: usize, name: &str) -> Option<ServiceId> {
    let host = &world.hosts[host];
    let services = host.node.as_ref()?.services(host.now(world.now));
    services.into_iter().find(|row| row.name == name && !row.removed).map(|row| row.id)
}

/// Whether the holder's last step of a change has reached one of the other voters, and not yet all.
fn is_changing(world: &World) -> bool {
    let installed = |host: &Host| host.disk.cell::<LeaseCell>(Cell::Lease)?.config;
    let Some(config) = holder(world).and_then(|holder| installed(&world.hosts[holder])) else { return false };
    let is_last = config.id.version > 2 && config.voters.iter().all(|voter| voter.weight == 1);
    let has_it = |host: &Host| installed(host).is_some_and(|other| other.id == config.id);
    if !is_last {
        return false;
    }
    // Who does not run may lack it for long.
    let voters = || world.hosts.iter().filter(|host| config.weight(host.id) > 0);
    let have_it = voters().filter(|host| has_it(host)).count();
    (2..config.voters.len()).contains(&have_it) && voters().all(|host| host.node.is_some())
}

/// The directions that are cut when hosts are parted from all others but a bridge.
fn across(world: &World, side: &[usize], bridge: &[usize], both: bool) -> Vec<(usize, usize)> {
    let outside = (0..world.hosts.len()).filter(|host| !side.contains(host) && !bridge.contains(host));
    let inside = side.iter().filter(|host| !bridge.contains(host));
    let pairs = outside.flat_map(|out| inside.clone().map(move |inside| (*inside, out)));
    pairs.flat_map(|(one, other)| [Some((one, other)), both.then_some((other, one))]).flatten().collect()
}
