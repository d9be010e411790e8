//! Equal sets of records give equal state, whatever the order.
//!
//! Once a second: nodes whose records are the same bytes have one digest, and nodes of one digest the
//! same records.

use std::collections::BTreeMap;
use std::sync::Arc;

use sleep_core::state::Entry;
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
        let mut sets: BTreeMap<Digest, Set<'_>> = BTreeMap::new();
        for (number, host) in world.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let Some(digest) = node.digest() else { continue };
            let set = sets.entry(digest).or_insert_with(|| Set::of(number, node));
            if set.of != number && !set.is_of(node) {
                return Err(format!("node{} and node{}: one digest, two sets", set.of + 1, number + 1));
            }
        }
        let mut others = sets.values();
        while let Some(set) = others.next() {
            if let Some(other) = others.clone().find(|other| set.is_like(other)) {
                return Err(format!("node{} and node{}: one set, two digests", set.of + 1, other.of + 1));
            }
        }
        Ok(())
    }
}

/// The records of a node.
struct Set<'a> {
    of: usize,
    entries: Vec<&'a Arc<Entry>>,
}

impl<'a> Set<'a> {
    // There are thousands of records, each second: `for_each` and `all` run through them without a question
    // at each step whether one chain of them has ended.
    fn of(of: usize, node: &'a SimNode) -> Self {
        let mut entries = Vec::new();
        node.entries().for_each(|entry| entries.push(entry));
        Self { of, entries }
    }

    fn is_of(&self, node: &SimNode) -> bool {
        let mut ones = self.entries.iter();
        let all = node.entries().all(|other| ones.next().is_some_and(|one| are_equal(one, other)));
        all && ones.next().is_none()
    }

    fn is_like(&self, other: &Self) -> bool {
        let mut pairs = self.entries.iter().zip(&other.entries);
        self.entries.len() == other.entries.len() && pairs.all(|(one, other)| are_equal(one, other))
    }
}

fn are_equal(one: &Arc<Entry>, other: &Arc<Entry>) -> bool {
    Arc::ptr_eq(one, other) || one.bytes() == other.bytes()
}
