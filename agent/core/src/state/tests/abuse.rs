//! What a peer may cost that says whatever it likes.

use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;
use sleep_wire::Digest;
use sleep_wire::message::{Message, PushMessage};
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::sync::{Branch, BucketLists, Standing, SyncMessage, TriePath};

use super::kit::*;
use crate::Instant;
use crate::state::{PER_SECOND, REFUSALS_PER_SECOND, State, StateInput, StateOutput};

fn full(records: u32) -> State {
    let mut state = State::new(CLUSTER, node(1), 1);
    let records: Vec<_> = (0..records)
        .map(|n| signed(1, &label(&alloc::format!("label-{n}"), &"v".repeat(200), at(10, 1))))
        .collect();
    state.load(records.iter().map(Vec::as_slice), None, &Key9(1));
    state
}

fn said(state: &mut State, now: Instant, message: SyncMessage) -> usize {
    let input = StateInput::Sync { from: node(2), message, time: ClusterTime::ZERO, holder_side: true };
    state.handle(now, input, &Members::up_to(2), &Key9(1));
    let sent = drain(state).into_iter().map(|output| match output {
        StateOutput::Send { message: Message::Sync(message), .. } => super::super::sync::size(&message),
        other => unreachable!("a comparison leads to nothing but answers: {other:?}"),
    });
    sent.sum()
}

/// Asking for everything all the time yields no more than the budget.
#[test]
fn whoever_asks_for_everything_all_the_time_gets_its_share() {
    let mut state = full(8_000);
    let standing = Standing { gc_before_ms: 0, whole: true };
    let everything = SyncMessage::Buckets {
        round: 1,
        standing,
        buckets: BucketLists { buckets: (0..4096).map(|index| (index, 0)).collect(), records: Vec::new() },
    };
    let mut bytes = 0;
    for n in 0..200u64 {
        bytes += said(&mut state, Instant(n * 50_000), everything.clone());
    }
    // Ten seconds' worth, the two that were saved, and one answer that overdrew.
    let bound = 12 * PER_SECOND as usize + 2 * crate::state::ANSWER_LIMIT;
    assert!(bytes > 8 * PER_SECOND as usize && bytes < bound, "{bytes}");
    let root = SyncMessage::Root { round: 1, sum: Digest([9; 32]), records: u64::MAX };
    assert!(said(&mut state, Instant(20_000_000), root) < 1_000);
}

/// Answers that nobody asked for are as good as any statement: nothing is remembered of them.
#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut state = full(100);
    let before = state.digest();
    let standing = Standing { gc_before_ms: 0, whole: true };
    let messages = [
        SyncMessage::Equal { round: 7, sum: Digest([3; 32]) },
        SyncMessage::Records {
            round: 7,
            standing,
            batch: Batch::default(),
            want: BucketLists::default(),
            end: true,
            more: true,
        },
        SyncMessage::Branches { round: 7, branches: Vec::new() },
        SyncMessage::Branches {
            round: 7,
            branches: Vec::from([Branch {
                path: TriePath { depth: 9, index: 9 },
                present: 3,
                sums: Vec::new(),
            }]),
        },
    ];
    for message in messages {
        assert_eq!(said(&mut state, Instant(0), message), 0);
    }
    assert_eq!(state.digest(), before);
    assert_eq!(state.next_wake(), None);
}

/// What differed when the peer spoke has come by another way since: it is told that there is no more to say,
/// and goes on to the next round instead of waiting in vain.
#[test]
fn a_comparison_that_was_overtaken_goes_on() {
    let mut state = full(100);
    let entries: Vec<_> = state.shared().map(alloc::sync::Arc::clone).collect();
    let mut trie = crate::state::trie::Trie::new();
    entries.into_iter().for_each(|entry| trie.insert(entry));
    let equal = || Vec::from([trie.branch(TriePath::ROOT)]);
    let input = StateInput::Sync {
        from: node(2),
        message: SyncMessage::Branches { round: 7, branches: equal() },
        time: ClusterTime::ZERO,
        holder_side: true,
    };
    state.handle(Instant(0), input, &Members::up_to(2), &Key9(1));
    let answer = drain(&mut state);
    assert!(
        matches!(answer.as_slice(), [StateOutput::Send {
            message: Message::Sync(SyncMessage::Records { round: 7, batch, end: true, more: false, .. }),
            ..
        }] if batch.records.is_empty()),
        "{answer:?}"
    );
    // And whoever began the exchange asks again by itself.
    state.handle(Instant(0), StateInput::Peers { live: Vec::from([node(2)]) }, &Members::up_to(2), &Key9(1));
    let began = drain(&mut state);
    let round = began.iter().find_map(|output| match output {
        StateOutput::Send { message: Message::Sync(SyncMessage::Root { round, .. }), .. } => Some(*round),
        _ => None,
    });
    let round = round.expect("it compares itself with the first that lives");
    let size = said(&mut state, Instant(1), SyncMessage::Branches { round, branches: equal() });
    assert_eq!(size, 64, "the next question");
    assert!(!state.has_met(), "nothing was shown yet");
}

