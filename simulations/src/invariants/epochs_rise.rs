//! No two leases share an epoch, and epochs rise along real time.
//!
//! An epoch that was given up, or ran out, is never held again; so ballots are unique across restarts too.

use std::collections::BTreeMap;

use sleep_wire::Epoch;

use super::{Law, Verdict};
use crate::world::World;

/// Every epoch that was held, and by which host in which of its lives.
#[derive(Default)]
pub struct EpochsRise {
    greatest: Option<Epoch>,
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
        if self.greatest.is_some_and(|greatest| epoch <= greatest) {
            return Err(format!("{epoch:?} is held after {:?}", self.greatest));
        }
        self.greatest = Some(epoch);
        Ok(())
    }
}
