//! Roles that the halves of a cluster gave and took away while they did not hear each other.

use sleep_core::io::{Command, Refusal, Reply};
use sleep_core::node::Tuning;
use sleep_sim::invariants::Checks;
use sleep_sim::scenario::HostPlan;
use sleep_sim::story;
use sleep_sim::world::{Answer, Network, SECOND, World};
use sleep_wire::CommandId;
use sleep_wire::trust::Role;

/// A cluster of so many, of which the last are workers.
fn formed(control: usize, workers: usize) -> World {
    let count = control + workers;
    let plan = |host| HostPlan { worker: host >= control, ..HostPlan::numbered(host) };
    let plans: Vec<HostPlan> = (0..count).map(plan).collect();
    let mut world = World::of(&plans, 1, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    world
}

fn pass(world: &mut World, seconds: u64) {
    let end = world.now + seconds * SECOND;
    world.until(end, |_| false);
    assert_eq!(world.broken, None);
}

/// These hear nobody else, until the world is healed.
fn cut_off(world: &mut World, hosts: &[usize]) {
    for host in 0..world.hosts.len() {
        for other in hosts.iter().filter(|_| !hosts.contains(&host)) {
            world.cut(host, *other);
            world.cut(*other, host);
        }
    }
}

fn give(world: &mut World, by: usize, to: usize, role: Role) -> Answer {
    let (node, command) = (world.hosts[to].id, CommandId(world.draw()));
    let ticket = world.command(by, Command::NodeRole { node, role, command });
    let end = world.now + 20 * SECOND;
    world.until(end, |world| world.answers.contains_key(&ticket));
    world.answers.get(&ticket).expect("it is answered").1.clone()
}

fn done(world: &mut World, by: usize, to: usize, role: Role) {
    let answer = give(world, by, to, role);
    assert!(matches!(answer, Ok(Reply::Done { changed: true, .. })), "{answer:?}");
}

/// What every agent that runs takes every host's role to be.
fn roles(world: &World) -> Vec<Role> {
    let asked = world.hosts.iter().filter_map(|host| Some((host, host.node.as_ref()?)));
    let told = asked.map(|(host, node)| -> Vec<Role> {
        let rows = node.nodes(host.now(world.now));
        let role = |id| rows.iter().find(|row| row.id == id).expect("a member").role;
        world.hosts.iter().map(|host| role(host.id)).collect()
    });
    let told: Vec<Vec<Role>> = told.collect();
    assert!(told.iter().all(|roles| *roles == told[0]), "{told:?}");
    told[0].clone()
}

use Role::{Control, Worker};

/// Both control nodes go, each where it rests on the other. The one that went last keeps the role until it
/// has promoted somebody.
#[test]
fn the_last_of_all_that_were_demoted_can_promote() {
    let mut world = formed(2, 1);
    cut_off(&mut world, &[1]);
    pass(&mut world, 1);
    done(&mut world, 0, 0, Worker);
    pass(&mut world, 1);
    done(&mut world, 1, 1, Worker);
    world.heal();
    pass(&mut world, 20);
    assert_eq!(roles(&world), [Worker, Control, Worker]);
    assert_eq!(give(&mut world, 1, 1, Worker), Err(Refusal::LastControl));

    done(&mut world, 1, 2, Control);
    pass(&mut world, 20);
    assert_eq!(roles(&world), [Worker, Worker, Control]);
    story::create(&mut world, 2, "web", 3).expect("somebody leads");
}

/// The only voter promotes a worker, and goes at once. That one leads as soon as it may: that it was led
/// itself a moment ago, as a worker, is no reason to wait.
#[test]
fn a_worker_takes_over_at_once() {
    let mut world = formed(1, 2);
    pass(&mut world, 10);
    done(&mut world, 0, 1, Control);
    done(&mut world, 0, 0, Worker);
    pass(&mut world, 2);
    let leads = |host: usize| {
        let host = &world.hosts[host];
        host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some())
    };
    assert_eq!([0, 1, 2].map(leads), [false, true, false]);
}

/// A demoted node has promoted another without knowing, which was demoted since by those who knew. The one
/// that hears of that promotion could not have said it then: said now, it would undo the later word.
#[test]
fn a_late_promotion_undoes_no_later_demotion() {
    let mut world = formed(3, 1);
    cut_off(&mut world, &[1, 2]);
    pass(&mut world, 1);
    done(&mut world, 0, 1, Worker);
    pass(&mut world, 1);
    done(&mut world, 1, 2, Worker);
    done(&mut world, 1, 2, Control);
    pass(&mut world, 1);
    done(&mut world, 0, 3, Control);
    pass(&mut world, 5);
    done(&mut world, 0, 0, Worker);
    pass(&mut world, 5);
    done(&mut world, 3, 2, Worker);
    // Only the one that was promoted brings the word along, and only the one that demoted it hears it.
    world.kill(0);
    world.kill(1);
    world.heal();
    pass(&mut world, 30);
    assert_eq!(roles(&world), [Worker, Worker, Worker, Control]);
}

/// Who may speak is what all disks say together: that the others take themselves for control nodes, as they
/// have not heard yet of their demotion, saves no cluster that loses the one that demoted them.
#[test]
fn the_last_that_may_speak_is_known_before_the_others_hear_of_it() {
    let mut world = formed(3, 1);
    assert!((0..4).all(|host| story::others_may_speak(&world, host)));
    cut_off(&mut world, &[0]);
    pass(&mut world, 1);
    done(&mut world, 0, 1, Worker);
    done(&mut world, 0, 2, Worker);
    assert!((0..3).all(|host| world.hosts[host].is_control(world.now)));
    assert_eq!([0, 1, 2, 3].map(|host| story::others_may_speak(&world, host)), [false, true, true, true]);
}
