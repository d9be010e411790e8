//! What stands after records came in, in whatever order, and what became of each.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;
use sleep_wire::key::{DesiredKey, SlotKey};
use sleep_wire::stamp::{ClusterTime, Epoch};
use sleep_wire::sync::TriePath;
use sleep_wire::task::TaskState;
use sleep_wire::{Key, NodeId, Record, Signature, Stamp, decode, encode};

use super::kit::*;
use crate::state::commands::{revision_id, service_id};
use crate::state::{Draft, Entry, Judge, Receipt, Replay, State, Verdict};
use crate::{Crypto, Instant};

fn empty(me: u8) -> State {
    State::new(CLUSTER, node(me), 1)
}

/// Takes records in and tells what became of each.
fn take(state: &mut State, records: &[Vec<u8>]) -> Vec<Receipt> {
    let receipts = state.receive_records(Instant(0), node(9), records, &Members::up_to(3), &Key9(1));
    drain(state);
    receipts
}

/// Few keys, few stamps, two authors, known and unknown families: many records clash.
fn clashing() -> impl Strategy<Value = Vec<u8>> {
    (0..4u8, 0..3u64, 1..3u8, 0..3u8).prop_map(|(key, ms, author, value)| match key {
        0 => signed(author, &label("a", &format!("{value}"), at(ms, author))),
        1 => signed(author, &scale(1, value.into(), 1, at(ms, author))),
        2 => signed(author, &facts(author, ms)),
        _ => signed_raw(author, Vec::from([99, key]), at(ms, author), 3, Vec::from([value])),
    })
}

proptest! {
    /// Whatever the order, the grouping and the repetition, the same records stand and the sums are equal.
    #[test]
    fn merge_is_a_semilattice(
        records in prop::collection::vec(clashing(), 0..24),
        order in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let (mut one, mut other, mut joined) = (empty(1), empty(2), empty(3));
        take(&mut one, &records);
        let mut shuffled = records.clone();
        shuffled.sort_by_key(|bytes| Key9(1).hash(&[&seed.to_le_bytes(), bytes.as_slice()].concat()));
        for record in &shuffled {
            take(&mut other, core::slice::from_ref(record));
            take(&mut other, core::slice::from_ref(record));
        }
        prop_assert_eq!(contents(&one), contents(&other));
        prop_assert_eq!(one.digest(), other.digest());
        // Two halves merged apart, then together.
        let (left, right) = records.split_at(order.index(records.len() + 1));
        let (mut a, mut b) = (empty(1), empty(2));
        take(&mut a, right);
        take(&mut b, left);
        take(&mut joined, &contents(&a));
        take(&mut joined, &contents(&b));
        prop_assert_eq!(contents(&joined), contents(&one));
        prop_assert_eq!(joined.digest(), one.digest());
        let again = take(&mut one, &records);
        prop_assert!(again.iter().all(|receipt| matches!(receipt, Receipt::Same | Receipt::Older)));
    }

    /// Bytes of anybody change nothing and are refused one by one. Some happen to be a record, of a key that
    /// means nothing or under a signature that is nobody's.
    #[test]
    fn no_bytes_break_it(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let mut state = empty(1);
        let receipts = take(&mut state, &records);
        prop_assert_eq!(receipts.len(), records.len());
        for (receipt, bytes) in receipts.iter().zip(&records) {
            let refused = match decode::<Record>(bytes) {
                Err(_) => *receipt == Receipt::Refused("not a record"),
                Ok(_) => matches!(receipt, Receipt::Refused(_) | Receipt::Unknown),
            };
            prop_assert!(refused, "{:?} of {:?}", receipt, bytes);
        }
        prop_assert!(state.is_empty());
    }
}

/// Zeros can be a record, and still change nothing.
#[test]
fn a_record_of_zeros_is_refused() {
    let mut state = empty(1);
    let stamp = Stamp::Time { time: ClusterTime::ZERO, node: NodeId([0; 16]) };
    let (key, body) = (alloc::vec![0; 15], alloc::vec![0; 27]);
    let (author, signature) = (NodeId([0; 16]), Signature([0; 64]));
    let record = Record { key, stamp, author, version: 0, body, signature };
    let receipts = take(&mut state, &[encode(&record)]);
    assert_ne!(receipts, [Receipt::Refused("not a record")]);
    assert!(matches!(receipts.as_slice(), [Receipt::Refused(_) | Receipt::Unknown]), "{receipts:?}");
    assert!(state.is_empty());
}

