//! A node runs one attempt of an assignment at a time.
//!
//! Judged when the next attempt is asked for, and once a second, by what its engine runs. A start that was
//! not answered in time may have been carried out: whoever takes it for failed and starts the next attempt
//! has two, or stops one that is well.

use std::collections::BTreeMap;

use sleep_wire::Stamp;
use sleep_wire::key::SlotKey;

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// Nothing to remember.
#[derive(Default)]
pub struct OneAttempt;

impl Law for OneAttempt {
    fn name(&self) -> &'static str {
        "one_attempt"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let Seen::Launch(next) = &seen.what else { return Ok(()) };
        let mut labels = world.hosts[seen.host].engine.running().filter_map(|container| container.label());
        let before = labels.find(|label| {
            let task = label.task;
            (label.slot, task.assignment) == (next.slot, next.task.assignment)
                && task.attempt < next.task.attempt
        });
        match before {
            Some(label) => Err(format!("{:?} is started while {:?} runs", next.task, label.task)),
            None => Ok(()),
        }
    }

    fn look(&mut self, world: &World) -> Verdict {
        for host in &world.hosts {
            let mut running: BTreeMap<(SlotKey, Stamp), u32> = BTreeMap::new();
            let labels = host.engine.running().filter_map(|container| container.label());
            for label in labels.filter(|label| label.node == host.id) {
                let attempt = label.task.attempt;
                if let Some(other) = running.insert((label.slot, label.task.assignment), attempt) {
                    let (name, task) = (host.name(), label.task);
                    return Err(format!("{name} runs attempts {other} and {attempt} of {task:?} at once"));
                }
            }
        }
        Ok(())
    }
}
