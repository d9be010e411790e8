//! Laws of this room: who is in, who may write what, in any order of arrival.

extern crate std;

mod orders;

use std::collections::BTreeMap;
use std::string::ToString;
use std::vec::Vec;

use sleep_wire::key::{DesiredKey, IslandKey, ObservedKey, SlotKey};
use sleep_wire::message::JoinRefusal;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::token::JoinString;
use sleep_wire::trust::{Admission, JoinToken, Role, Warrant};
use sleep_wire::{
    ClusterId, Epoch, Key, NodeId, PublicKey, Record, ServiceId, SlotName, Stamp, WallTime, encode,
};

use super::testing::TestKey;
use super::*;

const WALL: WallTime = WallTime(0);
const SECRET: [u8; 32] = [99; 32];
const CONTROL: Role = Role::Control;
const WORKER: Role = Role::Worker;

fn t(ms: u64) -> ClusterTime {
    ClusterTime::from_ms(0, ms)
}

/// Nodes with keys 0, 1, 2…; node 0 founds the cluster at time 1.
struct Cast {
    keys: Vec<TestKey>,
    cluster: ClusterId,
    genesis: Record,
}

impl Cast {
    fn new(count: u8) -> Self {
        let keys: Vec<TestKey> = (0..count).map(|seed| TestKey::new(seed + 1)).collect();
        let (cluster, genesis) = found(&keys[0], [7; 16], t(1), WALL);
        Self { keys, cluster, genesis }
    }

    fn pen(&self, node: usize) -> Pen<'_> {
        Pen { crypto: &self.keys[node], cluster: self.cluster }
    }

    fn id(&self, node: usize) -> NodeId {
        self.pen(node).author()
    }

    fn crypto(&self) -> &TestKey {
        &self.keys[0]
    }

    fn token(&self) -> (JoinString, JoinToken) {
        let (string, _, body) =
            new_token(self.crypto(), self.cluster, SECRET, CONTROL, Some(t(1000)), false, WALL);
        (string, body)
    }

    fn admission(&self, newcomer: usize, role: Role) -> Admission {
        let request = join_request(&self.keys[newcomer], &self.token().0);
        let key = self.token().1.key;
        let warrant = Warrant::Token { token: request.token, key, signature: request.proof };
        Admission { key: request.key, role, warrant, at: WALL }
    }

    fn admit(&self, by: usize, newcomer: usize, role: Role, ms: u64) -> Record {
        self.pen(by).admission(t(ms), &self.admission(newcomer, role))
    }

    fn remove(&self, by: usize, whom: usize, ms: u64) -> Record {
        self.pen(by).removal(t(ms), self.id(whom), false, WALL)
    }

    fn trust(&self, records: &[Record]) -> Trust {
        let mut trust = Trust::new(self.cluster);
        trust.apply(&self.genesis, self.crypto());
        for record in records {
            trust.apply(record, self.crypto());
        }
        trust
    }

    fn members(&self, trust: &Trust) -> Vec<usize> {
        (0..self.keys.len()).filter(|node| trust.is_member(self.id(*node))).collect()
    }

    fn desired(&self, author: usize, ms: u64) -> Record {
        let stamp = Stamp::Time { time: t(ms), node: self.id(author) };
        self.pen(author).sign(&DesiredKey::Horizon.into(), stamp, Vec::new())
    }

    fn judge(&self, trust: &Trust, record: &Record) -> Verdict {
        trust.judge(record, self.crypto())
    }
}

const SERVICE: SlotKey = SlotKey { service: ServiceId([3; 16]), slot: SlotName::Number(1) };

/// The founder alone may do everything, and nobody else exists.
#[test]
fn a_cluster_begins_with_its_founder() {
    let cast = Cast::new(2);
    let trust = cast.trust(&[]);
    let standing = Standing { admitted: t(1), role: CONTROL, ever_control: true, removed: None };
    assert_eq!(trust.standings().collect::<Vec<_>>(), [(cast.id(0), standing)]);
    assert!(trust.is_last_control(cast.id(0)));
    assert_eq!(cast.judge(&trust, &cast.genesis), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &cast.desired(0, 2)), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &cast.desired(1, 2)), Verdict::UnknownAuthor);
    assert_eq!(trust.key_of(cast.id(0)), Some(cast.keys[0].public_key()));
}

