//! How far services and nodes are, for those who wait.

use sleep_core::view::{Life, NodeRow, ProgressRow, SlotRow, TaskFilter, TaskLife};
use sleep_wire::WallTime;
use sleep_wire::api::*;
use sleep_wire::node::Availability;
use sleep_wire::task::TaskState;

use super::render::{Words, node_status, runtime_name, state, time, trouble, update};

impl Words<'_> {
    pub(super) fn service_progress(&self, row: &ProgressRow) -> ServiceProgress {
        let settled = row.slots.iter().filter(|slot| slot.settled).count();
        ServiceProgress {
            id: row.service.id.to_string(),
            name: row.service.name.clone(),
            removed: row.service.removed,
            desired: row.service.desired,
            scaled_at: row.service.scaled.map(|(at, _)| time(at)),
            scaled_by: row.service.scaled.map(|(_, node)| self.name(node)),
            settled: u32::try_from(settled).unwrap_or(u32::MAX),
            slots: row.slots.iter().map(|slot| self.slot(slot)).collect(),
            ending: row.ending,
            leaving: if row.ending == 0 { Vec::new() } else { self.leaving(row) },
            waiting_for_down: row.waiting_for.iter().map(|node| self.called(*node)).collect(),
            update: row.service.update.as_ref().map(update).unwrap_or_default(),
            converged: row.converged,
        }
    }

    /// Tasks of a service that are to end, on nodes that answer.
    fn leaving(&self, service: &ProgressRow) -> Vec<Leaving> {
        let filter = TaskFilter { service: Some(service.service.id), node: None, history: false };
        let (revisions, nodes) = (self.core.revisions(service.service.id), self.core.nodes(self.now));
        let rows =
            self.core.tasks(&filter).into_iter().filter(|row| !row.wanted && row.life != TaskLife::Lost);
        let leaving = rows.filter_map(|row| {
            let node = row.node?;
            let spec = revisions.iter().find(|revision| revision.id == row.revision);
            let template = &spec.map_or(&service.service.spec, |revision| &revision.spec).template;
            let facts = nodes.iter().find(|other| other.id == node)?.facts.as_ref();
            let ill = facts
                .into_iter()
                .flat_map(|facts| &facts.runtimes)
                .find(|runtime| runtime.runtime == template.runtime && !runtime.ill.is_empty());
            let stopping = row.status.as_ref().filter(|status| status.state == TaskState::Stopping);
            let grace = i64::try_from(template.stop_grace_ms).unwrap_or(i64::MAX);
            Some(Leaving {
                name: self.task_name(&row),
                node: self.called(node),
                state: state(row.life),
                killed_at: stopping.map(|status| time(WallTime(status.since.0.saturating_add(grace)))),
                trouble: ill
                    .map(|ill| format!("{} is ill: {}", runtime_name(ill.runtime), ill.ill))
                    .unwrap_or_default(),
            })
        });
        leaving.collect()
    }

    fn slot(&self, row: &SlotRow) -> SlotProgress {
        SlotProgress {
            name: self.task_name(&row.task),
            node: row.task.node.map(|node| self.called(node)).unwrap_or_default(),
            state: state(row.task.life),
            message: trouble(&row.task).unwrap_or_default(),
            next_attempt_at: row.task.next.map(|(_, at)| time(at)),
            refusals: self.refusals(&row.refusals),
            settled: row.settled,
        }
    }

    pub(super) fn node_progress(&self, row: &NodeRow) -> NodeProgress {
        let drained = row.availability == Availability::Drained;
        NodeProgress {
            id: row.id.to_string(),
            name: self.called(row.id),
            status: node_status(row),
            availability: row.availability,
            tasks: row.tasks,
            converged: !drained || row.tasks == 0 || row.life == Life::Down,
        }
    }
}