/// Each record is answered for, by name.
#[test]
fn every_record_has_a_receipt() {
    let mut state = empty(1);
    let newer = signed(1, &label("a", "2", at(20, 1)));
    let older = signed(1, &label("a", "1", at(10, 1)));
    let foreign = signed(1, &facts(2, 1));
    let unknown = signed(4, &label("b", "1", at(10, 4)));
    let mut forged: Record = decode(&older).expect("it was encoded here");
    forged.stamp = at(30, 1);
    let receipts = take(&mut state, &[newer.clone(), older, newer, foreign, unknown, encode(&forged)]);
    assert_eq!(
        receipts,
        [
            Receipt::Merged,
            Receipt::Older,
            Receipt::Same,
            Receipt::Refused("not its own"),
            Receipt::Unknown,
            Receipt::Refused("the signature does not fit"),
        ]
    );
    assert_eq!(state.len(), 1);
}

/// What is wrong with a record is wrong on every node, whatever the judge says.
#[test]
fn malformed_records_are_refused_by_their_bytes_alone() {
    struct Anything;
    impl Judge for Anything {
        fn judge(&self, _: &Record) -> Verdict {
            Verdict::Valid
        }
    }
    let good = label("a", "1", at(1, 1));
    let key = good.key.to_bytes();
    let other_clock = Stamp::Boot { boot: 1, sequence: 1 };
    let far = Stamp::Time { time: ClusterTime::from_ms(0, ClusterTime::LIMIT_MS), node: node(1) };
    let mut long_varint = Vec::from([3]);
    long_varint.extend_from_slice(&[1; 16]);
    long_varint.extend_from_slice(&[0, 251, 1, 0]);
    let epoch = Stamp::Lease { epoch: Epoch::ZERO, counter: 1 };
    let mut trailing = signed(1, &good);
    trailing.push(0);
    let mut other_encoding = Vec::from([251, key.len() as u8, 0]);
    other_encoding.extend_from_slice(&signed(1, &good)[1..]);
    let cases = [
        (
            signed_raw(1, key.clone(), other_clock, 1, good.body.clone()),
            "the stamp is of another clock than the family's",
        ),
        (signed_raw(1, key.clone(), far, 1, good.body.clone()), "the stamp is out of range"),
        (signed_raw(1, key.clone(), at(1, 1), 0, good.body.clone()), "version 0 is none"),
        (signed_raw(1, key.clone(), at(1, 1), 1, Vec::from([9])), "the body is malformed"),
        (signed_raw(1, Vec::from([2, 1]), at(1, 1), 1, Vec::new()), "the key is malformed"),
        (
            signed_raw(1, Vec::from([2, 77]), other_clock, 1, Vec::new()),
            "the stamp is of another clock than the family's",
        ),
        (signed_raw(1, long_varint, epoch, 1, Vec::new()), "the key is malformed"),
        (
            signed_raw(1, Vec::new(), at(1, 1), 1, Vec::new()),
            "a record of a later release is too long, or has no key",
        ),
        (
            signed_raw(1, Vec::from([99]), at(1, 1), 1, alloc::vec![0; 17 * 1024]),
            "a record of a later release is too long, or has no key",
        ),
        (trailing, "not a record"),
        (other_encoding, "the record has another encoding than its author's"),
        (signed(1, &horizon(10, at(11, 1))), "the horizon is too near"),
    ];
    for (bytes, why) in cases {
        let mut state = empty(1);
        let receipts = state.receive_records(Instant(0), node(9), &[bytes], &Anything, &Key9(1));
        assert_eq!(receipts, [Receipt::Refused(why)]);
        assert!(state.is_empty());
    }
}

/// A later release's body, and a later release's family, are kept and hashed, and stay out of the views.
#[test]
fn what_cannot_be_read_is_kept_and_left_out_of_views() {
    let mut state = empty(1);
    let next = Draft { version: 2, ..label("a", "1", at(1, 1)) };
    let records = [
        signed(1, &next),
        signed_raw(1, Vec::from([99, 1]), at(1, 1), 1, Vec::from([1])),
        signed_raw(
            1,
            Key::Desired(DesiredKey::Secret { name: "s".into() }).to_bytes(),
            at(1, 1),
            1,
            Vec::from([1]),
        ),
    ];
    assert_eq!(take(&mut state, &records), [Receipt::Merged; 3]);
    assert_eq!(state.len(), 3);
    assert_eq!(state.labels(node(1)).count(), 0);
    let stored = contents(&state);
    assert!(records.iter().all(|record| stored.contains(record)), "bytes as received");
    let secret = Key::Desired(DesiredKey::Secret { name: "s".into() });
    assert_eq!(state.take_changes(), [next.key, secret]);
}

