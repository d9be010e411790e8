//! Nodes that leave a cluster of several: how long it takes, and what the others know of it.

use sleep_core::io::{Command, Durability, Event, Refusal, Reply};
use sleep_core::node::{Node, Tuning};
use sleep_sim::invariants::Checks;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};
use sleep_wire::CommandId;

/// A cluster of so many, old enough for everybody to have got a seat who should have one.
fn settled(hosts: usize, seed: u64) -> World {
    let mut world = World::new(hosts, seed, Network::default(), &Tuning::default());
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    let end = world.now + 40 * SECOND;
    world.until(end, |_| false);
    world
}

/// Leaves, and checks that it takes at most two seconds and that every other knows of it within one second of
/// the removal's being written.
fn leave(world: &mut World, host: usize, others: &[usize]) {
    let gone = world.hosts[host].id;
    let events = world.events.len();
    let began = world.now;
    let ticket = world.command(host, Command::Leave { force: false });
    let left = story::answer(world, ticket, "leave");
    assert_eq!(left, Ok(Reply::Left { durability: Durability::Shared }));
    let took = world.now - began;
    assert!(took <= 2 * SECOND, "leaving took node{} {took} µs", host + 1);
    let told = |other: usize| {
        let is_it = |event: &Event| *event == Event::NodeGone { node: gone };
        world.events[events..].iter().find(|(_, at, event)| *at == other && is_it(event)).map(|told| told.0)
    };
    let times: Vec<_> = others.iter().filter_map(|other| told(*other)).collect();
    assert_eq!(times.len(), others.len(), "somebody does not know that node{} is gone", host + 1);
    let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
    let spread = last.zip(first).map_or(0, |(last, first)| last - first);
    assert!(spread <= SECOND, "the last heard of it {spread} µs after the first");
}

/// The holder goes, then the next, until one is left that leads alone: each knows at once who leads.
#[test]
fn one_after_the_other_leaves_within_two_seconds() {
    for seed in 0..10 {
        let mut world = settled(4, seed);
        let mut left = vec![0, 1, 2, 3];
        while left.len() > 1 {
            let holder = story::holder(&mut world, 10 * SECOND).expect("somebody leads");
            left.retain(|host| *host != holder);
            leave(&mut world, holder, &left);
            assert_eq!(world.broken, None);
            let end = world.now + SECOND;
            let led = world.until(end, |world| {
                let leads = |host: &usize| {
                    let node = world.hosts[*host].node.as_ref();
                    node.is_some_and(|node| node.holding(world.hosts[*host].now(world.now)).is_some())
                };
                left.iter().any(leads)
            });
            assert!(led, "seed {seed}: nobody leads when {left:?} are left");
        }
    }
}

/// A node that does not lead has nothing to hand over but its seat.
#[test]
fn one_that_only_votes_leaves_within_two_seconds() {
    for seed in 0..10 {
        let mut world = settled(5, seed);
        let holder = story::holder(&mut world, 10 * SECOND).expect("somebody leads");
        let leaver = (holder + 1) % 5;
        let others: Vec<usize> = (0..5).filter(|host| *host != leaver).collect();
        leave(&mut world, leaver, &others);
        assert_eq!(world.broken, None);
    }
}

/// A node that was let in a moment ago, and sees nobody yet, leaves once somebody can be told.
#[test]
fn one_that_has_just_joined_leaves_no_trace() {
    for seed in 0..10 {
        let mut world = World::new(2, seed, Network::default(), &Tuning::default());
        world.checks = Some(Checks::default());
        let ticket = world.command(0, Command::Init { nonce: [1; 16], token_seed: [2; 32] });
        let Ok(Reply::Initialised { token, .. }) = story::answer(&mut world, ticket, "init") else {
            panic!("seed {seed}: no cluster");
        };
        let join = |token: String| Command::Join { token, addresses: vec!["node1".to_owned()] };
        let ticket = world.command(1, join(token.to_string()));
        story::answer(&mut world, ticket, "join").expect("the door is open");
        let gone = world.hosts[1].id;
        let ticket = world.command(1, Command::Leave { force: false });
        let left = story::answer(&mut world, ticket, "leave");
        assert_eq!(left, Ok(Reply::Left { durability: Durability::Shared }), "seed {seed}");
        let node = world.hosts[0].node.as_ref().expect("it runs");
        let listed = node.nodes(world.hosts[0].now(world.now)).iter().any(|row| row.id == gone);
        assert!(!listed, "seed {seed}: it is still listed");
        assert_eq!(world.broken, None);
    }
}

