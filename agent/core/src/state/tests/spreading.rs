//! How fast, and at what price, records reach everybody.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;
use sleep_wire::SlotName;
use sleep_wire::message::Message;
use sleep_wire::trust::Role;

use super::kit::*;
use crate::Crypto;
use crate::state::{State, StateInput, StateOutput};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` records of node 1, some 200 bytes each.
fn many(n: u32) -> Vec<Vec<u8>> {
    (0..n).map(|n| signed(1, &label(&format!("label-{n}"), &"v".repeat(60), at(10, 1)))).collect()
}

/// Where few live, one record reaches everybody in one hop, and each tells one more; where many do, nearly
/// everybody in a few hops. It is written once a node.
#[test]
fn a_push_reaches_everybody_at_once() {
    for (nodes, at_least) in [(9, 9), (17, 17), (18, 14), (32, 26)] {
        let mut world = World::new(nodes);
        world.all_live();
        world.run(seconds(10));
        let before = world.writes;
        let (_, sent) = world.sent;
        world.write(1, Vec::from([label("a", "1", at(1, 1))]), None);
        world.run(Duration::from_millis(300));
        let have = world.states.values().filter(|state| state.len() == 1).count();
        assert!(have >= at_least, "{have} of {nodes} have it");
        // A comparison or two may have fallen into that time.
        let frames = world.sent.1 - sent;
        let nodes = usize::from(nodes);
        assert!(nodes > crate::state::FEW + 1 || frames <= 2 * nodes + 6, "{frames} frames");
        world.run(seconds(90));
        assert!(world.are_equal());
        // A record each, and a note of the full sync each.
        assert_eq!(world.writes - before, 2 * nodes);
    }
}

/// Where many live, too, all are told at once who belongs to the cluster, and what a new member is: by
/// whoever hears that first from itself.
#[test]
fn of_new_members_everybody_is_told() {
    for draft in [role_of(7, Role::Control, at(1, 1)), facts(1, 1)] {
        let mut world = World::new(32);
        world.all_live();
        world.run(seconds(10));
        world.write(1, Vec::from([draft]), None);
        world.run(Duration::from_millis(120));
        let have = world.states.values().filter(|state| state.len() == 1).count();
        assert_eq!(have, 32);
    }
}

/// What a member says of itself later goes to three, and from each to three: it cannot make all tell all.
#[test]
fn what_a_known_member_says_goes_its_usual_way() {
    let mut world = World::new(32);
    world.all_live();
    world.run(seconds(10));
    world.write(1, Vec::from([facts(1, 1)]), None);
    world.run(seconds(10));
    let (_, sent) = world.sent;
    world.write(1, Vec::from([facts(1, 2)]), None);
    world.run(Duration::from_millis(300));
    let frames = world.sent.1 - sent;
    // A comparison or two may have fallen into that time.
    assert!(frames <= 3 * 32 + 12, "{frames} frames");
}

/// The first record leaves at once, and what follows within 50 ms leaves in one batch.
#[test]
fn what_follows_a_push_is_gathered() {
    let mut world = World::new(2);
    world.all_live();
    world.run(seconds(7));
    let (_, before) = world.sent;
    for n in 0..20 {
        world.write(1, Vec::from([label(&format!("{n}"), "1", at(1, 1))]), None);
        world.run(Duration::from_millis(2));
    }
    world.run(Duration::from_millis(60));
    assert_eq!(world.sent.1 - before, 2);
    assert!(world.are_equal());
}

/// Equal nodes say so in a hundred bytes or so, and write nothing.
#[test]
fn equal_roots_cost_one_digest_and_no_write() {
    let mut world = World::new(2);
    let records = many(300);
    world.give(1, &records);
    world.give(2, &records);
    world.handle(node(1), StateInput::Connected { peer: node(2) });
    world.run(seconds(1));
    assert_eq!(world.sent.1, 2);
    assert!(world.sent.0 < 160, "{} bytes", world.sent.0);
    let writes = world.writes;
    world.all_live();
    world.run(seconds(3_600));
    assert_eq!(world.writes, writes);
}

/// A question that was passed over keeps its asker from answering for a moment only: else the other's would
/// be passed over in turn.
#[test]
fn who_was_not_answered_answers() {
    let mut world = World::new(2);
    let records = many(3);
    world.give(1, &records[1..]);
    world.give(2, &records[..2]);
    world.passes = |_| false;
    world.handle(node(1), StateInput::Connected { peer: node(2) });
    world.run(Duration::from_millis(600));
    world.passes = |_| true;
    world.handle(node(2), StateInput::Connected { peer: node(1) });
    world.run(Duration::from_millis(100));
    assert!(world.are_equal());
}

/// The figure of the design: one difference in 100,000 records costs about 3 KB, whoever lacks it.
#[test]
fn one_difference_in_100_000_records_costs_about_3_kb() {
    let crypto = Key9(1);
    let real: Vec<_> = many(2).iter().filter_map(|bytes| crypto.read_record(bytes).ok()).collect();
    let others: Vec<_> = (2..100_000).map(|n| Arc::new(real[0].resembling(n, &crypto))).collect();
    let mut world = World::new(2);
    world.state(1).hold(&others);
    world.state(2).hold(&others);
    for (has, lacks) in [(1, 2), (2, 1)] {
        world.sent = (0, 0);
        world.state(has).hold(&real[usize::from(has) - 1..][..1]);
        world.handle(node(1), StateInput::Connected { peer: node(2) });
        world.run(seconds(1));
        assert!(world.are_equal());
        let (bytes, messages) = world.sent;
        assert!(bytes < 3_300, "{bytes} bytes in {messages} messages where {lacks} lacks one");
        assert!(messages <= 10, "{messages} messages where {lacks} lacks one");
    }
    assert_eq!(world.states[&node(1)].len(), 100_000);
}

/// A newcomer gets everything in batches, and little more than once.
#[test]
fn a_newcomer_gets_everything_once() {
    let mut world = World::new(3);
    let records = many(3_000);
    let bytes: usize = records.iter().map(Vec::len).sum();
    world.give(1, &records);
    world.give(2, &records);
    world.connect(1, 3);
    world.connect(2, 3);
    world.run(seconds(2));
    assert!(world.are_equal());
    assert!(world.sent.0 < bytes * 2, "{} bytes for {bytes}", world.sent.0);
}

/// Without a single push, and half of everything lost, three nodes come to the same.
#[test]
fn pull_alone_converges_under_loss() {
    let mut world = World::new(3);
    world.passes = |message| matches!(message, Message::Sync(_));
    world.loss = 300;
    world.all_live();
    for n in 0..60u8 {
        let author = n % 3 + 1;
        world.write(
            author,
            Vec::from([label(&format!("{}", n % 40), &format!("{n}"), at(n.into(), author))]),
            None,
        );
        world.run(Duration::from_millis(100));
    }
    let mut took = 0;
    while !world.are_equal() && took < 120 {
        world.run(seconds(1));
        took += 1;
    }
    assert!(took < 60, "{took} s");
    assert_eq!(world.states[&node(1)].len(), 40);
}

/// Whoever is believed to live, and is not reached, costs two seconds, not a turn.
#[test]
fn after_one_that_is_silent_another_is_asked() {
    for asker in 2..=30 {
        let mut world = World::new(asker);
        world.give(1, &many(1));
        let live = Vec::from([node(1), node(99)]);
        world.handle(node(asker), StateInput::Peers { live });
        world.run(seconds(2) + Duration::from_millis(100));
        assert_eq!(world.state(asker).len(), 1, "by {asker}");
    }
}

/// Thirty-two nodes, two halves that wrote apart: equal within ten seconds of the heal.
#[test]
fn two_halves_are_equal_ten_seconds_after_a_heal() {
    let mut world = World::new(32);
    for author in 1..=32 {
        let records = [
            signed(author, &facts(author, 1)),
            signed(author, &label(&format!("{author}"), "1", at(1, author))),
        ];
        let half = if author <= 16 { 1..=16 } else { 17..=32 };
        for to in half {
            world.give(to, &records);
        }
    }
    world.all_live();
    for n in 1..=16 {
        world.connect(n, n + 16);
    }
    world.run(seconds(10));
    assert!(world.are_equal());
}

/// The foundation goes first: membership, whatever else differs.
#[test]
fn membership_is_synced_before_all_else() {
    let mut world = World::new(2);
    let mut records = many(100);
    records.push(signed(1, &role_of(2, Role::Worker, at(1, 1))));
    world.give(1, &records);
    let mut firsts = Vec::new();
    world.handle(node(2), StateInput::Connected { peer: node(1) });
    while firsts.is_empty() {
        world.run(Duration::from_millis(1));
        firsts = world.state(2).take_changes();
    }
    assert_eq!(firsts, [role_of(2, Role::Worker, at(0, 0)).key]);
    world.run(seconds(1));
    assert!(world.are_equal());
}

/// Two that will never agree on a membership record still share everything else.
#[test]
fn a_quarrel_over_membership_keeps_nothing_else_apart() {
    let mut world = World::new(2);
    let (here, there) = (many(100), signed(2, &facts(2, 1)));
    let disputed = signed(9, &role_of(5, Role::Worker, at(1, 9)));
    world.give(1, &[here, Vec::from([disputed])].concat());
    world.give(2, &[there]);
    world.connect(1, 2);
    world.run(seconds(5));
    assert_eq!((world.states[&node(1)].len(), world.states[&node(2)].len()), (102, 101));
}

/// A record that is not durable yet is not given away by a comparison either.
#[test]
fn a_comparison_does_not_give_away_what_is_not_durable() {
    let mut world = World::new(2);
    world.disk_takes = seconds(3);
    world.write(1, Vec::from([label("a", "1", at(1, 1))]), None);
    world.connect(1, 2);
    world.run(Duration::from_millis(2_900));
    assert_eq!(world.states[&node(2)].len(), 0);
    world.run(Duration::from_millis(200));
    world.connect(1, 2);
    world.run(seconds(1));
    assert_eq!(world.states[&node(2)].len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two stores of any content, with anything in common, are equal after one comparison.
    #[test]
    fn any_two_stores_are_equal_after_a_comparison(
        common in 0..300u32, here in 0..300u32, there in 0..300u32, asking in 1..=2u8,
    ) {
        let records = many(common + here + there);
        let (common, rest) = records.split_at(common as usize);
        let (here, there) = rest.split_at(here as usize);
        let mut world = World::new(2);
        world.give(1, &[common, here].concat());
        world.give(2, &[common, there].concat());
        world.handle(node(asking), StateInput::Connected { peer: node(3 - asking) });
        world.run(seconds(1));
        prop_assert!(world.are_equal());
        prop_assert_eq!(world.states[&node(1)].len() as usize, records.len());
    }
}

/// Slots and tasks are found by the scans that claim to find them.
#[test]
fn views_scan_exactly_their_range() {
    let mut state = State::new(CLUSTER, node(1), 1);
    let epoch = sleep_wire::Epoch { generation: 0, term: 1, candidate: node(1) };
    let body = sleep_wire::slot::Slot {
        current: None,
        order: sleep_wire::spec::Order::StopFirst,
        fence: 0,
        retire: Vec::new(),
    };
    let mut keys = Vec::new();
    for of in [1, 2, 3] {
        for name in [
            SlotName::Number(1),
            SlotName::Number(300),
            SlotName::Node(node(1)),
            SlotName::Run { run: 1, number: 1 },
        ] {
            keys.push(sleep_wire::key::SlotKey { service: service(of), slot: name });
        }
    }
    let records: Vec<_> = keys
        .iter()
        .map(|key| signed(1, &draft(*key, sleep_wire::Stamp::Lease { epoch, counter: 1 }, &body)))
        .collect();
    state.receive_records(crate::Instant(0), node(9), &records, &Members::up_to(1), &Key9(1));
    assert_eq!(state.slots().map(|slot| slot.key).collect::<Vec<_>>(), keys);
    assert_eq!(state.slots_of(service(2)).map(|slot| slot.key).collect::<Vec<_>>(), keys[4..8]);
    assert_eq!(state.slot(keys[5]).map(|slot| slot.key), Some(keys[5]));
    assert_eq!(state.roll().len(), 12);
    assert_eq!(state.islands().count() + state.tasks().count() + state.join_tokens().count(), 0);
    let persisted = drain(&mut state);
    assert!(matches!(persisted.as_slice(), [StateOutput::Persist { .. }]));
}
