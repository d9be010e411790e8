//! Tasks that fail while somebody waits for them to run.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::api::{ServiceProgress, SlotProgress, TaskView};

use super::wait::ServiceGoal;
use crate::client::{Client, path};
use crate::error::Error;
use crate::output::progress::{self, Live};

/// How many failures of one slot make a crash loop.
const CRASH_LOOP: usize = 3;

/// Which tasks failed, and what was said of it.
#[derive(Default)]
pub(super) struct Crashes {
    /// Services whose earlier failures are known.
    known: BTreeSet<String>,
    /// Ids of tasks that failed, told or not.
    failed: BTreeSet<String>,
    slots: BTreeMap<String, Slot>,
}

#[derive(Default)]
struct Slot {
    last: String,
    failures: usize,
    told: Vec<String>,
}

impl Crashes {
    /// Tells of new failures, with what the tasks wrote last.
    ///
    /// # Errors
    /// [`Error::Failed`] at a crash loop.
    pub(super) async fn look(
        &mut self,
        client: &Client,
        live: &Live<'_>,
        goal: &ServiceGoal,
        service: &ServiceProgress,
    ) -> Result<(), Error> {
        let is_first = self.known.insert(goal.id.clone());
        if is_first && !goal.is_new {
            self.failed.extend(failed_tasks(client, &goal.id).await?.into_iter().map(|task| task.id));
        }
        let mut may_have_failed = is_first && goal.is_new;
        for slot in &service.slots {
            let known = self.slots.entry(slot.name.clone()).or_default();
            let now = format!("{} {}", slot.state, slot.message);
            may_have_failed |= known.last != now && may_follow_a_failure(slot);
            known.last = now;
        }
        if !may_have_failed {
            return Ok(());
        }
        for task in failed_tasks(client, &goal.id).await? {
            if self.failed.insert(task.id.clone()) {
                self.tell(live, &task)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, live: &Live<'_>, task: &TaskView) -> Result<(), Error> {
        let slot = self.slots.entry(task.name.clone()).or_default();
        slot.failures += 1;
        let lines = progress::crash(task);
        if slot.failures >= CRASH_LOOP {
            let what = format!("{} failed {} times; the cluster goes on trying", task.name, slot.failures);
            return Err(Error::Failed { what, lines, hint: format!("sleepctl why {}", task.name) });
        }
        // The same once more needs no more than its first line.
        live.say(&if lines == slot.told { lines[0].clone() } else { lines.join("\n") });
        slot.told = lines;
        Ok(())
    }
}

/// A failed task is followed by another at once, which waits for its turn and says so.
fn may_follow_a_failure(slot: &SlotProgress) -> bool {
    match slot.state.as_str() {
        "failed" | "lost" => true,
        "pending" | "assigned" => !slot.message.is_empty(),
        _ => false,
    }
}

/// Tasks of a service that failed, oldest first.
async fn failed_tasks(client: &Client, service: &str) -> Result<Vec<TaskView>, Error> {
    let tasks: Vec<TaskView> =
        client.get(&format!("{}?history=true", path(&["services", service, "tasks"]))).await?;
    let mut failed: Vec<TaskView> = tasks.into_iter().filter(|task| task.state == "failed").collect();
    failed.sort_by(|a, b| a.since.cmp(&b.since));
    Ok(failed)
}
