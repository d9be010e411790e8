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

use crate::world::{Observation, Seen, World};

/// The lines of a world, by the configs that are or were on anybody's disk.
#[derive(Default)]
pub struct Lines {
    founded_by: BTreeMap<ConfigId, ConfigId>,
    /// The config that each node had last.
    last: BTreeMap<NodeId, ConfigId>,
}

impl Lines {
    /// Takes note of what an agent did. The founding config of a line that begins with it, if one does.
    pub fn see(&mut self, world: &World, seen: &Observation) -> Option<ConfigId> {
        match seen.what {
            // What was on its way when an agent ended is found by its next life.
            Seen::Synced | Seen::Started | Seen::OtherDisk => self.look_at(world, seen.host),
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Persist(_)
            | Seen::Launch(_)
            | Seen::Stop { .. }
            | Seen::Killed
            | Seen::Foretold { .. } => None,
        }
    }

    /// The line of the config on a host's disk.
    pub fn of(&self, world: &World, host: usize) -> Option<ConfigId> {
        let config = config_on(world, host)?;
        self.founded_by.get(&config.id).copied()
    }

    fn look_at(&mut self, world: &World, host: usize) -> Option<ConfigId> {
        let config = config_on(world, host)?;
        let node = world.hosts[host].id;
        let author = config.id.epoch.candidate;
        let mut begins = None;
        if !self.founded_by.contains_key(&config.id) {
            let before = self.last.get(&author).filter(|_| !founds(&config, self.last.get(&author)));
            let line = before.and_then(|before| self.founded_by.get(before)).copied();
            begins = line.is_none().then_some(config.id);
            self.founded_by.insert(config.id, line.unwrap_or(config.id));
        }
        self.last.insert(node, config.id);
        begins
    }
}

/// Whether a config is the first of a line: its author alone, in a generation that is news to it.
fn founds(config: &VoterConfig, before: Option<&ConfigId>) -> bool {
    let alone = config.voters.iter().all(|voter| voter.node == config.id.epoch.candidate);
    alone && before.is_none_or(|before| before.epoch.generation < config.id.epoch.generation)
}

fn config_on(world: &World, host: usize) -> Option<VoterConfig> {
    world.hosts[host].disk.cell::<LeaseCell>(Cell::Lease)?.config
}
