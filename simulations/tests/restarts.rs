//! What an agent's death leaves of a task that fails meanwhile, and what those miss who were started since
//! another died.

use std::collections::BTreeSet;

use sleep_core::io::Event;
use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, Time, World};
use sleep_wire::task::{Exit, TaskId};
use sleep_wire::{Epoch, Stamp};

/// A lone node that runs one task.
fn running_one(seed: u64) -> (World, TaskId) {
    let mut world = World::new(1, seed, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let service = story::create(&mut world, 0, "app", 1).expect("a calm world");
    story::running(&mut world, 30 * SECOND, service, 1).expect("a calm world");
    let end = world.now + SECOND;
    world.until(end, |_| false);
    let running: Vec<TaskId> = running(&world).into_iter().collect();
    assert_eq!(running.len(), 1);
    (world, running[0])
}

fn running(world: &World) -> BTreeSet<TaskId> {
    let labels = world.hosts[0].engine.running().filter_map(|container| container.label());
    labels.map(|label| label.task).collect()
}

/// A task fails and its agent dies at some moment of what follows: the assignment goes on with its next
/// attempt, whatever had reached the disk.
#[test]
fn an_agent_that_dies_while_a_task_fails_starts_it_again() {
    for (seed, step) in (0..4).flat_map(|seed| (0..40).map(move |step| (seed, step))) {
        let (mut world, task) = running_one(seed);
        let exit = Exit { code: 1, out_of_memory: false };
        world.with_engine(0, |engine, now| engine.exit(now, task, exit));
        let dies: Time = world.now + step * 250;
        world.until(dies, |_| false);
        world.kill(0);
        let back = world.now + SECOND;
        world.until(back, |_| false);
        world.start(0);
        let next = TaskId { attempt: 2, ..task };
        let end = world.now + 20 * SECOND;
        let again = world.until(end, |world| running(world) == BTreeSet::from([next]));
        assert!(again, "seed {seed}, {} µs: {:?} in place of {next:?}", step * 250, running(&world));
        assert_eq!(world.broken, None);
    }
}

/// All but one come back after a power cut. The lost one is waited for when the first leader plans, as nobody
/// has heard of it since; when that leader dies, the next plans at once.
#[test]
fn a_member_that_never_came_back_delays_no_later_leader() {
    let mut world = World::new(5, 1, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    story::three_vote(&mut world, 60 * SECOND).expect("a calm world");
    let service = story::create(&mut world, 0, "app", 4).expect("somebody leads");
    story::running(&mut world, 30 * SECOND, service, 4).expect("somebody leads");
    let lost = 4;
    (0..5).for_each(|host| world.power_off(host));
    (0..lost).for_each(|host| world.start(host));
    let leads = |world: &World, host: usize| {
        let host = &world.hosts[host];
        host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some())
    };
    let end = world.now + 60 * SECOND;
    assert!(world.until(end, |world| (0..lost).any(|host| leads(world, host))));
    let later = world.now + 120 * SECOND;
    world.until(later, |_| false);
    let first = (0..lost).find(|host| leads(&world, *host)).expect("somebody leads");
    world.power_off(first);
    let (now, end) = (world.now, world.now + 60 * SECOND);
    let others = || (0..lost).filter(|host| *host != first);
    assert!(world.until(end, |world| others().any(|host| leads(world, host))));
    let (acquired, epoch) = acquired_since(&world, now);
    assert!(world.until(end, |world| others().any(|host| has_planned(world, host, epoch))));
    assert!(world.now < acquired + SECOND, "it leads at {acquired} and plans at {} µs", world.now);
    assert_eq!(world.broken, None);
}

/// When the last lease since began, and which.
fn acquired_since(world: &World, since: Time) -> (Time, Epoch) {
    let acquired = world.events.iter().rev().find_map(|(at, _, event)| match event {
        Event::LeaseAcquired { epoch } if *at >= since => Some((*at, *epoch)),
        _ => None,
    });
    acquired.expect("somebody leads")
}

/// Whether a host has a slot's record of an epoch.
fn has_planned(world: &World, host: usize, of: Epoch) -> bool {
    let mut entries = world.hosts[host].node.iter().flat_map(sleep_core::node::Node::entries);
    entries.any(|entry| matches!(entry.stamp(), Stamp::Lease { epoch, .. } if epoch == of))
}
