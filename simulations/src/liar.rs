//! A member that lies: its agent does what it should, and its key says other things besides.
//!
//! What is said is as well made as can be: true frames, good signatures by its own key, numbers that were
//! overheard. A liar cannot sign for others, and has the role that it was admitted to.
//!
//! # Not here
//! When and for how long: `scenario::fault`. What may not come of it: `invariants`.

use std::collections::{BTreeMap, VecDeque};

use foca::Codec as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sleep_core::Crypto as _;
use sleep_wire::key::{DesiredKey, MembershipKey, ObservedKey, SlotKey, SlotName};
use sleep_wire::lease::{Hint, LeaseBody, LeaseMessage};
use sleep_wire::message::{
    Carried, Frame, MembershipMessage, Message, PushMessage, RollCallMessage, RosterEntry, RosterState,
};
use sleep_wire::node::NodeImages;
use sleep_wire::record::Batch;
use sleep_wire::slot::Slot;
use sleep_wire::spec::{Order, Scale};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::swim::{Peer, SwimCodec};
use sleep_wire::task::{Health, TaskId, TaskState, TaskStatus};
use sleep_wire::trust::{Role, RoleChange, entry_claim};
use sleep_wire::{
    ClusterId, CommandId, Epoch, Key, NodeId, Record, RevisionId, ServiceId, Signature, Stamp, WallTime,
    encode,
};

use crate::crypto::SimCrypto;
use crate::random::Stream;

/// One way to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// Records in others' names, or where it may not write.
    Forgeries,
    /// What it once heard, said again as its own.
    Replays,
    /// Numbers at the end of their range: boots, incarnations, terms, renewals, times.
    Extremes,
    /// Two bodies under one stamp, one for these and one for those.
    TwoFaces,
    /// Others are down, and do not answer.
    FalseDeaths,
    /// Whoever wants a vote has it, at once and as often as it likes.
    Votes,
    /// Tasks that nobody assigned, without end.
    Flood,
    /// What is heard is not passed on, and nobody who asks is answered.
    Withholding,
    /// Cluster time is hours later.
    ClockAhead,
    /// Others' boots, renewals and incarnations are a little greater than they are.
    Overstatements,
}

impl Lie {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Forgeries,
        Self::Replays,
        Self::Extremes,
        Self::TwoFaces,
        Self::FalseDeaths,
        Self::Votes,
        Self::Flood,
        Self::Withholding,
        Self::ClockAhead,
        Self::Overstatements,
    ];

    /// What it is called in a story.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Forgeries => "forgeries",
            Self::Replays => "replays",
            Self::Extremes => "numbers that cannot be",
            Self::TwoFaces => "two faces",
            Self::FalseDeaths => "false deaths",
            Self::Votes => "votes for everybody",
            Self::Flood => "made-up tasks",
            Self::Withholding => "what it withholds",
            Self::ClockAhead => "a clock hours ahead",
            Self::Overstatements => "numbers a little too great",
        }
    }

    /// Whether the laws hold though a control node lies like that. The lease is proven for voters that crash,
    /// not for those that lie.
    pub const fn is_borne_of_control(self) -> bool {
        !matches!(self, Self::Votes)
    }
}

/// How many frames are remembered.
const HEARD: usize = 256;
/// How far ahead [`Lie::ClockAhead`] is: less than what is told to people.
const AHEAD: ClusterTime = ClusterTime::from_ms(0, 20 * 3600 * 1000);
/// How many tasks are made up at a time.
const FLOOD: u32 = 20;

/// What a liar knows and is.
pub struct Known {
    /// Its node.
    pub me: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its key.
    pub crypto: SimCrypto,
    /// Other members that answer, at least two.
    pub others: Vec<NodeId>,
    /// A service, if any stands.
    pub service: Option<ServiceId>,
    /// Whether it was admitted as a worker, and nobody has promoted it.
    pub worker: bool,
}

/// A frame that is said, to whom, and whether as a datagram.
pub type Said = (NodeId, bool, Vec<u8>);

/// One liar.
pub struct Liar {
    /// Tells it from the same host's earlier ones.
    pub number: u64,
    lies: Vec<Lie>,
    stream: Stream,
    heard: VecDeque<(bool, Vec<u8>)>,
    peers: BTreeMap<NodeId, (Peer, u16)>,
    time: ClusterTime,
    ahead: Option<ClusterTime>,
    /// The greatest epoch that it was told of.
    hint: Option<Epoch>,
    count: u64,
}

