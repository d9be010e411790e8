//! A node runs one attempt of an assignment at a time.
//!
//! Judged once a second, by what its engine runs. A start that was not answered in time may have been carried
//! out: whoever takes it for failed and starts the next attempt has two.

use std::collections::BTreeMap;

use sleep_wire::Stamp;
use sleep_wire::key::SlotKey;

use super::{Law, Verdict};
use crate::world::World;

/// Nothing to remember.
#[derive(Default)]
pub struct OneAttempt;

impl Law for OneAttempt {
    fn name(&self) -> &'static str {
        "one_attempt"
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
