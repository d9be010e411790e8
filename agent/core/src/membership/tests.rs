//! Laws of this room, played in a little world.

extern crate std;

use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

use sleep_wire::message::{MembershipMessage, Message};
use sleep_wire::swim::Peer;

use super::swim::Packet;
use super::world::{MS, SECOND, Stalls, World, id, index};
use super::*;

/// Who told of whose death.
pub(super) fn downs(world: &World) -> BTreeSet<(usize, usize)> {
    let of = |output: &MembershipOutput| match output {
        MembershipOutput::Down { node } => index(*node),
        other => unreachable!("only downs are asked for, not {other:?}"),
    };
    world.told_down().into_iter().map(|told| (told.node, of(&told.what))).collect()
}

/// A node alone says nothing and waits for nothing.
#[test]
fn a_cluster_of_one_is_silent() {
    let me = Peer { node: id(0), boot: 1, renewal: 0 };
    let mut room = Membership::new(me, Profile::LAN, 1, Instant(5));
    room.handle(Instant(5), MembershipInput::Members { added: Vec::from([id(0)]), removed: Vec::new() });
    assert_eq!((room.poll_output(), room.next_wake()), (None, None));
    assert_eq!(room.component(), [id(0)]);
}

/// Nodes that know each other's names find each other, and each says so of each other once.
#[test]
fn nodes_that_start_together_meet() {
    for count in [2, 5, 32] {
        let mut world = World::new(count, 3);
        let took = world.run_until(3 * SECOND, World::agrees);
        assert!(took.is_some_and(|took| took <= SECOND), "{count} nodes: {took:?}");
        let ups: Vec<_> = world.told.iter().map(|told| (told.node, &told.what)).collect();
        assert!(ups.iter().all(|(_, what)| matches!(what, MembershipOutput::Up { .. })));
        assert_eq!(ups.len(), count * (count - 1));
        world.assert_tables_equal_foca();
    }
}

/// A newcomer knows everybody, and is known by everybody, 300 ms after it has met its door.
#[test]
fn a_newcomer_is_known_at_once() {
    let mut world = World::new(32, 4);
    world.kill(31);
    world.run(70 * SECOND);
    world.start(31, 2, 0..32);
    world.input(31, MembershipInput::Connected { peer: id(7) });
    let took = world.run_until(SECOND, World::agrees);
    assert!(took.is_some_and(|took| took <= 300 * MS), "{took:?}");
}

/// Others may not have heard of a newcomer's admission yet: it speaks first to whoever admitted it.
#[test]
fn a_newcomer_speaks_first_to_whoever_let_it_in() {
    for seed in 0..32 {
        let mut room =
            Membership::new(Peer { node: id(0), boot: 1, renewal: 0 }, Profile::LAN, seed, Instant(5));
        room.came_in_by(id(6));
        room.handle(
            Instant(5),
            MembershipInput::Members { added: (0..9).map(id).collect(), removed: Vec::new() },
        );
        let wake = room.next_wake().expect("it seeks");
        room.handle(wake, MembershipInput::Tick);
        let first = core::iter::from_fn(|| room.poll_output()).find_map(|output| match output {
            MembershipOutput::Send { to, .. } => Some(to),
            _ => None,
        });
        assert_eq!((first, wake.since(Instant(5)) < Duration::from_millis(50)), (Some(id(6)), true));
    }
}

/// What is said of a node before its admission came is remembered until it comes.
#[test]
fn hearsay_waits_for_the_admission() {
    let mut world = World::empty(3, 5);
    world.start(0, 1, 0..2);
    world.start(1, 1, 0..3);
    world.start(2, 1, 1..3);
    world.run(2 * SECOND);
    assert_eq!((world.sees(0, 2), world.room(0).component()), (None, Vec::from([id(0), id(1)])));
    world.input(0, MembershipInput::Members { added: Vec::from([id(2)]), removed: Vec::new() });
    assert_eq!(world.sees(0, 2), Some(Liveness::Alive));
}

