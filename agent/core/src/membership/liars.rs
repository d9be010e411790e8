//! Members that lie, in the little world: what they say of others is found out, and does not last.

use alloc::boxed::Box;

use foca::Header;
use sleep_wire::message::MembershipMessage;
use sleep_wire::swim::Peer;

use super::swim::Packet;
use super::tests::downs;
use super::world::{self, MS, SECOND, World, id, index};
use super::*;

/// Everything that a member that lies may say of another's death.
fn call_dead(world: &mut World, by: usize, to: usize, of: usize) {
    let (me, dst, peer) = (world.room(by).me(), world.room(to).me(), world.room(of).me());
    let members = Vec::from([RosterEntry { peer, incarnation: 0, state: RosterState::Down }]);
    let message = MembershipMessage::Roster { members, answer: false };
    world.input(to, MembershipInput::Message { from: id(by), message });
    let header = Header { src: me, src_incarnation: 0, dst, message: SwimMessage::Gossip };
    let bytes = Packet { header, updates: Vec::from([Member::down(peer)]) }.write();
    world.input(to, MembershipInput::Swim { from: id(by), bytes });
    let message = MembershipMessage::Witness { about: peer, incarnation: 0 };
    world.input(to, MembershipInput::Message { from: id(by), message });
}

/// One member may call others dead as often as it likes: nobody believes it, and who dies is missed as soon.
#[test]
fn one_member_alone_calls_nobody_dead() {
    for (count, seed) in [(4, 41), (5, 42), (12, 43)] {
        let mut world = World::new(count, seed);
        world.run(10 * SECOND);
        world.told.clear();
        for round in 0..150 {
            let (to, of) = (1 + round % (count - 1), 1 + (round / 7) % (count - 1));
            if to != of {
                call_dead(&mut world, 0, to, of);
            }
            world.run(200 * MS);
        }
        assert_eq!(downs(&world), BTreeSet::new(), "{count} nodes");
        world.assert_tables_equal_foca();
        world.kill(1);
        let took = world.run_until(20 * SECOND, World::agrees);
        assert!(took.is_some_and(|took| took <= 7 * SECOND), "{count} nodes: {took:?}");
    }
}

/// Two who say so find a third that has not missed it yet within two round trips; one, within four.
#[test]
fn a_death_costs_a_probe() {
    for (tellers, most) in [(1, 700 * MS), (2, 300 * MS)] {
        let mut world = World::new(6, 44);
        world.run(10 * SECOND);
        world.open = Box::new(|_, to| to != 5);
        for by in 0..tellers {
            let members = Vec::from([RosterEntry {
                peer: world.room(5).me(),
                incarnation: 0,
                state: RosterState::Down,
            }]);
            let message = MembershipMessage::Roster { members, answer: false };
            world.input(4, MembershipInput::Message { from: id(by), message });
        }
        assert_eq!(world.sees(4, 5), Some(Liveness::Alive));
        let took = world.run_until(SECOND, |world| world.sees(4, 5) == Some(Liveness::Down));
        assert!(took.is_some_and(|took| took <= most), "{tellers}: {took:?}");
    }
}

/// No member can banish another by claiming an identity for it that it could never outdo, nor use its
/// counters up.
#[test]
fn a_lie_about_an_identity_does_not_last() {
    let lie = |peer, state| MembershipMessage::Roster {
        members: Vec::from([RosterEntry { peer, incarnation: u16::MAX, state }; 2]),
        answer: false,
    };
    let lies = [
        (Peer { node: id(3), boot: u32::MAX, renewal: 0 }, RosterState::Alive),
        (Peer { node: id(3), boot: u32::MAX, renewal: u16::MAX }, RosterState::Down),
        (Peer { node: id(3), boot: 1, renewal: u16::MAX }, RosterState::Down),
        (Peer { node: id(3), boot: 1, renewal: 0 }, RosterState::Suspect),
        (Peer { node: id(3), boot: 1, renewal: 0 }, RosterState::Down),
        (Peer { node: id(3), boot: 2, renewal: 0 }, RosterState::Alive),
        (Peer { node: id(3), boot: 2, renewal: 0 }, RosterState::Down),
        (Peer { node: id(3), boot: 1, renewal: 200 }, RosterState::Suspect),
        (Peer { node: id(3), boot: 1, renewal: 200 }, RosterState::Down),
    ];
    for (peer, state) in lies {
        let mut world = World::new(5, 25);
        world.run(10 * SECOND);
        // Node 4 starts anew, hears the lie first and has nothing to hold against it.
        world.kill(4);
        world.start(4, 2, 0..5);
        for node in [1, 2, 3, 4] {
            world.input(node, MembershipInput::Message { from: id(0), message: lie(peer, state) });
        }
        world.run(20 * SECOND);
        assert!(world.agrees(), "{peer:?} {state:?}");
        world.assert_tables_equal_foca();
        let old = |told: &&world::Told| matches!(told.what, MembershipOutput::OldDisk { .. });
        assert_eq!(world.told.iter().filter(old).count(), 0);
    }
}

