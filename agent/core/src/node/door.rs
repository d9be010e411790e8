//! How a node comes into a cluster: it founds one, or a member lets it in.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::durable::{Cell, Membership, Stored, Write};
use sleep_wire::key::{DesiredKey, ObservedKey};
use sleep_wire::message::{
    AdmitMessage, Carried, Frame, JoinAnswer, JoinRefusal, JoinRequest, Message, OLDEST_PROTOCOL, PROTOCOL,
};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::token::JoinString;
use sleep_wire::trust::{JoinToken, Role};
use sleep_wire::{ClusterId, Key, NodeId, PublicKey, TokenId, Wire, decode, encode};

use super::context::{Context, Purpose};
use super::member::{Beginning, Member};
use super::{Home, Next};
use crate::crypto::Crypto;
use crate::io::{Command, Durability, Input, Lane, Output, Refusal, Reply, Ticket};
use crate::lease::Evidence;
use crate::state::{Draft, Fact};
use crate::trust::{self, Newcomer, Pen};

/// How long a first join token is good for, in milliseconds: an hour.
pub(super) const FIRST_TOKEN_MS: u64 = 3_600_000;

/// The most members whose addresses a door tells.
const DOORS: usize = 16;

/// Records, each as received.
type Records = Vec<Vec<u8>>;

/// A door was asked; its answer is awaited.
pub(crate) struct Asking {
    ticket: Ticket,
    token: JoinString,
}

/// Records without a cluster are left over from a membership that never began: they are forgotten.
pub(super) fn clear<C: Crypto>(cx: &mut Context<'_, C>, stored: &Stored) {
    let keys = stored.records.iter().filter_map(|bytes| decode::<sleep_wire::Record>(bytes).ok());
    let writes: Vec<Write> = keys.map(|record| Write::DeleteRecord { key: record.key }).collect();
    if !writes.is_empty() {
        cx.out.persist(Purpose::Nobody, writes);
    }
}

/// What a node does that is in no cluster.
pub(super) fn alone<C: Crypto>(cx: &mut Context<'_, C>, home: &mut Home, input: Input) -> Option<Next> {
    match input {
        Input::Command { ticket, command } => match *command {
            Command::Init { nonce, token_seed } => Some(found(cx, home, ticket, nonce, token_seed)),
            Command::Join { token, addresses } => ask(cx, ticket, &token, addresses),
            _other => {
                cx.out.refuse(ticket, Refusal::NotClustered);
                None
            }
        },
        Input::JoinAsked { ticket, .. } => {
            answer(cx, ticket, JoinAnswer::Refused(JoinRefusal::NotClustered));
            None
        }
        Input::Facts(facts) => {
            home.facts = *facts;
            None
        }
        Input::Engine(_)
        | Input::Datagram { .. }
        | Input::Message { .. }
        | Input::Connected { .. }
        | Input::Disconnected { .. }
        | Input::Dismissed { .. }
        | Input::JoinAnswered { .. }
        | Input::Tick
        | Input::Durable { .. }
        | Input::Stopping => None,
    }
}

fn found<C: Crypto>(
    cx: &mut Context<'_, C>,
    home: &Home,
    ticket: Ticket,
    nonce: [u8; 16],
    seed: [u8; 32],
) -> Next {
    let birth = ClusterTime::from_ms(0, 1);
    let (cluster, genesis) = trust::found(cx.crypto, nonce, birth, cx.now.wall);
    let mut member = Box::new(Member::new(cx, home, Beginning::Founding { cluster, genesis }));
    belong(cx, cluster, Purpose::Nobody);
    let (token, _, draft) = member.token_draft(cx, seed, Role::Control, Some(FIRST_TOKEN_MS), false);
    member.write(cx, Vec::from([draft]), Some((ticket, Reply::Initialised { cluster, token })));
    member.pump(cx);
    Next::Member(member)
}

/// From here on a start of the agent finds the cluster again.
fn belong<C: Crypto>(cx: &mut Context<'_, C>, cluster: ClusterId, purpose: Purpose) {
    let value = encode(&Membership { cluster, node: cx.me });
    cx.out.persist(purpose, Vec::from([Write::PutCell { cell: Cell::Membership, value }]));
}

