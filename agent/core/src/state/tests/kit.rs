//! Keys, a judge and a small world.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest as _, Sha256};
use sleep_wire::key::{DesiredKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::message::{Carried, Frame, Message};
use sleep_wire::node::{Horizon, NodeFacts, NodeLabel};
use sleep_wire::spec::{
    Mode, PartitionPolicy, Placement, Revision, RevisionBody, Scale, ServiceBirth, ServiceRemoval,
    TaskTemplate, UpdatePolicy,
};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::task::{TaskId, TaskState, TaskStatus};
use sleep_wire::trust::{Removal, Role, RoleChange};
use sleep_wire::{
    ClusterId, CommandId, Digest, Key, NodeId, PublicKey, Record, RevisionId, ServiceId, Signature, Stamp,
    WallTime, Wire, encode,
};

use crate::state::{Draft, Judge, State, StateInput, StateOutput, Verdict};
use crate::{Crypto, Instant};

pub(super) const CLUSTER: ClusterId = ClusterId([7; 32]);

/// A node whose key is its number. Its signatures are hashes that anybody could forge, and nobody here does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key9(pub(super) u8);

impl Crypto for Key9 {
    fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
    fn public_key(&self) -> PublicKey {
        PublicKey([self.0; 32])
    }
    fn sign(&self, bytes: &[u8]) -> Signature {
        sign(&self.public_key(), bytes)
    }
    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        sign(key, bytes) == *signature
    }
    fn token_key(&self, seed: &[u8; 32]) -> PublicKey {
        PublicKey(*seed)
    }
    fn sign_with_token(&self, seed: &[u8; 32], bytes: &[u8]) -> Signature {
        sign(&PublicKey(*seed), bytes)
    }
}

fn sign(key: &PublicKey, bytes: &[u8]) -> Signature {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&Sha256::digest([&key.0, bytes].concat()));
    Signature(signature)
}

pub(super) const fn node(number: u8) -> NodeId {
    NodeId([number; 16])
}

/// Nodes `1..=n` are members; each may write what it likes, but observed records of others.
#[derive(Clone, Debug)]
pub(super) struct Members(pub(super) BTreeSet<NodeId>);

impl Members {
    pub(super) fn up_to(n: u8) -> Self {
        Self((1..=n).map(node).collect())
    }
}

impl Judge for Members {
    fn judge(&self, record: &Record) -> Verdict {
        if !self.0.contains(&record.author) {
            return Verdict::UnknownAuthor;
        }
        if let Ok(Some(Key::Observed(key))) = Key::from_bytes(&record.key)
            && key.node() != record.author
        {
            return Verdict::Invalid("not its own");
        }
        let [number, ..] = record.author.0;
        if Key9(number).verify(&PublicKey([number; 32]), &record.signed_bytes(&CLUSTER), &record.signature) {
            Verdict::Valid
        } else {
            Verdict::Invalid("the signature does not fit")
        }
    }
}

/// Cluster time of `ms` milliseconds, by the clock of `author`.
pub(super) const fn at(ms: u64, author: u8) -> Stamp {
    Stamp::Time { time: ClusterTime::from_ms(0, ms), node: node(author) }
}

pub(super) fn draft<T: Wire>(key: impl Into<Key>, stamp: Stamp, body: &T) -> Draft {
    Draft { key: key.into(), stamp, version: 1, body: encode(body) }
}

/// The bytes of a record that `author` signed.
pub(super) fn signed(author: u8, draft: &Draft) -> Vec<u8> {
    signed_raw(author, draft.key.to_bytes(), draft.stamp, draft.version, draft.body.clone())
}

pub(super) fn signed_raw(author: u8, key: Vec<u8>, stamp: Stamp, version: u16, body: Vec<u8>) -> Vec<u8> {
    let signature = Signature([0; 64]);
    let mut record = Record { key, stamp, author: node(author), version, body, signature };
    record.signature = Key9(author).sign(&record.signed_bytes(&CLUSTER));
    encode(&record)
}

pub(super) const fn service(number: u8) -> ServiceId {
    ServiceId([number; 16])
}

pub(super) const fn revision(number: u8) -> RevisionId {
    RevisionId([number; 16])
}

pub(super) const fn command(number: u8) -> CommandId {
    CommandId([number; 16])
}

pub(super) const fn slot(of: u8, number: u32) -> SlotKey {
    SlotKey { service: service(of), slot: sleep_wire::SlotName::Number(number) }
}

/// What a node tells of the one task of the first slot, under a place, in a boot.
pub(super) fn task(author: u8, place: u8, boot: u64, state: TaskState) -> Draft {
    let key = ObservedKey::Task { node: node(author), slot: slot(1, 1), place };
    draft(key, Stamp::Boot { boot, sequence: 1 }, &status(1, state))
}

