//! A task that moves stop-first, and a node that does not live to say that it stopped.

use sleep_core::io::Command;
use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};
use sleep_wire::CommandId;
use sleep_wire::node::Availability;

fn runs_on(world: &World, host: usize) -> bool {
    world.hosts[host].engine.running().next().is_some()
}

/// The successor waits until its predecessor's node is given up, and no longer: nobody else would tell it.
#[test]
fn a_successor_starts_once_its_predecessors_node_is_given_up() {
    for seed in 0..10 {
        let mut world = World::new(4, seed, Network::default(), &Tuning::default());
        world.checks = Some(Checks::default());
        story::form(&mut world).expect("a calm world");
        let service = story::create(&mut world, 0, "app", 1).expect("a calm world");
        story::running(&mut world, 30 * SECOND, service, 1).expect("a calm world");
        let settled = world.now + 5 * SECOND;
        world.until(settled, |_| false);
        let old = (0..4).find(|host| runs_on(&world, *host)).expect("it runs somewhere");
        let holder = story::holder(&mut world, SECOND).expect("somebody leads");
        if old == holder {
            continue;
        }
        let command = CommandId(world.draw());
        let node = world.hosts[old].id;
        world.command(
            holder,
            Command::NodeAvailability { node, availability: Availability::Drained, command },
        );
        world.kill(old);
        let end = world.now + 20 * SECOND;
        let moved = world.until(end, |world| (0..4).any(|host| host != old && runs_on(world, host)));
        assert!(moved, "seed {seed}: its successor did not start");
        assert_eq!(world.broken, None);
    }
}
