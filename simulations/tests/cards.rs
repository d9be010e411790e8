//! Disks that go back, and disks that are lost with their keys.

use sleep_core::io::{Alarm, Event};
use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};
use sleep_wire::durable::{Boots, Cell};

/// A cluster whose disks are remembered, old enough for everybody to have got a seat who should have one.
fn settled(hosts: usize, seed: u64) -> World {
    let mut world = World::new(hosts, seed, Network::default(), &Tuning::default());
    world.remember_disks();
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let service = story::create(&mut world, 0, "web", 6).expect("a calm world");
    story::running(&mut world, 30 * SECOND, service, 6).expect("a calm world");
    let end = world.now + 40 * SECOND;
    world.until(end, |_| false);
    world
}

fn boot(world: &World, host: usize) -> u32 {
    world.hosts[host].disk.cell::<Boots>(Cell::Boots).map_or(0, |boots| boots.boot)
}

/// An agent whose disk went back counts on from the highest number that it ever had, tells people, and is
/// believed by all.
#[test]
fn an_old_disk_is_noticed_and_lived_down() {
    for seed in 0..10 {
        let mut world = settled(4, seed);
        let from = world.now;
        let host = (story::holder(&mut world, SECOND).expect("somebody leads") + 1) % 4;
        for _ in 0..2 {
            world.kill(host);
            world.start(host);
            let soon = world.now + 2 * SECOND;
            world.until(soon, |_| false);
        }
        let (highest, age) = (boot(&world, host), world.now - from);
        world.power_off(host);
        world.put_back(host, age, true);
        assert!(boot(&world, host) < highest, "seed {seed}");
        world.start(host);
        let end = world.now + 30 * SECOND;
        let counted_on = world.until(end, |world| boot(world, host) > highest);
        assert!(counted_on, "seed {seed}: {} after {highest}", boot(&world, host));
        let told = |event: &Event| matches!(event, Event::Alarm(Alarm::OldDisk { .. } | Alarm::Clone { .. }));
        assert!(world.events.iter().any(|(_, at, event)| *at == host && told(event)), "seed {seed}");
        story::equal(&mut world, 30 * SECOND).expect("it has all that the others have");
        let seen = |world: &World| {
            let sees = |host: &sleep_sim::host::Host| host.node.as_ref().map(|node| node.live().len());
            world.hosts.iter().all(|host| sees(host) == Some(4))
        };
        let end = world.now + 60 * SECOND;
        assert!(world.until(end, |world| seen(world)), "seed {seed}");
        assert_eq!(world.broken, None);
    }
}

/// A host that lost its disk is nobody until it is let in, and then another than it was.
#[test]
fn an_empty_disk_is_a_new_node() {
    for seed in 0..10 {
        let mut world = settled(4, seed);
        let host = (story::holder(&mut world, SECOND).expect("somebody leads") + 1) % 4;
        let before = world.hosts[host].id;
        assert!(story::majority_without(&world, host), "three vote");
        world.power_off(host);
        world.empty_disk(host);
        world.start(host);
        let soon = world.now + 15 * SECOND;
        world.until(soon, |_| false);
        let agent = world.hosts[host].node.as_ref().expect("it runs");
        assert_eq!((agent.cluster(), agent.boot()), (None, 1), "seed {seed}");
        story::join(&mut world, host).expect("somebody lets it in");
        assert_ne!(world.hosts[host].id, before);
        story::equal(&mut world, 30 * SECOND).expect("it learns all");
        assert_eq!(world.broken, None);
    }
}
