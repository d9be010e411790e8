//! Restart, upgrade or loss of any agent stops no container.
//!
//! From the moment when an agent dies until it acts again, a container of its host ends only by itself, by
//! hand, with its engine or host, or because a stop had been asked for before.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::task::TaskId;

use super::{Law, Verdict};
use crate::engine::Ended;
use crate::world::{Observation, Seen, World};

/// What had ended when each agent died.
#[derive(Default)]
pub struct Harmless {
    /// How often each task had ended because it was told to.
    dead: BTreeMap<usize, BTreeMap<TaskId, usize>>,
    /// What each host's agents have ever asked to be stopped: an engine that hangs does it later.
    asked: BTreeSet<(usize, TaskId)>,
}

impl Law for Harmless {
    fn name(&self) -> &'static str {
        "control_plane_is_harmless"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        match &seen.what {
            Seen::Killed => {
                let tally = world.hosts[seen.host].engine.tally();
                let before = tally.iter().map(|(task, tally)| (*task, told(tally))).collect();
                self.dead.insert(seen.host, before);
                Ok(())
            }
            Seen::Started => {
                let verdict = self.judge(world, seen.host);
                self.dead.remove(&seen.host);
                verdict
            }
            Seen::Stop { task, .. } => {
                self.asked.insert((seen.host, *task));
                Ok(())
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Persist(_)
            | Seen::Synced
            | Seen::Launch(_)
            | Seen::Foretold { .. }
            | Seen::OtherDisk { .. } => Ok(()),
        }
    }

    fn look(&mut self, world: &World) -> Verdict {
        self.dead.keys().try_for_each(|host| self.judge(world, *host))
    }
}

impl Harmless {
    fn judge(&self, world: &World, host: usize) -> Verdict {
        let Some(before) = self.dead.get(&host) else { return Ok(()) };
        for (task, tally) in world.hosts[host].engine.tally() {
            let ended = told(tally) > before.get(task).copied().unwrap_or(0);
            if ended && !self.asked.contains(&(host, *task)) {
                return Err(format!("{task:?} was stopped while its agent was dead"));
            }
        }
        Ok(())
    }
}

fn told(tally: &crate::engine::Tally) -> usize {
    tally.ends.iter().filter(|(_, why)| *why == Ended::Told).count()
}