fn ask<C: Crypto>(
    cx: &mut Context<'_, C>,
    ticket: Ticket,
    token: &str,
    addresses: Vec<String>,
) -> Option<Next> {
    let token: JoinString = match token.parse() {
        Ok(token) => token,
        Err(bad) => {
            cx.out.refuse(ticket, Refusal::BadToken(bad));
            return None;
        }
    };
    let request = trust::join_request(cx.crypto, &token);
    let bytes = stranger(Message::Join(request));
    cx.out.push(Output::AskDoor { ticket, addresses, bytes });
    Some(Next::Asking(Asking { ticket, token }))
}

impl Asking {
    pub(super) fn handle<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        home: &mut Home,
        input: Input,
    ) -> Option<Next> {
        match input {
            Input::JoinAnswered { ticket, answer } if ticket == self.ticket => {
                Some(self.answered(cx, home, answer))
            }
            Input::Command { ticket, .. } => {
                cx.out.refuse(ticket, Refusal::Busy);
                None
            }
            other => alone(cx, home, other),
        }
    }

    fn answered<C: Crypto>(
        &self,
        cx: &mut Context<'_, C>,
        home: &Home,
        answer: Result<Vec<u8>, String>,
    ) -> Next {
        match self.judged(cx, home.facts.protocol, answer) {
            Err(refusal) => {
                cx.out.refuse(self.ticket, refusal);
                Next::Alone
            }
            Ok((chain, doors)) => {
                let cluster = self.token.cluster;
                let mut member =
                    Box::new(Member::new(cx, home, Beginning::Joining { cluster, chain, doors }));
                member.joined = Some((self.ticket, Reply::Joined { cluster }));
                belong(cx, cluster, Purpose::Joined);
                Next::Member(member)
            }
        }
    }

    /// The door's records, if they prove that it belongs to the token's cluster and that this node does now.
    fn judged<C: Crypto>(
        &self,
        cx: &Context<'_, C>,
        newest: u8,
        answer: Result<Vec<u8>, String>,
    ) -> Result<(Records, Records), Refusal> {
        let bytes = answer.map_err(Refusal::NoDoor)?;
        match Frame::from_bytes_up_to(newest, &bytes).map(|(_, frame)| frame.message) {
            Ok(Message::Joined(JoinAnswer::Admitted { chain, doors })) => {
                trust::verify_chain(self.token.cluster, &chain, &cx.crypto.public_key(), cx.crypto)
                    .map_err(|_| Refusal::ForeignDoor)?;
                Ok((chain, doors))
            }
            Ok(Message::Joined(JoinAnswer::Refused(refusal))) => Err(Refusal::Door(refusal)),
            Ok(_) => Err(Refusal::NoDoor(String::from("it answered something else"))),
            Err(bad) => Err(Refusal::NoDoor(alloc::format!("it answered with {bad}"))),
        }
    }
}

pub(super) fn answer<C: Crypto>(cx: &mut Context<'_, C>, ticket: Ticket, answer: JoinAnswer) {
    cx.out.push(Output::AnswerJoin { ticket, bytes: stranger(Message::Joined(answer)) });
}

/// A frame between a stranger and a door: nothing rides along, and neither knows what the other speaks.
fn stranger(message: Message) -> Vec<u8> {
    let carried = Carried { time: ClusterTime::ZERO, hint: None };
    Frame { carried, message }.to_bytes_in(OLDEST_PROTOCOL, PROTOCOL)
}

