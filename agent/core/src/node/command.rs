//! Commands into records: each is checked, drafted, and answered once it is safe.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::DesiredKey;
use sleep_wire::node::{Availability, NodeIntent, NodeLabel};
use sleep_wire::spec::{Mode, Revision, RevisionBody, Scale, ServiceBirth, ServiceRemoval};
use sleep_wire::trust::{JoinToken, Role};
use sleep_wire::{CommandId, Key, NodeId, RevisionId, ServiceId, TokenId, encode};

use super::context::Context;
use super::door::UNKNOWN_YET;
use super::member::Member;
use super::wish::Wish;
use crate::crypto::Crypto;
use crate::io::{Command, Refusal, Reply, Ticket};
use crate::placement::check_constraints;
use crate::state::Draft;
use crate::state::commands::{revision_id, service_id};
use crate::trust::Pen;
use crate::validate;

/// What a command comes to: records to write, and the answer once they are safe.
pub(super) struct Act {
    pub(super) drafts: Vec<Draft>,
    pub(super) reply: Reply,
}

impl Act {
    /// The same, told of a service.
    fn about(self, service: ServiceId, revision: RevisionId) -> Self {
        let changed = !self.drafts.is_empty();
        Self { reply: Reply::Service { service, revision, changed, durability: UNKNOWN_YET }, ..self }
    }
}

pub(super) const DONE: Reply = Reply::Done { changed: true, durability: UNKNOWN_YET };
pub(super) const NOTHING: Reply = Reply::Done { changed: false, durability: UNKNOWN_YET };

impl Member {
    /// Carries out a command, or refuses it.
    pub(super) fn command<C: Crypto>(&mut self, cx: &mut Context<'_, C>, ticket: Ticket, command: Command) {
        if let Command::Leave { force } = command {
            return self.leave(cx, ticket, force);
        }
        if self.leaving.is_some() {
            return cx.out.refuse(ticket, Refusal::Busy);
        }
        if self.trust.role(cx.me) != Some(Role::Control)
            && !matches!(command, Command::Init { .. } | Command::Join { .. })
        {
            return cx.out.refuse(ticket, Refusal::NotControl);
        }
        if let Command::Recover { force } = command {
            return self.recover(cx, ticket, force);
        }
        match self.act(cx, command) {
            Ok(Some(Act { drafts, reply })) if drafts.is_empty() => self.confirm(cx, &[], ticket, reply),
            Ok(Some(Act { drafts, reply })) => drop(self.write(cx, drafts, Some((ticket, reply)))),
            Ok(None) => {
                if let Some(waiter) = self.wait_for(Some((ticket, DONE))) {
                    self.state.confirm_written(cx.now.instant, waiter);
                }
            }
            Err(refusal) => cx.out.refuse(ticket, refusal),
        }
    }

    /// Answers for something that stands already.
    fn confirm<C: Crypto>(&mut self, cx: &mut Context<'_, C>, keys: &[Key], ticket: Ticket, reply: Reply) {
        if let Some(waiter) = self.wait_for(Some((ticket, reply))) {
            self.state.confirm(cx.now.instant, keys, waiter);
        }
    }

