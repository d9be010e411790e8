//! A holder was granted by a majority of distinct voters of one config; quorums of successive configs meet.
//!
//! Seen from outside: when a node comes to hold an epoch, voters who weigh more than half of the config on
//! its disk have promised that epoch, or a greater one, durably, at whatever time. A node that writes a
//! config in the place of its own last one leaves no two quorums of the two apart. A line of configs begins
//! with the cluster, and where a person told a node to begin one: see [`crate::lines`].

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::lease::{ConfigId, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// Epochs that were judged, and every config that was durable anywhere.
#[derive(Default)]
pub struct QuorumEvidence {
    judged: BTreeSet<Epoch>,
    configs: BTreeMap<ConfigId, VoterConfig>,
    /// The greatest epoch of each generation that each node ever promised durably.
    promised: BTreeMap<(u16, NodeId), Epoch>,
    /// How many lines were judged.
    founded: usize,
}

impl Law for QuorumEvidence {
    fn name(&self) -> &'static str {
        "quorum_evidence"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        for founding in world.lines.founding().iter().skip(self.founded) {
            self.founded += 1;
            let asked = world.told_to_recover.contains(&founding.epoch.candidate);
            if founding.epoch.generation > 0 && !asked {
                return Err(format!("{founding:?} was founded, and nobody asked for it"));
            }
        }
        match &seen.what {
            Seen::Synced => self.config_of(world, seen.host),
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Persist(_)
            | Seen::Launch(_)
            | Seen::Stop { .. }
            | Seen::Killed
            | Seen::Foretold { .. }
            | Seen::Started
            | Seen::OtherDisk { .. } => Ok(()),
        }
    }

    fn after(&mut self, world: &World, host: usize) -> Verdict {
        let known = &world.hosts[host];
        let holding = known.node.as_ref().and_then(|node| node.holding(known.now(world.now)));
        let Some(epoch) = holding.filter(|epoch| !self.judged.contains(epoch)) else { return Ok(()) };
        self.judged.insert(epoch);
        let Some(config) = known.disk.cell::<LeaseCell>(Cell::Lease).and_then(|cell| cell.config) else {
            return Err(format!("{epoch:?} is held without a durable config"));
        };
        // Whoever has gone over to a later generation is no evidence of what this one was promised.
        let of_it = self.promised.iter().filter(|((generation, _), _)| *generation == epoch.generation);
        let promised = of_it.filter(|(_, promised)| **promised >= epoch);
        let promised: Vec<NodeId> = promised.map(|((_, node), _)| *node).collect();
        if config.is_quorum(promised.iter().copied()) {
            return Ok(());
        }
        Err(format!("{epoch:?} is held, and only {promised:?} promised it, of {:?}", config.voters))
    }
}

impl QuorumEvidence {
    fn config_of(&mut self, world: &World, host: usize) -> Verdict {
        let Some(cell) = world.hosts[host].disk.cell::<LeaseCell>(Cell::Lease) else { return Ok(()) };
        let of = (cell.promise.generation, world.hosts[host].id);
        let promised = self.promised.entry(of).or_insert(Epoch::ZERO);
        *promised = cell.promise.max(*promised);
        let Some(config) = cell.config else { return Ok(()) };
        if let Some(known) = self.configs.get(&config.id) {
            let same = *known == config;
            return if same { Ok(()) } else { Err(format!("two configs are {:?}", config.id)) };
        }
        let before = self.configs.range(..config.id).next_back();
        if let Some((id, before)) = before
            && id.epoch == config.id.epoch
            && !quorums_meet(before, &config)
        {
            return Err(format!("quorums of {:?} and of {:?} may not meet", before.voters, config.voters));
        }
        self.configs.insert(config.id, config);
        Ok(())
    }
}

/// Whether every quorum of one shares a voter with every quorum of the other, by enumeration.
fn quorums_meet(one: &VoterConfig, other: &VoterConfig) -> bool {
    let nodes: Vec<NodeId> = one.voters.iter().chain(&other.voters).map(|voter| voter.node).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let chosen = |set: u32, inside: bool| {
        let bits = nodes.iter().enumerate();
        bits.filter(move |(bit, _)| (set >> bit & 1 == 1) == inside).map(|(_, node)| *node)
    };
    // Two quorums that do not meet: one within a set, the other within what is left.
    !(0..1_u32 << nodes.len()).any(|set| {
        one.is_quorum(chosen(set, true).collect::<Vec<_>>())
            && other.is_quorum(chosen(set, false).collect::<Vec<_>>())
    })
}