/// Nobody would know: a node that is cut off stays, and goes on as before; unless it is forced.
#[test]
fn one_that_nobody_hears_stays() {
    let mut world = settled(3, 1);
    for other in [0, 1] {
        world.cut(other, 2);
        world.cut(2, other);
    }
    let alone = |world: &mut World| world.hosts[2].node.as_ref().is_some_and(|node| node.live().len() == 1);
    let end = world.now + 30 * SECOND;
    assert!(world.until(end, alone), "it believes the others dead");
    let ticket = world.command(2, Command::Leave { force: false });
    let end = world.now + 10 * SECOND;
    world.until(end, |world| world.answers.contains_key(&ticket));
    assert_eq!(world.answers.get(&ticket).map(|(_, answer)| answer), Some(&Err(Refusal::Unheard)));
    world.heal();
    let end = world.now + 30 * SECOND;
    assert!(world.until(end, |world| !alone(world)), "it is a member as before");
    leave(&mut world, 2, &[0, 1]);
    assert_eq!(world.broken, None);
}

/// Two people want the same: while a node that nobody hears still looks for somebody to tell, it learns that
/// it was removed. It goes all the same, and whoever asked it to is told.
#[test]
fn one_that_is_removed_while_it_looks_for_somebody_to_tell_leaves() {
    let mut world = settled(3, 1);
    let holder = story::holder(&mut world, SECOND).expect("somebody leads");
    let leaver = (holder + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|host| *host != leaver).collect();
    for other in &others {
        world.cut(*other, leaver);
        world.cut(leaver, *other);
    }
    let sees = |world: &World| world.hosts[leaver].node.as_ref().map(|node| node.live().len());
    let end = world.now + 30 * SECOND;
    assert!(world.until(end, |world| sees(world) == Some(1)), "it believes the others dead");
    let (node, command) = (world.hosts[leaver].id, CommandId(world.draw()));
    let removal = world.command(holder, Command::NodeRemove { node, compromised: false, command });
    story::answer(&mut world, removal, "rm").expect("the holder may");
    let leave = world.command(leaver, Command::Leave { force: false });
    world.heal();
    let end = world.now + 10 * SECOND;
    world.until(end, |world| world.answers.contains_key(&leave));
    let left = world.answers.get(&leave).map(|(_, answer)| answer);
    assert_eq!(left, Some(&Ok(Reply::Left { durability: Durability::Shared })));
    assert_eq!(world.hosts[leaver].node.as_ref().and_then(Node::cluster), None);
    assert_eq!(world.broken, None);
}

/// Whoever was removed while away learns of it when it comes back: from peers that take nothing else of it.
#[test]
fn one_that_was_removed_while_its_agent_was_down_ends_what_it_ran() {
    for seed in 0..10 {
        let mut world = settled(4, seed);
        let holder = story::holder(&mut world, 10 * SECOND).expect("somebody leads");
        let (gone, other) = ((holder + 1) % 4, (holder + 2) % 4);
        let service = story::create(&mut world, other, "web", 8).expect("a calm world");
        story::running(&mut world, 30 * SECOND, service, 8).expect("a calm world");
        let node = world.hosts[gone].id;
        world.kill(gone);
        let dead = world.now + 15 * SECOND;
        world.until(dead, |_| false);
        let command = CommandId(world.draw());
        let remove = Command::NodeRemove { node, compromised: false, command };
        let ticket = world.command(other, remove);
        story::answer(&mut world, ticket, "node rm").expect("it is down");
        // Long enough for every door to be closed on it.
        let closed = world.now + 10 * SECOND;
        world.until(closed, |_| false);
        assert!(world.hosts[gone].engine.running().count() > 0, "its containers went on without it");
        world.start(gone);
        let end = world.now + 60 * SECOND;
        let ended = world.until(end, |world| {
            let agent = world.hosts[gone].node.as_ref();
            world.hosts[gone].engine.running().count() == 0
                && agent.is_some_and(|node| node.cluster().is_none())
        });
        assert!(ended, "seed {seed}: {} tasks run on", world.hosts[gone].engine.running().count());
        assert_eq!(world.broken, None);
        story::running(&mut world, SECOND, service, 8).expect("eight run, and no more");
    }
}
