//! Tasks that fail, or end and are started again, while somebody waits for them to run.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::api::{ServiceProgress, SlotProgress, TaskView};

use super::wait::ServiceGoal;
use crate::client::{Client, path};
use crate::error::Error;
use crate::output::progress::{self, Live};

/// How many ends of one slot's tasks make a loop.
const LOOP: usize = 3;

/// Which tasks ended, and what was said of it.
#[derive(Default)]
pub(super) struct Crashes {
    /// Services whose earlier ends are known.
    known: BTreeSet<String>,
    /// Ids of tasks that ended, told or not.
    ended: BTreeSet<String>,
    slots: BTreeMap<String, Slot>,
}

#[derive(Default)]
struct Slot {
    last: String,
    ends: usize,
    told: Vec<String>,
}

impl Crashes {
    /// Tells of new failures, with what the tasks wrote last.
    ///
    /// # Errors
    /// [`Error::Failed`] at a loop.
    pub(super) async fn look(
        &mut self,
        client: &Client,
        live: &Live<'_>,
        goal: &ServiceGoal,
        service: &ServiceProgress,
    ) -> Result<(), Error> {
        let is_first = self.known.insert(goal.id.clone());
        if is_first && !goal.is_new {
            self.ended.extend(ended_tasks(client, &goal.id).await?.into_iter().map(|task| task.id));
        }
        let mut may_have_ended = is_first && goal.is_new;
        for slot in &service.slots {
            let known = self.slots.entry(slot.name.clone()).or_default();
            let now = format!("{} {}", slot.state, slot.message);
            may_have_ended |= known.last != now && may_follow_an_end(slot);
            known.last = now;
        }
        if !may_have_ended {
            return Ok(());
        }
        for task in ended_tasks(client, &goal.id).await? {
            if self.ended.insert(task.id.clone()) {
                let now = service.slots.iter().find(|slot| slot.name == task.name);
                self.tell(live, &task, now)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, live: &Live<'_>, task: &TaskView, now: Option<&SlotProgress>) -> Result<(), Error> {
        let slot = self.slots.entry(task.name.clone()).or_default();
        slot.ends += 1;
        let (name, failed) = (&task.name, task.state == "failed");
        let lines = if failed { progress::crash(task) } else { Vec::new() };
        if slot.ends >= LOOP {
            let ended = if failed { "failed" } else { "ended by itself" };
            let what = format!("{name} {ended} {} times; {}", slot.ends, outlook(now, failed));
            return Err(Error::Failed { what, lines, hint: format!("sleepctl why {name}") });
        }
        // Whoever ends well may be done: it is a loop, or nothing to speak of.
        if !failed {
            return Ok(());
        }
        // The same once more needs no more than its first line.
        live.say(&if lines == slot.told { lines[0].clone() } else { lines.join("\n") });
        slot.told = lines;
        Ok(())
    }
}

/// What the cluster does next.
fn outlook(slot: Option<&SlotProgress>, failed: bool) -> String {
    match slot {
        // It says when, and which restart of how many that is.
        Some(slot) if slot.message.starts_with("attempt ") => slot.message.clone(),
        Some(slot) if matches!(&*slot.state, "failed" | "complete") => {
            "the restart policy tries no more".to_owned()
        }
        Some(_) | None if failed => "the cluster goes on trying".to_owned(),
        Some(_) | None => "the cluster starts it again each time".to_owned(),
    }
}

/// A task that ended is followed by another at once, which waits for its turn and says so.
fn may_follow_an_end(slot: &SlotProgress) -> bool {
    match slot.state.as_str() {
        "failed" | "complete" | "lost" => true,
        "pending" | "assigned" => !slot.message.is_empty(),
        _ => false,
    }
}

/// Tasks of a service that ended by themselves, oldest first.
async fn ended_tasks(client: &Client, service: &str) -> Result<Vec<TaskView>, Error> {
    let tasks: Vec<TaskView> =
        client.get(&format!("{}?history=true", path(&["services", service, "tasks"]))).await?;
    let by_itself = |task: &TaskView| matches!(&*task.state, "failed" | "complete");
    let mut ended: Vec<TaskView> = tasks.into_iter().filter(by_itself).collect();
    ended.sort_by(|a, b| a.since.cmp(&b.since));
    Ok(ended)
}