/// Another founder's admission has no place here, whoever signs what.
#[test]
fn a_foreign_genesis_is_refused() {
    let cast = Cast::new(2);
    let (_, foreign) = found(&cast.keys[1], [7; 16], t(1), WALL);
    let own = cast.pen(1).admission(
        t(1),
        &Admission {
            key: cast.keys[1].public_key(),
            role: CONTROL,
            warrant: Warrant::Genesis { nonce: [7; 16] },
            at: WALL,
        },
    );
    let trust = cast.trust(&[foreign.clone(), own.clone()]);
    for record in [foreign, own] {
        assert_eq!(cast.judge(&trust, &record), Verdict::Invalid("genesis"));
    }
    assert_eq!(cast.members(&trust), [0]);
}

/// Each family asks for its own standing of the author, at the record's stamp.
#[test]
fn each_family_has_its_writers() {
    let cast = Cast::new(4);
    let (control, worker) = (cast.id(1), cast.id(2));
    let trust = cast.trust(&[cast.admit(0, 1, CONTROL, 10), cast.admit(0, 2, WORKER, 11)]);
    let epoch = |candidate| Epoch { generation: 0, term: 1, candidate };
    let time = |node| Stamp::Time { time: t(20), node };
    let lease = |candidate| Stamp::Lease { epoch: epoch(candidate), counter: 1 };
    let boot = Stamp::Boot { boot: 1, sequence: 1 };
    let desired = Key::from(DesiredKey::ServiceScale { service: ServiceId([3; 16]) });
    let island = |author| Key::from(IslandKey { slot: SERVICE, author });
    let facts = |node| Key::from(ObservedKey::Facts { node });
    let judge =
        |author: usize, key: &Key, stamp| cast.judge(&trust, &cast.pen(author).sign(key, stamp, Vec::new()));
    let verdicts = [
        judge(1, &desired, time(control)),
        judge(2, &desired, time(worker)),
        judge(1, &SERVICE.into(), lease(control)),
        judge(1, &SERVICE.into(), lease(worker)),
        judge(2, &SERVICE.into(), lease(worker)),
        judge(1, &island(control), time(control)),
        judge(1, &island(worker), time(control)),
        judge(2, &island(worker), time(worker)),
        judge(2, &facts(worker), boot),
        judge(1, &facts(worker), boot),
        judge(1, &facts(control), time(control)),
        judge(1, &desired, time(worker)),
        judge(3, &facts(cast.id(3)), boot),
    ];
    use Verdict::{Invalid, UnknownAuthor, Valid};
    assert_eq!(
        verdicts,
        [
            Valid,
            Invalid("role"),
            Valid,
            Invalid("key space"),
            Invalid("role"),
            Valid,
            Invalid("key space"),
            Invalid("role"),
            Valid,
            Invalid("key space"),
            Invalid("stamp"),
            Invalid("stamp"),
            UnknownAuthor,
        ]
    );
}

/// A family or key of a later release is relayed from those who might have written it.
#[test]
fn later_families_come_from_control_nodes() {
    let cast = Cast::new(3);
    let trust = cast.trust(&[cast.admit(0, 2, WORKER, 11)]);
    let judge = |author: usize, key: Vec<u8>, stamp| {
        let mut record = cast.pen(author).sign(&DesiredKey::Horizon.into(), stamp, Vec::new());
        record.key = key;
        record.signature = cast.keys[author].sign(&record.signed_bytes(&cast.cluster));
        cast.judge(&trust, &record)
    };
    let time = |author: usize| Stamp::Time { time: t(20), node: cast.id(author) };
    let boot = Stamp::Boot { boot: 1, sequence: 1 };
    let observed = |node: NodeId| [[5u8, 77].as_slice(), &node.0, &[1, 2]].concat();
    assert_eq!(judge(0, Vec::from([200, 1]), time(0)), Verdict::Valid);
    assert_eq!(judge(2, Vec::from([200, 1]), time(2)), Verdict::Invalid("role"));
    assert_eq!(judge(2, observed(cast.id(2)), boot), Verdict::Valid);
    assert_eq!(judge(2, observed(cast.id(0)), boot), Verdict::Invalid("key space"));
    assert_eq!(judge(0, Vec::from([2, 77]), time(0)), Verdict::Valid);
}