/// Everybody knows of a crash: half of the time within 4 s, nearly always within 7 s.
#[test]
fn a_crash_is_known_by_all_in_time() {
    for count in [3, 5, 9, 32] {
        let mut took: Vec<u64> = (0..if count == 32 { 6 } else { 25 })
            .map(|seed| {
                let mut world = World::new(count, seed);
                world.run(10 * SECOND + seed * 37 * MS);
                world.kill(1);
                world.run_until(20 * SECOND, World::agrees).expect("a crash is seen")
            })
            .collect();
        took.sort_unstable();
        let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
        assert!(half <= 4 * SECOND && most <= 7 * SECOND, "{count} nodes: {half} {most} µs");
    }
}

fn lossy(count: usize, seed: u64, loss: u32, time: u64) -> World {
    let mut world = World::new(count, seed);
    world.loss = loss;
    world.run(10 * SECOND);
    world.told.clear();
    world.run(time);
    world
}

/// One packet in twenty lost: nobody who is well is called dead.
#[test]
fn loss_alone_kills_nobody() {
    for seed in 0..2 {
        let world = lossy(9, seed, 50, 600 * SECOND);
        assert_eq!(downs(&world), BTreeSet::new());
        world.assert_tables_equal_foca();
    }
    for seed in 0..3 {
        assert_eq!(downs(&lossy(2, seed, 50, 600 * SECOND)), BTreeSet::new());
    }
}

/// Members that stall for seconds on end take nobody along who is well.
#[test]
fn stalled_members_declare_nobody_dead() {
    for stalls in [Stalls::PacketsFirst, Stalls::TimersFirst, Stalls::Deaf] {
        let (count, stalling) = (20, 5);
        let mut world = World::new(count, 2);
        world.stalls = stalls;
        world.run(10 * SECOND);
        for _ in 0..8 {
            (0..stalling).for_each(|node| world.stall(node, world.now + 8 * SECOND + node as u64 * MS));
            world.run(16 * SECOND);
        }
        let healthy: Vec<_> = downs(&world).into_iter().filter(|(_, node)| *node >= stalling).collect();
        assert_eq!(healthy, [], "{stalls:?}");
    }
}

/// A suspicion does not run out while its owner stalls, not even if what contradicts it is handled last.
#[test]
fn a_suspicion_waits_for_its_owner() {
    let mut world = World::new(5, 19);
    world.stalls = Stalls::TimersFirst;
    world.run(10 * SECOND);
    world.open = Box::new(|from, to| from != 1 && to != 1);
    let suspected = world.run_until(10 * SECOND, |world| !world.room(0).suspicions.is_empty());
    assert!(suspected.is_some());
    world.stall(0, world.now + 10 * SECOND);
    world.open = Box::new(|_, _| true);
    world.run(30 * SECOND);
    let of_1: Vec<_> = downs(&world).into_iter().filter(|(_, node)| *node == 1).collect();
    assert_eq!(of_1, []);
}

/// A member that is late for ever slows itself down, and is well again when it is in time.
#[test]
fn a_slow_member_slows_itself_down() {
    let mut world = World::new(5, 20);
    world.run(10 * SECOND);
    assert_eq!(world.room(0).stretch(), 1);
    world.stall(0, world.now + 2 * SECOND);
    world.run(2 * SECOND + 10 * MS);
    assert!(world.room(0).stretch() > 1);
    world.run(30 * SECOND);
    assert_eq!(world.room(0).stretch(), 1);
}