    fn act<C: Crypto>(&mut self, cx: &mut Context<'_, C>, command: Command) -> Result<Option<Act>, Refusal> {
        match command {
            Command::Init { .. } | Command::Join { .. } => Err(Refusal::AlreadyClustered(self.cluster)),
            // Taken care of before.
            Command::Leave { .. } | Command::Recover { .. } => Err(Refusal::Busy),
            Command::TokenCreate { seed, role, ttl_ms, single_use, rotate } => {
                Ok(Some(self.token_create(cx, seed, role, ttl_ms, single_use, rotate)))
            }
            Command::TokenRevoke { token } => self.token_revoke(cx, token).map(Some),
            Command::OperatorCreate { name, key } => self.operator_create(cx, name, key),
            Command::OperatorRemove { operator } => self.operator_remove(cx, operator),
            Command::NodeAvailability { node, availability, command } => {
                self.node_availability(cx, node, availability, command).map(Some)
            }
            Command::NodeRole { node, role, .. } => self.node_role(cx, node, role),
            Command::NodeLabels { node, labels, command } => {
                self.node_labels(cx, node, labels, command).map(Some)
            }
            Command::NodeRemove { node, compromised, .. } => self.node_remove(cx, node, compromised),
            Command::ServiceCreate { name, mode, singleton, replicas, spec, command } => {
                let birth = Birth { name, mode, singleton, replicas };
                self.service_create(cx, birth, *spec, command).map(Some)
            }
            Command::ServiceUpdate { service, spec, replicas, expected, command } => {
                self.service_update(cx, service, *spec, replicas, expected, command).map(Some)
            }
            Command::ServiceScale { scales, command } => self.service_scale(cx, scales, command).map(Some),
            Command::ServiceRemove { services, command } => {
                self.service_remove(cx, &services, command).map(Some)
            }
        }
    }

