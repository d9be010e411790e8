//! No two leases share an epoch, and epochs rise along real time.
//!
//! An epoch that was given up, or ran out, is never held again; so ballots are unique across restarts too.
//! Where a person recovered a cluster, epochs rise in each line of configs: see [`crate::lines`].

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::Epoch;
use sleep_wire::lease::ConfigId;

use super::{Law, Verdict};
use crate::world::World;

/// Every epoch that was held, and by which host in which of its lives.
#[derive(Default)]
pub struct EpochsRise {
    all: BTreeSet<Epoch>,
    /// The last of each line.
    greatest: BTreeMap<Option<ConfigId>, Epoch>,
    /// What each host held when last something happened there.
    held: BTreeMap<usize, (u64, Epoch)>,
}

impl Law for EpochsRise {
    fn name(&self) -> &'static str {
        "epochs_rise"
    }

    fn after(&mut self, world: &World, host: usize) -> Verdict {
        let known = &world.hosts[host];
        let holding = known.node.as_ref().and_then(|node| node.holding(known.now(world.now)));
        let Some(epoch) = holding else {
            self.held.remove(&host);
            return Ok(());
        };
        let before = self.held.insert(host, (known.life, epoch));
        if before == Some((known.life, epoch)) {
            return Ok(());
        }
        let last = self.greatest.insert(world.lines.of(known.id), epoch);
        if last.is_some_and(|last| epoch <= last) || !self.all.insert(epoch) {
            return Err(format!("{epoch:?} is held after {last:?}"));
        }
        Ok(())
    }
}
