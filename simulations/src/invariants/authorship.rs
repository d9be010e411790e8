//! Every record verifies under a key whose role at its stamp allows its key space.
//!
//! Each record that is handed to any disk is judged once. All keys of the world are known here, so the
//! signature is checked anew; the key space is restated: what is observed is signed by the node itself, a
//! slot by its epoch's candidate, and nothing else by a node that joined as a worker and was never promoted.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;
use sleep_wire::key::{MembershipKey, ObservedKey};
use sleep_wire::{ClusterId, Family, Key, NodeId, PublicKey, Record, Stamp, decode};

use super::{Law, Verdict};
use crate::crypto::Mint;
use crate::disk::Disk;
use crate::world::{Observation, Seen, World};

/// Records that were judged, and the keys of all hosts so far.
#[derive(Default)]
pub struct Authorship {
    judged: FxHashSet<u128>,
    keys: BTreeMap<NodeId, PublicKey>,
    workers: BTreeSet<NodeId>,
}

impl Law for Authorship {
    fn name(&self) -> &'static str {
        "authorship"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let Seen::Persist(writes) = &seen.what else { return Ok(()) };
        let Some(cluster) = world.hosts[seen.host].cluster else { return Ok(()) };
        for (key, record, known) in writes.records() {
            if !Disk::is_aside(key) && self.judged.insert(known.id) {
                self.judge(world, &cluster, key, record)?;
            }
        }
        Ok(())
    }
}

impl Authorship {
    fn judge(&mut self, world: &World, cluster: &ClusterId, at: &[u8], bytes: &[u8]) -> Verdict {
        let record: Record = decode(bytes).map_err(|_| "not a record is kept".to_owned())?;
        if record.key != at {
            return Err("a record is kept under another's key".to_owned());
        }
        let author = record.author;
        if !self.keys.contains_key(&author) {
            let mint = world.mint();
            self.keys.extend(world.hosts.iter().map(|host| (host.id, host.public_key(mint))));
            let workers = world.hosts.iter().filter(|host| host.plan.worker);
            self.workers.extend(workers.map(|host| host.id));
        }
        let Some(public) = self.keys.get(&author) else {
            return Err(format!("{author:?} is nobody's"));
        };
        if !verifies(world.mint(), public, &record, cluster) {
            return Err(format!("a record of {author:?} bears another's signature"));
        }
        let key = Key::from_bytes(&record.key).map_err(|_| "a malformed key is kept".to_owned())?;
        let observes = Family::of(&record.key) == Some(Family::Observed);
        let leaves = matches!(&key,
            Some(Key::Membership(MembershipKey::Removal { node, .. })) if *node == author);
        let is_worker = self.workers.contains(&author) && !world.given_roles.contains(&author);
        if !observes && !leaves && is_worker {
            return Err(format!("{author:?} is a worker, and wrote {key:?}"));
        }
        let allowed = match (&key, &record.stamp) {
            (Some(Key::Observed(key)), Stamp::Boot { .. }) => key.node() == author,
            (Some(Key::Slot(_)), Stamp::Lease { epoch, .. }) => epoch.candidate == author,
            (Some(Key::Island(key)), Stamp::Time { .. }) => key.author == author,
            (Some(Key::Membership(_) | Key::Desired(_)), Stamp::Time { .. }) => true,
            // A later release's.
            (None, _) if observes => ObservedKey::node_of_unread(&record.key) == Some(author),
            (None, _) => true,
            (Some(_), _) => false,
        };
        if allowed { Ok(()) } else { Err(format!("{author:?} wrote {key:?} at {:?}", record.stamp)) }
    }
}

fn verifies(mint: &Mint, public: &PublicKey, record: &Record, cluster: &ClusterId) -> bool {
    mint.verify(public, &record.signed_bytes(cluster), &record.signature)
}