/// Any bit that an attacker changes shows.
#[test]
fn a_record_changed_on_the_way_is_refused() {
    let cast = Cast::new(2);
    let trust = cast.trust(&[]);
    let record = cast.desired(0, 5);
    let changes: [fn(&mut Record); 4] = [
        |record| record.body.push(1),
        |record| record.version = 2,
        |record| record.signature.0[0] ^= 1,
        |record| record.key = Key::from(DesiredKey::ServiceScale { service: ServiceId([1; 16]) }).to_bytes(),
    ];
    for change in changes {
        let mut forged = record.clone();
        change(&mut forged);
        assert_eq!(cast.judge(&trust, &forged), Verdict::Invalid("signature"));
    }
    let other = Trust::new(ClusterId([1; 32]));
    assert_eq!(cast.judge(&other, &record), Verdict::UnknownAuthor);
}

/// What cannot be right whoever wrote it.
#[test]
fn a_misshapen_record_is_refused() {
    let cast = Cast::new(1);
    let trust = cast.trust(&[]);
    let stamp = |ms| Stamp::Time { time: t(ms), node: cast.id(0) };
    let sign = |stamp| cast.pen(0).sign(&DesiredKey::Horizon.into(), stamp, Vec::new());
    let mut unversioned = sign(stamp(5));
    unversioned.version = 0;
    let mut long = sign(stamp(5));
    long.key = std::vec![2; Key::LIMIT + 1];
    let late = sign(stamp(ClusterTime::LIMIT_MS));
    let wrong_clock = sign(Stamp::Boot { boot: 1, sequence: 1 });
    let verdicts = [unversioned, long, late, wrong_clock].map(|record| cast.judge(&trust, &record));
    use Verdict::Invalid;
    assert_eq!(verdicts, [Invalid("shape"), Invalid("shape"), Invalid("stamp"), Invalid("stamp")]);
}

/// Roles count as they were when the record was stamped: before, between and after.
#[test]
fn a_role_counts_at_the_stamp() {
    let cast = Cast::new(2);
    let trust = cast.trust(&[
        cast.admit(0, 1, WORKER, 10),
        cast.pen(0).role_change(t(20), cast.id(1), CONTROL, WALL),
        cast.pen(0).role_change(t(30), cast.id(1), WORKER, WALL),
    ]);
    let verdicts = [9, 15, 25, 35].map(|ms| cast.judge(&trust, &cast.desired(1, ms)));
    use Verdict::{Invalid, Valid, Void};
    assert_eq!(verdicts, [Invalid("role"), Invalid("role"), Valid, Void]);
    assert!(trust.standing(cast.id(1)).is_some_and(|standing| standing.ever_control));
    assert_eq!(trust.controls().collect::<Vec<_>>(), [cast.id(0)]);
}

/// When a node could speak: at once while it has the role, else a moment after it is given it, else never.
#[test]
fn a_node_may_speak_from_its_next_promotion_on() {
    let cast = Cast::new(2);
    let trust = cast.trust(&[
        cast.admit(0, 1, WORKER, 10),
        cast.pen(0).role_change(t(20), cast.id(1), CONTROL, WALL),
        cast.pen(0).role_change(t(30), cast.id(1), WORKER, WALL),
        cast.pen(0).role_change(t(40), cast.id(1), CONTROL, WALL),
        cast.pen(0).role_change(t(50), cast.id(1), WORKER, WALL),
    ]);
    let from = |ms| trust.control_from(cast.id(1), t(ms));
    let promoted = |ms| Some(clock::after(t(ms)));
    assert_eq!(
        [9, 15, 25, 35, 45].map(from),
        [promoted(20), promoted(20), Some(t(25)), promoted(40), Some(t(45))]
    );
    assert_eq!(from(55), None);
}

