//! What only a later release can read is kept, and lies where that release looks for it.
//!
//! All hosts run one core, so that they would agree about losing it: its author is asked, as soon as it wrote
//! it. The part of the trie is named by the family alone; a release that put it elsewhere would never be
//! equal to one that reads it.

use sleep_wire::Family;
use sleep_wire::sync::TriePath;
use sleep_wire::trust::Role;

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// Asks authors of the next release for what they wrote.
#[derive(Default)]
pub struct KeepsTheUnread;

impl Law for KeepsTheUnread {
    fn name(&self) -> &'static str {
        "keeps_the_unread"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let host = &world.hosts[seen.host];
        let (Seen::Foretold { key, stamp }, Some(node)) = (&seen.what, &host.node) else { return Ok(()) };
        let family = Family::of(key);
        let is_member = node.lives().iter().any(|(member, _)| *member == host.id);
        let is_control = node.status(host.now(world.now)).role == Some(Role::Control);
        if !is_member || !(is_control || family == Some(Family::Observed)) {
            return Ok(());
        }
        let stands = node.entries().find(|entry| entry.key_bytes() == *key && entry.stamp() >= *stamp);
        let Some(entry) = stands else {
            return Err(format!("what it wrote under {key:?} is not there"));
        };
        let is_foundation = usize::from(entry.bucket()) < TriePath::FOUNDATION_BUCKETS;
        if is_foundation != (family == Some(Family::Membership)) {
            return Err(format!("what it wrote under {key:?} lies in bucket {}", entry.bucket()));
        }
        Ok(())
    }
}
