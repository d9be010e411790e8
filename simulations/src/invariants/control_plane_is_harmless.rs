//! Restart, upgrade or loss of any agent stops no container.
//!
//! From the moment when an agent dies until it acts again, a container of its host ends only by itself, by
//! hand, with its engine or host, or because a stop had been asked for before.

use std::collections::BTreeMap;

use sleep_wire::task::TaskId;

use super::{Law, Verdict};
use crate::engine::Ended;
use crate::world::{Observation, Seen, World};

/// What ran when each agent died.
#[derive(Default)]
pub struct Harmless {
    dead: BTreeMap<usize, BTreeMap<TaskId, Before>>,
}

/// What was known of a task when its agent died.
struct Before {
    stops: u32,
    told: usize,
}

impl Law for Harmless {
    fn name(&self) -> &'static str {
        "control_plane_is_harmless"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        match &seen.what {
            Seen::Killed => {
                let tally = world.hosts[seen.host].engine.tally();
                let before = |(task, tally): (&TaskId, &crate::engine::Tally)| {
                    (*task, Before { stops: tally.stops, told: told(tally) })
                };
                self.dead.insert(seen.host, tally.iter().map(before).collect());
                Ok(())
            }
            Seen::Started => {
                let verdict = self.judge(world, seen.host);
                self.dead.remove(&seen.host);
                verdict
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Persist(_)
            | Seen::Synced
            | Seen::Launch(_)
            | Seen::Stop { .. } => Ok(()),
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
            let known = before.get(task);
            let ended = told(tally) > known.map_or(0, |known| known.told);
            if ended && known.is_none_or(|known| known.stops == 0) {
                return Err(format!("{task:?} was stopped while its agent was dead"));
            }
        }
        Ok(())
    }
}

fn told(tally: &crate::engine::Tally) -> usize {
    tally.ends.iter().filter(|(_, why)| *why == Ended::Told).count()
}