/// Removal ends what is stamped later, keeps what was stamped before, and is final for the key.
#[test]
fn removal_is_final_and_spares_the_past() {
    let cast = Cast::new(3);
    let again = cast.admit(0, 1, CONTROL, 40);
    let trust = cast.trust(&[
        cast.admit(0, 1, CONTROL, 10),
        cast.admit(1, 2, WORKER, 15),
        cast.remove(0, 1, 20),
        again.clone(),
    ]);
    assert_eq!(cast.members(&trust), [0, 2]);
    assert_eq!(cast.judge(&trust, &cast.desired(1, 15)), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &cast.desired(1, 25)), Verdict::Void);
    let mut forged = cast.desired(1, 25);
    forged.signature.0[0] ^= 1;
    assert_eq!(cast.judge(&trust, &forged), Verdict::Invalid("role"));
    let epoch = Epoch { generation: 0, term: 1, candidate: cast.id(1) };
    let slot = cast.pen(1).sign(&SERVICE.into(), Stamp::Lease { epoch, counter: 1 }, Vec::new());
    assert_eq!(cast.judge(&trust, &slot), Verdict::Invalid("role"));
    let request = join_request(&cast.keys[1], &cast.token().0);
    let admitted = trust.admit(&request, Some(&cast.token().1), t(50), true, WALL, cast.crypto());
    assert_eq!(admitted, Err(JoinRefusal::Removed));
}

/// A member may go by itself, whatever its role; nobody but a control node sends another away.
#[test]
fn anyone_may_leave_and_control_may_remove() {
    let cast = Cast::new(4);
    let admissions = [cast.admit(0, 1, WORKER, 10), cast.admit(0, 2, WORKER, 11)];
    let trust = cast.trust(&admissions);
    assert_eq!(cast.judge(&trust, &cast.remove(1, 1, 20)), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &cast.remove(1, 2, 20)), Verdict::Invalid("role"));
    assert_eq!(cast.judge(&trust, &cast.remove(3, 3, 20)), Verdict::UnknownAuthor);
    let mut left = trust;
    assert_eq!(left.apply(&cast.remove(1, 1, 20), cast.crypto()), BTreeSet::from([cast.id(1)]));
    assert_eq!(cast.members(&left), [0, 2]);
}

/// In each half of a cluster somebody demotes the control node that they are at, and rests on the other.
/// Whoever lost the role last keeps it until somebody is promoted: else nobody could write a thing, not even
/// that.
#[test]
fn whoever_is_demoted_last_keeps_the_role_until_another_has_it() {
    let cast = Cast::new(4);
    let demoted = |node: usize, ms| cast.pen(node).role_change(t(ms), cast.id(node), WORKER, WALL);
    let mut records =
        Vec::from([cast.admit(0, 1, CONTROL, 2), cast.admit(0, 2, WORKER, 3), demoted(1, 10), demoted(0, 9)]);
    let controls = |trust: &Trust| trust.controls().collect::<Vec<_>>();
    let trust = cast.trust(&records);
    assert_eq!(controls(&trust), [cast.id(1)]);
    assert!(trust.is_last_control(cast.id(1)));
    assert_eq!(cast.judge(&trust, &cast.desired(0, 12)), Verdict::Void);
    assert_eq!(cast.judge(&trust, &cast.desired(1, 12)), Verdict::Valid);

    // The newcomer's proof leaves out what was taken from its door.
    records.push(cast.admit(1, 3, CONTROL, 20));
    let trust = cast.trust(&records);
    assert_eq!(controls(&trust), [cast.id(3)]);
    let chain = trust.door_chain(&[cast.id(3)]);
    let is_shown = |record: &&Record| chain.iter().any(|key| key.to_bytes() == record.key);
    let shown: Vec<Record> = records.iter().filter(is_shown).cloned().collect();
    assert!(cast.trust(&shown).is_member(cast.id(3)));

    // What it wrote while it kept the role stands, what it writes now does not.
    assert_eq!(cast.judge(&trust, &cast.desired(1, 19)), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &cast.desired(1, 21)), Verdict::Void);

    // A removed node keeps nothing; and who never was more than a worker is no keeper.
    records.push(cast.remove(3, 1, 22));
    records.push(cast.remove(3, 3, 23));
    assert_eq!(controls(&cast.trust(&records)), [cast.id(0)]);
}

