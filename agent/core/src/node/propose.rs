//! What would come of a command: the planner's own answer, on facts as they would be. Nothing is changed.
//!
//! # Not here
//! The planning: see `placement`. Of equals another may be chosen in earnest: what tells them apart is the id
//! of a service, and one that is not there yet has none.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use sleep_wire::key::SlotKey;
use sleep_wire::node::Availability;
use sleep_wire::spec::{Mode, Revision};
use sleep_wire::trust::Role;
use sleep_wire::{RevisionId, ServiceId};

use super::Node;
use super::command::{is_same, no_replicas};
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::Refusal;
use crate::placement::{Facts, Move, Rehearsal, ServiceFact};
use crate::time::{Instant, Now};
use crate::validate;
use crate::view::{MoveRow, PlanRow, Proposal, SlotRef};

/// What a service is called that is not there yet.
const NEW_SERVICE: ServiceId = ServiceId([0xff; 16]);

/// What a revision is called that is not there yet.
const NEW_REVISION: RevisionId = RevisionId([0xff; 16]);

impl<C: Crypto> Node<C> {
    /// What would come of a command, as the planner of this node sees it.
    ///
    /// # Errors
    /// [`Refusal`], as the command itself would be refused.
    pub fn propose(&self, now: Now, proposal: &Proposal) -> Result<PlanRow, Refusal> {
        self.member().ok_or(Refusal::NotClustered)?.propose(now.instant, proposal)
    }
}

impl Member {
    fn propose(&self, now: Instant, proposal: &Proposal) -> Result<PlanRow, Refusal> {
        if self.trust.role(self.membership.me().node) != Some(Role::Control) {
            return Err(Refusal::NotControl);
        }
        self.check_proposal(proposal)?;
        let mut rehearsal = Rehearsal::new(self.all_facts(now), now);
        let before: BTreeSet<SlotKey> = rehearsal.pending().iter().copied().collect();
        let moves = rehearsal.change(|facts, now| change(facts, now, proposal));
        let complete = rehearsal.is_complete();
        let slot_ref =
            |key: SlotKey| SlotRef { service_name: self.name_in(proposal, key.service), slot: key.slot };
        let (planner, then) = rehearsal.planner();
        let concerned = concerned(proposal);
        let pending = rehearsal
            .pending()
            .iter()
            .filter(|key| !before.contains(key) || concerned.contains(&key.service))
            .map(|key| (slot_ref(*key), self.refusals(planner, *key, then)));
        let row = |Move { key, from, to, choice }: Move| MoveRow {
            slot: slot_ref(key),
            from: from.map(|(node, _)| node),
            to: to.map(|(node, _)| node),
            choice,
        };
        Ok(PlanRow { pending: pending.collect(), moves: moves.into_iter().map(row).collect(), complete })
    }

    fn name_in(&self, proposal: &Proposal, service: ServiceId) -> String {
        match proposal {
            Proposal::Create { name, .. } if service == NEW_SERVICE => name.clone(),
            Proposal::Create { .. }
            | Proposal::Update { .. }
            | Proposal::Scale(_)
            | Proposal::Availability { .. } => {
                self.service_name(service).unwrap_or_else(|| service.to_string())
            }
        }
    }

    /// As the commands themselves are checked.
    fn check_proposal(&self, proposal: &Proposal) -> Result<(), Refusal> {
        let known = |id: ServiceId| self.state.service(id).ok_or(Refusal::NoSuchService(id));
        match proposal {
            Proposal::Create { name, replicas, spec, .. } => {
                validate::name("name", name)?;
                validate::replicas(*replicas)?;
                self.check_spec(spec, &[])?;
                match self.state.service_named(name) {
                    Some(service) => Err(Refusal::NameTaken { name: name.clone(), service }),
                    None => Ok(()),
                }
            }
            Proposal::Update { service, spec, replicas, .. } => {
                let known = known(*service)?;
                self.check_spec(spec, &known.current.spec.placement.constraints)?;
                replicas.map_or(Ok(()), validate::replicas)?;
                if known.birth.mode == Mode::Global && replicas.is_some() {
                    return Err(no_replicas());
                }
                Ok(())
            }
            Proposal::Scale(scales) => scales.iter().try_for_each(|(service, replicas)| {
                validate::replicas(*replicas)?;
                match known(*service)?.birth.mode {
                    Mode::Global => Err(no_replicas()),
                    Mode::Replicated => Ok(()),
                }
            }),
            Proposal::Availability { nodes, .. } => {
                nodes.iter().try_for_each(|node| self.known_member(*node))
            }
        }
    }
}

/// Services that the proposal names.
fn concerned(proposal: &Proposal) -> BTreeSet<ServiceId> {
    match proposal {
        Proposal::Create { .. } => [NEW_SERVICE].into(),
        Proposal::Update { service, .. } => [*service].into(),
        Proposal::Scale(scales) => scales.iter().map(|(service, _)| *service).collect(),
        Proposal::Availability { .. } => BTreeSet::new(),
    }
}

fn change(facts: &mut Facts, now: Instant, proposal: &Proposal) {
    match proposal {
        Proposal::Create { mode, replicas, spec, .. } => facts.services.push(ServiceFact {
            id: NEW_SERVICE,
            mode: *mode,
            replicas: *replicas,
            removed: false,
            singleton: false,
            revision: NEW_REVISION,
            revisions: BTreeMap::from([(NEW_REVISION, Arc::new(Revision::clone(spec)))]),
            slots: BTreeMap::new(),
        }),
        Proposal::Update { service, spec, replicas } => {
            for fact in facts.services.iter_mut().filter(|fact| fact.id == *service) {
                let current = fact.revisions.get(&fact.revision);
                if current.is_none_or(|current| !is_same(current, spec)) {
                    fact.revisions.insert(NEW_REVISION, Arc::new(Revision::clone(spec)));
                    fact.revision = NEW_REVISION;
                }
                fact.replicas = replicas.unwrap_or(fact.replicas);
            }
        }
        Proposal::Scale(scales) => {
            for fact in &mut facts.services {
                if let Some((_, replicas)) = scales.iter().find(|(service, _)| *service == fact.id) {
                    fact.replicas = *replicas;
                }
            }
        }
        Proposal::Availability { nodes, availability } => {
            for fact in facts.nodes.iter_mut().filter(|fact| nodes.contains(&fact.id)) {
                if fact.availability != *availability {
                    fact.availability = *availability;
                    fact.activated = (*availability == Availability::Active).then_some(now);
                }
            }
        }
    }
}
