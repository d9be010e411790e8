//! Equal sets of records give equal state, whatever the order.
//!
//! Once a second: nodes whose records are the same bytes have one digest, and nodes of one digest the same
//! records.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Law, Verdict};
use crate::world::World;

/// Nothing to remember.
#[derive(Default)]
pub struct Semilattice;

impl Law for Semilattice {
    fn name(&self) -> &'static str {
        "merge_is_a_semilattice"
    }

    fn look(&mut self, world: &World) -> Verdict {
        let mut sums: BTreeMap<[u8; 32], (usize, [u8; 32])> = BTreeMap::new();
        let mut digests: BTreeMap<[u8; 32], (usize, [u8; 32])> = BTreeMap::new();
        for (number, host) in world.hosts.iter().enumerate() {
            let Some((node, digest)) = host.node.as_ref().and_then(|node| Some((node, node.digest()?)))
            else {
                continue;
            };
            let mut records: Vec<&[u8]> = node.records().collect();
            records.sort_unstable();
            let mut hash = Sha256::new();
            for record in records {
                hash.update((record.len() as u64).to_le_bytes());
                hash.update(record);
            }
            let sum: [u8; 32] = hash.finalize().into();
            let by_sum = sums.entry(sum).or_insert((number, digest.0));
            let by_digest = digests.entry(digest.0).or_insert((number, sum));
            if by_sum.1 != digest.0 {
                return Err(format!("node{} and node{}: one set, two digests", by_sum.0 + 1, number + 1));
            }
            if by_digest.1 != sum {
                return Err(format!("node{} and node{}: one digest, two sets", by_digest.0 + 1, number + 1));
            }
        }
        Ok(())
    }
}
