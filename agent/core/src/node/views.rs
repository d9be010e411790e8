//! Questions about the cluster, answered from what this node has. Nothing here changes anything.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::spec::Runtime;
use sleep_wire::task::TaskState;
use sleep_wire::trust::Role;
use sleep_wire::{NodeId, RevisionId, ServiceId, Stamp};

use super::Node;
use super::member::Member;
use super::task_views::update_row;
use crate::crypto::Crypto;
use crate::lease::Evidence;
use crate::membership::Liveness;
use crate::placement::{Planner, Progress};
use crate::state;
use crate::time::{Instant, Now};
use crate::view::{
    Life, NodeRow, OperatorRow, ProgressRow, RevisionRow, ServiceRow, SlotRow, StatusRow, TaskFilter,
    TaskRow, TokenRow, WhyRow,
};

impl<C: Crypto> Node<C> {
    /// What this node is, and what it sees.
    pub fn status(&self, now: Now) -> StatusRow {
        let Some(member) = self.member() else {
            return StatusRow {
                node: self.me(),
                cluster: None,
                role: None,
                leader: None,
                nodes: 0,
                seen: 0,
                generation: 0,
                voters: Vec::new(),
                voters_heard: Vec::new(),
                services: 0,
                running: 0,
                desired: 0,
            };
        };
        let services = self.services(now);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let config = member.lease.config();
        StatusRow {
            node: self.me(),
            cluster: Some(member.cluster),
            role: member.trust.role(self.me()),
            leader: member.leader(now.instant),
            nodes: count(member.trust.members().count()),
            seen: count(member.membership.component().len()),
            voters: config
                .map(|config| {
                    config.voters.iter().map(|voter| (voter.node, u32::from(voter.weight))).collect()
                })
                .unwrap_or_default(),
            generation: member.lease.generation().max(member.generation),
            voters_heard: member.voters_heard(self.me()),
            services: count(services.len()),
            running: services.iter().map(|row| row.running).sum(),
            desired: services.iter().map(|row| row.desired).sum(),
        }
    }