/// A member that hears nobody is believed in nothing: it alone is called dead. The same if nobody hears it.
#[test]
fn a_deaf_member_and_a_mute_one_kill_nobody() {
    let deaf: fn(usize, usize) -> bool = |_, to| to != 4;
    let mute: fn(usize, usize) -> bool = |from, _| from != 4;
    for (open, seed) in [(deaf, 21), (deaf, 22), (mute, 23), (mute, 24)] {
        let mut world = World::new(7, seed);
        world.run(10 * SECOND);
        world.told.clear();
        world.open = Box::new(open);
        world.run(120 * SECOND);
        let others: Vec<_> = downs(&world).into_iter().filter(|pair| pair.0 != 4 && pair.1 != 4).collect();
        assert_eq!(others, [], "seed {seed}");
        assert!((0..7).all(|node| node == 4 || world.sees(node, 4) == Some(Liveness::Down)));
        world.open = Box::new(|_, _| true);
        assert!(world.run_until(30 * SECOND, World::agrees).is_some(), "seed {seed}");
        world.assert_tables_equal_foca();
    }
}

/// A member that was cut off for a while, and called others dead meanwhile, takes nobody along when it is
/// back, and soon knows better.
#[test]
fn who_was_cut_off_takes_nobody_along() {
    let deaf: fn(usize, usize) -> bool = |_, to| to != 4;
    let mute: fn(usize, usize) -> bool = |from, _| from != 4;
    for (open, seed) in [(deaf, 31), (deaf, 32), (mute, 33), (mute, 34)] {
        let mut world = World::new(30, seed);
        world.run(10 * SECOND);
        world.told.clear();
        world.open = Box::new(open);
        world.run(20 * SECOND);
        assert!((0..30).any(|node| world.sees(4, node) == Some(Liveness::Down)), "seed {seed}");
        world.open = Box::new(|_, _| true);
        let took = world.run_until(20 * SECOND, World::agrees);
        assert!(took.is_some_and(|took| took <= 10 * SECOND), "seed {seed}: {took:?}");
        world.run(90 * SECOND);
        let others: Vec<_> = downs(&world).into_iter().filter(|pair| pair.0 != 4 && pair.1 != 4).collect();
        assert_eq!(others, [], "seed {seed}");
        world.assert_tables_equal_foca();
    }
}

/// A member that is cut off a second time believes the others again as soon as it hears them, in whatever
/// order they find each other: it was not they who went and came.
#[test]
fn who_is_cut_off_twice_holds_nobody_down() {
    for seed in 0..20 {
        let count = 3 + usize::try_from(seed).unwrap_or(0) % 5;
        let mut world = World::new(count, 60 + seed);
        world.run(10 * SECOND);
        for _ in 0..3 {
            world.open = Box::new(|from, to| (from == 2) == (to == 2));
            world.run(30 * SECOND);
            assert_eq!(world.room(2).component(), [id(2)], "seed {seed}");
            world.open = Box::new(|_, _| true);
            let back = |world: &World| world.room(2).component().len() == count;
            let took = world.run_until(30 * SECOND, back);
            assert!(took.is_some_and(|took| took <= 10 * SECOND), "seed {seed}: {took:?}");
            world.run(60 * SECOND);
        }
    }
}

/// A link between two members that is cut is nobody's death.
#[test]
fn one_broken_link_changes_nothing() {
    let mut world = World::new(5, 8);
    world.run(10 * SECOND);
    world.told.clear();
    world.open = Box::new(|from, to| from + to != 1);
    world.run(120 * SECOND);
    assert_eq!(downs(&world), BTreeSet::new());
}

/// Two halves that were apart for minutes are one again without anybody's help.
#[test]
fn a_healed_partition_merges_by_itself() {
    for (count, seed) in [(2, 1), (6, 2), (6, 3), (20, 4)] {
        let mut world = World::new(count, seed);
        world.run(10 * SECOND);
        world.open = Box::new(move |from, to| (from < count / 2) == (to < count / 2));
        world.run(180 * SECOND);
        let half: Vec<_> = (0..count / 2).map(id).collect();
        assert_eq!(world.room(0).component(), half);
        world.open = Box::new(|_, _| true);
        let took = world.run_until(60 * SECOND, World::agrees);
        assert!(took.is_some_and(|took| took <= 20 * SECOND), "{count} nodes: {took:?}");
        world.assert_tables_equal_foca();
    }
}