pub(super) fn status(assignment: u64, state: TaskState) -> TaskStatus {
    let task = TaskId { assignment: at(assignment, 1), attempt: 1 };
    TaskStatus::new(task, revision(1), state, WallTime(0))
}

pub(super) fn spec(parents: &[u8], image: &str) -> Revision {
    Revision {
        parents: parents.iter().map(|parent| revision(*parent)).collect(),
        template: TaskTemplate { image: image.to_string(), ..TaskTemplate::default() },
        placement: Placement::default(),
        update: UpdatePolicy::default(),
        partition: PartitionPolicy::default(),
        labels: Vec::new(),
        at: WallTime(0),
    }
}

/// The birth of service `of`, with revision `of` as its first.
pub(super) fn birth(of: u8, name: &str, stamp: Stamp) -> Draft {
    let body = ServiceBirth {
        name: name.to_string(),
        mode: Mode::Replicated,
        singleton: false,
        replicas: 1,
        revision: revision(of),
        spec: Arc::new(spec(&[], "first")),
        command: command(of),
        created_at: WallTime(5),
    };
    draft(DesiredKey::ServiceBirth { service: service(of) }, stamp, &body)
}

pub(super) fn revise(of: u8, number: u8, parents: &[u8], stamp: Stamp) -> Draft {
    let body = RevisionBody { spec: Arc::new(spec(parents, "next")), command: command(number) };
    draft(DesiredKey::ServiceRevision { service: service(of), revision: revision(number) }, stamp, &body)
}

pub(super) fn scale(of: u8, replicas: u32, by: u8, stamp: Stamp) -> Draft {
    let body = Scale { replicas, command: command(by), at: WallTime(0) };
    draft(DesiredKey::ServiceScale { service: service(of) }, stamp, &body)
}

pub(super) fn remove(of: u8, seen: &[u8], stamp: Stamp) -> Draft {
    let seen = seen.iter().map(|id| revision(*id)).collect();
    let body = ServiceRemoval { seen, command: command(200), at: WallTime(0) };
    draft(DesiredKey::ServiceRemoval { service: service(of) }, stamp, &body)
}

pub(super) fn horizon(gc_before_ms: u64, stamp: Stamp) -> Draft {
    draft(DesiredKey::Horizon, stamp, &Horizon { gc_before_ms })
}

/// A label register of node 1: the smallest record that there is.
pub(super) fn label(name: &str, value: &str, stamp: Stamp) -> Draft {
    let value = (!value.is_empty()).then(|| value.to_string());
    let key = DesiredKey::NodeLabel { node: node(1), label: name.to_string() };
    draft(key, stamp, &NodeLabel { value, command: command(0) })
}

pub(super) fn role_of(about: u8, role: Role, stamp: Stamp) -> Draft {
    let key = MembershipKey::Role { node: node(about), entry: [about; 8] };
    draft(key, stamp, &RoleChange { role, at: WallTime(0) })
}

pub(super) fn removal_of(about: u8, stamp: Stamp) -> Draft {
    let key = MembershipKey::Removal { node: node(about), entry: [about; 8] };
    draft(key, stamp, &Removal { compromised: false, at: WallTime(0) })
}

pub(super) fn facts(of: u8, sequence: u64) -> Draft {
    let body = NodeFacts {
        name: "host".to_string(),
        addresses: Vec::new(),
        release: "1".to_string(),
        protocol: 1,
        architecture: "x86_64".to_string(),
        os: "linux".to_string(),
        cpu_milli: 1,
        memory: 1,
        runtimes: Vec::new(),
        labels: Vec::new(),
        wall: WallTime(0),
        at_ms: 0,
    };
    draft(ObservedKey::Facts { node: node(of) }, Stamp::Boot { boot: 1, sequence }, &body)
}

pub(super) fn contents(state: &State) -> Vec<Vec<u8>> {
    state.records().map(|entry| entry.bytes().to_vec()).collect()
}

/// Everything that a state wants done.
pub(super) fn drain(state: &mut State) -> Vec<StateOutput> {
    core::iter::from_fn(|| state.poll_output()).collect()
}

/// States `1..=n`, a queue between them, a disk each.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) states: BTreeMap<NodeId, State>,
    pub(super) judge: Members,
    pub(super) time: ClusterTime,
    /// Of a thousand messages, how many are lost.
    pub(super) loss: u64,
    /// Whether a message of this kind may pass at all.
    pub(super) passes: fn(&Message) -> bool,
    /// Bytes of frames that were sent, and how many.
    pub(super) sent: (usize, usize),
    /// Everything that is not traffic or disk.
    pub(super) told: Vec<(NodeId, StateOutput)>,
    pub(super) disk_takes: Duration,
    pub(super) writes: usize,
    lottery: u64,
    queue: VecDeque<(Instant, NodeId, StateInput)>,
}