/// An agent with an old disk learns so, and two agents with one key are named.
#[test]
fn old_disks_and_clones_are_told() {
    let mut world = World::new(3, 17);
    world.run(10 * SECOND);
    world.kill(2);
    world.start(2, 7, 0..3);
    world.run(2 * SECOND);
    world.kill(2);
    world.told.clear();
    world.start(2, 3, 0..3);
    for peer in [id(0), id(1)] {
        world.input(2, MembershipInput::Connected { peer });
    }
    world.run(2 * SECOND);
    let said = |world: &World, node: usize| {
        let told = world.told.iter().filter(|told| told.node == node);
        told.map(|told| told.what.clone())
            .filter(|what| matches!(what, MembershipOutput::OldDisk { .. } | MembershipOutput::Clone { .. }))
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&world, 2), [MembershipOutput::OldDisk { known: 7 }]);
    world.told.clear();
    for nonce in [5, 6] {
        let message = MembershipMessage::BootQuery { boot: 8, nonce };
        world.input(0, MembershipInput::Message { from: id(2), message });
    }
    assert_eq!(said(&world, 0), [MembershipOutput::Clone { node: id(2) }]);
    for from in [0, 0, 1] {
        assert_eq!(said(&world, 2), []);
        let message = MembershipMessage::BootAnswer { highest: 3, cloned: true };
        world.input(2, MembershipInput::Message { from: id(from), message });
    }
    assert_eq!(said(&world, 2), [MembershipOutput::Clone { node: id(2) }]);
}

/// A disk that is old, and one member alone that was shown a later boot. It is not believed, for it might
/// lie; nobody else knows of that boot, so it gives in.
#[test]
fn who_alone_knows_of_a_boot_gives_in() {
    let mut world = World::new(5, 67);
    world.run(10 * SECOND);
    world.kill(4);
    world.run(10 * SECOND);
    world.open = Box::new(|from, to| (from != 4 && to != 4) || from == 0 || to == 0);
    world.start(4, 5, 0..5);
    world.run(3 * SECOND);
    assert_eq!(world.sees(0, 4), Some(Liveness::Alive));
    world.kill(4);
    world.run(10 * SECOND);
    world.open = Box::new(|_, _| true);
    world.start(4, 3, 0..5);
    let took = world.run_until(60 * SECOND, World::agrees);
    assert!(took.is_some(), "{:?}", world.sees(0, 4));
    world.assert_tables_equal_foca();
}

