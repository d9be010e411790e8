//! Equal sets of records give equal state, whatever the order.
//!
//! Once a second: nodes whose records are the same bytes have one digest, and nodes of one digest the
//! same records.

use std::collections::BTreeMap;

use sleep_wire::Digest;

use super::{Law, Verdict};
use crate::host::SimNode;
use crate::world::World;

/// Nothing to remember.
#[derive(Default)]
pub struct Semilattice;

impl Law for Semilattice {
    fn name(&self) -> &'static str {
        "merge_is_a_semilattice"
    }

    fn look(&mut self, world: &World) -> Verdict {
        let mut sets: BTreeMap<Digest, (usize, &SimNode)> = BTreeMap::new();
        for (number, host) in world.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let Some(digest) = node.digest() else { continue };
            let (other, first) = *sets.entry(digest).or_insert((number, node));
            if other != number && !first.has_records_of(node) {
                return Err(format!("node{} and node{}: one digest, two sets", other + 1, number + 1));
            }
        }
        let mut others = sets.values();
        while let Some(&(number, node)) = others.next() {
            if let Some((other, _)) = others.clone().find(|(_, other)| node.has_records_of(other)) {
                return Err(format!("node{} and node{}: one set, two digests", number + 1, other + 1));
            }
        }
        Ok(())
    }
}