impl Member {
    /// A newcomer asks at this node's door.
    pub(super) fn on_join_asked<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        ticket: Ticket,
        key: PublicKey,
        bytes: &[u8],
    ) {
        let request =
            match Frame::from_bytes_up_to(self.facts.protocol, bytes).map(|(_, frame)| frame.message) {
                Ok(Message::Join(request)) if request.key == key => request,
                Ok(_) | Err(_) => return answer(cx, ticket, JoinAnswer::Refused(JoinRefusal::BadProof)),
            };
        match self.admitter(cx, &request, &BTreeSet::new()) {
            Some(node) if node == cx.me => {
                let said = self.admit(cx, &request);
                answer(cx, ticket, said);
            }
            Some(_) => self.forward(cx, ticket, request),
            None => answer(cx, ticket, JoinAnswer::Refused(JoinRefusal::NoControlNode)),
        }
    }

    /// Who may admit: the holder where the token is for one use, this node if it may, else any control node
    /// but those.
    pub(super) fn admitter<C: Crypto>(
        &self,
        cx: &Context<'_, C>,
        request: &JoinRequest,
        but: &BTreeSet<NodeId>,
    ) -> Option<NodeId> {
        let may = self.trust.role(cx.me) == Some(Role::Control);
        let single = self.token(request.token).is_some_and(|token| token.single_use);
        if single && let Evidence::Fresh(epoch) = self.lease.evidence(cx.now.instant) {
            return Some(epoch.candidate);
        }
        if may {
            return Some(cx.me);
        }
        let live: BTreeSet<NodeId> = self.membership.live().collect();
        self.trust.controls().find(|node| live.contains(node) && !but.contains(node))
    }

    /// A worker passes a newcomer's request on; a control node answers it.
    pub(super) fn on_admit<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        from: NodeId,
        message: AdmitMessage,
    ) {
        match message {
            AdmitMessage::Ask { nonce, request } => {
                let said = if self.trust.role(cx.me) == Some(Role::Control) {
                    self.admit(cx, &request)
                } else {
                    JoinAnswer::Refused(JoinRefusal::NoControlNode)
                };
                let said = AdmitMessage::Answer { nonce, answer: said };
                self.send(cx, from, Lane::Urgent, Message::Admit(said));
            }
            AdmitMessage::Answer { nonce, answer: said } => {
                if let Some(ticket) = self.forwards.answered(nonce) {
                    answer(cx, ticket, said);
                }
            }
        }
    }

    pub(super) fn admit<C: Crypto>(&mut self, cx: &mut Context<'_, C>, request: &JoinRequest) -> JoinAnswer {
        let now = cx.now.instant;
        let time = self.clock.present(now);
        let holds = self.lease.holding(now).is_some();
        let token = self.token(request.token).cloned();
        let newcomer = match self.trust.admit(request, token.as_ref(), time, holds, cx.now.wall, cx.crypto) {
            Ok(newcomer) => newcomer,
            Err(refusal) => return JoinAnswer::Refused(refusal),
        };
        let node = cx.crypto.node_id(&request.key);
        if let Newcomer::Admit(admission) = newcomer {
            let time = self.clock.tick(now);
            let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
            let record = encode(&pen.admission(time, &admission));
            if !self.submit(cx, Vec::from([record])) {
                return JoinAnswer::Refused(JoinRefusal::NoControlNode);
            }
            self.pump(cx);
        }
        self.admitted(cx, node)
    }

    /// What a newcomer needs: proof of its membership, and members to talk to.
    fn admitted<C: Crypto>(&self, cx: &Context<'_, C>, node: NodeId) -> JoinAnswer {
        let bytes = |key: &Key| self.state.record(key).map(|entry| entry.bytes().to_vec());
        let live: Vec<NodeId> = core::iter::once(cx.me).chain(self.membership.live()).take(DOORS).collect();
        let proven: Vec<NodeId> = live.iter().copied().chain([node]).collect();
        let chain = self.trust.door_chain(&proven).iter().filter_map(bytes).collect();
        let facts = |node: &NodeId| bytes(&Key::Observed(ObservedKey::Facts { node: *node }));
        JoinAnswer::Admitted { chain, doors: live.iter().filter_map(facts).collect() }
    }

    /// The register of a join token.
    pub(super) fn token(&self, token: TokenId) -> Option<&JoinToken> {
        match self.state.record(&Key::Desired(DesiredKey::JoinToken { token }))?.fact() {
            Fact::Token(token) => Some(token),
            _sealed => None,
        }
    }

    /// A new join token, and the record that makes it known.
    pub(super) fn token_draft<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        seed: [u8; 32],
        role: Role,
        ttl_ms: Option<u64>,
        single_use: bool,
    ) -> (JoinString, TokenId, Draft) {
        let time = self.clock.present(cx.now.instant);
        let expires = ttl_ms.map(|ttl| ClusterTime::from_ms(time.generation, time.ms().saturating_add(ttl)));
        let (string, id, body) =
            trust::new_token(cx.crypto, self.cluster, seed, role, expires, single_use, cx.now.wall);
        let draft = self.draft(cx, DesiredKey::JoinToken { token: id }, &body);
        (string, id, draft)
    }

    /// This node's membership is durable: whoever asked for it is told.
    pub(super) fn join_is_durable<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if let Some((ticket, reply)) = self.joined.take() {
            cx.out.reply(ticket, reply);
        }
    }
}

/// What a write's answer says before it is known where it is safe.
pub(super) const UNKNOWN_YET: Durability = Durability::HereOnly;

const _: () = assert!(JoinAnswer::LIMIT <= 64 * 1024, "the join exchange is bounded");
