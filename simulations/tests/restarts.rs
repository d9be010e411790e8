//! What an agent's death leaves of a task that fails meanwhile.

use std::collections::BTreeSet;

use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, Time, World};
use sleep_wire::task::{Exit, TaskId};

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
