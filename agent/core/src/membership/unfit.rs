//! Members that answer too rarely, in the little world: they are found out, and nobody else is taken for one.

use sleep_wire::message::MembershipMessage;

use super::tests::downs;
use super::world::{SECOND, World, id};
use super::*;

/// Whom the others believe up, of those that are bad.
fn believed(world: &World, bad: usize) -> usize {
    let others = world.running().into_iter().filter(|node| *node != bad);
    others.filter(|node| world.sees(*node, bad) != Some(Liveness::Down)).count()
}

/// Four packets of five are lost on their way to one member and from it: SWIM keeps it for ever. Here it is
/// down for all within half a minute and stays down; nobody else is called dead; and once it is well it is
/// back.
#[test]
fn a_member_that_hardly_answers_is_down() {
    for (count, seed) in [(4, 61), (9, 62), (20, 63)] {
        let mut world = World::new(count, seed);
        world.run(10 * SECOND);
        world.told.clear();
        world.bad.insert(1, 800);
        let took = world.run_until(45 * SECOND, |world| believed(world, 1) == 0);
        assert!(took.is_some(), "{count} nodes: {} still believe in it", believed(&world, 1));
        world.run(10 * SECOND);
        for _ in 0..60 {
            world.run(SECOND);
            let up: Vec<_> = world.told.iter().filter(|told| told.node != 1).collect();
            let up = up.iter().filter(|told| told.what == MembershipOutput::Up { node: id(1) });
            assert!(up.count() <= count, "{count} nodes: it comes and goes");
        }
        let wronged = world.told.iter().filter(|told| told.node != 1).filter_map(|told| match told.what {
            MembershipOutput::Down { node } if node != id(1) => Some((told.node, node)),
            _ => None,
        });
        assert_eq!(wronged.collect::<Vec<_>>(), [], "{count} nodes");
        world.bad.clear();
        world.run(120 * SECOND);
        assert!(world.agrees(), "{count} nodes: it is well again");
        world.assert_tables_equal_foca();
    }
}

/// Where everybody loses much, everybody contradicts all the time, and it is nobody's fault.
#[test]
fn a_bad_network_is_nobodys_fault() {
    for (count, seed) in [(5, 64), (12, 65)] {
        let mut world = World::new(count, seed);
        world.run(10 * SECOND);
        world.loss = 250;
        world.run(60 * SECOND);
        world.told.clear();
        world.run(300 * SECOND);
        assert_eq!(downs(&world), BTreeSet::new(), "{count} nodes");
    }
}

/// One that lies can make another contradict all the time: that one answers when it is tried.
#[test]
fn a_member_that_is_slandered_is_not_unfit() {
    let mut world = World::new(8, 66);
    world.run(10 * SECOND);
    world.told.clear();
    for _ in 0..300 {
        let about = world.room(1).me();
        let incarnation = world.room(1).incarnation;
        for to in 1..8 {
            let message = MembershipMessage::Witness { about, incarnation };
            world.input(to, MembershipInput::Message { from: id(0), message });
        }
        world.run(SECOND / 5);
    }
    let contested = |node: usize| world.room(node).table.is_contested(id(1), Instant(world.now));
    assert!((2..8).all(contested), "it had to contradict all the time");
    assert_eq!(downs(&world), BTreeSet::new());
}