/// A peer that sends rubbish is heard out a thousand times, then a hundred times a second.
#[test]
fn rubbish_exhausts_its_senders_credit_only() {
    let mut state = State::new(CLUSTER, node(1), 1);
    let judge = Members::up_to(3);
    let rubbish = Batch { records: (0..100u8).map(|n| Vec::from([n])).collect() };
    let push = |from, batch| StateInput::Push { from, message: PushMessage::Records { ack: None, batch } };
    let mut refused = 0;
    for n in 0..1_000u64 {
        state.handle(Instant(n * 10_000), push(node(2), rubbish.clone()), &judge, &Key9(1));
        refused += drain(&mut state).len();
    }
    let bound = 20 * REFUSALS_PER_SECOND as usize;
    assert!((bound * 9 / 10..=bound + 1).contains(&refused), "{refused}");
    let good = Batch { records: Vec::from([signed(3, &label("a", "1", at(1, 3)))]) };
    state.handle(Instant(10_000_000), push(node(3), good), &judge, &Key9(1));
    assert_eq!(state.len(), 1);
}

fn any_path() -> impl Strategy<Value = TriePath> {
    (0..5u8, any::<u16>()).prop_map(|(depth, index)| TriePath { depth, index })
}

fn any_lists() -> impl Strategy<Value = BucketLists> {
    let buckets = prop::collection::vec((0..5000u16, 0..4u16), 0..6);
    (buckets, prop::collection::vec(any::<[u8; 16]>(), 0..12))
        .prop_map(|(buckets, records)| BucketLists { buckets, records })
}

fn any_message() -> impl Strategy<Value = SyncMessage> {
    let digest = any::<[u8; 32]>().prop_map(Digest);
    let lists = any_lists;
    let branch = (any_path(), any::<u16>(), prop::collection::vec(digest.clone(), 0..17))
        .prop_map(|(path, present, sums)| Branch { path, present, sums });
    let standing =
        (0..3u64, any::<bool>()).prop_map(|(gc_before_ms, whole)| Standing { gc_before_ms, whole });
    prop_oneof![
        (0..3u32, digest.clone(), any::<u64>()).prop_map(|(round, sum, records)| SyncMessage::Root {
            round,
            sum,
            records
        }),
        (0..3u32, digest).prop_map(|(round, sum)| SyncMessage::Equal { round, sum }),
        (0..3u32, prop::collection::vec(branch, 0..6))
            .prop_map(|(round, branches)| SyncMessage::Branches { round, branches }),
        (0..3u32, standing.clone(), lists()).prop_map(|(round, standing, buckets)| SyncMessage::Buckets {
            round,
            standing,
            buckets
        }),
        (0..3u32, standing, lists(), any::<bool>(), any::<bool>()).prop_map(
            |(round, standing, want, end, more)| {
                SyncMessage::Records { round, standing, batch: Batch::default(), want, end, more }
            }
        ),
    ]
}

proptest! {
    /// Whatever a peer says: no panic, no change, no answer beyond its bound.
    #[test]
    fn any_message_has_a_bounded_answer(messages in prop::collection::vec(any_message(), 1..20)) {
        let mut state = full(50);
        let before = state.digest();
        for message in messages {
            prop_assert!(said(&mut state, Instant(0) + Duration::from_secs(1), message) < 64 * 1024);
        }
        prop_assert_eq!(state.digest(), before);
    }
}
