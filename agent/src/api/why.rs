//! Why something is as it is, in words.

use std::collections::BTreeMap;

use sleep_core::view::{ProgressRow, ServiceRow, SlotRow, TaskLife, TaskRow, WhyRow};
use sleep_wire::api::*;
use sleep_wire::slot::{Assigned, Cause, Choice};
use sleep_wire::task::{TaskState, TaskStatus};
use sleep_wire::{Epoch, NodeId, ServiceId, SlotName, Stamp, WallTime};

use super::render::{
    Words, availability_word, node_status, runtime_name, state, status_word, time, update as update_words,
};
use crate::told::{Seen, Sighting};

/// What this agent saw of a node's life.
type Journal<'a> = &'a dyn Fn(NodeId) -> Vec<Sighting>;

/// How long before a decision something may have been seen that led to it.
const LED_TO_MS: i64 = 120_000;

/// The most lines of a node's story.
const MAX_STORY: usize = 20;

/// The most slots of a service that are told one by one.
const MAX_SLOTS: usize = 50;

impl Words<'_> {
    /// Why a node is as it is: its life as the node asked saw it, since its agent began.
    pub(super) fn why_node(&self, node: NodeId, journal: Journal<'_>) -> Why {
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
                "{} is {}, {}, and has {} task{}{}",
                row.name,
                status_word(node_status(&row)),
                availability_word(row.availability),
                row.tasks,
                if row.tasks == 1 { "" } else { "s" },
                ill.concat()
            )
        });
        let seen = journal(node);
        let recent = &seen[seen.len().saturating_sub(MAX_STORY)..];
        let line = |sighting: &Sighting| WhyLine { at: time(sighting.at), text: self.sighting(sighting) };
        Why {
            subject: self.name(node),
            summary,
            at: recent.last().map(|last| time(last.at)).unwrap_or_default(),
            story: recent.iter().map(line).collect(),
            slots: Vec::new(),
            refusals: Vec::new(),
            last_lines: Vec::new(),
        }
    }

    /// Why a task is where it is.
    pub(super) fn why_task(&self, service: ServiceId, slot: SlotName, journal: Journal<'_>) -> Option<Why> {
        let row = self.core.why(self.now, service, slot)?;
        let failed = last_failure(&row);
        Some(Why {
            subject: self.task_name(&row.task),
            summary: self.summary(&row),
            at: row.task.status.as_ref().map(|status| time(status.since)).unwrap_or_default(),
            story: self.story(&row, journal),
            slots: Vec::new(),
            refusals: self.refusals(&row.refusals),
            last_lines: failed.map(|failed| failed.last_lines.clone()).unwrap_or_default(),
        })
    }

    /// How a service stands as a whole: each slot, those first that are not as they should be, and what the
    /// nodes answer to those that are pending.
    pub(super) fn why_service(&self, service: ServiceId) -> Option<Why> {
        let progress = self.core.progress(self.now, service)?;
        let (well, odd): (Vec<&SlotRow>, Vec<&SlotRow>) =
            progress.slots.iter().partition(|slot| slot.settled);
        let mut last_lines = Vec::new();
        let mut slots = Vec::new();
        for slot in odd.iter().chain(&well).take(MAX_SLOTS) {
            // Only what is not as it should be has a past to ask about.
            let row = (!slot.settled && slot.task.node.is_some())
                .then(|| self.core.why(self.now, service, slot.slot))
                .flatten();
            if let Some(failed) = row.as_ref().and_then(last_failure).filter(|_| last_lines.is_empty()) {
                last_lines.clone_from(&failed.last_lines);
            }
            let summary = match (&row, slot.task.node) {
                (Some(row), _) => self.standing(row),
                (None, None) => self.pending(slot.refusals.len()),
                (None, Some(node)) => format!("{} on {}", state(slot.task.life), self.name(node)),
            };
            slots.push(WhySlot { name: self.task_name(&slot.task), summary, settled: slot.settled });
        }
        let refusals = odd.iter().flat_map(|slot| self.refusals(&slot.refusals));
        let mut unlike: Vec<Refusal> = Vec::new();
        for refusal in refusals {
            if !unlike.contains(&refusal) {
                unlike.push(refusal);
            }
        }
        Some(Why {
            subject: progress.service.name.clone(),
            summary: self.service_summary(&progress),
            at: String::new(),
            story: Vec::new(),
            slots,
            refusals: unlike,
            last_lines,
        })
    }

    /// `web: 2 of 3 tasks are as they should be; 1 is pending`.
    fn service_summary(&self, progress: &ProgressRow) -> String {
        let ServiceRow { name, desired, removed, update, .. } = &progress.service;
        let tasks = |count: u32| if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
        let ending = match progress.ending {
            0 => String::new(),
            count => format!("; {} to end", tasks(count)),
        };
        if *removed {
            return format!("{name} is removed{ending}");
        }
        let mut odd: BTreeMap<String, u32> = BTreeMap::new();
        for slot in progress.slots.iter().filter(|slot| !slot.settled) {
            *odd.entry(state(slot.task.life)).or_default() += 1;
        }
        let well = progress.slots.iter().filter(|slot| slot.settled).count();
        let odd: Vec<String> = odd.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
        let missing = if odd.is_empty() { String::new() } else { format!("; {}", odd.join(", ")) };
        let update = update.as_ref().map(|row| format!("; {}", update_words(row))).unwrap_or_default();
        format!("{name}: {well} of {} as they should be{missing}{ending}{update}", tasks(*desired))
    }

    fn summary(&self, row: &WhyRow) -> String {
        let name = self.task_name(&row.task);
        match (row.assigned.as_ref().and_then(|assigned| before(&assigned.cause)), row.task.node) {
            (Some(from), Some(here))
                if from != here && row.task.life != TaskLife::Lost && last_failure(row).is_none() =>
            {
                let (from, here) = (self.name(from), self.name(here));
                format!("{name} moved {from} → {here} and is {}", state(row.task.life))
            }
            _ => format!("{name} is {}", self.standing(row)),
        }
    }

    /// Why a task has no node, if so many refuse it.
    fn pending(&self, refusals: usize) -> String {
        let nobody = refusals >= self.core.nodes(self.now).len();
        let why =
            if nobody { "it starts once a node can take it" } else { "the leader has not placed it yet" };
        format!("pending: {why}")
    }

    /// How a task stands, in words that follow "is".
    fn standing(&self, row: &WhyRow) -> String {
        let Some(node) = row.task.node else {
            return self.pending(row.refusals.len());
        };
        let here = self.name(node);
        if row.task.life == TaskLife::Lost {
            return format!("lost: {here} is down");
        }
        let now = state(row.task.life);
        let Some(failed) = last_failure(row) else { return format!("{now} on {here}") };
        let attempts = row.history.iter().filter(|before| failure(before).is_some()).count()
            + usize::from(failure(&row.task).is_some());
        let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
        // What has neither begun nor ended was never a process.
        let never = failed.started_at.is_none() && failed.exit.is_none();
        let failed_so = if never { "could not be started" } else { "failed" };
        format!("{now} on {here}; it {failed_so} {times}{}", because(failed))
    }

    fn story(&self, row: &WhyRow, journal: Journal<'_>) -> Vec<WhyLine> {
        let mut story: Vec<(WallTime, String)> = Vec::new();
        for before in row.history.iter().rev() {
            let node = before.node.map(|node| self.name(node)).unwrap_or_default();
            if let Some(status) = &before.status {
                story.push((status.since, format!("{} on {node}{}", state(before.life), because(status))));
            }
        }
        let mut down = None;
        if let Some(assigned) = &row.assigned {
            if let Cause::NodeDown(node) = assigned.cause {
                let mut seen = journal(node);
                seen.retain(|sighting| sighting.at <= assigned.at);
                down = outage(&seen).map(|since| (node, since));
                seen.retain(|sighting| sighting.at.0 >= assigned.at.0 - LED_TO_MS);
                story.extend(seen.iter().map(|sighting| (sighting.at, self.sighting(sighting))));
            }
            story.push((assigned.at, self.decision(row, assigned)));
        }
        if let Some(status) = &row.task.status {
            let node = row.task.node.map(|node| self.name(node)).unwrap_or_default();
            let mut text = format!("{} on {node}{}", state(row.task.life), because(status));
            if row.task.life == TaskLife::Told(TaskState::Running)
                && let Some(started) = status.started_at
                && let Some(away) =
                    gone_since(&row.history, down, started).and_then(|gone| seconds(gone, started))
            {
                text += &format!("; unavailable for {away}");
            }
            story.push((status.since, text));
        }
        story.sort_by_key(|(at, _)| *at);
        story.into_iter().map(|(at, text)| WhyLine { at: time(at), text }).collect()
    }

    /// Why a task would go where it is planned to go.
    pub(super) fn choice(&self, service_name: &str, cause: &Cause, choice: &Choice) -> String {
        match Self::rule(service_name, choice) {
            Some(rule) => format!("{}: {rule}", self.cause(cause)),
            None => self.cause(cause),
        }
    }

    /// `fewest tasks of web; 2 of 3 nodes could take it`, if the planner said what decided.
    fn rule(service_name: &str, choice: &Choice) -> Option<String> {
        let Choice { fitting, refused, decided_by } = choice;
        let rule = match decided_by.as_str() {
            "" => return None,
            "only" => return Some("no other node could take it".to_owned()),
            "stays" => return Some("it stays where it was".to_owned()),
            "each" => return Some("each node has one".to_owned()),
            "fewest" => format!("fewest tasks of {service_name}"),
            "image" => "has the image".to_owned(),
            "load" => "least loaded".to_owned(),
            "hash" => "as good as others".to_owned(),
            // A newer agent's planner may know more rules.
            other => other.to_owned(),
        };
        Some(format!("{rule}; {fitting} of {} nodes could take it", fitting + refused))
    }

    /// `pi-1 is down: leader pi-2 (term 7) chose nuc: fewest tasks of web; 2 of 3 nodes could take it`.
    fn decision(&self, row: &WhyRow, assigned: &Assigned) -> String {
        let leader = match assigned.assignment {
            Stamp::Lease { epoch, .. } => {
                format!("leader {} ({})", self.name(epoch.candidate), tenure(epoch))
            }
            Stamp::Time { .. } | Stamp::Boot { .. } => "the leader".to_owned(),
        };
        let text = format!("{}: {leader} chose {}", self.cause(&assigned.cause), self.name(assigned.node));
        match Self::rule(&row.task.service_name, &assigned.choice) {
            Some(rule) => format!("{text}: {rule}"),
            None => text,
        }
    }

    fn sighting(&self, sighting: &Sighting) -> String {
        let name = self.name(sighting.node);
        match sighting.what {
            Seen::Up => format!("{name} answers"),
            Seen::Suspect(by) => format!("{name} suspected by {}", self.name(by)),
            Seen::Down(0, 0) => format!("{name} believed dead"),
            Seen::Down(failed, asked) => format!("{name} down, confirmed by {failed} of {asked}"),
            Seen::Doubted(hold) => format!(
                "{name} answers again; as it came and went before, it counts as down until it stays for {} s",
                hold / 1000
            ),
            Seen::Unspoken(protocol) => {
                format!("{name} wrote in protocol {protocol}, which this agent does not speak")
            }
            Seen::Recovered(generation) => {
                format!("the cluster was recovered: generation {generation} was founded, led by {name}")
            }
            Seen::Gone => format!("{name} is no longer a member"),
        }
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

/// A tenure in words: the generation only where the cluster was ever recovered.
fn tenure(epoch: Epoch) -> String {
    match epoch.generation {
        0 => format!("term {}", epoch.term),
        generation => format!("generation {generation}, term {}", epoch.term),
    }
}

/// Where a task was before its node was chosen.
const fn before(cause: &Cause) -> Option<NodeId> {
    match cause {
        Cause::NodeDown(node)
        | Cause::Drained(node)
        | Cause::Rebalanced(node)
        | Cause::Failed(node)
        | Cause::NodeRemoved(node)
        | Cause::Unfit(node) => Some(*node),
        Cause::Wanted | Cause::Updated | Cause::Adopted | Cause::Commanded => None,
    }
}

/// When a node's last outage began, of those that were seen.
fn outage(seen: &[Sighting]) -> Option<WallTime> {
    let answered = seen.iter().rposition(|sighting| sighting.what == Seen::Up);
    seen.get(answered.map_or(0, |at| at + 1)..)?.first().map(|first| first.at)
}

/// Since when nothing of a slot served, up to the start of its task; `None` if something did until then, or
/// nobody knows. What never ran served nobody, however it ended.
fn gone_since(history: &[TaskRow], down: Option<(NodeId, WallTime)>, started: WallTime) -> Option<WallTime> {
    // What a node that is down had is not over as long as the node says nothing: it has no row here.
    let mut last = down.map(|(_, since)| since);
    for before in history {
        let Some(status) = &before.status else { continue };
        let Some(began) = status.started_at.filter(|began| *began < started) else { continue };
        // To the cluster, what runs on a node that is down ended with it, even if it came back later.
        let lost = down.filter(|(node, since)| before.node == Some(*node) && began < *since);
        let over = Some(status.since).filter(|_| status.state.is_over());
        let ended = match (over, lost.map(|(_, since)| since)) {
            (Some(over), Some(lost)) => over.min(lost),
            (over, lost) => over.or(lost)?,
        };
        last = last.max(Some(ended));
    }
    last.filter(|last| *last < started)
}

fn failure(row: &TaskRow) -> Option<&TaskStatus> {
    row.status.as_ref().filter(|status| status.state == TaskState::Failed)
}

/// How the slot's task failed last, unless an attempt runs since.
fn last_failure(row: &WhyRow) -> Option<&TaskStatus> {
    match row.task.life {
        TaskLife::Told(TaskState::Running | TaskState::Complete | TaskState::Stopped) => None,
        TaskLife::Told(_) | TaskLife::Pending | TaskLife::Lost => failure(&row.task)
            .or_else(|| row.history.iter().filter_map(failure).max_by_key(|failed| failed.since)),
    }
}

/// A length of time between two wall clocks' readings, if it is one.
fn seconds(from: WallTime, to: WallTime) -> Option<String> {
    let ms = to.0.checked_sub(from.0).filter(|ms| *ms > 0)?;
    Some(format!("{}.{} s", ms / 1000, ms % 1000 / 100))
}

/// How a task ended, in words that follow its state.
fn because(status: &TaskStatus) -> String {
    let exit = match status.exit {
        Some(exit) if exit.out_of_memory => format!(", exit code {}, out of memory", exit.code),
        Some(exit) if exit.code > 128 => format!(", exit code {} (signal {})", exit.code, exit.code - 128),
        Some(exit) => format!(", exit code {}", exit.code),
        None => String::new(),
    };
    // A message that only tells the code says nothing new.
    let told = status.exit.is_some() && status.message.starts_with("exited with code");
    let message =
        if status.message.is_empty() || told { String::new() } else { format!(": {}", status.message) };
    exit + &message
}

#[cfg(test)]
mod tests {
    use sleep_wire::RevisionId;
    use sleep_wire::stamp::Epoch;
    use sleep_wire::task::{Exit, TaskId};

    use super::*;

    const HERE: NodeId = NodeId([1; 16]);
    const THERE: NodeId = NodeId([2; 16]);

    /// A task that is over, or still said to run.
    fn task(node: NodeId, began: Option<i64>, over: Option<i64>) -> TaskRow {
        let service = ServiceId([3; 16]);
        let (slot, revision) = (SlotName::Number(1), RevisionId([4; 16]));
        let state = if over.is_some() { TaskState::Stopped } else { TaskState::Running };
        let id = TaskId { assignment: Stamp::Lease { epoch: Epoch::ZERO, counter: 1 }, attempt: 1 };
        let since = WallTime(over.or(began).unwrap_or(0));
        let status = TaskStatus {
            started_at: began.map(WallTime),
            exit: over.map(|_| Exit { code: 0, out_of_memory: false }),
            ..TaskStatus::new(id, revision, state, since)
        };
        TaskRow {
            service,
            service_name: "web".to_owned(),
            slot,
            task: Some(id),
            node: Some(node),
            revision,
            image: String::new(),
            wanted: false,
            life: TaskLife::Told(state),
            status: Some(status),
            next: None,
            history: true,
            ports: Vec::new(),
        }
    }

    #[test]
    fn a_slot_is_unavailable_from_its_last_task_that_served() {
        let started = WallTime(10_000);
        let gap = |history: &[TaskRow], down: Option<i64>| {
            let down = down.map(|since| (THERE, WallTime(since)));
            gone_since(history, down, started).map(|since| since.0)
        };
        assert_eq!(gap(&[], None), None);
        let first = task(HERE, Some(1_000), Some(4_000));
        assert_eq!(gap(&[task(HERE, Some(5_000), Some(9_000)), first.clone()], None), Some(9_000));
        let never_ran = task(HERE, None, Some(9_500));
        assert_eq!(gap(&[never_ran, first.clone()], None), Some(4_000), "it served nobody");
        // A node that is down: its task went with it, whether it says nothing or was retired when it came
        // back.
        assert_eq!(gap(std::slice::from_ref(&first), Some(7_000)), Some(7_000));
        let back = task(THERE, Some(2_000), Some(60_000));
        assert_eq!(gap(&[back.clone(), first.clone()], Some(7_000)), Some(7_000));
        // A duplicate that ran on served all the while; so may one that nobody knows the end of.
        assert_eq!(gap(&[back, first.clone()], None), None);
        assert_eq!(gap(&[task(HERE, Some(5_000), None), first.clone()], None), None);
        assert_eq!(gap(&[task(HERE, Some(5_000), Some(60_000)), first.clone()], Some(7_000)), None);
        // What began later says nothing of the time before.
        assert_eq!(gap(&[task(HERE, Some(11_000), Some(60_000)), first], None), Some(4_000));
    }

    #[test]
    fn an_outage_begins_after_the_last_answer() {
        let sightings = |seen: &[(i64, Seen)]| -> Vec<Sighting> {
            seen.iter().map(|(at, what)| Sighting { at: WallTime(*at), node: THERE, what: *what }).collect()
        };
        let outage = |seen: &[(i64, Seen)]| outage(&sightings(seen)).map(|at| at.0);
        assert_eq!(outage(&[]), None);
        let doubted = [(1_000, Seen::Suspect(HERE)), (2_000, Seen::Up)];
        assert_eq!(outage(&doubted), None, "that was a false alarm");
        let down = [(110_000, Seen::Suspect(HERE)), (112_000, Seen::Down(3, 4))];
        assert_eq!(outage(&[doubted, down].concat()), Some(110_000));
        assert_eq!(outage(&down), Some(110_000));
    }

    #[test]
    fn who_was_not_asked_is_not_said_to_have_refused() {
        let rule = |decided_by: &str| {
            let choice = Choice { fitting: 1, refused: 2, decided_by: decided_by.to_owned() };
            Words::rule("web", &choice).unwrap_or_default()
        };
        assert_eq!(rule("only"), "no other node could take it");
        assert_eq!(rule("stays"), "it stays where it was");
        assert_eq!(rule("each"), "each node has one");
        assert_eq!(rule("of a later release"), "of a later release; 1 of 3 nodes could take it");
    }

    #[test]
    fn a_time_without_a_task_is_told_only_forwards() {
        assert_eq!(seconds(WallTime(1_000), WallTime(9_150)).as_deref(), Some("8.1 s"));
        assert_eq!(seconds(WallTime(9_150), WallTime(1_000)), None);
        assert_eq!(seconds(WallTime(i64::MIN), WallTime(i64::MAX)), None);
    }
}
