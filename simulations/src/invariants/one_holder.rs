//! At most one node believes that it holds the lease, while clock rates are within 1 ± ρ.
//!
//! Where a person recovered a cluster, that is so in each line of configs: one of the others may not have
//! heard yet that it was given up. See [`crate::lines`].
//!
//! Source: `agent/core/src/lease`, after PaxosLease (Trencseni, Gazso, Reinhardt 2012), with epochs that only
//! rise.

use std::collections::BTreeSet;

use super::{Law, Verdict};
use crate::world::World;

/// Remembers who held it when last something happened there: only they are asked again.
#[derive(Default)]
pub struct OneHolder {
    candidates: BTreeSet<usize>,
}

impl Law for OneHolder {
    fn name(&self) -> &'static str {
        "one_holder"
    }

    fn after(&mut self, world: &World, host: usize) -> Verdict {
        let holding = |number: usize| {
            let host = &world.hosts[number];
            host.node.as_ref().and_then(|node| node.holding(host.now(world.now)))
        };
        if holding(host).is_none() {
            self.candidates.remove(&host);
            return Ok(());
        }
        self.candidates.insert(host);
        let line = |number: usize| world.lines.of(world.hosts[number].id);
        let rivals = self.candidates.iter().filter(|number| line(**number) == line(host));
        let both: Vec<_> = rivals.filter_map(|number| Some((number + 1, holding(*number)?))).collect();
        if both.len() > 1 { Err(format!("these nodes hold the lease at once: {both:?}")) } else { Ok(()) }
    }
}
