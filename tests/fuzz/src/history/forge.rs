//! What a member could send whose key is in other hands: every kind of message, every kind of record.

use foca::{Codec, Header, Member, State};
use sleep_core::Crypto;
use sleep_core::trust::Pen;
use sleep_sim::crypto::SimCrypto;
use sleep_sim::host::SimNode;
use sleep_wire::key::{DesiredKey, IslandKey, ObservedKey};
use sleep_wire::lease::{ConfigId, Hint, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::message::{
    AdmitMessage, Carried, Frame, JoinAnswer, JoinRefusal, JoinRequest, MembershipMessage, Message,
    PushMessage, RollCallMessage, RosterEntry, RosterState,
};
use sleep_wire::node::{Horizon, NodeImages, NodeIntent, NodeLabel};
use sleep_wire::permit::PermitMessage;
use sleep_wire::record::Batch;
use sleep_wire::spec::{RevisionBody, Scale, ServiceRemoval};
use sleep_wire::stamp::Clock;
use sleep_wire::swim::{Peer, SwimCodec};
use sleep_wire::sync::{Branch, BucketLists, Standing, SyncMessage, TriePath};
use sleep_wire::trust::{Admission, Warrant};
use sleep_wire::{ClusterId, Key, NodeId, Stamp, encode};
use std::sync::Arc;

use super::History;

impl History<'_> {
    /// The key of a host, and the cluster that it is in.
    fn hand(&mut self) -> (SimCrypto, ClusterId) {
        let host = self.bytes.below(self.world.hosts.len());
        let host = &self.world.hosts[host];
        let cluster = host.node.as_ref().and_then(SimNode::cluster);
        let cluster = cluster.or(host.cluster).unwrap_or(ClusterId([1; 32]));
        (host.key(self.world.mint()), cluster)
    }

    /// A frame of a member, or what is left of one.
    pub(super) fn frame(&mut self) -> Vec<u8> {
        let message = self.any_message();
        let hint = self.bytes.rarely(64).then(|| self.hint());
        let mut bytes = Frame { carried: Carried { time: self.time(), hint }, message }.to_bytes();
        if self.bytes.rarely(16) {
            let at = self.bytes.below(bytes.len());
            bytes[at] ^= self.bytes.byte();
            bytes.truncate(bytes.len() - self.bytes.below(3));
        }
        bytes
    }

    fn any_message(&mut self) -> Message {
        match self.bytes.below(12) {
            0 | 1 => Message::Swim(self.swim()),
            2 | 3 => Message::Membership(self.membership()),
            4 | 5 => Message::Lease(LeaseMessage { config: self.config(), body: self.lease() }),
            6 => Message::Push(self.push()),
            7 | 8 => Message::Sync(self.sync()),
            9 => Message::RollCall(self.roll_call()),
            10 => Message::Admit(self.admit()),
            _ => match self.bytes.below(3) {
                0 => Message::Join(self.join_request()),
                1 => Message::Joined(self.joined()),
                _ => Message::Permit(PermitMessage::GiveBack {
                    slot: self.slot_key(),
                    boot: self.bytes.number(),
                    question: self.bytes.number(),
                }),
            },
        }
    }

    fn hint(&mut self) -> Hint {
        let signatures = self.some(2, |history| (history.node(), history.signature()));
        Hint { epoch: self.epoch(), renewal: self.bytes.number(), signatures }
    }

    /// One of foca's packets, in its own layout.
    fn swim(&mut self) -> Vec<u8> {
        let (target, origin, probe_number) = (self.peer(), self.peer(), self.bytes.byte());
        let message = match self.bytes.below(11) {
            0 => foca::Message::Ping(probe_number),
            1 => foca::Message::Ack(probe_number),
            2 => foca::Message::PingReq { target, probe_number },
            3 => foca::Message::IndirectPing { origin, probe_number },
            4 => foca::Message::IndirectAck { target, probe_number },
            5 => foca::Message::ForwardedAck { origin, probe_number },
            6 => foca::Message::Announce,
            7 => foca::Message::Feed,
            8 => foca::Message::Gossip,
            9 => foca::Message::Broadcast,
            _ => foca::Message::TurnUndead,
        };
        let bare = matches!(message, foca::Message::Announce | foca::Message::TurnUndead);
        let header = Header { src: self.peer(), src_incarnation: self.short(), dst: self.peer(), message };
        let mut bytes = Vec::new();
        SwimCodec.encode_header(&header, &mut bytes).expect("a header can be written");
        let members = if bare { Vec::new() } else { self.some(4, Self::update) };
        if !bare {
            let told = members.len() + usize::from(self.bytes.rarely(16));
            bytes.extend(u16::try_from(told).expect("a few").to_be_bytes());
        }
        for member in &members {
            SwimCodec.encode_member(member, &mut bytes).expect("a member can be written");
        }
        bytes
    }

    fn update(&mut self) -> Member<Peer> {
        let state = [State::Alive, State::Suspect, State::Down][self.bytes.below(3)];
        Member::new(self.peer(), self.short(), state)
    }

    fn short(&mut self) -> u16 {
        if self.bytes.coin() { self.bytes.byte().into() } else { self.bytes.short() }
    }

    fn membership(&mut self) -> MembershipMessage {
        match self.bytes.below(11) {
            0 => MembershipMessage::Roster {
                members: self.some(4, |history| {
                    let states = [RosterState::Alive, RosterState::Suspect, RosterState::Down];
                    let state = states[history.bytes.below(3)];
                    RosterEntry { peer: history.peer(), incarnation: history.short(), state }
                }),
                answer: self.bytes.coin(),
            },
            1 => MembershipMessage::RosterDigest { digest: self.bytes.number(), members: self.int() },
            2 => MembershipMessage::Witness { about: self.peer(), incarnation: self.short() },
            3 => MembershipMessage::ProbeNow { target: self.node(), nonce: self.bytes.number() },
            4 => MembershipMessage::ProbeResult {
                target: self.node(),
                nonce: self.bytes.number(),
                reached: self.bytes.coin(),
            },
            5 => MembershipMessage::Ping { nonce: self.bytes.number() },
            6 => MembershipMessage::Pong { nonce: self.bytes.number() },
            7 => MembershipMessage::Restarting { hold_ms: self.int() },
            8 => MembershipMessage::Leaving,
            9 => MembershipMessage::BootQuery { boot: self.int(), nonce: self.bytes.number() },
            _ => MembershipMessage::BootAnswer { highest: self.int(), cloned: self.bytes.coin() },
        }
    }

    pub(super) fn config(&mut self) -> VoterConfig {
        let mut voters = self.some(8, |history| Voter {
            node: history.node(),
            weight: if history.bytes.rarely(32) { history.bytes.byte() } else { 1 },
        });
        if self.bytes.coin() {
            voters.sort_unstable();
            voters.dedup();
        }
        let version = u64::from(self.bytes.byte() & 7);
        let version = if self.bytes.rarely(16) { self.bytes.number() } else { version };
        let mut times = LeaseTimes { lease_ms: 10_000, rho_ppm: 1_000, margin_ms: 100 };
        if self.bytes.rarely(32) {
            times = LeaseTimes { lease_ms: self.int(), rho_ppm: self.int(), margin_ms: self.int() };
        }
        VoterConfig { id: self.config_id(version), voters, times }
    }

    fn config_id(&mut self, version: u64) -> ConfigId {
        ConfigId { epoch: self.epoch(), version }
    }

    fn lease(&mut self) -> LeaseBody {
        let (epoch, highest) = (self.epoch(), self.epoch());
        match self.bytes.below(11) {
            0 => LeaseBody::PreVote { epoch },
            1 => LeaseBody::PreVoteAnswer { epoch, yes: self.bytes.coin(), highest },
            2 => LeaseBody::Prepare { epoch },
            3 => LeaseBody::Promise { epoch },
            4 => LeaseBody::Reject { epoch, highest, wait_ms: self.int() },
            5 => LeaseBody::Grant { epoch, seq: self.bytes.number() },
            6 => LeaseBody::Granted { epoch, seq: self.bytes.number(), config: self.config_id(1) },
            7 => LeaseBody::Install,
            8 => LeaseBody::Installed { config: self.config_id(1) },
            9 => LeaseBody::Release { epoch },
            _ => LeaseBody::Resign,
        }
    }

    pub(super) fn batch(&mut self) -> Batch {
        Batch { records: self.some(4, Self::record) }
    }

    fn push(&mut self) -> PushMessage {
        if self.bytes.rarely(64) {
            return PushMessage::Durable { ack: self.bytes.number() };
        }
        let ack = self.perhaps(|history| history.bytes.number());
        PushMessage::Records { ack, batch: self.batch() }
    }

    fn lists(&mut self) -> BucketLists {
        let mut lists = BucketLists::default();
        for _ in 0..self.bytes.below(4) {
            let records = self.some(3, |history| [history.bytes.byte(); 16]);
            lists.push(self.bytes.short() % 5_000, records);
        }
        if self.bytes.rarely(32) {
            lists.buckets.push((self.bytes.short(), self.bytes.short()));
        }
        lists
    }

    fn sync(&mut self) -> SyncMessage {
        let round = u32::from(self.bytes.byte());
        let standing = Standing { gc_before_ms: self.bytes.number(), whole: self.bytes.coin() };
        match self.bytes.below(5) {
            0 => SyncMessage::Root { round, sum: self.digest(), records: self.bytes.number() },
            1 => SyncMessage::Equal { round, sum: self.digest() },
            2 => {
                let branches = self.some(4, |history| {
                    let present = history.bytes.short();
                    let depth = history.bytes.byte() % 5;
                    let path = TriePath { depth, index: history.bytes.short() % 4_200 };
                    let off = usize::from(history.bytes.rarely(16));
                    let sums = present.count_ones() as usize + off;
                    Branch { path, present, sums: (0..sums).map(|_| history.digest()).collect() }
                });
                SyncMessage::Branches { round, branches }
            }
            3 => SyncMessage::Buckets { round, standing, buckets: self.lists() },
            _ => SyncMessage::Records {
                round,
                standing,
                batch: self.batch(),
                want: self.lists(),
                end: self.bytes.coin(),
                more: self.bytes.coin(),
            },
        }
    }

    fn roll_call(&mut self) -> RollCallMessage {
        let epoch = self.epoch();
        if self.bytes.coin() {
            return RollCallMessage::Call { epoch };
        }
        RollCallMessage::Answer { epoch, batch: self.batch(), more: self.bytes.coin() }
    }

    pub(super) fn join_request(&mut self) -> JoinRequest {
        let (hand, _) = self.hand();
        let key = if self.bytes.coin() { self.key() } else { hand.public_key() };
        JoinRequest { key, token: self.token(), proof: self.signature() }
    }

    pub(super) fn joined(&mut self) -> JoinAnswer {
        use JoinRefusal::{BadProof, Expired, NoControlNode, NoHolder, NotClustered, Removed, Revoked};
        let refusals = [BadProof, Expired, NoControlNode, NoHolder, NotClustered, Removed, Revoked];
        match self.bytes.below(3) {
            0 => JoinAnswer::Refused(refusals[self.bytes.below(refusals.len())]),
            _ => {
                JoinAnswer::Admitted { chain: self.some(4, Self::record), doors: self.some(3, Self::record) }
            }
        }
    }

    fn admit(&mut self) -> AdmitMessage {
        let nonce = self.bytes.number();
        if self.bytes.coin() {
            AdmitMessage::Ask { nonce, request: self.join_request() }
        } else {
            AdmitMessage::Answer { nonce, answer: self.joined() }
        }
    }

    /// A record: one that is known, one that a member signs, or bytes.
    pub(super) fn record(&mut self) -> Vec<u8> {
        match self.bytes.below(8) {
            0 => {
                let known = self.known.records.clone();
                self.bytes.pick(&known).cloned().unwrap_or_default()
            }
            1 if self.bytes.rarely(64) => {
                let len = self.bytes.below(80);
                self.bytes.take(len).to_vec()
            }
            2 => self.membership_record(),
            _ => self.signed_record(),
        }
    }

    fn membership_record(&mut self) -> Vec<u8> {
        let (crypto, cluster) = self.hand();
        let pen = Pen { crypto: &crypto, cluster };
        let (time, node, at) = (self.time(), self.node(), self.wall());
        let record = match self.bytes.below(6) {
            0 => {
                let (key, signature) = (self.key(), self.signature());
                let warrant = Warrant::Token { token: self.token(), key, signature };
                pen.admission(time, &Admission { key: self.key(), role: self.role(), warrant, at })
            }
            1 | 2 => pen.role_change(time, node, self.role(), at),
            3 => pen.removal(time, node, self.bytes.rarely(64), at),
            4 => pen.operator(time, self.word(), self.key(), at),
            _ => pen.operator_removal(time, node, at),
        };
        encode(&record)
    }

    fn signed_record(&mut self) -> Vec<u8> {
        let (crypto, cluster) = self.hand();
        let pen = Pen { crypto: &crypto, cluster };
        let (key, body) = self.fact(pen.author());
        let stamp = match key.family().clock() {
            _ if self.bytes.rarely(16) => self.stamp(),
            Clock::Time => Stamp::Time { time: self.time(), node: pen.author() },
            Clock::Lease => Stamp::Lease { epoch: self.epoch(), counter: self.bytes.number() },
            Clock::Boot => Stamp::Boot { boot: self.bytes.number(), sequence: self.bytes.number() },
        };
        let body = if self.bytes.rarely(8) { self.bytes.take(20).to_vec() } else { body };
        let mut record = pen.sign(&key, stamp, body);
        if self.bytes.rarely(8) {
            // Of a later release.
            record.version = 2;
            record.signature = crypto.sign(&record.signed_bytes(&cluster));
        }
        encode(&record)
    }

    /// A key that fits an author in most cases, and a body that fits the key.
    fn fact(&mut self, author: NodeId) -> (Key, Vec<u8>) {
        let node = if self.bytes.rarely(32) { self.node() } else { author };
        let (service, command, at) = (self.service(), self.command_id(), self.wall());
        match self.bytes.below(14) {
            0 => (DesiredKey::ServiceBirth { service }.into(), encode(&self.birth())),
            1 => {
                let revision = self.revision_id();
                let body = RevisionBody { spec: Arc::new(self.revision()), command };
                (DesiredKey::ServiceRevision { service, revision }.into(), encode(&body))
            }
            2 => {
                let body = Scale { replicas: self.replicas(), command, at };
                (DesiredKey::ServiceScale { service }.into(), encode(&body))
            }
            3 => {
                let body = ServiceRemoval { seen: self.some(3, Self::revision_id), command, at };
                (DesiredKey::ServiceRemoval { service }.into(), encode(&body))
            }
            4 => {
                let (node, availability) = (self.node(), self.availability());
                let body = NodeIntent { availability, command, at };
                (DesiredKey::NodeAvailability { node }.into(), encode(&body))
            }
            5 => {
                let (node, label) = (self.node(), self.word());
                let body = NodeLabel { value: self.perhaps(Self::word), command };
                (DesiredKey::NodeLabel { node, label }.into(), encode(&body))
            }
            6 => (DesiredKey::JoinToken { token: self.token() }.into(), encode(&self.join_token())),
            7 => {
                let body = Horizon { gc_before_ms: self.bytes.number() };
                (DesiredKey::Horizon.into(), encode(&body))
            }
            8 => (DesiredKey::Secret { name: self.word() }.into(), self.bytes.take(8).to_vec()),
            9 | 10 => (self.slot_key().into(), encode(&self.slot())),
            11 => (IslandKey { slot: self.slot_key(), author }.into(), encode(&self.slot())),
            12 => (ObservedKey::Facts { node }.into(), encode(&self.facts())),
            _ if self.bytes.rarely(64) => {
                (ObservedKey::Images { node }.into(), encode(&NodeImages { images: self.words(4) }))
            }
            _ => {
                let place = self.bytes.byte() % 7;
                let slot = self.slot_key();
                (ObservedKey::Task { node, slot, place }.into(), encode(&self.status()))
            }
        }
    }
}
