//! What others are told of a node's engine.

use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};

/// What another node calls ill about a host's runtimes.
fn ill(world: &World, seen_by: usize, host: usize) -> Vec<String> {
    let known = &world.hosts[seen_by];
    let rows = known.node.as_ref().map_or_else(Vec::new, |node| node.nodes(known.now(world.now)));
    let facts = rows.into_iter().filter(|row| row.id == world.hosts[host].id).filter_map(|row| row.facts);
    let runtimes = facts.flat_map(|facts| facts.runtimes);
    runtimes.map(|runtime| runtime.ill).filter(|ill| !ill.is_empty()).collect()
}

/// An agent that was restarted has not asked its engine yet: that is no news of it, and no reason for a
/// planner to avoid the node.
#[test]
fn a_restart_of_an_agent_calls_no_engine_ill() {
    for seed in 0..5 {
        let mut world = World::new(3, seed, Network::default(), &Tuning::default());
        world.checks = Some(Checks::default());
        story::form(&mut world).expect("a calm world");
        let settled = world.now + 10 * SECOND;
        world.until(settled, |_| false);
        assert_eq!(ill(&world, 0, 1), [""; 0]);
        world.kill(1);
        let back = world.now + SECOND;
        world.until(back, |_| false);
        world.start(1);
        let end = world.now + 10 * SECOND;
        let called_ill = world.until(end, |world| !ill(world, 0, 1).is_empty());
        assert!(!called_ill, "seed {seed}: {:?}", ill(&world, 0, 1));
        assert_eq!(world.broken, None);
    }
}

/// An engine that is really ill after the restart is called so.
#[test]
fn an_engine_that_does_not_answer_after_a_restart_is_called_ill() {
    let mut world = World::new(3, 1, Network::default(), &Tuning::default());
    story::form(&mut world).expect("a calm world");
    let settled = world.now + 10 * SECOND;
    world.until(settled, |_| false);
    world.kill(1);
    world.with_engine(1, |engine, now| engine.hang(now, std::time::Duration::from_secs(300)));
    world.start(1);
    let end = world.now + 60 * SECOND;
    assert!(world.until(end, |world| !ill(world, 0, 1).is_empty()));
}
