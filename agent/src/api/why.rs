//! Why something is as it is, in words.

use sleep_core::view::{TaskLife, WhyRow};
use sleep_wire::api::*;
use sleep_wire::slot::Cause;
use sleep_wire::task::TaskStatus;
use sleep_wire::{NodeId, ServiceId, SlotName, WallTime};

use super::render::{Words, availability_word, node_status, runtime_name, state, status_word, time};

impl Words<'_> {
    /// Why a node is as it is: its life as the node asked saw it.
    pub(super) fn why_node(&self, node: NodeId) -> Why {
        let row = self.core.nodes(self.now).into_iter().find(|row| row.id == node);
        let summary = row.map_or_else(String::new, |row| {
            let ill: Vec<String> = row
                .facts
                .iter()
                .flat_map(|facts| &facts.runtimes)
                .filter(|runtime| !runtime.ill.is_empty())
                .map(|ill| format!("; {} is ill: {}", runtime_name(ill.runtime), ill.ill))
                .collect();
            format!(
                "{} is {}, {}, and has {} tasks{}",
                row.name,
                status_word(node_status(&row)),
                availability_word(row.availability),
                row.tasks,
                ill.concat()
            )
        });
        Why { subject: self.name(node), summary, story: Vec::new(), refusals: Vec::new() }
    }

    /// Why a task is where it is; of a service, the first slot that is not as it should be, else its first.
    pub(super) fn why(&self, service: ServiceId, slot: Option<SlotName>) -> Option<Why> {
        let slot = if let Some(slot) = slot {
            slot
        } else {
            let progress = self.core.progress(self.now, service)?;
            let odd = progress.slots.iter().find(|slot| !slot.settled);
            odd.or(progress.slots.first())?.slot
        };
        let row = self.core.why(self.now, service, slot)?;
        Some(Why {
            subject: self.task_name(&row.task),
            summary: self.summary(&row),
            story: self.story(&row),
            refusals: self.refusals(&row.refusals),
        })
    }

    fn summary(&self, row: &WhyRow) -> String {
        let name = self.task_name(&row.task);
        match (row.task.node, row.task.life) {
            (None, _) => format!("{name} is pending: no node can take it"),
            (Some(node), TaskLife::Lost) => format!("{name} is lost: {} is down", self.name(node)),
            (Some(node), life) => format!("{name} is {} on {}", state(life), self.name(node)),
        }
    }

    fn story(&self, row: &WhyRow) -> Vec<WhyLine> {
        let mut story: Vec<(WallTime, String)> = Vec::new();
        let name = self.task_name(&row.task);
        for before in row.history.iter().rev() {
            let node = before.node.map(|node| self.name(node)).unwrap_or_default();
            if let Some(status) = &before.status {
                story.push((status.since, format!("{} on {node}{}", state(before.life), because(status))));
            }
        }
        if let Some((cause, choice, at)) = &row.cause {
            let node = row.task.node.map(|node| self.name(node)).unwrap_or_default();
            let mut text = format!("{}: {name} goes to {node}", self.cause(cause));
            if !choice.decided_by.is_empty() {
                text += &format!(
                    " ({}; {} of {} nodes could take it)",
                    choice.decided_by,
                    choice.fitting,
                    choice.fitting + choice.refused
                );
            }
            story.push((*at, text));
        }
        if let Some(status) = &row.task.status {
            story.push((status.since, format!("{}{}", state(row.task.life), because(status))));
        }
        story.sort_by_key(|(at, _)| *at);
        story.into_iter().map(|(at, text)| WhyLine { at: time(at), text }).collect()
    }

    fn cause(&self, cause: &Cause) -> String {
        match cause {
            Cause::Wanted => "it is wanted".to_owned(),
            Cause::NodeDown(node) => format!("{} is down", self.name(*node)),
            Cause::Drained(node) => format!("{} drains", self.name(*node)),
            Cause::Updated => "the service was updated".to_owned(),
            Cause::Rebalanced(node) => format!("work moves back from {}", self.name(*node)),
            Cause::Failed(node) => format!("it failed on {}", self.name(*node)),
            Cause::NodeRemoved(node) => format!("{} left the cluster", self.name(*node)),
            Cause::Unfit(node) => format!("{} no longer fits", self.name(*node)),
            Cause::Adopted => "it was found running".to_owned(),
            Cause::Commanded => "it was asked for".to_owned(),
        }
    }
}

fn because(status: &TaskStatus) -> String {
    let exit = status.exit.map(|exit| format!(", exit code {}", exit.code)).unwrap_or_default();
    let message = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    exit + &message
}