/// A later release's key in a family that is known is kept like one of a family that is not, in the part of
/// the trie where a release that can read it looks for it.
#[test]
fn unread_keys_of_known_families_are_kept() {
    let mut state = empty(1);
    let report = [&[5, 77], node(2).0.as_slice()].concat();
    let boot = Stamp::Boot { boot: 1, sequence: 1 };
    let unread = [
        (Vec::from([1, 77]), 1, at(1, 1), true),
        (Vec::from([2, 77]), 1, at(1, 1), false),
        (report, 2, boot, false),
    ];
    for (key, author, stamp, is_foundation) in unread {
        let bytes = signed_raw(author, key, stamp, 1, Vec::from([9]));
        let entry = Entry::read(&bytes, &Key9(1)).expect("a record");
        assert_eq!(usize::from(entry.bucket()) < TriePath::FOUNDATION_BUCKETS, is_foundation);
        assert_eq!(take(&mut state, core::slice::from_ref(&bytes)), [Receipt::Merged]);
        assert!(contents(&state).contains(&bytes), "bytes as received");
    }
}

/// What one node says of itself in a later release's words takes nobody else's room.
#[test]
fn unread_reports_have_a_quota_for_each_node() {
    let report = |author: u8, n: u8| {
        let key = [&[5, 77], node(author).0.as_slice(), &[n]].concat();
        signed_raw(author, key, Stamp::Boot { boot: 1, sequence: 1 }, 1, Vec::new())
    };
    let unread = signed_raw(1, Vec::from([2, 77]), at(1, 1), 1, Vec::new());
    let records: Vec<_> = (0..100).map(|n| report(2, n)).chain([unread.clone(), report(3, 1)]).collect();
    let (mut one, mut other) = (empty(1), empty(2));
    take(&mut one, &records);
    let backwards: Vec<_> = records.iter().rev().cloned().collect();
    take(&mut other, &backwards);
    assert_eq!((one.len(), one.digest()), (64 + 2, other.digest()));
    assert!([unread, report(3, 1)].iter().all(|record| contents(&one).contains(record)));
}

/// Whoever fills the quota, and in whatever order: the same records of unknown families stay.
#[test]
fn unknown_families_have_a_quota_that_forgets_the_order() {
    let records: Vec<_> = (0..1_100u16)
        .map(|n| signed_raw(1, [&[99], n.to_le_bytes().as_slice()].concat(), at(1, 1), 1, Vec::new()))
        .collect();
    let (mut one, mut other) = (empty(1), empty(2));
    take(&mut one, &records);
    let backwards: Vec<_> = records.iter().rev().cloned().collect();
    take(&mut other, &backwards);
    // A peer that knows the family offers all of it again and again, and is not blamed.
    for _ in 0..20 {
        one.receive_records(Instant(0), node(9), &records, &Members::up_to(3), &Key9(1));
    }
    assert_eq!(drain(&mut one), []);
    assert_eq!((one.len(), one.digest()), (1024, other.digest()));
    assert_eq!(contents(&one), contents(&other));
}

/// Membership records go first, and those whose author they admit are judged again as soon as the judge
/// knows.
#[test]
fn records_wait_for_their_authors_admission() {
    let mut state = empty(1);
    let theirs = signed(4, &label("a", "1", at(1, 4)));
    let admission = signed(1, &role_of(4, sleep_wire::trust::Role::Control, at(1, 1)));
    assert_eq!(take(&mut state, &[theirs, admission]), [Receipt::Unknown, Receipt::Merged]);
    state.rejudge(Instant(0), &BTreeSet::from([node(4)]), &Members::up_to(4));
    assert_eq!(state.labels(node(1)).collect::<Vec<_>>(), [("a", "1")]);
}

/// When an author turns out to have no right to them, its records go, and so do their sums.
#[test]
fn void_records_are_taken_away() {
    let mut state = empty(1);
    let mut untouched = empty(2);
    take(&mut untouched, &[signed(1, &label("a", "1", at(1, 1)))]);
    take(&mut state, &[signed(1, &label("a", "1", at(1, 1))), signed(3, &label("b", "1", at(1, 3)))]);
    state.take_changes();
    state.rejudge(Instant(0), &BTreeSet::from([node(1), node(3)]), &Members::up_to(2));
    assert_eq!(state.digest(), untouched.digest());
    assert_eq!(state.take_changes(), [label("b", "", at(0, 0)).key]);
}

/// A node that starts has what it had, and names what the disk has spoilt.
#[test]
fn what_was_stored_is_loaded_and_what_is_spoilt_is_named() {
    let mut state = empty(1);
    take(&mut state, &[signed(1, &label("a", "1", at(5, 1))), signed(2, &facts(2, 1))]);
    let stored = contents(&state);
    let mut again = empty(1);
    let mut values: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    values.push(b"spoilt");
    again.load(values, None, &Key9(1));
    assert_eq!(again.digest(), state.digest());
    assert_eq!(again.greatest_time(), ClusterTime::from_ms(0, 5));
    assert_eq!(again.aside().iter().map(|aside| aside.why).collect::<Vec<_>>(), ["not a record"]);
    // A flipped bit in a signature is found when everything is judged.
    let mut flipped = stored;
    for bytes in &mut flipped {
        *bytes.last_mut().expect("a record has bytes") ^= 1;
    }
    let mut spoilt = empty(1);
    spoilt.load(flipped.iter().map(Vec::as_slice), None, &Key9(1));
    spoilt.rejudge_all(Instant(0), &Members::up_to(3));
    assert!(spoilt.is_empty());
}

