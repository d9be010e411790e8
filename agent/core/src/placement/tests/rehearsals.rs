//! What is rehearsed is what happens.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use sleep_wire::NodeId;
use sleep_wire::key::SlotName;
use sleep_wire::node::Availability;
use sleep_wire::slot::Cause;
use sleep_wire::spec::Revision;

use super::world::World;
use crate::placement::facts::Facts;
use crate::placement::testing::{node, node_id, revision, revision_id, service};
use crate::placement::{Move, Rehearsal};
use crate::time::Instant;

type Places = BTreeMap<SlotName, NodeId>;

fn lab(replicas: u32, change: impl FnOnce(&mut Revision)) -> World {
    let mut spec = revision();
    change(&mut spec);
    let mut world = World::new(vec![node(1), node(2), node(3)], vec![service(1, replicas, spec)]);
    world.settle();
    world
}

fn places(world: &World) -> Places {
    world.tasks_of(0).into_iter().map(|(slot, _, node)| (slot, node)).collect()
}

/// Where tasks are after the moves, and how many moves there were.
fn after(mut places: Places, moves: &[Move]) -> (Places, usize) {
    for Move { key, from, to, choice } in moves {
        assert_eq!(
            places.get(&key.slot).copied(),
            from.map(|(node, _)| node),
            "a move begins where its task is"
        );
        assert_eq!(choice.is_some(), to.is_some());
        match to {
            Some((node, _)) => places.insert(key.slot, *node),
            None => places.remove(&key.slot),
        };
    }
    (places, moves.len())
}

/// Rehearses a change, then makes it.
fn both(world: &mut World, change: impl Fn(&mut Facts, Instant)) -> (Vec<Move>, Places) {
    let before = places(world);
    let mut rehearsal = Rehearsal::new(world.facts.clone(), world.now);
    let moves = rehearsal.change(&change);
    assert!(rehearsal.is_complete());
    let expected = after(before, &moves).0;
    let now = world.now;
    change(&mut world.facts, now);
    world.settle();
    assert_eq!(places(world), expected);
    (moves, expected)
}

#[test]
fn a_scale() {
    let mut world = lab(4, |_| {});
    let (moves, _) = both(&mut world, |facts, _| facts.services[0].replicas = 7);
    let new: Vec<SlotName> = moves.iter().map(|moved| moved.key.slot).collect();
    assert_eq!(new, [5, 6, 7].map(SlotName::Number));
    let (moves, _) = both(&mut world, |facts, _| facts.services[0].replicas = 2);
    assert_eq!(moves.iter().filter(|moved| moved.to.is_none()).count(), 5);
    let (moves, _) = both(&mut world, |_, _| {});
    assert_eq!(moves, []);
}

#[test]
fn a_drain_is_told_to_its_end_though_slots_move_one_by_one() {
    let mut world = lab(7, |_| {});
    let on = places(&world).values().filter(|node| **node == node_id(2)).count();
    let (moves, then) = both(&mut world, |facts, _| facts.nodes[1].availability = Availability::Drained);
    assert_eq!(moves.len(), on);
    assert!(moves.iter().all(|moved| {
        let cause = moved.choice.as_ref().map(|(cause, _)| cause);
        moved.from.is_some_and(|(node, _)| node == node_id(2)) && cause == Some(&Cause::Drained(node_id(2)))
    }));
    assert!(then.values().all(|node| *node != node_id(2)));
}

#[test]
fn an_update_replaces_each_slot_once() {
    let mut world = lab(3, |spec| spec.update.delay_ms = 10_000);
    let (moves, _) = both(&mut world, |facts, _| {
        let service = &mut facts.services[0];
        let mut spec = Revision::clone(&service.revisions[&service.revision]);
        spec.template.image = "app:2".into();
        service.revisions.insert(revision_id(2), Arc::new(spec));
        service.revision = revision_id(2);
    });
    let slots: BTreeSet<SlotName> = moves.iter().map(|moved| moved.key.slot).collect();
    assert_eq!((moves.len(), slots.len()), (3, 3));
    assert!(moves.iter().all(|moved| moved.to.is_some_and(|(_, revision)| revision == revision_id(2))));
}

#[test]
fn what_has_no_node_is_told_and_what_is_under_way_is_not_the_change_s_doing() {
    let mut world = lab(1, |spec| spec.placement.max_per_node = 1);
    // Not planned yet.
    world.service(0).replicas = 2;
    let mut rehearsal = Rehearsal::new(world.facts.clone(), world.now);
    assert_eq!(rehearsal.pending(), []);
    let moves = rehearsal.change(|facts, _| facts.services[0].replicas = 5);
    let new: Vec<SlotName> = moves.iter().map(|moved| moved.key.slot).collect();
    assert_eq!(new, [SlotName::Number(3)]);
    let pending: Vec<SlotName> = rehearsal.pending().iter().map(|key| key.slot).collect();
    assert_eq!(pending, [4, 5].map(SlotName::Number));
}