    /// Every member, by name.
    pub fn nodes(&self, now: Now) -> Vec<NodeRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let names = member.node_names();
        let leader = member.leader(now.instant).map(|(epoch, _)| epoch.candidate);
        let burdens = member.burdens();
        let burden = |id: &NodeId| burdens.get(id).copied().unwrap_or_default();
        let mut rows: Vec<NodeRow> = member
            .trust
            .members()
            .map(|id| member.node_row(now.instant, id, &names, leader, self.me(), burden(&id)))
            .collect();
        rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        rows
    }

    /// By how much a node's wall clock was off this node's when it last said what it is, in milliseconds;
    /// `None` if it has not said, or no two clocks can be compared.
    pub fn wall_clock_off_ms(&self, now: Now, node: NodeId) -> Option<i64> {
        let member = self.member()?;
        let facts = member.state.facts(node)?;
        let here = member.clock.present(now.instant).ms();
        let elapsed = i64::try_from(here.saturating_sub(facts.at_ms)).ok()?;
        facts.wall.0.checked_add(elapsed)?.checked_sub(now.wall.0)
    }

    /// Every service that stands, by name.
    pub fn services(&self, now: Now) -> Vec<ServiceRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let planner = member.planner(now.instant);
        let mut rows: Vec<ServiceRow> = member
            .state
            .services()
            .iter()
            .map(|service| member.service_row(service, planner.progress(&service.id, now.instant).as_ref()))
            .collect();
        rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        rows
    }

    /// Every revision of a service, oldest first.
    pub fn revisions(&self, service: ServiceId) -> Vec<RevisionRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let current = member.state.service(service).map(|service| service.current.id);
        let rows = member.state.revisions(service);
        rows.iter()
            .map(|view| RevisionRow {
                id: view.id,
                author: view.author,
                spec: Arc::clone(view.spec),
                current: Some(view.id) == current,
            })
            .collect()
    }

    /// What runs a service's tasks of a revision; if nobody knows that revision, those of its current one.
    pub fn runtime_of(&self, service: ServiceId, revision: RevisionId) -> Option<Runtime> {
        let member = self.member()?;
        let known = member.state.revisions(service);
        let told = known.iter().find(|view| view.id == revision).map(|view| view.spec.template.runtime);
        let current = || Some(member.state.service(service)?.current.spec.template.runtime);
        told.or_else(current).or_else(|| Some(member.birth(service)?.spec.template.runtime))
    }

    /// Tasks, by service, slot and age.
    pub fn tasks(&self, filter: &TaskFilter) -> Vec<TaskRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let services: Vec<ServiceId> = match filter.service {
            Some(service) => Vec::from([service]),
            None => member.known_services().into_iter().collect(),
        };
        let mut rows = Vec::new();
        for service in services {
            rows.extend(member.task_rows(service, filter.history));
        }
        rows.retain(|row| filter.node.is_none_or(|node| row.node == Some(node)));
        rows.sort_by(|a, b| (&a.service_name, a.slot, a.history).cmp(&(&b.service_name, b.slot, b.history)));
        rows
    }

    /// How far a service is from what was asked for; `None` if it was never heard of.
    pub fn progress(&self, now: Now, service: ServiceId) -> Option<ProgressRow> {
        let member = self.member()?;
        let mut planner = member.planner(now.instant);
        planner.step(now.instant);
        member.progress_row(now.instant, service, &planner)
    }

    /// Slots that have no task, of one service or of all: no node took them, or no planner has looked yet.
    pub fn vacant(&self, now: Now, service: Option<ServiceId>) -> Vec<SlotRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let lacks = |id: &ServiceId| {
            let Some(standing) = member.state.service(*id) else { return false };
            let placed = member.task_rows(*id, false).iter().filter(|row| row.wanted).count();
            placed < member.service_row(&standing, None).desired as usize
        };
        let known = service.map_or_else(|| member.known_services(), |id| [id].into());
        let lacking: Vec<ServiceId> = known.into_iter().filter(lacks).collect();
        if lacking.is_empty() {
            return Vec::new();
        }
        let mut planner = member.planner(now.instant);
        planner.step(now.instant);
        let rows = lacking.into_iter().filter_map(|id| member.progress_row(now.instant, id, &planner));
        rows.flat_map(|row| row.slots).filter(|slot| slot.task.node.is_none()).collect()
    }

    /// Why a slot's task is where it is; `None` if there is no such slot.
    pub fn why(&self, now: Now, service: ServiceId, slot: SlotName) -> Option<WhyRow> {
        let member = self.member()?;
        let planner = member.planner(now.instant);
        let key = SlotKey { service, slot };
        let (history, current): (Vec<TaskRow>, Vec<TaskRow>) = member
            .task_rows(service, true)
            .into_iter()
            .filter(|row| row.slot == slot)
            .partition(|row| row.history);
        let task = match current.into_iter().next() {
            Some(task) => task,
            None => self.vacant(now, Some(service)).into_iter().find(|row| row.slot == slot)?.task,
        };
        Some(WhyRow {
            task,
            assigned: member.slot_record(key).and_then(|(_, slot)| slot.current.clone()),
            history,
            refusals: member.refusals(&planner, key, now.instant),
        })
    }

    /// Every join token, revoked and expired ones included.
    pub fn tokens(&self, now: Now) -> Vec<TokenRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let present = member.clock.present(now.instant).ms();
        let row = |(id, token): (_, &sleep_wire::trust::JoinToken)| TokenRow {
            id,
            left_ms: token.expires_ms.map(|expires| expires.saturating_sub(present)),
            token: token.clone(),
        };
        member.state.join_tokens().map(row).collect()
    }

    /// Every operator whose key may be used, by name.
    pub fn operators(&self) -> Vec<OperatorRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let mut rows: BTreeMap<NodeId, OperatorRow> = BTreeMap::new();
        for (id, author, admission) in member.state.operators() {
            if member.trust.is_operator(id) {
                let row = OperatorRow { id, name: admission.name.clone(), author, at: admission.at };
                rows.entry(id).or_insert(row);
            }
        }
        let mut rows: Vec<OperatorRow> = rows.into_values().collect();
        rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        rows
    }

    /// The epoch under which this node holds the lease now, if it does.
    pub fn holding(&self, now: Now) -> Option<sleep_wire::Epoch> {
        self.member()?.lease.holding(now.instant)
    }

    /// Members that answer, as this node sees it, itself included.
    pub fn live(&self) -> Vec<NodeId> {
        self.member().map(|member| member.membership.component()).unwrap_or_default()
    }
}

/// How many tasks a node has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Burden {
    /// Those that it says it runs.
    running: u32,
    /// All that are not over.
    tasks: u32,
}

impl Member {
    pub(super) fn planner(&self, now: Instant) -> Planner {
        Planner::new(self.all_facts(now))
    }

    pub(super) fn leader(&self, now: Instant) -> Option<(sleep_wire::Epoch, bool)> {
        match self.lease.evidence(now) {
            Evidence::None => None,
            Evidence::Stale(epoch) => Some((epoch, false)),
            Evidence::Fresh(epoch) => Some((epoch, true)),
        }
    }

