//! What becomes of words that are void: who keeps them, who is given them, and when that ends.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::message::{Message, PushMessage};
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{NodeId, Record};

use super::kit::*;
use crate::Instant;
use crate::state::{Judge, Receipt, State, StateInput, StateOutput, Verdict};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn empty(me: u8) -> State {
    State::new(CLUSTER, node(me), 1)
}

/// Takes records in.
fn take(state: &mut State, records: &[Vec<u8>]) {
    state.receive_records(Instant(0), node(9), records, &Members::up_to(9), &Key9(1));
    drain(state);
}

fn judge_again(state: &mut State, of: u8, judge: &impl Judge) {
    state.rejudge(Instant(0), &BTreeSet::from([node(of)]), judge);
}

/// What a peer is given with the next comparison.
fn given(state: &mut State, seconds: u64, judge: &impl Judge) -> Vec<Vec<u8>> {
    drain(state);
    let now = Instant(seconds * 1_000_000);
    state.handle(now, StateInput::Peers { live: Vec::from([node(8)]) }, judge, &Key9(1));
    let given = drain(state).into_iter().flat_map(pushed).collect();
    state.handle(now, StateInput::Peers { live: Vec::new() }, judge, &Key9(1));
    given
}

/// Who let its author in had no word any more: once another has, what people were told stands again, here and
/// on the author's disk; what it saw it tells itself.
#[test]
fn what_a_member_wrote_stands_again_when_it_is_let_in_again() {
    let wish = signed(3, &label("a", "1", at(1, 3)));
    let judges = [Members::up_to(2), Members::up_to(3)];
    for me in [1, 3] {
        let mut state = empty(me);
        take(&mut state, &[wish.clone(), signed(3, &facts(3, 1))]);
        drain(&mut state);
        state.rejudge(Instant(0), &BTreeSet::from([node(3)]), &judges[0]);
        assert_eq!((state.len(), state.unsaid().count()), (0, 1));
        state.rejudge(Instant(0), &BTreeSet::from([node(3)]), &judges[1]);
        assert_eq!((state.len(), state.unsaid().count()), (1, 0));
        assert_eq!(contents(&state), core::slice::from_ref(&wish));
    }
}

/// Says that what one member wrote is void, as it had been demoted.
struct Demoted(NodeId);

impl Judge for Demoted {
    fn judge(&self, record: &Record) -> Verdict {
        if record.author == self.0 { Verdict::Void } else { Members::up_to(9).judge(record) }
    }
}

/// A demoted node keeps what it wrote, and gives it to others, until one of them has said it again; and they
/// are told of it.
#[test]
fn what_is_void_is_kept_until_it_is_said_again() {
    let mut author = empty(1);
    let mine = signed(1, &label("a", "1", at(5, 1)));
    take(&mut author, core::slice::from_ref(&mine));
    drain(&mut author);
    author.rejudge(Instant(0), &BTreeSet::from([node(1)]), &Demoted(node(1)));
    assert!(author.is_empty());
    assert_eq!(author.take_void().len(), 1);
    let kept: Vec<Vec<u8>> = writes(&mut author)
        .into_iter()
        .filter_map(|write| if let Write::PutRecord { record, .. } = write { Some(record) } else { None })
        .collect();

    // Its agent is started again. What waits stands nowhere, and goes along with a comparison.
    let mut again = empty(1);
    again.load(kept.iter().map(Vec::as_slice), None, &Key9(1));
    assert_eq!((again.len(), again.unsaid().count(), again.aside().len()), (0, 1, 0));
    assert!(again.greatest_time() > ClusterTime::ZERO, "its clock stays above its own word");
    let judge = Demoted(node(1));
    again.handle(Instant(0), StateInput::Peers { live: Vec::from([node(2)]) }, &judge, &Key9(1));
    let given: Vec<Vec<u8>> = drain(&mut again).into_iter().flat_map(pushed).collect();
    assert_eq!(given, core::slice::from_ref(&mine));

    let mut other = empty(2);
    let from = node(1);
    let receipts = other.receive_records(Instant(0), from, &given, &judge, &Key9(2));
    assert_eq!(receipts, [Receipt::Refused("role")]);
    assert_eq!(other.take_void().iter().map(|entry| entry.bytes()).collect::<Vec<_>>(), [mine.as_slice()]);

    let said = [signed(2, &label("a", "1", at(6, 2)))];
    again.receive_records(Instant(0), node(2), &said, &judge, &Key9(1));
    assert_eq!(again.unsaid().count(), 0);
    let forgotten =
        writes(&mut again).into_iter().filter(|write| matches!(write, Write::DeleteRecord { .. }));
    assert_eq!(forgotten.count(), 1);
}