impl Liar {
    /// One that lies like this.
    pub fn new(number: u64, lies: Vec<Lie>, stream: Stream) -> Self {
        let (heard, peers) = (VecDeque::new(), BTreeMap::new());
        Self {
            number,
            lies,
            stream,
            heard,
            peers,
            time: ClusterTime::ZERO,
            ahead: None,
            hint: None,
            count: 0,
        }
    }

    fn does(&self, lie: Lie) -> bool {
        self.lies.contains(&lie)
    }

    /// How long until it says something again, in microseconds.
    pub fn pause(&mut self) -> u64 {
        self.stream.between(100_000, 500_000)
    }

    /// A frame came. What is answered beside what its agent says.
    pub fn hear(&mut self, from: NodeId, datagram: bool, bytes: &[u8]) -> Option<Said> {
        let Frame { carried, message } = Frame::from_bytes(bytes).ok()?;
        self.time = self.time.max(carried.time);
        self.hint = self.hint.max(carried.hint.map(|hint| hint.epoch));
        self.heard.push_back((datagram, bytes.to_vec()));
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
        match message {
            Message::Swim(bytes) => {
                let header = SwimCodec.decode_header(bytes.as_slice()).ok()?;
                self.peers.insert(from, (header.src, header.src_incarnation));
                None
            }
            Message::Lease(message) if self.does(Lie::Votes) => {
                let vote = vote(&message)?;
                Some((from, false, self.frame(Message::Lease(vote))))
            }
            _ => None,
        }
    }

    /// What becomes of a frame that its agent sends; `None` if nothing does.
    pub fn twist(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Ok(Frame { mut carried, message }) = Frame::from_bytes(&bytes) else { return Some(bytes) };
        if self.does(Lie::Withholding) && is_help(&message) {
            return None;
        }
        let message = match message {
            Message::Membership(MembershipMessage::ProbeResult { target, nonce, .. })
                if self.does(Lie::FalseDeaths) =>
            {
                Message::Membership(MembershipMessage::ProbeResult { target, nonce, reached: false })
            }
            other => other,
        };
        carried.time = self.told_time(carried.time);
        Some(Frame { carried, message }.to_bytes())
    }

    fn told_time(&mut self, time: ClusterTime) -> ClusterTime {
        if !self.does(Lie::ClockAhead) {
            return time;
        }
        let hlc = time.hlc + AHEAD.hlc;
        (*self.ahead.get_or_insert(ClusterTime { hlc, ..time })).max(time)
    }

    fn frame(&mut self, message: Message) -> Vec<u8> {
        let time = self.told_time(self.time);
        Frame { carried: Carried { time, hint: None }, message }.to_bytes()
    }

