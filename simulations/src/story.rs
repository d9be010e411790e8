//! The story of a run: a cluster forms, work is deployed and scaled, the holder dies, and everything is well
//! again.

use std::collections::BTreeSet;

use sleep_core::io::{Command, Reply, Ticket};
use sleep_core::trust::Trust;
use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::lease::VoterConfig;
use sleep_wire::spec::{Mode, Revision, TaskTemplate};
use sleep_wire::token::JoinString;
use sleep_wire::trust::Role;
use sleep_wire::{CommandId, Family, NodeId, Record, ServiceId, decode};

use crate::host::Host;
use crate::world::{Answer, SECOND, Time, World};

/// What a step of the story did not come to, in words.
pub type Failure = String;

/// A cluster of all hosts, formed through the first.
///
/// # Errors
/// What did not happen in time.
pub fn form(world: &mut World) -> Result<(), Failure> {
    let (nonce, token_seed) = (world.draw(), world.draw());
    let ticket = world.command(0, Command::Init { nonce, token_seed });
    let Reply::Initialised { token, .. } = answer(world, ticket, "init")? else {
        return Err("init was answered with something else".into());
    };
    let for_workers = if world.hosts.iter().any(|host| host.plan.worker) {
        Some(token_of(world, 0, Role::Worker)?)
    } else {
        None
    };
    let mut tickets = Vec::new();
    for host in 1..world.hosts.len() {
        let addresses = vec![world.hosts[0].name().to_owned()];
        let worker = for_workers.as_ref().filter(|_| world.hosts[host].plan.worker);
        let token = worker.unwrap_or(&token).to_string();
        tickets.push(world.command(host, Command::Join { token, addresses }));
    }
    for ticket in tickets {
        answer(world, ticket, "join")?;
    }
    let count = world.hosts.len();
    let complete = |world: &World, host: usize| {
        world.hosts[host].node.as_ref().is_none_or(|node| node.live().len() == count)
    };
    // Who sees everybody is passed over until all do: a thousand nodes are not asked after every event.
    let mut first = 0;
    expect(world, 60 * SECOND, "everybody sees everybody", |world| {
        while first < count && complete(world, first) {
            first += 1;
        }
        first == count && (0..count).all(|host| complete(world, host))
    })
}

/// A host that is in no cluster is let in by another.
///
/// # Errors
/// If nobody does in time.
pub fn join(world: &mut World, host: usize) -> Result<(), Failure> {
    let role = if world.hosts[host].plan.worker { Role::Worker } else { Role::Control };
    let end = world.now + 60 * SECOND;
    loop {
        let door = door_for(world, host)?;
        // It may have been a control node until it was asked; and somebody may have handed the newcomer
        // another token a moment ago.
        let told = token_of(world, door, role).and_then(|token| {
            let addresses = vec![world.hosts[door].name().to_owned()];
            let ticket = world.command(host, Command::Join { token: token.to_string(), addresses });
            answer(world, ticket, "join")
        });
        let soon = world.now + 5 * SECOND;
        if world.until(soon, |world| world.hosts[host].cluster.is_some()) {
            return Ok(());
        }
        if world.now >= end {
            return Err(format!("node{} is not let in: {told:?}", host + 1));
        }
    }
}

/// A host that can let another in.
fn door_for(world: &mut World, newcomer: usize) -> Result<usize, Failure> {
    let mut found = None;
    expect(world, 60 * SECOND, "somebody lets newcomers in", |world| {
        found = (0..world.hosts.len()).find(|number| {
            *number != newcomer && world.hosts[*number].is_control(world.now) && !is_forgotten(world, *number)
        });
        found.is_some()
    })?;
    found.ok_or_else(|| "nobody lets newcomers in".to_owned())
}

/// Whether an agent belongs to a cluster of which nobody else that runs knows that it does: it was admitted
/// by one that lost its disk before it had passed that on.
pub fn is_forgotten(world: &World, number: usize) -> bool {
    let host = &world.hosts[number];
    let knows = |other: &Host| {
        let agent = other.node.as_ref().filter(|node| node.cluster().is_some())?;
        Some(agent.nodes(other.now(world.now)).iter().any(|row| row.id == host.id))
    };
    let others = world.hosts.iter().enumerate().filter(|(other, _)| *other != number);
    let known: Vec<bool> = others.filter_map(|(_, other)| knows(other)).collect();
    host.node.is_some() && host.cluster.is_some() && !known.is_empty() && !known.contains(&true)
}

