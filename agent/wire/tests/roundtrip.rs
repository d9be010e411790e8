//! Whatever a type can hold is written and read back as the same, and no value has two encodings.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sleep_wire::key::{DesiredKey, IslandKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::lease::{ConfigId, Hint, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::message::{Carried, Frame, MembershipMessage, Message, PushMessage, RollCallMessage};
use sleep_wire::node::NodeImages;
use sleep_wire::record::Batch;
use sleep_wire::slot::{Assigned, Cause, Choice, RetireReason, Retired, Slot};
use sleep_wire::spec::{Order, Scale, ServiceRemoval};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::swim::Peer;
use sleep_wire::sync::{Branch, BucketLists, Standing, SyncMessage, TriePath};
use sleep_wire::task::{Exit, Health, TaskId, TaskState, TaskStatus};
use sleep_wire::token::JoinString;
use sleep_wire::trust::{Admission, Role, Warrant};
use sleep_wire::{
    ClusterId, CommandId, Digest, Epoch, Key, NodeId, PublicKey, Record, RevisionId, ServiceId, Signature,
    SlotName, Stamp, TokenId, WallTime, Wire, decode, encode,
};

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn signature() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(a, b)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&a);
        bytes[32..].copy_from_slice(&b);
        Signature(bytes)
    })
}

/// Numbers of every length that the encoding knows.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, 65_000..66_000u64, (1u64 << 31)..(1u64 << 33), any::<u64>()]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (any::<u16>(), number(), node()).prop_map(|(generation, term, candidate)| Epoch {
        generation,
        term,
        candidate,
    })
}

fn time() -> impl Strategy<Value = ClusterTime> {
    (any::<u16>(), number()).prop_map(|(generation, hlc)| ClusterTime { generation, hlc })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![
        (time(), node()).prop_map(|(time, node)| Stamp::Time { time, node }),
        (epoch(), number()).prop_map(|(epoch, counter)| Stamp::Lease { epoch, counter }),
        (number(), number()).prop_map(|(boot, sequence)| Stamp::Boot { boot, sequence }),
    ]
}

fn slot_key() -> impl Strategy<Value = SlotKey> {
    let name = prop_oneof![
        any::<u32>().prop_map(SlotName::Number),
        node().prop_map(SlotName::Node),
        (number(), any::<u32>()).prop_map(|(run, number)| SlotName::Run { run, number }),
    ];
    (any::<[u8; 16]>().prop_map(ServiceId), name).prop_map(|(service, slot)| SlotKey { service, slot })
}

