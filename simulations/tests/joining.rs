//! Newcomers, and doors that cannot let them in by themselves.

use sleep_core::io::{Command, Reply};
use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::scenario::HostPlan;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};
use sleep_wire::trust::Role;

/// A worker is asked, and cannot reach the control node that it would ask first, though all say that it
/// lives: it asks the other, long before the newcomer gives up.
#[test]
fn a_worker_asks_another_control_node_if_one_does_not_answer() {
    let plan = |host| HostPlan { worker: host >= 2, ..HostPlan::numbered(host) };
    let plans: Vec<HostPlan> = (0..4).map(plan).collect();
    let mut world = World::of(&plans, 1, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let (door, newcomer) = (2, 3);
    world.power_off(newcomer);
    world.empty_disk(newcomer);
    world.start(newcomer);
    let seed = world.draw();
    let create =
        Command::TokenCreate { seed, role: Role::Worker, ttl_ms: None, single_use: false, rotate: false };
    let ticket = world.command(0, create);
    let soon = world.now + 10 * SECOND;
    assert!(world.until(soon, |world| world.answers.contains_key(&ticket)));
    let Ok(Reply::Token { token, .. }) = world.answers[&ticket].1.clone() else { panic!("no token") };
    let known = world.now + 5 * SECOND;
    world.until(known, |_| false);

    let first = usize::from(world.hosts[1].id < world.hosts[0].id);
    world.cut(door, first);
    let addresses = vec![world.hosts[door].name().to_owned()];
    let ticket = world.command(newcomer, Command::Join { token: token.to_string(), addresses });
    let end = world.now + 5 * SECOND;
    assert!(world.until(end, |world| world.answers.contains_key(&ticket)), "it still waits");
    assert!(matches!(world.answers[&ticket].1, Ok(Reply::Joined { .. })), "{:?}", world.answers[&ticket].1);
    assert_eq!(world.broken, None);
}
