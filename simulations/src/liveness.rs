//! What must come about once nothing goes wrong any more, and by when.
//!
//! # Not here
//! What must never happen: `invariants`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sleep_core::io::Event;
use sleep_core::view::{Life, TaskFilter};
use sleep_wire::node::Availability;
use sleep_wire::trust::Role;
use sleep_wire::{Epoch, NodeId, Record, ServiceId, Stamp, decode};

use crate::engine::Container;
use crate::host::{Host, SimNode};
use crate::world::{SECOND, Time, World};

/// For how long a leader is not asked for: a voter that has just restarted says nothing for a lease, and if
/// it has company in that, the holder loses the lease once more although nothing goes wrong any more.
pub const SETTLING: Time = 5 * SECOND;
/// By when all agents name one leader, which agrees.
pub const LEADER_WITHIN: Time = 30 * SECOND;
/// By when every agent believes that every other answers.
pub const SEEN_WITHIN: Time = 60 * SECOND;
/// By when what was written is everywhere, from the moment when all see each other; and by when all have the
/// same records, from the moment when nothing is left to be written: a rollout writes at each of its steps.
pub const EQUAL_WITHIN: Time = 10 * SECOND;
/// By when what runs is what was asked for, and drained nodes are empty.
pub const RUNNING_WITHIN: Time = 120 * SECOND;
/// For how long nothing changes then.
pub const QUIET_FOR: Time = 60 * SECOND;
/// By when that has ended which another has taken over from: work returns to a node some time after its
/// rejoin, begins there first, and a task that does not heed its signal has ten seconds' grace.
const STOPPED_WITHIN: Time = 12 * SECOND;
/// How often is looked.
const EVERY: Time = SECOND / 4;

/// How long each step took, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Until one leader.
    pub leader: Time,
    /// Until all see all.
    pub seen: Time,
    /// Until what runs is what was asked for.
    pub running: Time,
    /// Until all have the same records.
    pub equal: Time,
}

/// What did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// In a word that is the same for all that miss the same.
    pub what: &'static str,
    /// How it stood instead.
    pub how: String,
}

impl Missing {
    /// A cluster did not even form and deploy.
    pub const fn formed(how: String) -> Self {
        Self { what: "formed", how }
    }

    const fn new(what: &'static str, how: String) -> Option<Self> {
        Some(Self { what, how })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, how } = self;
        write!(f, "{what}: {how}")
    }
}

/// Waits for all of it.
///
/// # Errors
/// What did not come about.
pub fn judge(world: &mut World) -> Result<Times, Missing> {
    let began = world.now;
    world.until(began + SETTLING, |_| false);
    await_none(world, LEADER_WITHIN - SETTLING, leaders)?;
    let leader = world.now - began;
    await_none(world, SEEN_WITHIN, unseen)?;
    let seen = world.now - began;
    let written = written(world);
    await_none(world, EQUAL_WITHIN, |world| not_passed_on(world, &written))?;
    await_none(world, RUNNING_WITHIN, unfinished)?;
    let running = world.now - began;
    await_none(world, EQUAL_WITHIN, unequal)?;
    let equal = world.now - began;
    let times = Times { leader, seen, equal, running };
    // A leader whose disk went back starts once more when it has learnt of that.
    await_none(world, LEADER_WITHIN, leaders)?;
    let held = holders(world);
    let quiet_from = world.now;
    while world.now < quiet_from + QUIET_FOR && world.broken.is_none() {
        world.until(world.now + SECOND, |_| false);
        if holders(world) != held {
            let how = format!("it changed from {held:?} to {:?} for no reason", holders(world));
            return Err(Missing { what: "steady_leader", how });
        }
    }
    await_none(world, EQUAL_WITHIN, unequal)?;
    await_none(world, EVERY, |world| unfinished_but_for(world, is_being_stopped))?;
    await_none(world, STOPPED_WITHIN, unfinished)?;
    Ok(times)
}

/// Whether somebody was called dead who was there all the time, and whom nothing kept from answering.
pub fn slandered(world: &World, answering: &BTreeSet<usize>) -> Option<Missing> {
    let named = |id: NodeId| answering.iter().find(|host| world.hosts[**host].id == id);
    world.events.iter().find_map(|(at, by, event)| {
        let Event::NodeDown { node, .. } = event else { return None };
        let (by, host, at) = (&world.hosts[*by], &world.hosts[*named(*node)?], *at as f64 / SECOND as f64);
        Missing::new("not_slandered", format!("{} called {} dead at {at:.1} s", by.name(), host.name()))
    })
}

