//! Hosts that are given other addresses.

use sleep_core::node::Tuning;
use sleep_sim::host::Host;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};

fn settled(hosts: usize, seed: u64) -> World {
    let mut world = World::new(hosts, seed, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let service = story::create(&mut world, 0, "web", 4).expect("a calm world");
    story::running(&mut world, 30 * SECOND, service, 4).expect("a calm world");
    let end = world.now + 10 * SECOND;
    world.until(end, |_| false);
    world
}

fn all_see_all(world: &World) -> bool {
    let count = world.hosts.len();
    let sees = |host: &Host| host.node.as_ref().map(|node| node.live().len());
    world.hosts.iter().all(|host| sees(host) == Some(count))
}

fn wait(world: &mut World, seconds: u64) {
    let end = world.now + seconds * SECOND;
    world.until(end, |_| false);
}

/// The only one that did not move tells the others where they are.
#[test]
fn all_but_one_move_and_find_each_other() {
    for seed in 0..10 {
        let mut world = settled(5, seed);
        (1..5).for_each(|host| world.move_away(host));
        wait(&mut world, 60);
        assert!(all_see_all(&world), "seed {seed}");
        // What they found out in passing is forgotten with their agents; what they were told is not.
        (0..5).for_each(|host| world.kill(host));
        world.move_away(0);
        (0..5).for_each(|host| world.start(host));
        wait(&mut world, 30);
        assert!(all_see_all(&world), "seed {seed}, after a restart");
        story::equal(&mut world, 10 * SECOND).expect("all that was told is everywhere");
        assert_eq!(world.broken, None);
    }
}

/// Each is where the other was: nobody takes the one for the other, and a third tells them.
#[test]
fn two_that_change_places_find_each_other() {
    for seed in 0..10 {
        let mut world = settled(3, seed);
        world.swap_addresses(0, 1);
        wait(&mut world, 60);
        assert!(all_see_all(&world), "seed {seed}");
        assert_eq!(world.broken, None);
    }
}

/// Nobody is where anybody looks: that does not mend itself, and one right address is enough.
#[test]
fn one_right_address_brings_all_together() {
    let mut world = settled(3, 1);
    (0..3).for_each(|host| world.move_away(host));
    wait(&mut world, 120);
    let sees = |world: &World, host: usize| world.hosts[host].node.as_ref().map(|node| node.live().len());
    assert_eq!([0, 1, 2].map(|host| sees(&world, host)), [Some(1); 3]);
    world.find_the_lost();
    let back = world.hosts.iter().filter(|host| host.address == host.first_address()).count();
    assert_eq!(back, 1, "one is enough");
    wait(&mut world, 60);
    assert!(all_see_all(&world));
    assert_eq!(world.broken, None);
}

/// What a node is, the others know at once, also if several join at one moment: none of them sees the others
/// yet when it says so.
#[test]
fn a_few_that_join_at_one_moment_know_each_other() {
    for (seed, hosts) in (1..=5).flat_map(|seed| (3..=9).map(move |hosts| (seed, hosts))) {
        let mut world = World::new(hosts, seed, Network::default(), &Tuning::default());
        story::form(&mut world).expect("they agree");
        let known = |world: &mut World| {
            let nodes = |host: &Host| Some(host.node.as_ref()?.nodes(host.now(world.now)));
            let rows = world.hosts.iter().filter_map(nodes).flatten();
            rows.filter(|row| row.facts.is_some()).count() == hosts * hosts
        };
        let end = world.now + SECOND / 2;
        assert!(world.until(end, known), "seed {seed}, {hosts} hosts");
    }
}

/// Whoever is not known as a member yet is let in by nobody but its door: it must not take long until all
/// know who was admitted, and where it is.
#[test]
fn many_that_join_at_one_moment_agree() {
    for seed in 1..=8 {
        let mut world = World::new(40, seed, Network::default(), &Tuning::default());
        story::form(&mut world).expect("they agree");
        assert!(world.now < 5 * SECOND, "seed {seed}: {} µs", world.now);
    }
}