/// A token for newcomers of a role, made at a host.
fn token_of(world: &mut World, host: usize, role: Role) -> Result<JoinString, Failure> {
    let seed = world.draw();
    let create = Command::TokenCreate { seed, role, ttl_ms: None, single_use: false, rotate: false };
    let ticket = world.command(host, create);
    match answer(world, ticket, "token create")? {
        Reply::Token { token, .. } => Ok(token),
        other => Err(format!("token create was answered with {other:?}")),
    }
}

/// Three nodes have the vote, each as much as the others.
///
/// # Errors
/// They have not, in that time.
pub fn three_vote(world: &mut World, within: Time) -> Result<(), Failure> {
    expect(world, within, "three nodes vote", |world| {
        newest_config(world)
            .is_some_and(|config| config.voters.iter().map(|voter| voter.weight).eq([1, 1, 1]))
    })
}

/// Whether another host may speak for a host's cluster once everybody knows what is on any disk of it.
pub fn others_may_speak(world: &World, but: usize) -> bool {
    let Some(cluster) = world.hosts[but].cluster else { return true };
    let mut trust = Trust::new(cluster);
    let reader = world.mint().key(0, 0);
    let of_it = world.hosts.iter().filter(|host| host.cluster == Some(cluster));
    for record in of_it.flat_map(|host| host.disk.words()).filter_map(|bytes| decode::<Record>(bytes).ok()) {
        if Family::of(&record.key) == Some(Family::Membership) {
            trust.apply(&record, &reader);
        }
    }
    let others = world.hosts.iter().enumerate().filter(|(number, _)| *number != but);
    others.map(|(_, host)| host.id).any(|node| trust.role(node) == Some(Role::Control))
}

/// Who votes, as far as anybody knows who runs: what only the dead had written down helps nobody.
fn newest_config(world: &World) -> Option<VoterConfig> {
    let config = |host: &Host| host.disk.cell::<LeaseCell>(Cell::Lease)?.config;
    let running = world.hosts.iter().filter(|host| host.node.is_some());
    running.filter_map(config).max_by_key(|config| config.id)
}

/// Whether agents run of more than half of the votes, and one of them knows who votes.
pub fn majority_lives(world: &World) -> bool {
    let alive = world.hosts.iter().filter(|host| host.node.is_some()).map(|host| host.id);
    newest_config(world).is_some_and(|config| config.is_quorum(alive))
}

/// Whether the others whose agents run are a majority of the voters, whichever config of any disk is asked.
pub fn majority_without(world: &World, gone: usize) -> bool {
    let others =
        world.hosts.iter().enumerate().filter(|(number, host)| *number != gone && host.node.is_some());
    let others: Vec<NodeId> = others.map(|(_, host)| host.id).collect();
    let configs = world.hosts.iter().filter_map(|host| host.disk.cell::<LeaseCell>(Cell::Lease)?.config);
    configs.into_iter().all(|config| config.is_quorum(others.iter().copied()))
}

/// A cluster whose voters are lost is recovered, at the first host that has the newest config of those left.
///
/// # Errors
/// Nobody leads in time.
pub fn recover(world: &mut World) -> Result<(), Failure> {
    let config = |host: &Host| host.disk.cell::<LeaseCell>(Cell::Lease)?.config.map(|config| config.id);
    let hosts = world.hosts.iter().enumerate().filter(|(_, host)| host.is_control(world.now));
    let Some((survivor, _)) = hosts.max_by_key(|(number, host)| (config(host), std::cmp::Reverse(*number)))
    else {
        return Err("nobody is left who could recover the cluster".into());
    };
    let end = world.now + 60 * SECOND;
    loop {
        let ticket = world.command(survivor, Command::Recover { force: false });
        match answer(world, ticket, "recover") {
            Ok(_) => return holder(world, 30 * SECOND).map(drop),
            Err(why) if world.now >= end => return Err(why),
            // A lease that nobody renews any more is not over yet.
            Err(_) => world.until(world.now + 5 * SECOND, |_| false),
        };
        if majority_lives(world) {
            return Ok(());
        }
    }
}

