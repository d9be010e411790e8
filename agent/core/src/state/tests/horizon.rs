//! What is thrown away, by whom, and what is never brought back.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::Horizons;
use sleep_wire::stamp::ClusterTime;

use super::kit::*;
use crate::Instant;
use crate::state::{State, TOMBSTONES_MS};

const DAY: u64 = 24 * 60 * 60 * 1000;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A node that last synced in full at `synced_ms`, with these records.
fn restarted(me: u8, synced_ms: u64, records: &[Vec<u8>]) -> State {
    let mut state = State::new(CLUSTER, node(me), me.into());
    let horizons = Horizons { last_full_sync: ClusterTime::from_ms(0, synced_ms) };
    state.load(records.iter().map(Vec::as_slice), Some(horizons), &Key9(me));
    state
}

/// Node 1 was there all the time, node 2 was away from day 2 to day 20; the horizon stands at day 13.
fn reunion(here: &[Vec<u8>], away: &[Vec<u8>]) -> World {
    let mut world = World::new(2);
    world.time = ClusterTime::from_ms(0, 20 * DAY);
    let mut here = here.to_vec();
    here.push(signed(1, &horizon(13 * DAY, at(20 * DAY, 1))));
    world.states.insert(node(1), restarted(1, 20 * DAY, &here));
    world.states.insert(node(2), restarted(2, 2 * DAY, away));
    world
}

fn names(state: &State) -> Vec<alloc::string::String> {
    state.services().into_iter().map(|service| service.name.text).collect()
}

/// What was deleted and forgotten everywhere else is not brought back by a node that slept, whoever asks
/// first; what it wrote itself after its last sync is kept, however old; and what it drops is shown, also
/// after a restart.
#[test]
fn a_stale_node_drops_what_was_deleted_while_it_was_away() {
    let old = signed(1, &birth(1, "deleted", at(DAY, 1)));
    let slot_of_old = {
        let epoch = sleep_wire::Epoch { generation: 0, term: 1, candidate: node(1) };
        let body = sleep_wire::slot::Slot {
            current: None,
            order: sleep_wire::spec::Order::StopFirst,
            fence: 0,
            retire: Vec::new(),
        };
        signed(1, &draft(slot(1, 1), sleep_wire::Stamp::Lease { epoch, counter: 1 }, &body))
    };
    let both = signed(1, &birth(2, "kept", at(DAY, 1)));
    let own = signed(2, &birth(3, "own", at(3 * DAY, 2)));
    for asking in [1, 2] {
        let mut world = reunion(
            core::slice::from_ref(&both),
            &[old.clone(), slot_of_old.clone(), both.clone(), own.clone()],
        );
        world.handle(node(asking), crate::state::StateInput::Connected { peer: node(3 - asking) });
        world.run(seconds(1));
        world.all_live();
        world.run(seconds(20));
        assert!(world.are_equal(), "asked by {asking}");
        assert_eq!(names(&world.states[&node(1)]), ["kept", "own"]);
        assert_eq!(world.states[&node(1)].slots().count(), 0);
        let state = &world.states[&node(2)];
        assert!(!state.is_stale());
        let aside: Vec<_> = state.aside().iter().map(|aside| aside.bytes.clone()).collect();
        assert_eq!(aside, [slot_of_old.clone(), old.clone()]);
    }
}

/// Two that slept, or one that slept and a newcomer: nobody knows what was deleted, so nothing is dropped.
#[test]
fn nothing_is_dropped_for_a_peer_that_is_not_whole() {
    let old = signed(1, &birth(1, "perhaps", at(DAY, 1)));
    let horizon = signed(1, &horizon(13 * DAY, at(20 * DAY, 1)));
    let mut world = World::new(2);
    world.states.insert(node(1), restarted(1, 2 * DAY, &[old, horizon.clone()]));
    world.give(2, &[horizon]);
    world.connect(1, 2);
    world.run(seconds(20));
    assert!(world.states[&node(1)].is_stale());
    assert_eq!(names(&world.states[&node(1)]), ["perhaps"]);
    assert_eq!(names(&world.states[&node(2)]), [""; 0]);
}

/// A removed service goes with all that belongs to it once the horizon has passed, its removal a week later,
/// on every node alike; a straggler's copy is recognised.
#[test]
fn the_horizon_takes_away_what_was_removed() {
    let records = [
        signed(1, &birth(1, "web", at(DAY, 1))),
        signed(1, &revise(1, 2, &[1], at(DAY, 1))),
        signed(1, &scale(1, 3, 4, at(DAY, 1))),
        signed(1, &remove(1, &[2], at(2 * DAY, 1))),
        signed(1, &label("gone", "", at(DAY, 1))),
        signed(1, &label("kept", "1", at(DAY, 1))),
        signed(3, &facts(3, 1)),
        signed(1, &removal_of(3, at(2 * DAY, 1))),
    ];
    let judge = Members::up_to(3);
    let mut state = State::new(CLUSTER, node(1), 1);
    let take = |state: &mut State, record: Vec<u8>| {
        state.receive_records(Instant(0), node(9), &[record], &judge, &Key9(1))
    };
    for record in &records {
        take(&mut state, record.clone());
    }
    assert_eq!(state.horizon_due(ClusterTime::from_ms(0, 8 * DAY)), None, "nothing is old enough");
    let due = state.horizon_due(ClusterTime::from_ms(0, 10 * DAY)).expect("a removal is eight days old");
    assert_eq!(due.gc_before_ms, 10 * DAY - TOMBSTONES_MS);
    take(&mut state, signed(1, &horizon(due.gc_before_ms, at(10 * DAY, 1))));
    let left: Vec<_> = state.records().map(|entry| entry.bytes().to_vec()).collect();
    assert_eq!(left.len(), 4, "removals, the kept label, the horizon");
    assert!(state.is_removed(service(1)));
    // A straggler has not heard of the horizon yet.
    for record in &records {
        take(&mut state, record.clone());
    }
    assert_eq!(state.records().map(|entry| entry.bytes().to_vec()).collect::<Vec<_>>(), left);
    take(&mut state, signed(1, &horizon(10 * DAY, at(17 * DAY, 1))));
    assert!(!state.is_removed(service(1)));
    assert_eq!(state.horizon_due(ClusterTime::from_ms(0, 99 * DAY)), None, "nothing is left to take away");
}

/// An idle cluster notes its last full sync once; a busy one at most once a minute.
#[test]
fn the_last_full_sync_is_noted_only_when_something_changed() {
    let mut world = World::new(2);
    world.all_live();
    world.run(seconds(600));
    assert_eq!(world.writes, 2, "once each");
    world.write(1, Vec::from([label("a", "1", at(1, 1))]), None);
    world.run(seconds(600));
    assert_eq!(world.writes, 6, "the record, and once more each");
}