    /// Members' names: of two with one name the later admitted goes on as `name~id4`.
    pub(super) fn node_names(&self) -> BTreeMap<NodeId, String> {
        let mut first: BTreeMap<&str, (Option<Stamp>, NodeId)> = BTreeMap::new();
        let admitted = |node| {
            let key = self.trust.door_chain(&[node]).into_iter().next_back()?;
            self.state.record(&key).map(state::Entry::stamp)
        };
        let named: Vec<(NodeId, &str, Option<Stamp>)> = self
            .trust
            .members()
            .filter_map(|node| Some((node, self.state.facts(node)?.name.as_str(), admitted(node))))
            .collect();
        for (node, name, stamp) in &named {
            let claim = (*stamp, *node);
            first.entry(name).and_modify(|held| *held = claim.min(*held)).or_insert(claim);
        }
        let owns = |node: NodeId, name: &str| first.get(name).is_some_and(|(_, owner)| *owner == node);
        named
            .iter()
            .map(|(node, name, _)| {
                let text = if owns(*node, name) {
                    (*name).to_owned()
                } else {
                    format!("{name}~{:.4}", node.to_string())
                };
                (*node, text)
            })
            .collect()
    }

    pub(super) fn node_name(&self, _now: Now, id: NodeId) -> Option<String> {
        let known = self.node_names().remove(&id);
        known.or_else(|| self.state.facts(id).map(|facts| facts.name.clone()))
    }

    pub(super) fn node_row(
        &self,
        now: Instant,
        id: NodeId,
        names: &BTreeMap<NodeId, String>,
        leader: Option<NodeId>,
        me: NodeId,
        burden: Burden,
    ) -> NodeRow {
        NodeRow {
            id,
            name: names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            role: self.trust.role(id).unwrap_or(Role::Worker),
            life: self.life(id),
            availability: self.state.availability(id),
            leader: leader == Some(id),
            is_self: id == me,
            facts: self.state.facts(id).cloned(),
            labels: self.node_fact(now, id).labels,
            running: burden.running,
            tasks: burden.tasks,
        }
    }

    /// How many tasks each node has that are not over, whether it has told of them or a slot's record only
    /// names it.
    pub(super) fn burdens(&self) -> BTreeMap<NodeId, Burden> {
        let mut burdens: BTreeMap<NodeId, Burden> = BTreeMap::new();
        for task in self.state.tasks().filter(|task| !task.status.state.is_over()) {
            let burden = burdens.entry(task.node).or_default();
            burden.tasks += 1;
            burden.running += u32::from(task.status.state == TaskState::Running);
        }
        for view in self.state.slots() {
            let Some(current) = &view.slot.current else { continue };
            let mut told = self.state.tasks_at(current.node, view.key);
            if !told.any(|task| task.status.task.assignment == current.assignment)
                && !self.state.is_removed(view.key.service)
            {
                burdens.entry(current.node).or_default().tasks += 1;
            }
        }
        burdens
    }

    pub(super) fn life(&self, node: NodeId) -> Life {
        if node == self.membership.me().node {
            return Life::Alive;
        }
        match self.membership.state(node) {
            None => Life::Down,
            Some(state) => match state.liveness {
                Liveness::Alive => Life::Alive,
                Liveness::Suspect => Life::Suspect,
                Liveness::Down if state.held_until.is_some() => Life::Restarting,
                Liveness::Down => Life::Down,
            },
        }
    }

    pub(super) fn service_row(
        &self,
        service: &state::Service<'_>,
        progress: Option<&Progress>,
    ) -> ServiceRow {
        ServiceRow {
            id: service.id,
            name: service.name.text.clone(),
            mode: service.birth.mode,
            removed: false,
            revision: service.current.id,
            spec: Arc::clone(service.current.spec),
            desired: progress.map_or(service.replicas, |progress| progress.desired),
            scaled: service.scaling,
            running: progress.map_or(0, |progress| progress.running),
            created_at: service.birth.created_at,
            update: progress.and_then(|progress| update_row(&progress.rollout)),
            conflicts: service.conflicts.iter().map(|conflict| conflict.id).collect(),
        }
    }

    /// A service that was removed, as long as anything of it is left.
    pub(super) fn removed_row(&self, id: ServiceId) -> Option<ServiceRow> {
        let birth = self.birth(id)?;
        Some(ServiceRow {
            id,
            name: birth.name.clone(),
            mode: birth.mode,
            removed: true,
            revision: birth.revision,
            spec: Arc::clone(&birth.spec),
            desired: 0,
            scaled: None,
            running: 0,
            created_at: birth.created_at,
            update: None,
            conflicts: Vec::new(),
        })
    }
}