/// One member that says so might lie; two have to. Neither takes the counter to its end.
#[test]
fn one_member_alone_does_not_make_a_disk_old() {
    let mut world = World::new(4, 19);
    world.run(10 * SECOND);
    let mut tell = |from: usize, highest: u32| {
        world.told.clear();
        let message = MembershipMessage::BootAnswer { highest, cloned: false };
        world.input(2, MembershipInput::Message { from: id(from), message });
        world.told.iter().map(|told| told.what.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tell(0, u32::MAX), []);
    assert_eq!(tell(0, 9), []);
    assert_eq!(tell(0, 12), []);
    assert_eq!(tell(1, 8), [MembershipOutput::OldDisk { known: 8 }]);
    assert_eq!(tell(3, 12), [MembershipOutput::OldDisk { known: 12 }]);
}

/// Who gives another an identity that it does not have yet is believed by nobody, however often it says so to
/// how many: neither is that one called dead, nor does it take its own disk for an old one.
#[test]
fn an_identity_is_its_owners_to_tell() {
    for (boots, renewals, incarnations) in [(1, 0, 0), (0, 1, 0), (0, 200, 0), (0, 0, 200)] {
        for state in [RosterState::Alive, RosterState::Suspect, RosterState::Down] {
            let mut world = World::new(5, 45);
            world.run(10 * SECOND);
            world.told.clear();
            for round in 0..120 {
                let (to, of) = (1 + round % 4, 1 + (round / 4) % 4);
                let me = world.room(of).me();
                let peer = Peer { boot: me.boot + boots, renewal: me.renewal + renewals, ..me };
                let members = Vec::from([RosterEntry { peer, incarnation: incarnations, state }]);
                let message = MembershipMessage::Roster { members, answer: false };
                world.input(to, MembershipInput::Message { from: id(0), message });
                world.run(100 * MS);
            }
            assert_eq!(downs(&world), BTreeSet::new());
            let old = |told: &world::Told| matches!(told.what, MembershipOutput::OldDisk { .. });
            assert!(!world.told.iter().any(old));
            for (node, other) in (1..5).flat_map(|node| (1..5).map(move |other| (node, other))) {
                let known = world.room(node).table.get(id(other)).map(|known| known.peer);
                assert!(
                    node == other || known == Some(world.room(other).me()),
                    "{node} of {other}: {known:?}"
                );
            }
            world.assert_tables_equal_foca();
        }
    }
}

/// A node that starts anew believes the first one that it meets, until those speak themselves of whom it
/// heard.
#[test]
fn a_newcomer_is_not_misled_for_long() {
    let mut world = World::new(6, 46);
    world.run(10 * SECOND);
    world.kill(5);
    world.start(5, 2, 0..6);
    let entry = |node| RosterEntry {
        peer: Peer { node: id(node), boot: 7, renewal: 3 },
        incarnation: 9,
        state: if node % 2 == 0 { RosterState::Down } else { RosterState::Alive },
    };
    let message = MembershipMessage::Roster { members: (1..5).map(entry).collect(), answer: false };
    world.input(5, MembershipInput::Message { from: id(0), message });
    world.run(5 * SECOND);
    assert!(world.agrees());
    for node in 0..6 {
        let told = world.room(node).table.entries();
        assert!(
            told.into_iter().all(|entry| entry.peer == world.room(index(entry.peer.node)).me()),
            "{node}"
        );
    }
    world.assert_tables_equal_foca();
}

/// Of three, two of which do not hear each other, the third tells that one was restarted, and is believed.
#[test]
fn the_only_one_who_can_tell_is_believed() {
    let mut world = World::new(3, 47);
    world.run(10 * SECOND);
    world.open = Box::new(|from, to| from + to != 2 || from == to);
    world.run(5 * SECOND);
    world.kill(2);
    world.start(2, 2, 0..3);
    let took = world.run_until(20 * SECOND, |world| {
        world.room(0).table.get(id(2)).map(|known| known.peer.boot) == Some(2)
    });
    assert!(took.is_some_and(|took| took <= 5 * SECOND), "{took:?}");
    world.run(60 * SECOND);
    assert!(world.agrees());
}

/// Who is told again and again that it is dead itself misses others as soon as ever, and does not use its
/// renewals up.
#[test]
fn who_is_called_dead_to_its_face_still_looks() {
    for seed in 0..4 {
        let mut world = World::new(5, 48 + seed);
        world.run(10 * SECOND);
        let slander = |world: &mut World, time: u64| {
            let end = world.now + time;
            while world.now < end
                && world
                    .sees(1, 4)
                    .zip(world.sees(2, 4))
                    .is_some_and(|seen| seen != (Liveness::Down, Liveness::Down))
            {
                (1..4).for_each(|node| call_dead(world, 0, node, node));
                world.run(50 * MS);
            }
        };
        slander(&mut world, 30 * SECOND);
        world.told.clear();
        world.kill(4);
        let died = world.now;
        slander(&mut world, 20 * SECOND);
        assert!(world.now - died <= 8 * SECOND, "seed {seed}: {} µs", world.now - died);
        assert!((1..4).all(|node| world.room(node).me().renewal <= 8));
        assert!(downs(&world).iter().all(|(_, node)| *node == 4));
    }
}

/// A node whose renewals are used up asks to be started again, under its next boot; until then it goes on as
/// it is.
#[test]
fn renewals_that_are_used_up_end_a_boot() {
    let mut world = World::new(4, 52);
    world.run(10 * SECOND);
    world.kill(3);
    let last = Peer { node: id(3), boot: 2, renewal: u16::MAX };
    world.start_as(3, last, 0..4);
    world.run(5 * SECOND);
    assert!(world.agrees());
    world.told.clear();
    call_dead(&mut world, 0, 3, 3);
    call_dead(&mut world, 0, 3, 3);
    let told: Vec<_> = world.told.iter().map(|told| (told.node, told.what.clone())).collect();
    assert_eq!(told, [(3, MembershipOutput::UsedUp)]);
    assert_eq!(world.room(3).me(), last);
    world.run(5 * SECOND);
    assert!(world.agrees());
    // Those who believe in its death indeed hear of the next boot.
    world.open = Box::new(|from, to| from != 3 && to != 3);
    world.run(20 * SECOND);
    assert_eq!(world.sees(0, 3), Some(Liveness::Down));
    world.open = Box::new(|_, _| true);
    world.told.clear();
    let asked =
        |world: &World| world.told.iter().any(|told| told.node == 3 && told.what == MembershipOutput::UsedUp);
    assert!(world.run_until(10 * SECOND, asked).is_some());
    world.kill(3);
    world.start(3, 3, 0..4);
    let took = world.run_until(5 * SECOND, World::agrees);
    assert!(took.is_some_and(|took| took <= 2 * SECOND), "{took:?}");
    world.assert_tables_equal_foca();
}
