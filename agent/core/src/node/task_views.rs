//! Tasks and slots as rows: what runs, what should, and why it does not.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::Assigned;
use sleep_wire::spec::{Port, Protocol, Revision, Runtime};
use sleep_wire::task::TaskState;
use sleep_wire::{NodeId, RevisionId, ServiceId, Stamp};

use super::member::Member;
use crate::placement::{Answer, Planner, Refused};
use crate::reconcile::NextAttempt;
use crate::rollout::RolloutStatus;
use crate::state::{self, TaskView};
use crate::time::Instant;
use crate::view::{Life, ProgressRow, RefusalRow, ServiceRow, SlotRow, TaskLife, TaskRow, UpdateRow};

impl Member {
    pub(super) fn progress_row(&self, now: Instant, id: ServiceId, planner: &Planner) -> Option<ProgressRow> {
        let standing = self.state.service(id);
        let progress = planner.progress(&id, now);
        let service = match &standing {
            Some(service) => self.service_row(service, progress.as_ref()),
            None => self.removed_row(id)?,
        };
        let rows = self.task_rows(id, false);
        let reachable = |node: NodeId| self.life(node) != Life::Down;
        let left = rows.iter().filter(|row| !row.wanted && row.node.is_some());
        let ending = left.clone().filter(|row| row.node.is_some_and(reachable)).count();
        let away: BTreeSet<NodeId> =
            left.filter_map(|row| row.node).filter(|node| !reachable(*node)).collect();
        if service.removed {
            return Some(ProgressRow {
                service,
                slots: Vec::new(),
                ending: u32::try_from(ending).unwrap_or(u32::MAX),
                waiting_for: away.into_iter().collect(),
                converged: ending == 0,
                stuck: false,
            });
        }
        let progress = progress?;
        let slots = self.slot_rows(now, &service, rows, planner, progress.desired);
        let pending = slots.iter().filter(|slot| slot.task.node.is_none()).count();
        let unsettled = slots.iter().filter(|slot| !slot.settled).count();
        // Tasks that are to leave, or to be replaced, and whose service no other node takes: nothing goes on
        // there.
        let kept = progress.stuck as usize;
        let quiet = progress.stopping == 0 && progress.leaving <= progress.stuck;
        // What some node would take is not stuck: the holder has not planned yet.
        let homeless = progress.pending as usize == pending;
        // Slots beyond the scale that nobody has emptied yet: the planner has not looked since.
        let surplus = slots.len() > progress.desired as usize;
        let converged = progress.is_converged() && !surplus;
        Some(ProgressRow {
            ending: progress.stopping,
            waiting_for: progress.away.clone(),
            converged,
            stuck: !converged && pending + kept > 0 && homeless && unsettled <= pending + kept && quiet,
            service,
            slots,
        })
    }

    pub(super) fn slot_rows(
        &self,
        now: Instant,
        service: &ServiceRow,
        rows: Vec<TaskRow>,
        planner: &Planner,
        desired: u32,
    ) -> Vec<SlotRow> {
        let mut slots: Vec<SlotRow> = Vec::new();
        for row in rows.into_iter().filter(|row| row.wanted) {
            let settled = self.is_settled(now, &row, service.revision);
            slots.push(SlotRow { slot: row.slot, task: row, settled, refusals: Vec::new() });
        }
        // Slots that nobody has written down yet: no node took them, or no planner has looked.
        let named: BTreeSet<SlotName> = slots.iter().map(|row| row.slot).collect();
        let missing = (1..=desired).map(SlotName::Number).filter(|slot| !named.contains(slot));
        let missing: Vec<SlotName> = missing.take((desired as usize).saturating_sub(slots.len())).collect();
        if service.mode == sleep_wire::spec::Mode::Replicated {
            for slot in missing {
                let task = self.vacant_row(service, slot);
                let refusals = self.refusals(planner, SlotKey { service: service.id, slot }, now);
                slots.push(SlotRow { slot, task, settled: false, refusals });
            }
        }
        slots.sort_by_key(|row| row.slot);
        slots
    }