/// Whoever had a word keeps it when it becomes void, until it is said again, or until it stands again.
#[test]
fn what_became_void_stands_again_if_its_author_was_not_demoted_after_all() {
    let theirs = signed(1, &label("a", "1", at(5, 1)));
    let mut state = empty(2);
    take(&mut state, core::slice::from_ref(&theirs));
    let authors = BTreeSet::from([node(1)]);
    state.rejudge(Instant(0), &authors, &Demoted(node(1)));
    assert_eq!((state.len(), state.unsaid().count()), (0, 1));
    state.rejudge(Instant(0), &authors, &Members::up_to(9));
    assert_eq!((state.len(), state.unsaid().count()), (1, 0));
    assert_eq!(contents(&state), [theirs]);
}

/// What an older void word said would be no answer to those who were told that the newer one is done.
#[test]
fn of_void_words_under_one_key_the_newest_is_kept() {
    let newer = signed(1, &label("a", "1", at(5, 1)));
    let older = signed(3, &label("a", "2", at(4, 3)));
    let mut state = empty(2);
    take(&mut state, core::slice::from_ref(&newer));
    state.rejudge(Instant(0), &BTreeSet::from([node(1)]), &Demoted(node(1)));
    take(&mut state, core::slice::from_ref(&older));
    state.rejudge(Instant(0), &BTreeSet::from([node(3)]), &Demoted(node(3)));
    state.rejudge(Instant(0), &BTreeSet::from([node(1)]), &Demoted(node(1)));
    assert_eq!(state.unsaid().map(|entry| entry.bytes()).collect::<Vec<_>>(), [newer.as_slice()]);
}

fn writes(state: &mut State) -> Vec<Write> {
    let persisted = drain(state).into_iter().filter_map(|output| match output {
        StateOutput::Persist { writes, .. } => Some(writes),
        _ => None,
    });
    persisted.flatten().collect()
}

fn pushed(output: StateOutput) -> Vec<Vec<u8>> {
    match output {
        StateOutput::Send { message: Message::Push(PushMessage::Records { batch, .. }), .. } => batch.records,
        _ => Vec::new(),
    }
}

/// Nobody who was asked could say them again: neither those whose author nobody knows, nor those of a key
/// that is in other hands. They wait, in case somebody lets their author in.
#[test]
fn only_void_words_are_given_to_others() {
    struct Stolen;
    impl Judge for Stolen {
        fn judge(&self, _record: &Record) -> Verdict {
            Verdict::Invalid("role")
        }
    }
    let word = signed(3, &label("a", "1", at(5, 3)));
    let mut state = empty(2);
    take(&mut state, core::slice::from_ref(&word));
    judge_again(&mut state, 3, &Members::up_to(2));
    assert_eq!((state.unsaid().count(), state.take_void().len()), (1, 0));
    assert!(given(&mut state, 0, &Members::up_to(2)).is_empty());
    judge_again(&mut state, 3, &Stolen);
    assert_eq!((state.unsaid().count(), state.take_void().len()), (1, 0));
    judge_again(&mut state, 3, &Demoted(node(3)));
    assert_eq!(state.take_void().len(), 1, "this node may be one that can say it");
    let mut again = empty(2);
    let kept: Vec<Vec<u8>> = Vec::from([[&[0xfe], word.as_slice()].concat()]);
    again.load(kept.iter().map(Vec::as_slice), None, &Key9(2));
    again.rejudge_all(Instant(0), &Demoted(node(3)));
    assert_eq!(given(&mut again, 0, &Demoted(node(3))), [word]);
}