/// A node that is killed and started again at once is never down.
#[test]
fn a_quick_restart_goes_unnoticed() {
    let mut world = World::new(5, 6);
    world.run(10 * SECOND);
    world.told.clear();
    world.kill(2);
    world.run(SECOND);
    world.start(2, 2, 0..5);
    world.run(20 * SECOND);
    assert!(world.agrees());
    assert_eq!((downs(&world), world.boot(2)), (BTreeSet::new(), 2));
}

/// A node back after an absence is believed at once, for it was started anew.
#[test]
fn a_node_that_was_down_comes_back() {
    let mut world = World::new(5, 7);
    world.run(10 * SECOND);
    for boot in 2..5 {
        world.kill(2);
        world.run(30 * SECOND);
        assert_eq!(world.sees(0, 2), Some(Liveness::Down));
        world.start(2, boot, 0..5);
        let took = world.run_until(5 * SECOND, World::agrees);
        assert!(took.is_some_and(|took| took <= SECOND), "{took:?}");
    }
}

/// An announced restart holds the node's tasks, and no longer once it is back.
#[test]
fn a_restart_is_announced_and_held() {
    let mut world = World::new(3, 9);
    world.run(10 * SECOND);
    world.told.clear();
    let begin = world.now;
    world.input(2, MembershipInput::Stopping);
    world.run(5 * MS);
    let told: Vec<_> = world.told.iter().map(|told| (told.node, told.what.clone())).collect();
    let restarting = MembershipOutput::Restarting { node: id(2), hold_ms: 60_000 };
    assert_eq!(told.into_iter().collect::<Vec<_>>().len(), 2);
    assert!(world.told.iter().all(|told| told.what == restarting));
    world.kill(2);
    world.run(10 * SECOND);
    let state = world.room(0).state(id(2)).expect("a member");
    assert_eq!(state.liveness, Liveness::Down);
    let until = state.held_until.expect("held").0;
    assert!((begin + 60 * SECOND..begin + 61 * SECOND).contains(&until));
    world.start(2, 2, 0..3);
    world.run(SECOND);
    assert_eq!(world.room(0).state(id(2)).map(|state| state.held_until), Some(None));
}

/// Who said that it would be back, and is not, is down like any other, and the others are told.
#[test]
fn a_restart_that_does_not_come_is_a_death() {
    let mut world = World::new(3, 20);
    world.run(10 * SECOND);
    world.input(2, MembershipInput::Stopping);
    world.run(5 * MS);
    world.kill(2);
    world.run(59 * SECOND);
    assert!(world.room(0).state(id(2)).is_some_and(|state| state.held_until.is_some()));
    world.told.clear();
    world.run(2 * SECOND);
    let down = MembershipOutput::Down { node: id(2) };
    for other in [0, 1] {
        let state = world.room(other).state(id(2)).expect("a member");
        assert_eq!((state.liveness, state.held_until), (Liveness::Down, None));
        assert!(world.told.iter().any(|told| told.node == other && told.what == down), "{:?}", world.told);
    }
}

/// A leave is known within a second, as a leave, and the node is not sought.
#[test]
fn a_leave_is_known_in_a_second() {
    let mut world = World::new(9, 10);
    world.run(10 * SECOND);
    world.told.clear();
    world.input(4, MembershipInput::Leaving);
    world.run(SECOND);
    world.kill(4);
    let left: BTreeSet<_> = world.told.iter().map(|told| told.node).collect();
    assert_eq!(left, (0..9).filter(|node| *node != 4).collect());
    assert!(world.told.iter().all(|told| told.what == MembershipOutput::Left { node: id(4) }));
    assert!(world.agrees());
}

