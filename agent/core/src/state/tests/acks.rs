//! When a record leaves its author, and what its writer is told.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::Write;
use sleep_wire::message::{Message, PushMessage};
use sleep_wire::record::Batch;

use super::kit::*;
use crate::Instant;
use crate::io::{Durability, Lane};
use crate::state::{State, StateInput, StateOutput};

fn acknowledged(world: &World) -> Vec<(u64, Durability)> {
    let told = world.told.iter().filter_map(|(_, output)| match output {
        StateOutput::Acknowledged { waiter, durability } => Some((*waiter, *durability)),
        _other => None,
    });
    told.collect()
}

/// Durable first, then out, then acknowledged by whoever made it durable: step by step, and nothing else.
#[test]
fn a_record_is_durable_before_it_leaves_its_author() {
    let judge = Members::up_to(2);
    let mut state = State::new(CLUSTER, node(1), 1);
    let now = Instant(0);
    state.handle(now, StateInput::Peers { live: Vec::from([node(1), node(2)]) }, &judge, &Key9(1));
    drain(&mut state);
    let draft = label("a", "1", at(1, 1));
    let record = signed(1, &draft);
    state.write(now, Vec::from([draft.clone()]), &judge, &Key9(1), Some(42)).expect("it is valid");
    let writes = Vec::from([Write::PutRecord { key: draft.key.to_bytes(), record: record.clone() }]);
    assert_eq!(drain(&mut state), [StateOutput::Persist { token: 1, writes }]);
    state.handle(now, StateInput::Durable { token: 1 }, &judge, &Key9(1));
    let batch = Batch { records: Vec::from([record]) };
    let message = Message::Push(PushMessage::Records { ack: Some(0), batch });
    assert_eq!(drain(&mut state), [StateOutput::Send { to: node(2), message, lane: Lane::Delta }]);
    let confirm = |from, ack| StateInput::Push { from, message: PushMessage::Durable { ack } };
    state.handle(now, confirm(node(3), 0), &judge, &Key9(1));
    state.handle(now, confirm(node(2), 1), &judge, &Key9(1));
    assert_eq!(drain(&mut state), [], "nobody asked them that");
    state.handle(now, confirm(node(2), 0), &judge, &Key9(1));
    assert_eq!(drain(&mut state), [StateOutput::Acknowledged { waiter: 42, durability: Durability::Shared }]);
}

/// A receiver confirms only what its disk has, and at once what it had before.
#[test]
fn a_push_is_confirmed_once_it_is_durable() {
    let judge = Members::up_to(2);
    let mut state = State::new(CLUSTER, node(1), 1);
    let now = Instant(0);
    let batch = Batch { records: Vec::from([signed(2, &label("a", "1", at(1, 2)))]) };
    let push = |ack| StateInput::Push {
        from: node(2),
        message: PushMessage::Records { ack: Some(ack), batch: batch.clone() },
    };
    let confirmed = |ack| StateOutput::Send {
        to: node(2),
        message: Message::Push(PushMessage::Durable { ack }),
        lane: Lane::Delta,
    };
    state.handle(now, push(5), &judge, &Key9(1));
    assert!(matches!(drain(&mut state).as_slice(), [StateOutput::Persist { token: 1, .. }]));
    state.handle(now, push(6), &judge, &Key9(1));
    assert_eq!(drain(&mut state), [], "the same again, while it is on its way to the disk");
    state.handle(now, StateInput::Durable { token: 1 }, &judge, &Key9(1));
    assert_eq!(drain(&mut state), [confirmed(5), confirmed(6)]);
    state.handle(now, push(7), &judge, &Key9(1));
    assert_eq!(drain(&mut state), [confirmed(7)]);
    let forged = Batch { records: Vec::from([b"nothing".to_vec()]) };
    let message = PushMessage::Records { ack: Some(8), batch: forged };
    state.handle(now, StateInput::Push { from: node(2), message }, &judge, &Key9(1));
    let refused = StateOutput::Refused { from: node(2), author: node(2), why: "not a record" };
    assert_eq!(drain(&mut state), [refused]);
}