    pub(super) fn is_settled(&self, now: Instant, row: &TaskRow, current: RevisionId) -> bool {
        let Some(node) = row.node else { return false };
        let key = SlotKey { service: row.service, slot: row.slot };
        let healthy =
            row.life == TaskLife::Told(TaskState::Running) || row.life == TaskLife::Told(TaskState::Complete);
        let view = self.state.tasks_at(node, key).find(|view| Some(view.status.task) == row.task);
        // As the planner counts: what ran before this node looked, runs no shorter for it.
        let ran = view.map(|view| {
            let seen_for = now.since(self.sightings.task_since(now, node, key, view.place));
            Duration::from_millis(view.status.running_for_ms) + seen_for
        });
        let same = row.revision == current || self.same_template(row.service, row.revision, current);
        healthy && same && ran.is_some_and(|ran| ran >= super::sightings::SETTLED_AFTER)
    }

    pub(super) fn same_template(&self, service: ServiceId, one: RevisionId, other: RevisionId) -> bool {
        let revisions = self.state.revisions(service);
        let find = |id| revisions.iter().find(|view| view.id == id).map(|view| &view.spec.template);
        find(one).is_some() && find(one) == find(other)
    }

    pub(super) fn vacant_row(&self, service: &ServiceRow, slot: SlotName) -> TaskRow {
        TaskRow {
            service: service.id,
            service_name: service.name.clone(),
            slot,
            task: None,
            node: None,
            revision: service.revision,
            image: image(&service.spec),
            wanted: true,
            life: TaskLife::Pending,
            status: None,
            next: None,
            history: false,
            ports: Vec::new(),
        }
    }

    /// A service's tasks: those that slots name, those that run unnamed, and, if asked for, those that are
    /// over.
    pub(super) fn task_rows(&self, service: ServiceId, history: bool) -> Vec<TaskRow> {
        let name = self.service_name(service).unwrap_or_else(|| service.to_string());
        let revisions = self.state.revisions(service);
        let row = |placed: Placed<'_>| task_row(&placed, &name, &revisions);
        self.placed(service, history).map(row).collect()
    }

    /// The same, without what is only for people to read.
    pub(super) fn placed(&self, service: ServiceId, history: bool) -> impl Iterator<Item = Placed<'_>> {
        let removed = self.state.is_removed(service);
        self.state
            .slots_known_of(service)
            .into_iter()
            .flat_map(move |slot| self.placed_in(slot, removed, history))
    }

    fn placed_in(&self, slot: SlotKey, removed: bool, history: bool) -> Vec<Placed<'_>> {
        let record = self.slot_record(slot).map(|(_, slot)| slot);
        let tasks: Vec<TaskView<'_>> = match history {
            true => self.state.tasks_of(slot).collect(),
            false => self.state.tasks_that_count(slot, record).collect(),
        };
        let current = record.and_then(|slot| slot.current.as_ref()).filter(|_| !removed);
        let newest = |assignment: Stamp, node: NodeId| {
            let of_it = |task: &&TaskView<'_>| task.node == node && task.status.task.assignment == assignment;
            tasks.iter().filter(of_it).max_by_key(|task| task.status.task.attempt).copied()
        };
        let mut placed = Vec::new();
        let mut shown = None;
        if let Some(Assigned { assignment, node, revision, .. }) = current {
            let told = newest(*assignment, *node);
            shown = told.map(|task| task.status.task);
            let life = self.task_life(*node, told.as_ref(), false);
            let (revision, node) = (*revision, Some(*node));
            placed.push(Placed { slot, revision, node, told, life, wanted: true, history: false });
        }
        for task in tasks.iter().filter(|task| Some(task.status.task) != shown) {
            let superseded = newest(task.status.task.assignment, task.node)
                .is_some_and(|newest| newest.status.task != task.status.task);
            let past = task.status.state.is_over() || superseded;
            if !past || history {
                let (revision, node) = (task.status.revision, Some(task.node));
                let life = self.task_life(task.node, Some(task), past);
                let told = Some(*task);
                placed.push(Placed { slot, revision, node, told, life, wanted: false, history: past });
            }
        }
        placed
    }

    fn task_life(&self, node: NodeId, told: Option<&TaskView<'_>>, past: bool) -> TaskLife {
        let gone = !past && self.life(node) == Life::Down;
        match told {
            Some(task) if !gone || task.status.state.is_over() => TaskLife::Told(task.status.state),
            Some(_) => TaskLife::Lost,
            None if gone => TaskLife::Lost,
            None => TaskLife::Told(TaskState::Assigned),
        }
    }

    pub(super) fn refusals(&self, planner: &Planner, key: SlotKey, now: Instant) -> Vec<RefusalRow> {
        let answers = planner.why(key, now).into_iter();
        answers
            .filter_map(|(node, answer)| match answer {
                Answer::Refuses(refused) => {
                    let (filter, reason) = self.explain(&refused);
                    Some(RefusalRow { node, filter, reason })
                }
                Answer::Runs | Answer::Fits(_) => None,
            })
            .collect()
    }

    /// A refusal's facts in a few words.
    pub(super) fn explain(&self, refused: &Refused) -> (&'static str, String) {
        match refused {
            Refused::Down => ("down", "down".to_owned()),
            Refused::Held => ("restarting", "restarting".to_owned()),
            Refused::Draining => ("draining", "drained".to_owned()),
            Refused::Paused => ("paused", "paused".to_owned()),
            Refused::NoRuntime { runtime } => {
                ("runtime", format!("has no runtime `{}`", runtime_name(*runtime)))
            }
            Refused::Ill { runtime, reason } => {
                ("runtime", format!("{} is ill: {reason}", runtime_name(*runtime)))
            }
            Refused::Constraint { text } => ("constraint", format!("constraint `{text}` does not hold")),
            Refused::Memory { needs, free } => {
                ("memory", format!("needs {}, {} free", mebibytes(*needs), mebibytes(*free)))
            }
            Refused::Cpu { needs, free } => {
                ("cpu", format!("needs {} cores, {} free", cores(*needs), cores(*free)))
            }
            Refused::PortTaken { port, protocol, by } => {
                let by = self.service_name(*by).unwrap_or_else(|| by.to_string());
                ("port", format!("port {port}/{} is taken by `{by}`", protocol_name(*protocol)))
            }
            Refused::MaxPerNode { max } => ("max-per-node", format!("max-replicas-per-node {max} reached")),
            Refused::RecentFailures { attempts } => {
                ("failures", format!("{attempts} attempts could not be started there lately"))
            }
        }
    }
}