impl World {
    pub(super) fn new(n: u8) -> Self {
        let states =
            (1..=n).map(|number| (node(number), State::new(CLUSTER, node(number), number.into()))).collect();
        Self {
            now: Instant(1_000_000),
            states,
            judge: Members::up_to(n),
            time: ClusterTime::from_ms(0, 1_000),
            loss: 0,
            passes: |_| true,
            sent: (0, 0),
            told: Vec::new(),
            disk_takes: Duration::from_millis(1),
            writes: 0,
            lottery: 1,
            queue: VecDeque::new(),
        }
    }

    /// Everybody sees everybody, without a connection's comparison.
    pub(super) fn all_live(&mut self) {
        let live: Vec<NodeId> = self.states.keys().copied().collect();
        for id in &live {
            self.handle(*id, StateInput::Peers { live: live.clone() });
        }
    }

    pub(super) fn connect(&mut self, a: u8, b: u8) {
        self.handle(node(a), StateInput::Connected { peer: node(b) });
        self.handle(node(b), StateInput::Connected { peer: node(a) });
    }

    pub(super) fn state(&mut self, number: u8) -> &mut State {
        self.states.get_mut(&node(number)).expect("the world has this node")
    }

    pub(super) fn write(&mut self, author: u8, drafts: Vec<Draft>, waiter: Option<u64>) {
        let (now, judge) = (self.now, self.judge.clone());
        let written = self.state(author).write(now, drafts, &judge, &Key9(author), waiter);
        written.expect("the test's drafts are valid");
        self.drain(node(author));
    }

    /// Gives records to a node as if it had always had them.
    pub(super) fn give(&mut self, to: u8, records: &[Vec<u8>]) {
        self.state(to).load(records.iter().map(Vec::as_slice), None, &Key9(to));
        self.state(to).take_changes();
    }

    pub(super) fn handle(&mut self, id: NodeId, input: StateInput) {
        let [number, ..] = id.0;
        let (now, judge) = (self.now, self.judge.clone());
        self.state(number).handle(now, input, &judge, &Key9(number));
        self.drain(id);
    }

    fn drain(&mut self, id: NodeId) {
        let [number, ..] = id.0;
        for output in drain(self.state(number)) {
            match output {
                StateOutput::Send { to, message, lane: _ } => self.send(id, to, message),
                StateOutput::Persist { token, writes } => {
                    self.writes += writes.len();
                    self.later(self.disk_takes, id, StateInput::Durable { token });
                }
                StateOutput::Acknowledged { .. }
                | StateOutput::Failed { .. }
                | StateOutput::Refused { .. } => {
                    self.told.push((id, output));
                }
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let frame = Frame { carried: Carried { time: self.time, hint: None }, message };
        let bytes = frame.to_bytes();
        let message = Frame::from_bytes(&bytes).expect("what was encoded is decoded").message;
        self.sent = (self.sent.0 + bytes.len(), self.sent.1 + 1);
        self.lottery = self.lottery.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if !(self.passes)(&message)
            || (self.lottery >> 33) % 1000 < self.loss
            || !self.states.contains_key(&to)
        {
            return;
        }
        let time = self.time;
        let input = match message {
            Message::Push(message) => StateInput::Push { from, message },
            Message::Sync(message) => StateInput::Sync { from, message, time, holder_side: true },
            other => unreachable!("the room sends no {other:?}"),
        };
        self.later(Duration::from_millis(1), to, input);
    }

    fn later(&mut self, after: Duration, id: NodeId, input: StateInput) {
        let due = self.now + after;
        let at = self.queue.partition_point(|(other, _, _)| *other <= due);
        self.queue.insert(at, (due, id, input));
    }

    /// Runs until nothing is due before the end.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.queue.front().map(|(due, _, _)| *due);
            let wake = self.states.iter().filter_map(|(id, state)| Some((state.next_wake()?, *id))).min();
            let next = packet.into_iter().chain(wake.map(|(due, _)| due)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if packet == Some(next)
                && let Some((_, id, input)) = self.queue.pop_front()
            {
                if self.states.contains_key(&id) {
                    self.handle(id, input);
                }
            } else if let Some((_, id)) = wake {
                self.handle(id, StateInput::Tick);
            }
        }
        self.now = end;
    }

    pub(super) fn are_equal(&self) -> bool {
        self.states.values().map(State::digest).collect::<BTreeSet<_>>().len() == 1
    }
}