    fn token_create<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        seed: [u8; 32],
        role: Role,
        ttl_ms: Option<u64>,
        single_use: bool,
        rotate: bool,
    ) -> Act {
        let mut drafts = Vec::new();
        if rotate {
            let others: Vec<(TokenId, JoinToken)> = self
                .state
                .join_tokens()
                .filter(|(_, token)| token.role == role && !token.revoked)
                .map(|(id, token)| (id, JoinToken { revoked: true, ..token.clone() }))
                .collect();
            for (token, body) in others {
                drafts.push(self.draft(cx, DesiredKey::JoinToken { token }, &body));
            }
        }
        let (token, id, draft) = self.token_draft(cx, seed, role, ttl_ms, single_use);
        drafts.push(draft);
        Act { drafts, reply: Reply::Token { token, id, durability: UNKNOWN_YET } }
    }

    fn token_revoke<C: Crypto>(&mut self, cx: &Context<'_, C>, token: TokenId) -> Result<Act, Refusal> {
        let body = self.token(token).cloned().ok_or(Refusal::NoSuchToken(token))?;
        if body.revoked {
            return Ok(Act { drafts: Vec::new(), reply: NOTHING });
        }
        let body = JoinToken { revoked: true, ..body };
        Ok(Act { drafts: Vec::from([self.draft(cx, DesiredKey::JoinToken { token }, &body)]), reply: DONE })
    }

    fn node_availability<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        node: NodeId,
        availability: Availability,
        command: CommandId,
    ) -> Result<Act, Refusal> {
        self.known_member(node)?;
        let intent = NodeIntent { availability, command, at: cx.now.wall };
        let is_news = self.state.availability(node) != availability;
        let wish = Wish::new(DesiredKey::NodeAvailability { node }, &intent, is_news);
        self.once(cx, command, Vec::from([wish]))
    }

    fn node_role<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        node: NodeId,
        role: Role,
    ) -> Result<Option<Act>, Refusal> {
        self.known_member(node)?;
        if self.trust.role(node) == Some(role) {
            return Ok(Some(Act { drafts: Vec::new(), reply: NOTHING }));
        }
        if role == Role::Worker {
            if self.is_last_that_answers(cx.me, node) {
                return Err(Refusal::LastControl);
            }
            self.reauthor(cx, node);
        }
        let time = self.clock.tick(cx.now.instant);
        let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
        let record = encode(&pen.role_change(time, node, role, cx.now.wall));
        self.submit(cx, Vec::from([record]));
        Ok(None)
    }

    /// Whether nobody would be left who may take a command, until a control node comes back that is away.
    fn is_last_that_answers(&self, me: NodeId, node: NodeId) -> bool {
        let live: BTreeSet<NodeId> = self.membership.live().chain([me]).collect();
        !self.trust.controls().any(|other| other != node && live.contains(&other))
    }

    fn node_labels<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        node: NodeId,
        labels: Vec<(String, Option<String>)>,
        command: CommandId,
    ) -> Result<Act, Refusal> {
        self.known_member(node)?;
        for (label, value) in &labels {
            validate::label(label, value.as_deref())?;
        }
        let present: BTreeMap<String, String> =
            self.state.labels(node).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let wishes = labels.into_iter().map(|(label, value)| {
            let is_news = present.get(&label) != value.as_ref();
            let body = NodeLabel { value, command };
            Wish::new(DesiredKey::NodeLabel { node, label }, &body, is_news)
        });
        self.once(cx, command, wishes.collect())
    }

    fn node_remove<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        node: NodeId,
        compromised: bool,
    ) -> Result<Option<Act>, Refusal> {
        let standing = self.trust.standing(node).ok_or(Refusal::NoSuchNode(node))?;
        if standing.removed.is_some_and(|removed| removed.compromised || !compromised) {
            // For good, and by whatever command.
            return Ok(Some(Act { drafts: Vec::new(), reply: NOTHING }));
        }
        if node == cx.me {
            return Err(Refusal::Oneself);
        }
        if self.trust.is_last_control(node) {
            return Err(Refusal::LastControl);
        }
        if !compromised && self.slots_rest_on(node) {
            return Err(Refusal::LedLast(node));
        }
        self.reauthor(cx, node);
        let time = self.clock.tick(cx.now.instant);
        let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
        let record = encode(&pen.removal(time, node, compromised, cx.now.wall));
        self.submit(cx, Vec::from([record]));
        Ok(None)
    }

    /// Whether a slot of a service that stands is this node's word: nobody has led since.
    fn slots_rest_on(&self, node: NodeId) -> bool {
        let mut slots = self.state.standing().flat_map(|service| self.state.slots_of(service));
        slots.any(|slot| slot.author == node)
    }

    fn service_create<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        birth: Birth,
        spec: Revision,
        command: CommandId,
    ) -> Result<Act, Refusal> {
        validate::name("name", &birth.name)?;
        validate::replicas(birth.replicas)?;
        self.check_spec(&spec, &[])?;
        if birth.singleton {
            return Err(Refusal::Unsupported(String::from(
                "singleton services need permits, which this release does not have",
            )));
        }
        let (service, revision) = (service_id(&command, cx.crypto), revision_id(&command, cx.crypto));
        let Birth { name, mode, singleton, replicas } = birth;
        let spec = Arc::new(Revision { parents: Vec::new(), at: cx.now.wall, ..spec });
        let created_at = cx.now.wall;
        let body = ServiceBirth {
            name: name.clone(),
            mode,
            singleton,
            replicas,
            revision,
            spec,
            command,
            created_at,
        };
        validate::birth(&body)?;
        let wish = Wish::new(DesiredKey::ServiceBirth { service }, &body, true);
        let act = self.once(cx, command, Vec::from([wish]))?;
        let act = act.about(service, revision);
        match self.state.service_named(&name) {
            Some(holder) if holder != service => Err(Refusal::NameTaken { name, service: holder }),
            Some(_) | None => Ok(act),
        }
    }

    fn service_update<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        service: ServiceId,
        spec: Revision,
        replicas: Option<u32>,
        expected: Option<RevisionId>,
        command: CommandId,
    ) -> Result<Act, Refusal> {
        replicas.map_or(Ok(()), validate::replicas)?;
        let known = self.state.service(service).ok_or(Refusal::NoSuchService(service))?;
        self.check_spec(&spec, &known.current.spec.placement.constraints)?;
        let current = known.current.id;
        if replicas.is_some() && known.birth.mode == Mode::Global {
            return Err(no_replicas());
        }
        let parents: Vec<RevisionId> =
            core::iter::once(current).chain(known.conflicts.iter().map(|conflict| conflict.id)).collect();
        let same = known.conflicts.is_empty() && is_same(known.current.spec, &spec);
        let revision = revision_id(&command, cx.crypto);
        let spec = Arc::new(Revision { parents, at: cx.now.wall, ..spec });
        let body = RevisionBody { spec, command };
        let mut wishes =
            Vec::from([Wish::new(DesiredKey::ServiceRevision { service, revision }, &body, !same)]);
        if let Some(replicas) = replicas {
            let body = Scale { replicas, command, at: cx.now.wall };
            let is_news = replicas != known.replicas;
            wishes.push(Wish::new(DesiredKey::ServiceScale { service }, &body, is_news));
        }
        let act = self.once(cx, command, wishes)?;
        // What it was to follow, itself may have followed: only what is new has to.
        if let Some(expected) = expected
            && !act.drafts.is_empty()
            && expected != current
        {
            return Err(Refusal::Stale { current });
        }
        let is_made = !same || self.state.revisions(service).iter().any(|held| held.id == revision);
        Ok(act.about(service, if is_made { revision } else { current }))
    }

    fn service_scale<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        scales: Vec<(ServiceId, u32)>,
        command: CommandId,
    ) -> Result<Act, Refusal> {
        let mut wishes = Vec::with_capacity(scales.len());
        for (service, replicas) in scales {
            validate::replicas(replicas)?;
            let known = self.state.service(service).ok_or(Refusal::NoSuchService(service))?;
            if known.birth.mode == Mode::Global {
                return Err(no_replicas());
            }
            let body = Scale { replicas, command, at: cx.now.wall };
            let is_news = replicas != known.replicas;
            wishes.push(Wish::new(DesiredKey::ServiceScale { service }, &body, is_news));
        }
        self.once(cx, command, wishes)
    }

    fn service_remove<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        services: &[ServiceId],
        command: CommandId,
    ) -> Result<Act, Refusal> {
        let mut wishes = Vec::with_capacity(services.len());
        for service in services {
            let known = self.state.service(*service);
            let is_news = !self.state.is_removed(*service);
            if known.is_none() && is_news {
                return Err(Refusal::NoSuchService(*service));
            }
            let seen = known.iter().flat_map(|known| {
                let conflicts = known.conflicts.iter().map(|conflict| conflict.id);
                core::iter::once(known.current.id).chain(conflicts)
            });
            let body = ServiceRemoval { seen: seen.collect(), command, at: cx.now.wall };
            wishes.push(Wish::new(DesiredKey::ServiceRemoval { service: *service }, &body, is_news));
        }
        self.once(cx, command, wishes)
    }

    /// Whether a revision says what people may ask for, after one that had these constraints.
    pub(super) fn check_spec(&self, spec: &Revision, before: &[String]) -> Result<(), Refusal> {
        validate::revision(spec)?;
        check_constraints(&spec.placement.constraints, before).map_err(|(text, bad)| Refusal::Invalid {
            field: String::from("placement.constraints"),
            problem: format!("has `{}`: {bad}", text.escape_debug()),
        })
    }

    pub(super) fn known_member(&self, node: NodeId) -> Result<(), Refusal> {
        if self.trust.is_member(node) { Ok(()) } else { Err(Refusal::NoSuchNode(node)) }
    }
}

/// What of a birth is not in its first revision.
struct Birth {
    name: String,
    mode: Mode,
    singleton: bool,
    replicas: u32,
}

/// Whether two revisions ask for the same; when and after which does not matter.
pub(super) fn is_same(one: &Revision, other: &Revision) -> bool {
    Revision { parents: Vec::new(), at: other.at, ..one.clone() }
        == Revision { parents: Vec::new(), ..other.clone() }
}

pub(super) fn no_replicas() -> Refusal {
    let problem = String::from("is set, where a global service has one task on every node");
    Refusal::Invalid { field: String::from("replicas"), problem }
}