fn key() -> impl Strategy<Value = Key> {
    let entry = any::<[u8; 8]>();
    let service = || any::<[u8; 16]>().prop_map(ServiceId);
    let name = || "\\PC{0,40}";
    prop_oneof![
        (node(), entry).prop_map(|(node, entry)| MembershipKey::Admission { node, entry }.into()),
        (node(), entry).prop_map(|(node, entry)| MembershipKey::Role { node, entry }.into()),
        (node(), entry).prop_map(|(node, entry)| MembershipKey::Removal { node, entry }.into()),
        (node(), entry).prop_map(|(operator, entry)| MembershipKey::Operator { operator, entry }.into()),
        service().prop_map(|service| DesiredKey::ServiceBirth { service }.into()),
        (service(), any::<[u8; 16]>().prop_map(RevisionId))
            .prop_map(|(service, revision)| DesiredKey::ServiceRevision { service, revision }.into()),
        service().prop_map(|service| DesiredKey::ServiceScale { service }.into()),
        (node(), name()).prop_map(|(node, label)| DesiredKey::NodeLabel { node, label }.into()),
        name().prop_map(|name| DesiredKey::Secret { name }.into()),
        Just(DesiredKey::Horizon.into()),
        slot_key().prop_map(Key::from),
        (slot_key(), node()).prop_map(|(slot, author)| IslandKey { slot, author }.into()),
        node().prop_map(|node| ObservedKey::Facts { node }.into()),
        (node(), slot_key(), any::<u8>()).prop_map(|(node, slot, place)| ObservedKey::Task {
            node,
            slot,
            place
        }
        .into()),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (vec(any::<u8>(), 0..260), stamp(), node(), any::<u16>(), vec(any::<u8>(), 0..600), signature()).prop_map(
        |(key, stamp, author, version, body, signature)| Record {
            key,
            stamp,
            author,
            version,
            body,
            signature,
        },
    )
}

fn wall() -> impl Strategy<Value = WallTime> {
    any::<i64>().prop_map(WallTime)
}

fn slot() -> impl Strategy<Value = Slot> {
    let cause = prop_oneof![Just(Cause::Wanted), node().prop_map(Cause::Unfit), Just(Cause::Commanded)];
    let choice = (any::<u32>(), any::<u32>(), ".{0,20}").prop_map(|(fitting, refused, decided_by)| Choice {
        fitting,
        refused,
        decided_by,
    });
    let assigned = (stamp(), node(), any::<[u8; 16]>().prop_map(RevisionId), cause, choice, wall()).prop_map(
        |(assignment, node, revision, cause, choice, at)| Assigned {
            assignment,
            node,
            revision,
            cause,
            choice,
            at,
        },
    );
    let reason =
        prop_oneof![Just(RetireReason::Moved), Just(RetireReason::Command), Just(RetireReason::Duplicate)];
    let retired =
        (stamp(), node(), reason).prop_map(|(assignment, node, reason)| Retired { assignment, node, reason });
    let order = prop_oneof![Just(Order::StartFirst), Just(Order::StopFirst)];
    (option::of(assigned), order, number(), vec(retired, 0..5))
        .prop_map(|(current, order, fence, retire)| Slot { current, order, fence, retire })
}

fn status() -> impl Strategy<Value = TaskStatus> {
    let state = prop_oneof![Just(TaskState::Assigned), Just(TaskState::Running), Just(TaskState::Stopped)];
    let health = prop_oneof![Just(Health::None), Just(Health::Healthy), Just(Health::Unhealthy)];
    let exit = (any::<i32>(), any::<bool>()).prop_map(|(code, out_of_memory)| Exit { code, out_of_memory });
    let id = (stamp(), any::<u32>()).prop_map(|(assignment, attempt)| TaskId { assignment, attempt });
    let words = (".{0,60}", ".{0,20}", vec(".{0,20}", 0..4));
    (id, state, health, (wall(), option::of(wall()), number()), option::of(exit), words).prop_map(
        |(
            task,
            state,
            health,
            (since, started_at, running_for_ms),
            exit,
            (message, container, last_lines),
        )| {
            TaskStatus {
                task,
                revision: RevisionId([4; 16]),
                state,
                health,
                since,
                started_at,
                running_for_ms,
                exit,
                message,
                container,
                image_digest: String::new(),
                last_lines,
            }
        },
    )
}

fn config() -> impl Strategy<Value = VoterConfig> {
    let voter = (node(), any::<u8>()).prop_map(|(node, weight)| Voter { node, weight });
    let times = any::<[u32; 3]>().prop_map(|[lease_ms, rho_ppm, margin_ms]| LeaseTimes {
        lease_ms,
        rho_ppm,
        margin_ms,
    });
    (epoch(), number(), vec(voter, 0..8), times).prop_map(|(epoch, version, voters, times)| VoterConfig {
        id: ConfigId { epoch, version },
        voters,
        times,
    })
}

fn lease_body() -> impl Strategy<Value = LeaseBody> {
    prop_oneof![
        (epoch(), any::<bool>(), epoch()).prop_map(|(epoch, yes, highest)| LeaseBody::PreVoteAnswer {
            epoch,
            yes,
            highest
        }),
        (epoch(), epoch(), any::<u32>()).prop_map(|(epoch, highest, wait_ms)| LeaseBody::Reject {
            epoch,
            highest,
            wait_ms
        }),
        (epoch(), number()).prop_map(|(epoch, seq)| LeaseBody::Grant { epoch, seq }),
        Just(LeaseBody::Install),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    vec(vec(any::<u8>(), 0..100), 0..8).prop_map(|records| Batch { records })
}

fn lists() -> impl Strategy<Value = BucketLists> {
    (vec(any::<(u16, u16)>(), 0..8), vec(any::<[u8; 16]>(), 0..8))
        .prop_map(|(buckets, records)| BucketLists { buckets, records })
}

fn sync() -> impl Strategy<Value = SyncMessage> {
    let standing =
        || (number(), any::<bool>()).prop_map(|(gc_before_ms, whole)| Standing { gc_before_ms, whole });
    let path = (any::<u8>(), any::<u16>()).prop_map(|(depth, index)| TriePath { depth, index });
    let branch = (path, any::<u16>(), vec(digest(), 0..17)).prop_map(|(path, present, sums)| Branch {
        path,
        present,
        sums,
    });
    prop_oneof![
        (any::<u32>(), digest(), number()).prop_map(|(round, sum, records)| SyncMessage::Root {
            round,
            sum,
            records
        }),
        (any::<u32>(), vec(branch, 0..5))
            .prop_map(|(round, branches)| SyncMessage::Branches { round, branches }),
        (any::<u32>(), standing(), lists()).prop_map(|(round, standing, buckets)| SyncMessage::Buckets {
            round,
            standing,
            buckets
        }),
        (any::<u32>(), standing(), batch(), lists(), any::<[bool; 2]>()).prop_map(
            |(round, standing, batch, want, [end, more])| SyncMessage::Records {
                round,
                standing,
                batch,
                want,
                end,
                more
            }
        ),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let peer =
        (node(), any::<u32>(), any::<u16>()).prop_map(|(node, boot, renewal)| Peer { node, boot, renewal });
    prop_oneof![
        vec(any::<u8>(), 0..960).prop_map(Message::Swim),
        (peer, any::<u16>()).prop_map(|(about, incarnation)| {
            Message::Membership(MembershipMessage::Witness { about, incarnation })
        }),
        (config(), lease_body()).prop_map(|(config, body)| Message::Lease(LeaseMessage { config, body })),
        (option::of(number()), batch())
            .prop_map(|(ack, batch)| Message::Push(PushMessage::Records { ack, batch })),
        sync().prop_map(Message::Sync),
        (epoch(), batch(), any::<bool>()).prop_map(|(epoch, batch, more)| Message::RollCall(
            RollCallMessage::Answer { epoch, batch, more }
        )),
    ]
}

fn carried() -> impl Strategy<Value = Carried> {
    let hint = (epoch(), number(), vec((node(), signature()), 0..4))
        .prop_map(|(epoch, renewal, signatures)| Hint { epoch, renewal, signatures });
    (time(), option::of(hint)).prop_map(|(time, hint)| Carried { time, hint })
}

fn returns<T: Wire + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let read = decode::<T>(&encode(value));
    prop_assert_eq!(read.as_ref(), Ok(value));
    Ok(())
}

proptest! {
    #[test]
    fn records_return(record in record()) {
        returns(&record)?;
    }

    /// No two records are signed over the same bytes, as no two fields run into each other.
    #[test]
    fn what_is_signed_tells_records_apart(a in record(), b in record()) {
        let cluster = ClusterId([1; 32]);
        let unsigned = |record: &Record| Record { signature: Signature([0; 64]), ..record.clone() };
        let same = a.signed_bytes(&cluster) == b.signed_bytes(&cluster);
        prop_assert_eq!(same, unsigned(&a) == unsigned(&b));
        prop_assert_ne!(a.signed_bytes(&cluster), a.signed_bytes(&ClusterId([2; 32])));
    }

    #[test]
    fn keys_return_and_name_their_family(key in key()) {
        let bytes = key.to_bytes();
        prop_assert_eq!(bytes.first(), Some(&(key.family() as u8)));
        prop_assert_eq!(Key::from_bytes(&bytes), Ok(Some(key)));
    }

    /// A later release's families are told from malformed keys of this one.
    #[test]
    fn unknown_families_are_not_malformed(family in 6..=255u8, rest in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Key::from_bytes(&[&[family], rest.as_slice()].concat()), Ok(None));
    }

    #[test]
    fn slots_return(slot in slot()) {
        returns(&slot)?;
    }

    #[test]
    fn task_statuses_return(status in status()) {
        returns(&status)?;
        returns(&status.task)?;
    }

    #[test]
    fn small_bodies_return(
        (replicas, at) in (any::<u32>(), wall()),
        command in any::<[u8; 16]>().prop_map(CommandId),
        seen in vec(any::<[u8; 16]>().prop_map(RevisionId), 0..4),
        images in vec(".{0,30}", 0..5),
    ) {
        returns(&Scale { replicas, command, at })?;
        returns(&ServiceRemoval { seen, command, at })?;
        returns(&NodeImages { images })?;
    }

    #[test]
    fn admissions_return(
        key in any::<[u8; 32]>().prop_map(PublicKey),
        worker in any::<bool>(),
        nonce in option::of(any::<[u8; 16]>()),
        signature in signature(),
        at in wall(),
    ) {
        let role = if worker { Role::Worker } else { Role::Control };
        let warrant = match nonce {
            Some(nonce) => Warrant::Genesis { nonce },
            None => Warrant::Token { token: TokenId([1; 16]), key, signature },
        };
        returns(&Admission { key, role, warrant, at })?;
    }

    #[test]
    fn voter_configs_return(config in config()) {
        returns(&config)?;
    }

    #[test]
    fn frames_return(carried in carried(), message in message()) {
        let frame = Frame { carried, message };
        prop_assert_eq!(Frame::from_bytes(&frame.to_bytes()), Ok(frame));
    }

    /// What is put into lists comes out again, and lists of anybody yield only what they have.
    #[test]
    fn bucket_lists_yield_what_they_hold(lists in vec(vec(any::<[u8; 16]>(), 0..4), 0..6), any in lists()) {
        let mut flat = BucketLists::default();
        for (bucket, records) in (0..).zip(&lists) {
            flat.push(bucket * 9, records.iter().copied());
        }
        let back: Vec<_> = flat.iter().map(|(bucket, records)| (bucket / 9, records.to_vec())).collect();
        prop_assert_eq!(back, (0..).zip(lists).collect::<Vec<_>>());
        prop_assert!(any.iter().map(|(_, records)| records.len()).sum::<usize>() <= any.records.len());
        prop_assert!(any.iter().is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn ids_and_tokens_return_from_text(id in node(), cluster: [u8; 32], secret: [u8; 32]) {
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        let token = JoinString { cluster: ClusterId(cluster), secret };
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }
}