/// A node that kept the role, and was promoted again since, is judged again when another had it after all.
#[test]
fn what_a_keeper_wrote_is_judged_again_though_it_was_promoted_since() {
    let cast = Cast::new(5);
    let role = |by: usize, node: usize, role, ms| cast.pen(by).role_change(t(ms), cast.id(node), role, WALL);
    let base = [cast.admit(0, 1, CONTROL, 2), cast.admit(0, 2, CONTROL, 3), cast.admit(0, 3, WORKER, 4)];
    let lost = [role(0, 2, WORKER, 10), cast.remove(0, 1, 12), cast.remove(1, 0, 13)];
    let kept = [cast.admit(0, 4, WORKER, 5), role(2, 3, CONTROL, 18), role(3, 2, CONTROL, 20)];
    let mut trust = cast.trust(&[base.as_slice(), &lost, &kept].concat());
    assert_eq!(cast.judge(&trust, &cast.desired(2, 15)), Verdict::Valid);
    let touched = trust.apply(&role(0, 4, CONTROL, 11), cast.crypto());
    assert_eq!(cast.judge(&trust, &cast.desired(2, 15)), Verdict::Void);
    assert!(touched.contains(&cast.id(2)) && touched.contains(&cast.id(3)), "{touched:?}");
    assert_eq!(trust.role(cast.id(3)), Some(WORKER));
}

/// What takes a record's place takes its place here too, though nothing follows from it.
#[test]
fn one_key_holds_one_record() {
    let cast = Cast::new(2);
    let promoted = cast.pen(0).role_change(t(20), cast.id(1), CONTROL, WALL);
    let mut later = Record { version: 2, ..promoted.clone() };
    later.signature = cast.keys[0].sign(&later.signed_bytes(&cast.cluster));
    let mut trust = cast.trust(&[cast.admit(0, 1, WORKER, 10), promoted]);
    assert_eq!(trust.role(cast.id(1)), Some(CONTROL));
    assert_eq!(cast.judge(&trust, &later), Verdict::Valid);
    assert_eq!(trust.apply(&later, cast.crypto()), BTreeSet::from([cast.id(1)]));
    assert_eq!(trust.role(cast.id(1)), Some(WORKER));
}

/// Of two that remove each other neither is believed more, in whatever order their clocks ran.
#[test]
fn two_that_remove_each_other_are_both_out() {
    let cast = Cast::new(3);
    let base = [cast.admit(0, 1, CONTROL, 10), cast.admit(0, 2, CONTROL, 11)];
    for (first, second) in [(20, 30), (30, 20)] {
        let removals = [cast.remove(1, 2, first), cast.remove(2, 1, second)];
        let trust = cast.trust(&[base.as_slice(), &removals].concat());
        assert_eq!(cast.members(&trust), [0]);
    }
    // A removed node's revenge on a third does not count.
    let trust = cast.trust(&[base.as_slice(), &[cast.remove(1, 2, 20), cast.remove(2, 0, 30)]].concat());
    assert_eq!(cast.members(&trust), [0, 1]);
}