/// Creates a service.
///
/// # Errors
/// What did not happen in time.
pub fn create(world: &mut World, host: usize, name: &str, replicas: u32) -> Result<ServiceId, Failure> {
    let spec = Revision::running(TaskTemplate {
        image: "busybox".to_owned(),
        command: vec!["sleep".to_owned(), "infinity".to_owned()],
        ..TaskTemplate::default()
    });
    let command = CommandId(world.draw());
    let create = Command::ServiceCreate {
        name: name.to_owned(),
        mode: Mode::Replicated,
        singleton: false,
        replicas,
        spec: Box::new(spec),
        command,
    };
    let ticket = world.command(host, create);
    match answer(world, ticket, "create")? {
        Reply::Service { service, .. } => Ok(service),
        other => Err(format!("create was answered with {other:?}")),
    }
}

/// Scales a service.
///
/// # Errors
/// What did not happen in time.
pub fn scale(world: &mut World, host: usize, service: ServiceId, replicas: u32) -> Result<(), Failure> {
    let command = CommandId(world.draw());
    let ticket = world.command(host, Command::ServiceScale { scales: vec![(service, replicas)], command });
    answer(world, ticket, "scale").map(drop)
}

/// Waits until exactly so many tasks of a service run, on hosts whose agents run.
///
/// # Errors
/// How many ran instead.
pub fn running(world: &mut World, within: Time, service: ServiceId, wanted: usize) -> Result<(), Failure> {
    let count = move |world: &World| {
        world
            .hosts
            .iter()
            .filter(|host| host.node.is_some())
            .flat_map(|host| host.engine.running())
            .filter(|container| container.label().is_some_and(|label| label.slot.service == service))
            .count()
    };
    let done = expect(world, within, "", |world| count(world) == wanted);
    done.map_err(|_| format!("{} of {wanted} tasks run after {} s", count(world), within / SECOND))
}

/// The host that holds the lease.
///
/// # Errors
/// If nobody does in time.
pub fn holder(world: &mut World, within: Time) -> Result<usize, Failure> {
    let mut found = None;
    expect(world, within, "somebody holds the lease", |world| {
        found = world.hosts.iter().position(|host| {
            host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some())
        });
        found.is_some()
    })?;
    found.ok_or_else(|| "nobody holds the lease".to_owned())
}

/// Waits until all agents that run have the same records.
///
/// # Errors
/// If they do not in time.
pub fn equal(world: &mut World, within: Time) -> Result<(), Failure> {
    expect(world, within, "all have the same records", |world| {
        let sums: BTreeSet<_> = world.hosts.iter().filter_map(|host| host.node.as_ref()?.digest()).collect();
        sums.len() <= 1
    })
}

/// Waits for a command's answer.
///
/// # Errors
/// If there is none in time, or it is a refusal.
pub fn answer(world: &mut World, ticket: Ticket, what: &str) -> Result<Reply, Failure> {
    let mut told: Option<Answer> = None;
    expect(world, 20 * SECOND, what, |world| {
        told = world.answers.get(&ticket).map(|(_, answer)| answer.clone());
        told.is_some()
    })?;
    match told {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(refusal)) => Err(format!("{what} was refused: {refusal:?}")),
        None => Err(format!("{what} was not answered")),
    }
}

/// Waits until something holds.
///
/// # Errors
/// What did not, and after how long.
pub fn expect(
    world: &mut World,
    within: Time,
    what: &str,
    holds: impl FnMut(&mut World) -> bool,
) -> Result<(), Failure> {
    let end = world.now + within;
    if world.until(end, holds) { Ok(()) } else { Err(format!("{what}: not within {} s", within / SECOND)) }
}

/// The node that a host's agent is now.
pub fn node_of(world: &World, host: usize) -> NodeId {
    world.hosts[host].id
}