/// Waits until there is nothing to complain of.
fn await_none(
    world: &mut World,
    within: Time,
    complaint: impl Fn(&World) -> Option<Missing>,
) -> Result<(), Missing> {
    let end = world.now + within;
    loop {
        let Some(Missing { what, how }) = complaint(world) else { return Ok(()) };
        if world.broken.is_some() {
            return Ok(());
        }
        if world.now >= end {
            let how = format!("{how} ({} s after that was due to begin)", within / SECOND);
            return Err(Missing { what, how });
        }
        world.until((world.now + EVERY).min(end), |_| false);
    }
}

fn holders(world: &World) -> Vec<Epoch> {
    let holding = |host: &Host| host.node.as_ref()?.holding(host.now(world.now));
    world.hosts.iter().filter_map(holding).collect()
}

fn leaders(world: &World) -> Option<Missing> {
    let held = holders(world);
    let [epoch] = held.as_slice() else {
        return Missing::new("one_leader", format!("these hold the lease: {held:?}"));
    };
    if world.hosts.iter().any(|host| host.id == epoch.candidate && !host.is_control(world.now)) {
        return Missing::new("one_leader", format!("{epoch:?} is held by a worker, which may not plan"));
    }
    for (number, host) in world.hosts.iter().enumerate() {
        let Some(node) = &host.node else { continue };
        let leader = node.status(host.now(world.now)).leader;
        if leader != Some((*epoch, true)) {
            let how = format!("{epoch:?} holds the lease, and node{} names {leader:?}", number + 1);
            return Missing::new("leader_known", how);
        }
    }
    None
}

fn unseen(world: &World) -> Option<Missing> {
    let alive = world.hosts.iter().filter(|host| host.node.is_some()).count();
    for (number, host) in world.hosts.iter().enumerate() {
        let Some(node) = &host.node else { continue };
        let seen = node.live().len();
        if seen != alive {
            return Missing::new("all_seen", format!("node{} sees {seen} of {alive} nodes", number + 1));
        }
    }
    None
}

/// The newest stamp of every record that anybody has.
fn written(world: &World) -> BTreeMap<Vec<u8>, Stamp> {
    let mut newest = BTreeMap::new();
    for node in world.hosts.iter().filter_map(|host| host.node.as_ref()) {
        for (key, stamp) in stamps(node) {
            newest.entry(key).and_modify(|known: &mut Stamp| *known = stamp.max(*known)).or_insert(stamp);
        }
    }
    newest
}

/// What was written by then and is not everywhere, though others may be written meanwhile. What nobody has
/// any more was void, as its author had been demoted or removed: that is for `acked_is_durable` to judge.
fn not_passed_on(world: &World, before: &BTreeMap<Vec<u8>, Stamp>) -> Option<Missing> {
    let now = written(world);
    let is_held = |(key, stamp): &(&Vec<u8>, &Stamp)| now.get(*key).is_some_and(|newest| newest >= *stamp);
    for (number, host) in world.hosts.iter().enumerate() {
        let Some(node) = &host.node else { continue };
        let has: BTreeMap<Vec<u8>, Stamp> = stamps(node).collect();
        let lacks = |(key, stamp): &(&Vec<u8>, &Stamp)| has.get(*key).is_none_or(|has| has < *stamp);
        if let Some((key, stamp)) = before.iter().filter(is_held).find(lacks) {
            let key = sleep_wire::Key::from_bytes(key);
            return Missing::new("passed_on", format!("node{} lacks {key:?} of {stamp:?}", number + 1));
        }
    }
    None
}

fn stamps(node: &SimNode) -> impl Iterator<Item = (Vec<u8>, Stamp)> {
    let read = |bytes: &[u8]| decode::<Record>(bytes).ok().map(|record| (record.key, record.stamp));
    node.records().filter_map(read)
}