    /// What it says now.
    pub fn say(&mut self, known: &Known) -> Vec<Said> {
        self.count += 1;
        let pick = self.pick(self.lies.len());
        let lie = self.lies[pick];
        let (one, other) = (self.one_of(&known.others), self.one_of(&known.others));
        match lie {
            Lie::Forgeries => {
                let record = self.forgery(known, other);
                vec![self.push(one, vec![record])]
            }
            Lie::Replays if self.heard.is_empty() => Vec::new(),
            Lie::Replays => {
                let pick = self.pick(self.heard.len());
                let (datagram, bytes) = self.heard[pick].clone();
                vec![(one, datagram, bytes)]
            }
            Lie::Extremes => vec![self.extreme(one, other)],
            Lie::TwoFaces => {
                let stamp = Stamp::Boot { boot: 1, sequence: u64::MAX - 1 };
                let key = Key::Observed(ObservedKey::Images { node: known.me });
                let mut face = |to, image: &str| {
                    let body = encode(&NodeImages { images: vec![image.to_owned()] });
                    let record = signed(known, &key, stamp, known.me, body);
                    self.push(to, vec![record])
                };
                vec![face(one, "one"), face(other, "another")]
            }
            Lie::FalseDeaths => vec![self.death(one, other)],
            Lie::Votes => vec![self.release(one, other)],
            Lie::Flood => {
                let records = (0..FLOOD).map(|number| self.made_up(known, number)).collect();
                vec![self.push(one, records)]
            }
            Lie::Overstatements => vec![self.overstatement(one, other)],
            Lie::Withholding | Lie::ClockAhead => Vec::new(),
        }
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.stream.below(of as u64)).unwrap_or(0)
    }

    fn one_of(&mut self, nodes: &[NodeId]) -> NodeId {
        nodes[self.pick(nodes.len())]
    }

    fn push(&mut self, to: NodeId, records: Vec<Record>) -> Said {
        let batch = Batch { records: records.iter().map(encode).collect() };
        (to, false, self.frame(Message::Push(PushMessage::Records { ack: None, batch })))
    }

    /// A record that nobody may take.
    fn forgery(&mut self, known: &Known, other: NodeId) -> Record {
        let kinds = if known.worker { 7 } else { 4 };
        let time =
            Stamp::Time { time: ClusterTime { hlc: self.time.hlc + (1 << 16), ..self.time }, node: known.me };
        let lease = |candidate| Stamp::Lease {
            epoch: Epoch { generation: 0, term: 1_000, candidate },
            counter: self.count,
        };
        let boot = Stamp::Boot { boot: 1_000, sequence: self.count };
        let service = known.service.unwrap_or(ServiceId([7; 16]));
        let slot = SlotKey { service, slot: SlotName::Number(1) };
        let emptied =
            encode(&Slot { current: None, order: Order::StopFirst, fence: u64::MAX, retire: Vec::new() });
        let images = encode(&NodeImages { images: vec!["forged".to_owned()] });
        match self.stream.below(kinds) {
            0 => signed(known, &Key::Observed(ObservedKey::Images { node: other }), boot, other, images),
            1 => signed(known, &Key::Observed(ObservedKey::Images { node: other }), boot, known.me, images),
            2 => {
                let key = Key::Observed(ObservedKey::Task { node: other, slot, place: 0 });
                signed(known, &key, boot, known.me, encode(&made_up_status(0)))
            }
            3 => signed(known, &Key::Slot(slot), lease(other), other, emptied),
            4 => signed(known, &Key::Slot(slot), lease(known.me), known.me, emptied),
            5 => {
                let scale = Scale { replicas: 0, command: CommandId(self.stream.bytes()), at: WallTime(0) };
                let key = Key::Desired(DesiredKey::ServiceScale { service });
                signed(known, &key, time, known.me, encode(&scale))
            }
            _ => {
                let body = encode(&RoleChange { role: Role::Control, at: WallTime(0) });
                let claim = Sha256::digest(entry_claim(&known.me, &time, &body));
                let entry = *claim.first_chunk().expect("a hash has more than eight bytes");
                let key = Key::Membership(MembershipKey::Role { node: known.me, entry });
                signed(known, &key, time, known.me, body)
            }
        }
    }

    fn extreme(&mut self, to: NodeId, other: NodeId) -> Said {
        let nonce = self.stream.any();
        let ping = Message::Membership(MembershipMessage::Ping { nonce });
        let hint = |epoch| Hint { epoch, renewal: u64::MAX, signatures: Vec::new() };
        let held = self.hint.map_or(0, |epoch| epoch.term);
        match self.stream.below(4) {
            0 => {
                let peer = Peer { node: other, boot: u32::MAX, renewal: u16::MAX };
                let state = if nonce.is_multiple_of(2) { RosterState::Alive } else { RosterState::Down };
                let members = vec![RosterEntry { peer, incarnation: u16::MAX, state }];
                let roster = MembershipMessage::Roster { members, answer: false };
                (to, false, self.frame(Message::Membership(roster)))
            }
            1 => {
                // A term that cannot be, one that can, or the present one, renewed for ever.
                let term = [u64::MAX, held.saturating_add(1_000), held];
                let term = term[self.pick(term.len())];
                let false_epoch = Epoch { generation: 0, term, candidate: other };
                let epoch = self.hint.filter(|epoch| epoch.term == term).unwrap_or(false_epoch);
                let carried = Carried { time: self.time, hint: Some(hint(epoch)) };
                (to, true, Frame { carried, message: ping }.to_bytes())
            }
            2 => {
                let time = ClusterTime::from_ms(0, ClusterTime::LIMIT_MS);
                (to, true, Frame { carried: Carried { time, hint: None }, message: ping }.to_bytes())
            }
            _ => {
                let known = self.peers.get(&to).map_or(0, |(peer, _)| peer.boot);
                let highest = if nonce.is_multiple_of(2) { u32::MAX } else { known + 1 };
                let answer = MembershipMessage::BootAnswer { highest, cloned: false };
                (to, false, self.frame(Message::Membership(answer)))
            }
        }
    }

    /// A member as it might soon be, and is not.
    fn overstatement(&mut self, to: NodeId, of: NodeId) -> Said {
        let (peer, incarnation) = self.heard_of(of);
        let (peer, incarnation) = match self.stream.below(3) {
            0 => (Peer { boot: peer.boot + 1, renewal: 0, ..peer }, 0),
            1 => (Peer { renewal: peer.renewal.saturating_add(200), ..peer }, 0),
            _ => (peer, incarnation.saturating_add(200)),
        };
        let states = [RosterState::Alive, RosterState::Suspect, RosterState::Down];
        let state = states[self.pick(states.len())];
        let members = vec![RosterEntry { peer, incarnation, state }];
        let roster = MembershipMessage::Roster { members, answer: false };
        (to, false, self.frame(Message::Membership(roster)))
    }

    /// The identity that a member showed last.
    fn heard_of(&self, node: NodeId) -> (Peer, u16) {
        self.peers.get(&node).copied().unwrap_or((Peer { node, boot: 1, renewal: 0 }, 0))
    }

    /// Word of a death, as a roster or as a witness.
    fn death(&mut self, to: NodeId, of: NodeId) -> Said {
        let (peer, incarnation) = self.heard_of(of);
        if self.stream.permille(500) {
            let members = vec![RosterEntry { peer, incarnation, state: RosterState::Down }];
            let roster = MembershipMessage::Roster { members, answer: false };
            (to, false, self.frame(Message::Membership(roster)))
        } else {
            let witness = MembershipMessage::Witness { about: peer, incarnation };
            (to, true, self.frame(Message::Membership(witness)))
        }
    }

    /// Word that a holder has let go, under the newest config that was overheard.
    fn release(&mut self, to: NodeId, of: NodeId) -> Said {
        let heard =
            self.heard.iter().rev().find_map(|(_, bytes)| match Frame::from_bytes(bytes).ok()?.message {
                Message::Lease(message) => Some(message),
                _ => None,
            });
        let Some(LeaseMessage { config, .. }) = heard else { return self.death(to, of) };
        let body = LeaseBody::Release { epoch: config.id.epoch };
        (to, false, self.frame(Message::Lease(LeaseMessage { config, body })))
    }

    /// A task that nobody assigned, in a slot of a service that nobody made.
    fn made_up(&mut self, known: &Known, number: u32) -> Record {
        let slot = SlotKey { service: ServiceId(self.stream.bytes()), slot: SlotName::Number(number + 1) };
        let key = Key::Observed(ObservedKey::Task { node: known.me, slot, place: 0 });
        let stamp = Stamp::Boot { boot: 1, sequence: self.count << 8 | u64::from(number) };
        signed(known, &key, stamp, known.me, encode(&made_up_status(number)))
    }
}