/// A task, and why it is shown.
pub(super) struct Placed<'a> {
    pub(super) slot: SlotKey,
    pub(super) node: Option<NodeId>,
    /// What its node told of it last.
    pub(super) told: Option<TaskView<'a>>,
    pub(super) life: TaskLife,
    /// Whether the slot's record names it as what should run.
    pub(super) wanted: bool,
    revision: RevisionId,
    history: bool,
}

fn task_row(placed: &Placed<'_>, name: &str, revisions: &[state::RevisionView<'_>]) -> TaskRow {
    let Placed { slot, node, told, life, wanted, revision, history } = placed;
    let spec = revisions.iter().find(|view| view.id == *revision).map(|view| view.spec);
    TaskRow {
        service: slot.service,
        service_name: name.to_owned(),
        slot: slot.slot,
        task: told.map(|task| task.status.task),
        node: *node,
        revision: *revision,
        image: spec.map(|spec| image(spec)).unwrap_or_default(),
        wanted: *wanted,
        life: *life,
        status: told.map(|task| task.status.clone()),
        next: told.filter(|_| !history).and_then(|task| NextAttempt::of(task.status)),
        history: *history,
        ports: spec.map(|spec| spec.template.ports.iter().map(port).collect()).unwrap_or_default(),
    }
}

pub(super) fn update_row(status: &RolloutStatus) -> Option<UpdateRow> {
    match status {
        RolloutStatus::Idle => None,
        RolloutStatus::Updating { updated, of } => {
            Some(UpdateRow { done: *updated, total: *of, paused: None })
        }
        RolloutStatus::Paused { updated, of, failed } => {
            let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
            let paused = Some(format!("tasks of the new revision failed in slots {}", failed.join(", ")));
            Some(UpdateRow { done: *updated, total: *of, paused })
        }
    }
}

pub(super) fn image(spec: &Revision) -> String {
    match spec.template.runtime {
        Runtime::Docker => spec.template.image.clone(),
        Runtime::Process => {
            let words: Vec<&str> =
                spec.template.entrypoint.iter().chain(&spec.template.command).map(String::as_str).collect();
            words.join(" ")
        }
    }
}

/// As Docker writes it: `8080->80/tcp`.
pub(super) fn port(port: &Port) -> String {
    let protocol = protocol_name(port.protocol);
    match port.host_ip.as_str() {
        "" => format!("{}->{}/{protocol}", port.published, port.target),
        ip if ip.contains(':') => format!("[{ip}]:{}->{}/{protocol}", port.published, port.target),
        ip => format!("{ip}:{}->{}/{protocol}", port.published, port.target),
    }
}

const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

const fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Docker => "docker",
        Runtime::Process => "process",
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn cores(milli: u64) -> String {
    format!("{}.{:03}", milli / 1000, milli % 1000)
}