/// Before work moves: the dead are confirmed, and who answers anybody is not dead.
#[test]
fn death_is_confirmed_before_work_moves() {
    let verdict = |world: &World| {
        let verdict =
            world.told.iter().find(|told| matches!(told.what, MembershipOutput::ProbeVerdict { .. }));
        verdict.map(|told| told.what.clone()).expect("a verdict in time")
    };
    for (count, asked) in [(5, 4), (3, 2), (2, 1)] {
        let mut world = World::new(count, 11);
        world.run(10 * SECOND);
        world.kill(1);
        world.run(10 * SECOND);
        world.input(0, MembershipInput::ConfirmDown { node: id(1) });
        world.run(2 * SECOND);
        let (node, failures) = (id(1), asked);
        let confirmed =
            MembershipOutput::ProbeVerdict { node, failures, asked, reached: false, confirmed: true };
        assert_eq!(verdict(&world), confirmed);
    }
    let mut world = World::new(5, 12);
    world.run(10 * SECOND);
    world.open = Box::new(|from, to| (from, to) != (0, 1) && (from, to) != (1, 0));
    world.input(0, MembershipInput::ConfirmDown { node: id(1) });
    world.run(2 * SECOND);
    assert!(matches!(
        verdict(&world),
        MembershipOutput::ProbeVerdict { reached: true, confirmed: false, .. }
    ));
}

/// A link that comes and goes: the member on it is held down longer each time.
#[test]
fn a_flapping_member_is_held_down() {
    let mut world = World::new(5, 13);
    world.run(10 * SECOND);
    world.told.clear();
    for _ in 0..15 {
        world.open = Box::new(|from, to| from != 4 && to != 4);
        world.run(20 * SECOND);
        world.open = Box::new(|_, _| true);
        world.run(20 * SECOND);
    }
    let changes = world.told.iter().filter(|told| told.node == 0).filter(|told| {
        [MembershipOutput::Up { node: id(4) }, MembershipOutput::Down { node: id(4) }].contains(&told.what)
    });
    let changes = changes.count();
    assert!(changes <= 5, "{changes} changes in ten minutes");
    let doubted = world.told.iter().filter(|told| told.node == 0);
    let doubted =
        doubted.filter(|told| matches!(&told.what, MembershipOutput::Doubted { node, .. } if *node == id(4)));
    assert!(doubted.count() > 0, "whoever looks is told why it is down although it answers");
    world.run(60 * SECOND);
    assert!(world.agrees());
}

/// Strangers are neither heard nor answered; who speaks for another is named.
#[test]
fn the_sender_is_who_the_connection_proved() {
    let mut world = World::new(3, 14);
    world.run(10 * SECOND);
    world.told.clear();
    let mut room = Membership::new(Peer { node: id(1), boot: 9, renewal: 0 }, Profile::LAN, 1, Instant(0));
    room.handle(Instant(0), MembershipInput::Members { added: Vec::from([id(0)]), removed: Vec::new() });
    room.handle(room.next_wake().expect("it seeks the one it knows"), MembershipInput::Tick);
    let Some(MembershipOutput::Send { message: Message::Swim(bytes), .. }) = room.poll_output() else {
        unreachable!("seeking is a packet of foca's")
    };
    assert_eq!(Packet::read(&bytes).map(|packet| packet.write()), Some(bytes.clone()));
    world.input(0, MembershipInput::Swim { from: id(2), bytes: bytes.clone() });
    world.input(0, MembershipInput::Swim { from: id(77), bytes });
    world.input(0, MembershipInput::Message { from: id(77), message: MembershipMessage::Leaving });
    let told: Vec<_> = world.told.iter().map(|told| told.what.clone()).collect();
    assert_eq!(told, [MembershipOutput::BadFrame { from: id(2) }]);
    assert!(world.agrees());
}