/// A vote for whoever asks.
fn vote(asked: &LeaseMessage) -> Option<LeaseMessage> {
    let config = asked.config.clone();
    let body = match asked.body {
        LeaseBody::PreVote { epoch } => LeaseBody::PreVoteAnswer { epoch, yes: true, highest: Epoch::ZERO },
        LeaseBody::Prepare { epoch } => LeaseBody::Promise { epoch },
        LeaseBody::Grant { epoch, seq } => LeaseBody::Granted { epoch, seq, config: config.id },
        _ => return None,
    };
    Some(LeaseMessage { config, body })
}

/// Whether a message passes on what others wrote, or answers somebody who asks for it.
const fn is_help(message: &Message) -> bool {
    matches!(
        message,
        Message::Push(PushMessage::Records { .. })
            | Message::Sync(_)
            | Message::RollCall(RollCallMessage::Answer { .. })
    )
}

fn signed(known: &Known, key: &Key, stamp: Stamp, author: NodeId, body: Vec<u8>) -> Record {
    let signature = Signature([0; 64]);
    let mut record = Record { key: key.to_bytes(), stamp, author, version: 1, body, signature };
    record.signature = known.crypto.sign(&record.signed_bytes(&known.cluster));
    record
}

fn made_up_status(number: u32) -> TaskStatus {
    TaskStatus {
        task: TaskId {
            assignment: Stamp::Lease { epoch: Epoch::ZERO, counter: u64::from(number) },
            attempt: u32::MAX,
        },
        revision: RevisionId([7; 16]),
        state: if number.is_multiple_of(2) { TaskState::Running } else { TaskState::Failed },
        health: Health::None,
        since: WallTime(i64::MAX),
        started_at: Some(WallTime(i64::MIN)),
        running_for_ms: u64::MAX,
        exit: None,
        message: "made up".to_owned(),
        container: String::new(),
        image_digest: String::new(),
        last_lines: Vec::new(),
    }
}
