//! What follows from a fault later: most of it ends it, some is what people then do.
//!
//! # Not here
//! What begins it: `happen`.

use sleep_core::io::{Command, Reply, Ticket};
use sleep_wire::trust::Role;
use sleep_wire::{CommandId, NodeId};

use crate::world::{SECOND, Time, World};

/// How often people try again what did not work.
const AGAIN: Time = 5 * SECOND;

/// What follows from a fault later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Some directions are cut.
    Cut(Vec<(usize, usize)>),
    /// A cut is over.
    Mend(Vec<(usize, usize)>),
    /// A weather is over.
    Clear(u64),
    /// An agent is quick again.
    Quick(usize),
    /// An agent dies.
    Kill(usize),
    /// An agent is started.
    Start(usize),
    /// There is room on a disk again.
    Room(usize),
    /// A member lies no more.
    Honest(usize),
    /// Somebody lets a new node in: asks a door for a token first.
    Join(usize),
    /// And hands it to the newcomer.
    JoinWith {
        /// The newcomer.
        host: usize,
        /// Who was asked.
        door: usize,
        /// For what.
        ticket: Ticket,
    },
    /// Somebody removes a node that is no more.
    Remove(NodeId),
    /// Somebody recovers the cluster, if nobody leads it as far as a member knows that is not this one.
    Recover {
        /// Whose disk was lost.
        but: usize,
    },
}

impl Then {
    /// Lets it happen. What follows in turn, and how much later.
    pub(crate) fn happen(self, world: &mut World) -> Vec<(Time, Self)> {
        match self {
            Self::Cut(pairs) => pairs.into_iter().for_each(|(from, to)| world.cut(from, to)),
            Self::Mend(pairs) => pairs.into_iter().for_each(|(from, to)| world.mend(from, to)),
            Self::Clear(weather) => world.clear(weather),
            Self::Quick(host) => world.hosts[host].each = 0,
            Self::Kill(host) => world.kill(host),
            Self::Start(host) => world.start(host),
            Self::Room(host) => world.hosts[host].disk.make_room(),
            Self::Honest(host) => world.be_honest(host),
            Self::Join(host) => return ask_for_token(world, host),
            Self::JoinWith { host, door, ticket } => return join(world, host, door, ticket),
            Self::Remove(node) => return remove(world, node),
            Self::Recover { but } => return recover(world, but),
        }
        Vec::new()
    }
}

/// A member that answers people, and may admit others.
pub(super) fn door(world: &World, but: usize) -> Option<usize> {
    let is_door = |number: &usize| *number != but && world.hosts[*number].is_control(world.now);
    (0..world.hosts.len()).find(is_door)
}

fn ask_for_token(world: &mut World, host: usize) -> Vec<(Time, Then)> {
    if world.hosts[host].cluster.is_some() {
        return Vec::new();
    }
    let Some(door) = door(world, host).filter(|_| world.hosts[host].node.is_some()) else {
        return vec![(AGAIN, Then::Join(host))];
    };
    let role = if world.hosts[host].plan.worker { Role::Worker } else { Role::Control };
    let seed = world.draw();
    let command =
        Command::TokenCreate { seed, role, ttl_ms: Some(600_000), single_use: false, rotate: false };
    let ticket = world.command(door, command);
    vec![(SECOND, Then::JoinWith { host, door, ticket })]
}

fn join(world: &mut World, host: usize, door: usize, ticket: Ticket) -> Vec<(Time, Then)> {
    if let Some((_, Ok(Reply::Token { token, .. }))) = world.answers.get(&ticket)
        && world.hosts[host].node.is_some()
    {
        let addresses = vec![world.hosts[door].name().to_owned()];
        let token = token.to_string();
        world.command(host, Command::Join { token, addresses });
    }
    vec![(AGAIN, Then::Join(host))]
}

fn remove(world: &mut World, node: NodeId) -> Vec<(Time, Then)> {
    let Some(door) = door(world, usize::MAX) else { return vec![(AGAIN, Then::Remove(node))] };
    let host = &world.hosts[door];
    let members = host.node.as_ref().map(|agent| agent.nodes(host.now(world.now))).unwrap_or_default();
    if members.iter().all(|row| row.id != node) {
        return Vec::new();
    }
    let command = CommandId(world.draw());
    world.command(door, Command::NodeRemove { node, compromised: false, command });
    vec![(AGAIN, Then::Remove(node))]
}

fn recover(world: &mut World, but: usize) -> Vec<(Time, Then)> {
    let again = vec![(AGAIN, Then::Recover { but })];
    let Some(door) = door(world, but) else { return again };
    let host = &world.hosts[door];
    let leader = host.node.as_ref().and_then(|agent| agent.status(host.now(world.now)).leader);
    if leader.is_some_and(|(_, fresh)| fresh) {
        return Vec::new();
    }
    world.command(door, Command::Recover { force: false });
    again
}