/// However much a demoted node had written, a peer is given no more at a time than it bears, and all in time.
#[test]
fn what_is_given_at_a_time_is_bounded() {
    let words: Vec<Vec<u8>> =
        (0..600).map(|n| signed(3, &label(&alloc::format!("l{n}"), "1", at(5, 3)))).collect();
    let mut state = empty(2);
    take(&mut state, &words);
    let judge = Demoted(node(3));
    judge_again(&mut state, 3, &judge);
    assert_eq!(state.unsaid().count(), 600);
    let mut seen = BTreeSet::new();
    for round in 1..=3 {
        let given = given(&mut state, 60 * round, &judge);
        assert!(given.len() <= 256, "{}", given.len());
        seen.extend(given);
    }
    assert_eq!(seen.len(), 600);
}

/// Once its service is gone for good nobody waits for a word of it: neither if the mark stands by which it
/// is, nor if that goes by the same horizon.
#[test]
fn what_would_be_gone_at_once_is_not_said_again() {
    for (removed, stands) in [(2, false), (10, true)] {
        let void = signed(3, &scale(1, 5, 7, at(20 * DAY, 3)));
        let mut state = empty(2);
        take(&mut state, &[signed(1, &birth(1, "web", at(DAY, 1))), void]);
        judge_again(&mut state, 3, &Demoted(node(3)));
        assert_eq!((state.unsaid().count(), state.take_void().len()), (1, 1));
        take(&mut state, &[signed(1, &remove(1, &[], at(removed * DAY, 1)))]);
        assert_eq!(state.unsaid().count(), 1);
        take(&mut state, &[signed(1, &horizon(13 * DAY, at(20 * DAY, 1)))]);
        assert_eq!((state.unsaid().count(), state.len()), (0, 1 + u64::from(stands)));
        // Nor is it noted when it is heard from others, as long as that can be told.
        let void = signed(3, &scale(1, 6, 8, at(21 * DAY, 3)));
        let receipts = state.receive_records(Instant(0), node(9), &[void], &Demoted(node(3)), &Key9(2));
        assert_eq!((receipts, state.take_void().is_empty()), (Vec::from([Receipt::Refused("role")]), stands));
    }
}

/// A promotion of a node that was removed cannot be said again.
#[test]
fn a_promotion_of_a_removed_node_is_forgotten() {
    let mut state = empty(2);
    take(&mut state, &[signed(3, &role_of(4, Role::Control, at(5, 3)))]);
    judge_again(&mut state, 3, &Demoted(node(3)));
    assert_eq!(state.unsaid().count(), 1);
    take(&mut state, &[signed(1, &removal_of(4, at(6, 1)))]);
    assert_eq!(state.unsaid().count(), 0);
}

/// One that was away hands out what it kept before it compares itself with anybody: what was deleted
/// meanwhile, and forgotten, must not stand again.
#[test]
fn what_is_pushed_from_before_the_horizon_does_not_come_to_stand() {
    let mut state = empty(1);
    take(&mut state, &[signed(1, &horizon(13 * DAY, at(20 * DAY, 1)))]);
    let old = signed(2, &birth(1, "deleted", at(DAY, 2)));
    let push = |ack, record: &Vec<u8>| StateInput::Push {
        from: node(2),
        message: PushMessage::Records { ack, batch: Batch { records: Vec::from([record.clone()]) } },
    };
    state.handle(Instant(0), push(Some(1), &old), &Members::up_to(3), &Key9(1));
    let outputs = drain(&mut state);
    assert_eq!(state.len(), 1);
    assert!(
        !outputs.iter().any(|output| matches!(output, StateOutput::Send { message: Message::Push(_), .. })),
        "nobody is told that it is durable: {outputs:?}"
    );
    let new = signed(2, &birth(2, "new", at(14 * DAY, 2)));
    state.handle(Instant(0), push(None, &new), &Members::up_to(3), &Key9(1));
    assert_eq!(state.len(), 2);
}

/// A node whose disk went back hears from others what it had said, and may be the only one that can say it
/// again.
#[test]
fn its_own_void_words_that_it_hears_are_noted() {
    let mine = signed(1, &label("a", "1", at(5, 1)));
    let mut state = empty(1);
    let receipts =
        state.receive_records(Instant(0), node(9), core::slice::from_ref(&mine), &Demoted(node(1)), &Key9(1));
    assert_eq!(receipts, [Receipt::Refused("role")]);
    assert_eq!(state.take_void().iter().map(|entry| entry.bytes()).collect::<Vec<_>>(), [mine.as_slice()]);
}