/// Against the claim that a key is in other hands a plain removal by that key does not stand.
#[test]
fn a_compromised_key_takes_nobody_along() {
    let cast = Cast::new(3);
    let removal = cast.pen(1).removal(t(20), cast.id(2), true, WALL);
    let trust = cast.trust(&[
        cast.admit(0, 1, CONTROL, 10),
        cast.admit(0, 2, CONTROL, 11),
        removal,
        cast.remove(2, 1, 30),
    ]);
    assert_eq!(cast.members(&trust), [0, 1]);
    let removed = trust.standing(cast.id(2)).and_then(|standing| standing.removed);
    assert_eq!(removed, Some(Removed { at: t(20), compromised: true }));
}

/// An operator writes desired state through any node, and nothing else.
#[test]
fn an_operator_writes_desired_state_only() {
    let cast = Cast::new(3);
    let operator = cast.keys[2].public_key();
    let trust = cast.trust(&[
        cast.admit(0, 1, WORKER, 10),
        cast.pen(0).operator(t(11), "ada".to_string(), operator, WALL),
        cast.pen(0).operator_removal(t(30), cast.id(2), WALL),
    ]);
    let through_worker = |ms| Stamp::Time { time: t(ms), node: cast.id(1) };
    let sign = |ms| cast.pen(2).sign(&DesiredKey::Horizon.into(), through_worker(ms), Vec::new());
    assert_eq!(cast.judge(&trust, &sign(5)), Verdict::Invalid("stamp"));
    assert_eq!(cast.judge(&trust, &sign(20)), Verdict::Valid);
    assert_eq!(cast.judge(&trust, &sign(40)), Verdict::Invalid("stamp"));
    assert_eq!(cast.judge(&trust, &cast.remove(2, 1, 20)), Verdict::Invalid("role"));
    assert!(!trust.is_operator(cast.id(2)) && !trust.is_member(cast.id(2)));
}

/// A warrant is checked by everybody: another token's, another newcomer's and a forged one are refused.
#[test]
fn an_admission_shows_the_tokens_word() {
    let cast = Cast::new(3);
    let trust = cast.trust(&[]);
    let good = cast.admission(1, CONTROL);
    let mut stolen = good.clone();
    stolen.key = cast.keys[2].public_key();
    let mut other = good.clone();
    let Warrant::Token { key, .. } = &mut other.warrant else { unreachable!("admissions here have tokens") };
    *key = PublicKey([5; 32]);
    let verdicts = [good, stolen, other].map(|body| cast.judge(&trust, &cast.pen(0).admission(t(9), &body)));
    use Verdict::{Invalid, Valid};
    assert_eq!(verdicts, [Valid, Invalid("warrant"), Invalid("warrant")]);
}

/// A membership key names its record, so two records never fight for one key.
#[test]
fn a_membership_key_names_its_record() {
    let cast = Cast::new(2);
    let trust = cast.trust(&[cast.admit(0, 1, WORKER, 10)]);
    let mut moved = cast.remove(0, 1, 20);
    moved.stamp = Stamp::Time { time: t(30), node: cast.id(0) };
    moved.signature = cast.keys[0].sign(&moved.signed_bytes(&cast.cluster));
    assert_eq!(cast.judge(&trust, &moved), Verdict::Invalid("entry"));
}