/// A node without company answers as soon as its own disk has it.
#[test]
fn alone_is_answered_by_the_own_disk() {
    let mut world = World::new(1);
    world.all_live();
    world.write(1, Vec::from([label("a", "1", at(1, 1))]), Some(1));
    assert_eq!(acknowledged(&world), []);
    world.run(Duration::from_millis(1));
    assert_eq!(acknowledged(&world), [(1, Durability::Alone)]);
}

/// Members that do not answer cost two seconds, never the answer.
#[test]
fn silence_of_all_others_is_answered_with_here_only() {
    let mut world = World::new(5);
    world.all_live();
    world.passes = |_| false;
    world.write(1, Vec::from([label("a", "1", at(1, 1))]), Some(1));
    world.run(Duration::from_millis(1_999));
    assert_eq!(acknowledged(&world), []);
    world.run(Duration::from_millis(1));
    assert_eq!(acknowledged(&world), [(1, Durability::HereOnly)]);
}

/// Three of five are dead and nobody knows yet: the fourth is asked in time.
#[test]
fn others_are_asked_when_those_asked_first_are_silent() {
    for alive in 2..=5 {
        let mut world = World::new(5);
        world.all_live();
        world.states.retain(|id, _| *id == node(1) || *id == node(alive));
        world.write(1, Vec::from([label("a", "1", at(1, 1))]), Some(1));
        world.run(Duration::from_millis(600));
        assert_eq!(acknowledged(&world), [(1, Durability::Shared)], "if only {alive} is alive");
    }
}

/// More than one message's worth is shared only when one member has all of it.
#[test]
fn all_parts_of_a_large_write_must_be_confirmed_by_one_member() {
    let mut world = World::new(3);
    world.all_live();
    let long = "x".repeat(900);
    let drafts: Vec<_> = (0..400).map(|n| label(&alloc::format!("{n}"), &long, at(1, 1))).collect();
    world.write(1, drafts, Some(1));
    world.run(Duration::from_millis(4));
    assert_eq!(acknowledged(&world), [(1, Durability::Shared)]);
    assert!(world.are_equal());
}

/// A disk that failed confirms nothing any more, to nobody.
#[test]
fn a_failed_write_is_told_and_never_leaves() {
    let judge = Members::up_to(2);
    let mut state = State::new(CLUSTER, node(1), 1);
    let now = Instant(0);
    state.handle(now, StateInput::Peers { live: Vec::from([node(2)]) }, &judge, &Key9(1));
    drain(&mut state);
    state.write(now, Vec::from([label("a", "1", at(1, 1))]), &judge, &Key9(1), Some(1)).expect("it is valid");
    state.write(now, Vec::from([label("b", "1", at(1, 1))]), &judge, &Key9(1), Some(2)).expect("it is valid");
    drain(&mut state);
    state.handle(now, StateInput::DurableFailed { token: 1 }, &judge, &Key9(1));
    assert_eq!(drain(&mut state), [StateOutput::Failed { waiter: 1 }, StateOutput::Failed { waiter: 2 }]);
    state.handle(now, StateInput::Durable { token: 2 }, &judge, &Key9(1));
    assert_eq!(drain(&mut state), []);
}

/// A command repeated at a node that has its records already is answered for their durability.
#[test]
fn what_stands_already_can_be_confirmed() {
    let mut world = World::new(2);
    world.all_live();
    let draft = label("a", "1", at(1, 1));
    world.write(1, Vec::from([draft.clone()]), None);
    world.run(Duration::from_millis(10));
    let now = world.now;
    world.state(1).confirm(now, &[draft.key], 3);
    world.handle(node(1), StateInput::Tick);
    world.run(Duration::from_millis(10));
    assert_eq!(acknowledged(&world), [(3, Durability::Shared)]);
}

/// Its disk took so long that nobody can confirm it in time: the others are told of it all the same, at once.
#[test]
fn what_is_durable_too_late_is_told_at_once() {
    let mut world = World::new(5);
    world.all_live();
    world.run(Duration::from_secs(7));
    world.disk_takes = Duration::from_secs(3);
    world.write(1, Vec::from([label("a", "1", at(1, 1))]), Some(7));
    world.run(Duration::from_millis(3_100));
    assert_eq!(acknowledged(&world), [(7, Durability::HereOnly)]);
    let have = world.states.values().filter(|state| state.len() == 1).count();
    assert_eq!(have, 5, "those who have it");
}