/// The greatest epoch and boot in any record are there for whoever must go above them.
#[test]
fn the_greatest_of_each_clock_is_known() {
    let mut state = empty(1);
    let epoch = Epoch { generation: 0, term: 7, candidate: node(2) };
    let key = SlotKey { ..slot(1, 1) };
    let body = sleep_wire::slot::Slot {
        current: None,
        order: sleep_wire::spec::Order::StopFirst,
        fence: 0,
        retire: Vec::new(),
    };
    let assigned = draft(key, Stamp::Lease { epoch, counter: 1 }, &body);
    take(&mut state, &[signed(2, &assigned), signed(2, &facts(2, 1))]);
    assert_eq!(state.greatest_epoch(), epoch);
    assert_eq!(state.highest_boot(node(2)), Some(1));
    assert_eq!(state.highest_boot(node(3)), None);
}

/// Whoever has an older disk does not know under which place it told of a task, and tells of it under
/// another: what it said last counts, in whatever order it comes, and nothing else.
#[test]
fn of_a_task_that_is_told_of_twice_the_last_word_counts() {
    let (earlier, later) = (task(2, 0, 1, TaskState::Running), task(2, 1, 2, TaskState::Stopped));
    let told = |state: &State| -> Vec<TaskState> {
        state.tasks_of(slot(1, 1)).map(|task| task.status.state).collect()
    };
    for records in [[&earlier, &later], [&later, &earlier]] {
        let mut state = empty(1);
        let records = records.map(|record| signed(2, record));
        assert_eq!(take(&mut state, &records), [Receipt::Merged, Receipt::Merged]);
        assert_eq!(told(&state), [TaskState::Stopped]);
        assert_eq!(state.tasks_at(node(2), slot(1, 1)).count(), 1);
        assert_eq!(state.tasks_on(node(2)).map(|task| task.place).collect::<Vec<_>>(), [1]);
        assert_eq!((state.tasks_that_count(slot(1, 1), None).count(), state.running().count()), (0, 0));
        // The place is another task's by now, and the first word is the only one again.
        let mut other = task(2, 1, 3, TaskState::Failed);
        other.body = encode(&status(2, TaskState::Failed));
        take(&mut state, &[signed(2, &other)]);
        assert_eq!(told(&state), [TaskState::Running, TaskState::Failed]);
        assert_eq!(state.running().count(), 1);
    }
}

/// One command is one command, wherever and however often it is sent; its id is good for nothing else.
#[test]
fn a_command_sent_twice_is_carried_out_once() {
    let mut state = empty(1);
    let crypto = Key9(1);
    assert_ne!(service_id(&command(1), &crypto).0, revision_id(&command(1), &crypto).0);
    let scaled = scale(1, 5, 9, at(10, 1));
    let asked = |state: &State, number, drafts: &[Draft]| {
        let said = drafts.iter().map(|draft| (&draft.key, draft.body.as_slice()));
        state.replay(&command(number), said, &crypto)
    };
    let replay = |state: &State, draft: &Draft| asked(state, 9, core::slice::from_ref(draft));
    assert_eq!(replay(&state, &scaled), Replay::New);
    take(&mut state, &[signed(1, &scaled)]);
    assert_eq!(replay(&state, &scale(1, 5, 9, at(99, 2))), Replay::Done);
    assert_eq!(replay(&state, &scale(1, 6, 9, at(99, 2))), Replay::Other);
    assert_eq!(replay(&state, &scale(2, 5, 9, at(99, 2))), Replay::Other);
    // The register has another writer meanwhile: the command is remembered.
    take(&mut state, &[signed(1, &scale(1, 7, 8, at(20, 1)))]);
    assert_eq!(replay(&state, &scaled), Replay::Done);
    // A day later it is not.
    let day = 24 * 60 * 60 * 1000;
    take(&mut state, &[signed(1, &scale(1, 8, 7, at(11 + day, 1)))]);
    assert_eq!(replay(&state, &scaled), Replay::New);
    // Of two things that it asked for only one made a difference, and asking again is asking the same.
    let both = [scale(1, 8, 6, at(50, 1)), scale(2, 4, 6, at(50, 1))];
    take(&mut state, &[signed(1, &both[1])]);
    assert_eq!(asked(&state, 6, &both), Replay::Done);
    assert_eq!(asked(&state, 6, &both[..1]), Replay::Other);
}