/// The door's answers, one by one.
#[test]
fn the_door_says_why_not() {
    let cast = Cast::new(3);
    let (string, token) = cast.token();
    let request = join_request(&cast.keys[1], &string);
    let trust = cast.trust(&[cast.admit(0, 2, CONTROL, 10)]);
    let ask = |token: Option<&JoinToken>, ms, holds| {
        trust.admit(&request, token, t(ms), holds, WALL, cast.crypto())
    };
    let once = JoinToken { single_use: true, ..token.clone() };
    let revoked = JoinToken { revoked: true, ..token.clone() };
    let admitted = Newcomer::Admit(cast.admission(1, CONTROL));
    assert_eq!(ask(Some(&token), 999, false), Ok(admitted));
    assert_eq!(ask(Some(&token), 1000, true), Err(JoinRefusal::Expired));
    assert_eq!(ask(None, 5, true), Err(JoinRefusal::UnknownToken));
    assert_eq!(ask(Some(&revoked), 5, true), Err(JoinRefusal::Revoked));
    assert_eq!(ask(Some(&once), 5, true), Err(JoinRefusal::UsedUp));
    let mut forged = request;
    forged.key = cast.keys[0].public_key();
    assert_eq!(
        trust.admit(&forged, Some(&token), t(5), true, WALL, cast.crypto()),
        Err(JoinRefusal::BadProof)
    );
    let member = join_request(&cast.keys[2], &string);
    assert_eq!(trust.admit(&member, Some(&token), t(5000), true, WALL, cast.crypto()), Ok(Newcomer::Member));
    let fresh = cast.trust(&[]);
    let once = |holds| {
        fresh.admit(&join_request(&cast.keys[1], &string), Some(&once), t(5), holds, WALL, cast.crypto())
    };
    assert_eq!(once(false), Err(JoinRefusal::NoHolder));
    assert_eq!(once(true), Ok(Newcomer::Admit(cast.admission(1, CONTROL))));
}

/// The chain is the least that convinces a stranger, and convinces of nothing else.
#[test]
fn a_chain_convinces_its_newcomer_only() {
    let cast = Cast::new(6);
    let records = [
        cast.admit(0, 1, WORKER, 10),
        cast.pen(0).role_change(t(20), cast.id(1), CONTROL, WALL),
        cast.admit(0, 4, CONTROL, 21),
        cast.admit(1, 2, CONTROL, 30),
        cast.admit(2, 3, WORKER, 40),
    ];
    let trust = cast.trust(&records);
    let chain: Vec<Record> =
        [&cast.genesis, &records[0], &records[1], &records[3], &records[4]].into_iter().cloned().collect();
    let by_key: BTreeMap<Vec<u8>, &Record> =
        records.iter().chain([&cast.genesis]).map(|record| (record.key.clone(), record)).collect();
    let keys = trust.door_chain(&[cast.id(3)]);
    let sent: Vec<Record> = keys.iter().map(|key| by_key[&key.to_bytes()].clone()).collect();
    assert_eq!(sent, chain);

    let bytes: Vec<Vec<u8>> = chain.iter().map(encode).collect();
    let verify = |cluster, chain: &[Vec<u8>], node: usize| {
        verify_chain(cluster, chain, &cast.keys[node].public_key(), &cast.keys[node])
            .map(|trust| cast.members(&trust))
    };
    assert_eq!(verify(cast.cluster, &bytes, 3), Ok([0, 1, 2, 3].to_vec()));
    assert_eq!(verify(cast.cluster, &bytes, 5), Err(ForeignDoor));
    assert_eq!(verify(ClusterId([9; 32]), &bytes, 3), Err(ForeignDoor));
    assert_eq!(verify(cast.cluster, &bytes[1..], 3), Err(ForeignDoor));
    assert_eq!(verify(cast.cluster, &[bytes[0].clone(), bytes[3].clone()], 2), Err(ForeignDoor));
}

/// A token's string survives being pasted, and opens its own cluster only.
#[test]
fn a_token_is_pasted_and_used() {
    let cast = Cast::new(2);
    let (string, token) = cast.token();
    let pasted: JoinString = string.to_string().parse().expect("its own text");
    let request = join_request(&cast.keys[1], &pasted);
    let trust = cast.trust(&[]);
    let admitted = trust.admit(&request, Some(&token), t(5), false, WALL, cast.crypto());
    assert_eq!(admitted, Ok(Newcomer::Admit(cast.admission(1, CONTROL))));
    let elsewhere = join_request(&cast.keys[1], &JoinString { cluster: ClusterId([1; 32]), ..pasted });
    assert_eq!(
        trust.admit(&elsewhere, Some(&token), t(5), false, WALL, cast.crypto()),
        Err(JoinRefusal::BadProof)
    );
}