/// Bytes that mean nothing do nothing.
#[test]
fn random_bytes_do_no_harm() {
    let mut world = World::new(3, 15);
    world.run(10 * SECOND);
    world.told.clear();
    let mut seed = 1u64;
    for len in 0..600usize {
        let bytes = (0..len).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (seed >> 40) as u8
        });
        let bytes = bytes.collect();
        world.input(0, MembershipInput::Swim { from: id(2), bytes });
    }
    assert!(world.told.iter().all(|told| told.what == MembershipOutput::BadFrame { from: id(2) }));
    world.run(5 * SECOND);
    assert!(world.agrees() && downs(&world).is_empty());
}

/// A removed member is forgotten, and nothing that others still say of it is heard.
#[test]
fn a_removed_member_is_forgotten() {
    let mut world = World::new(4, 16);
    world.run(10 * SECOND);
    world.input(0, MembershipInput::Members { added: Vec::new(), removed: Vec::from([id(3)]) });
    world.told.clear();
    world.run(20 * SECOND);
    assert_eq!((world.sees(0, 3), world.room(0).component().len()), (None, 3));
    assert!(world.told.iter().all(|told| told.node != 0), "{:?}", world.told);
    world.assert_tables_equal_foca();
}

/// A node whose old disk nobody contradicted when it started is told when it speaks.
#[test]
fn an_earlier_boot_that_speaks_is_told_of_the_later_one() {
    let mut world = World::new(4, 17);
    world.run(10 * SECOND);
    world.kill(2);
    world.start(2, 7, 0..4);
    world.run(2 * SECOND);
    world.kill(2);
    world.told.clear();
    world.start(2, 3, 0..4);
    world.run(5 * SECOND);
    let old = |told: &world::Told| told.node == 2 && told.what == MembershipOutput::OldDisk { known: 7 };
    assert!(world.told.iter().any(old), "{:?}", world.told);
}

/// Five idle nodes say little: half a kilobyte a second each, the envelope included.
#[test]
fn idle_nodes_say_little() {
    let mut world = World::new(5, 18);
    world.run(30 * SECOND);
    world.counting = true;
    world.run(300 * SECOND);
    let most = world.bytes.iter().max().copied().unwrap_or(0) / 300;
    assert!(most <= 512, "{most} bytes a second");
}

/// Churn and loss: the table and foca believe the same, always, and packets fit.
#[test]
fn the_table_is_what_foca_believes() {
    for seed in 0..6 {
        let mut world = World::new(7, seed);
        world.loss = 200;
        world.counting = true;
        let mut boots = [1; 7];
        for round in 0..60usize {
            let node = (round * 5 + usize::try_from(seed).unwrap_or(0)) % 7;
            match round % 4 {
                0 => world.kill(node),
                1 => world.stall(node, world.now + 3 * SECOND),
                2 => world.open = Box::new(move |from, to| (from == node) == (to == node)),
                _ => world.open = Box::new(|_, _| true),
            }
            for step in 0..20 {
                world.run(100 * MS + step);
                world.assert_tables_equal_foca();
            }
            for (node, boot) in boots.iter_mut().enumerate() {
                if !world.running().contains(&node) && round % 3 == 0 {
                    *boot += 1;
                    world.start(node, *boot, 0..7);
                }
            }
        }
        world.loss = 0;
        world.open = Box::new(|_, _| true);
        for (node, boot) in boots.into_iter().enumerate() {
            if !world.running().contains(&node) {
                world.start(node, boot + 1, 0..7);
            }
        }
        let took = world.run_until(90 * SECOND, World::agrees);
        assert!(took.is_some(), "seed {seed}: all believe in all again");
    }
}

/// The same seed tells the same story.
#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut world = lossy(9, seed, 150, 60 * SECOND);
        world.kill(3);
        world.run(20 * SECOND);
        world.told
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

/// A node may be moved to another thread, its view of others with it.
#[test]
fn the_room_can_be_sent() {
    const fn is_send<T: Send>() {}
    is_send::<Membership>();
    is_send::<crate::trust::Trust>();
}