/// Whether all have the same records, and read the same roles in them.
fn unequal(world: &World) -> Option<Missing> {
    let nodes = || world.hosts.iter().filter_map(|host| Some((host, host.node.as_ref()?)));
    let sums: BTreeSet<_> = nodes().filter_map(|(_, node)| node.digest()).collect();
    if sums.len() > 1 {
        return Missing::new("equal", format!("there are {} sets of records", sums.len()));
    }
    let roles = |host: &Host, node: &SimNode| {
        let rows = node.nodes(host.now(world.now)).into_iter();
        rows.map(|row| (row.id, row.role == Role::Control)).collect::<BTreeSet<_>>()
    };
    let views: BTreeSet<_> = nodes().map(|(host, node)| roles(host, node)).collect();
    if views.len() > 1 {
        return Missing::new("equal", format!("of one set of records there are {} readings", views.len()));
    }
    None
}

/// What is not as users asked for: told by each agent, and counted on the engines.
fn unfinished(world: &World) -> Option<Missing> {
    unfinished_but_for(world, |_, _| false)
}

/// The same where some of a service's tasks do not count.
fn unfinished_but_for(world: &World, left_out: impl Fn(&Host, &Container) -> bool) -> Option<Missing> {
    let host = world.hosts.iter().find(|host| host.node.is_some())?;
    let (node, now) = (host.node.as_ref()?, host.now(world.now));
    let nodes = node.nodes(now);
    let takes = |id: NodeId, states: &[Availability]| {
        nodes.iter().any(|row| row.id == id && row.life == Life::Alive && states.contains(&row.availability))
    };
    let services = node.services(now);
    for service in &services {
        let count = running_of(world, Some(service.id), |_| true, &left_out);
        let none_takes = !nodes.iter().any(|row| takes(row.id, &[Availability::Active]));
        if count != service.desired as usize && !none_takes {
            let what = if count < service.desired as usize { "all_run" } else { "no_more_run" };
            return Missing::new(
                what,
                format!("{count} of {} tasks of {} run", service.desired, service.name),
            );
        }
    }
    let known: BTreeSet<ServiceId> = services.iter().map(|service| service.id).collect();
    let strays = |host: &Host| {
        let labels = host.engine.running().filter_map(|container| container.label().cloned());
        labels.filter(|label| !known.contains(&label.slot.service)).count()
    };
    let strays: usize = world.hosts.iter().filter(|host| host.node.is_some()).map(strays).sum();
    if strays > 0 {
        return Missing::new("removed_is_gone", format!("{strays} tasks of removed services run"));
    }
    let active = nodes.iter().any(|row| takes(row.id, &[Availability::Active]));
    let left = running_of(world, None, |id| takes(id, &[Availability::Drained]), |_, _| false);
    if active && left > 0 {
        return Missing::new("drained_is_empty", format!("{left} tasks run on drained nodes"));
    }
    for service in &services {
        let count = running_of(world, Some(service.id), |_| true, &left_out);
        for host in &world.hosts {
            let Some(node) = &host.node else { continue };
            let row = node.services(host.now(world.now)).into_iter().find(|row| row.id == service.id);
            let told = row.as_ref().map(|row| (row.running as usize, row.desired));
            if told != Some((count, service.desired)) {
                let how = format!("{} tells of {}: {told:?} run, and {count} do", host.name(), service.name);
                return Missing::new("told_as_it_is", how);
            }
        }
    }
    None
}

/// How many tasks run, where an agent answers for them.
fn running_of(
    world: &World,
    service: Option<ServiceId>,
    on: impl Fn(NodeId) -> bool,
    left_out: impl Fn(&Host, &Container) -> bool,
) -> usize {
    let hosts = world.hosts.iter().filter(|host| host.node.is_some() && on(host.id));
    let counted = hosts.flat_map(|host| host.engine.running().filter(|container| !left_out(host, container)));
    let labels = counted.filter_map(|container| container.label());
    labels.filter(|label| service.is_none_or(|service| label.slot.service == service)).count()
}

/// Whether a task's node has asked for it to stop: it is in its grace. Not so if it is wanted all the same: a
/// node whose disk went back had started it once before.
fn is_being_stopped(host: &Host, container: &Container) -> bool {
    let Some(task) = container.task() else { return false };
    let is_wanted = |node: &SimNode| {
        let rows = node.tasks(&TaskFilter::default());
        rows.iter().any(|row| (row.task, row.node) == (Some(task), Some(host.id)) && row.wanted)
    };
    let was_asked = host.engine.tally().get(&task).is_some_and(|tally| tally.stops > 0);
    was_asked && !host.node.as_ref().is_some_and(is_wanted)
}
