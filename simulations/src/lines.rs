//! Which configs follow from which: where a person recovered a cluster, another line begins.
//!
//! A line is what one founder's config has become: each config that a holder of that line wrote in the place
//! of its last one. Two lines may each have a holder, for one holds that the other's voters are gone; within
//! one line there are never two. Lines end where nodes take over a greater config of another.
//!
//! # Not here
//! What must hold in a line: the laws of the lease.

use std::collections::BTreeMap;

use sleep_wire::NodeId;
use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::lease::{ConfigId, VoterConfig};

use crate::host::Host;
use crate::world::Seen;

/// The lines of a world, by the configs that are or were on anybody's disk.
#[derive(Default)]
pub struct Lines {
    founded_by: BTreeMap<ConfigId, ConfigId>,
    /// The configs with which a line begins, in the order in which they were found.
    founding: Vec<ConfigId>,
    /// The config that each node had last.
    last: BTreeMap<NodeId, ConfigId>,
}

impl Lines {
    /// Takes note of what an agent did: its disk may hold another config.
    pub fn see(&mut self, host: &Host, what: &Seen) {
        // What was on its way when an agent ended is found by its next life.
        if matches!(what, Seen::Synced | Seen::Started | Seen::OtherDisk { .. })
            && let Some(config) = host.disk.cell::<LeaseCell>(Cell::Lease).and_then(|cell| cell.config)
        {
            self.take(host.id, &config);
        }
    }

    /// The line of the config that a node had last.
    pub fn of(&self, node: NodeId) -> Option<ConfigId> {
        self.founded_by.get(self.last.get(&node)?).copied()
    }

    /// The configs with which a line begins, in the order in which they were found.
    pub fn founding(&self) -> &[ConfigId] {
        &self.founding
    }

    fn take(&mut self, node: NodeId, config: &VoterConfig) {
        if !self.founded_by.contains_key(&config.id) {
            let author = config.id.epoch.candidate;
            let before = self.last.get(&author).filter(|before| !founds(config, before));
            let line = before.and_then(|before| self.founded_by.get(before)).copied();
            if line.is_none() {
                self.founding.push(config.id);
            }
            self.founded_by.insert(config.id, line.unwrap_or(config.id));
        }
        self.last.insert(node, config.id);
    }
}

/// Whether a config is the first of a line: its author alone, in a generation that is news to it.
fn founds(config: &VoterConfig, before: &ConfigId) -> bool {
    let alone = config.voters.iter().all(|voter| voter.node == config.id.epoch.candidate);
    alone && before.epoch.generation < config.id.epoch.generation
}
