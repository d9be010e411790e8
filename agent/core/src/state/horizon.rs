//! How deleted things stay deleted, although the marks of deletion are thrown away after a week.
//!
//! Only the lease holder moves the horizon. A node that has not synced with the holder's side since is
//! *stale*: the marks of what was deleted meanwhile may be gone everywhere else. It then drops a record iff a
//! whole peer lacks it, it was stamped before the horizon, and not after the node's last full sync: the peer
//! had it once. All else merges.
//!
//! # Invariants
//! - `no_resurrection`: what was deleted is never shown again at a version that the deletion had seen.
//! - `equal_horizons_equal_sets`: what is thrown away is a function of the records that stand.
//!
//! The mark of a service's removal outlives what it removed by another week, so that a straggler's records of
//! that service are recognised as they come in.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::Horizons;
use sleep_wire::key::{DesiredKey, IslandKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::{Key, NodeId, ServiceId, SlotName};

use super::entry::{Entry, Fact, TOMBSTONES_MS};
use super::store::Store;
use super::trie::Sum;
use crate::Instant;

/// How far the horizon moves at least, in milliseconds of cluster time: a day.
pub const HORIZON_STEP_MS: u64 = 24 * 60 * 60 * 1000;

/// How long a node waits at least before it notes its last full sync on disk again.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// How far this node has synced.
#[derive(Debug)]
pub(crate) struct Progress {
    full_sync: ClusterTime,
    gc_before_ms: u64,
    noted: Option<(Sum, Instant)>,
    met: bool,
}

impl Progress {
    pub(crate) const fn new() -> Self {
        Self { full_sync: ClusterTime::ZERO, gc_before_ms: 0, noted: None, met: false }
    }

    pub(crate) const fn restore(&mut self, stored: Horizons) {
        self.full_sync = stored.last_full_sync;
    }

    /// Everything that some peer had is here.
    pub(crate) const fn meet(&mut self) {
        self.met = true;
    }

    pub(crate) const fn has_met(&self) -> bool {
        self.met
    }

    pub(crate) const fn full_sync(&self) -> ClusterTime {
        self.full_sync
    }

    pub(crate) const fn gc_before_ms(&self) -> u64 {
        self.gc_before_ms
    }

    /// The horizon's record was read, or changed.
    pub(crate) fn look(&mut self, store: &Store) {
        if let Some(Fact::Horizon(horizon)) =
            store.get(&Key::Desired(DesiredKey::Horizon)).map(|entry| entry.fact())
        {
            self.gc_before_ms = horizon.gc_before_ms;
        }
    }

    /// Whether the horizon has passed this node by. One that never synced has nothing old.
    pub(crate) const fn is_stale(&self) -> bool {
        self.full_sync.hlc != 0 && self.full_sync.ms() < self.gc_before_ms
    }

    /// Whether what this node lacks was deleted, or never reached the cluster.
    pub(crate) const fn is_whole(&self) -> bool {
        self.full_sync.hlc != 0 && !self.is_stale()
    }

    /// Whether a record of a stale node may have been deleted elsewhere: it does not leave the node. A slot
    /// has no time of its own, and is suspect with its service's birth.
    pub(crate) fn is_suspect(&self, store: &Store, entry: &Entry) -> bool {
        if !self.is_stale() || entry.is_foundation() {
            return false;
        }
        let is_old = |entry: &Entry| {
            entry.time().is_some_and(|time| time.ms() < self.gc_before_ms && time <= self.full_sync)
        };
        let service = match entry.key() {
            Some(Key::Slot(slot)) => slot.service,
            Some(Key::Membership(_) | Key::Desired(_) | Key::Island(_) | Key::Observed(_)) | None => {
                return is_old(entry);
            }
        };
        store.get(&Key::Desired(DesiredKey::ServiceBirth { service })).is_some_and(|birth| is_old(birth))
    }

    /// This node and the holder's side have the same records. Returns what to note on disk, if it is worth a
    /// write: an idle cluster makes none.
    pub(crate) fn synced(&mut self, now: Instant, time: ClusterTime, sum: Sum) -> Option<Horizons> {
        self.full_sync = self.full_sync.max(time);
        let due = self.noted.is_none_or(|(noted, at)| noted != sum && now.since(at) >= NOTE_EVERY);
        due.then(|| {
            self.noted = Some((sum, now));
            Horizons { last_full_sync: self.full_sync }
        })
    }
}

/// Whether a record is gone for good under this horizon: a function of it, the horizon, and the marks that
/// stand.
pub(crate) fn is_collectable(store: &Store, gc_before_ms: u64, entry: &Entry) -> bool {
    let is_old = |entry: &Entry| entry.time().is_some_and(|time| time.ms() < gc_before_ms);
    let is_gone = |service| removal(store, service).is_some_and(|removal| is_old(removal));
    let has_left = |node| node_removal(store, node).is_some_and(|removal| is_old(removal));
    let Some(key) = entry.key() else { return false };
    match key {
        Key::Membership(_) => false,
        Key::Desired(key) => match key {
            DesiredKey::ServiceBirth { service }
            | DesiredKey::ServiceRevision { service, .. }
            | DesiredKey::ServiceScale { service } => is_gone(*service),
            DesiredKey::ServiceRemoval { .. } => {
                entry.time().is_some_and(|time| time.ms().saturating_add(TOMBSTONES_MS) < gc_before_ms)
            }
            DesiredKey::NodeAvailability { node } => has_left(*node),
            DesiredKey::NodeLabel { node, .. } => {
                let is_blank = matches!(entry.fact(), Fact::Label(label) if label.value.is_none());
                has_left(*node) || (is_blank && is_old(entry))
            }
            DesiredKey::JoinToken { .. } => {
                let is_spent = matches!(entry.fact(), Fact::Token(token)
                    if token.revoked || token.expires_ms.is_some_and(|at| at < gc_before_ms));
                is_spent && is_old(entry)
            }
            DesiredKey::Secret { .. } | DesiredKey::Config { .. } | DesiredKey::Horizon => false,
        },
        Key::Slot(slot) => is_gone(slot.service),
        Key::Island(island) => {
            let is_blank = matches!(entry.fact(), Fact::Slot(slot)
                if slot.current.is_none() && slot.retire.is_empty());
            is_gone(island.slot.service) || (is_blank && is_old(entry))
        }
        Key::Observed(key) => match key {
            ObservedKey::Task { node, slot, .. } => is_gone(slot.service) || has_left(*node),
            ObservedKey::Facts { node } | ObservedKey::Images { node } => has_left(*node),
        },
    }
}

/// Whether this horizon would take anything away. Slots and tasks go with services and nodes, so only what
/// they hang on is looked at.
pub(crate) fn any_collectable(store: &Store, gc_before_ms: u64) -> bool {
    let first = Key::Desired(DesiredKey::ServiceBirth { service: ServiceId([0; 16]) });
    let desired = store.range(first..=Key::Desired(DesiredKey::Horizon));
    let slot = |id| SlotKey {
        service: ServiceId([id; 16]),
        slot: if id == 0 { SlotName::FIRST } else { SlotName::LAST },
    };
    let island = |id| Key::Island(IslandKey { slot: slot(id), author: NodeId([id; 16]) });
    let islands = store.range(island(0)..=island(255));
    let removal = |id| Key::Membership(MembershipKey::Removal { node: NodeId([id; 16]), entry: [id; 8] });
    let observed = store.range(removal(0)..=removal(255)).filter_map(|(key, _)| match key {
        Key::Membership(MembershipKey::Removal { node, .. }) => {
            let facts = Key::Observed(ObservedKey::Facts { node: *node });
            store.get(&facts).map(|entry| (key, entry))
        }
        _other => None,
    });
    desired.chain(islands).chain(observed).any(|(_, entry)| is_collectable(store, gc_before_ms, entry))
}

/// Whether other records may be collectable now that this one stands.
pub(crate) const fn is_mark(entry: &Entry) -> bool {
    matches!(
        entry.key(),
        Some(
            Key::Desired(DesiredKey::Horizon | DesiredKey::ServiceRemoval { .. })
                | Key::Membership(MembershipKey::Removal { .. })
        )
    )
}

/// The slots of a service: without a time of their own, they go with its birth.
pub(crate) fn slots_of(store: &Store, service: ServiceId) -> Vec<Arc<Entry>> {
    let of = |slot| Key::Slot(SlotKey { service, slot });
    let slots = store.range(of(SlotName::FIRST)..=of(SlotName::LAST));
    slots.map(|(_, entry)| Arc::clone(entry)).collect()
}

fn removal(store: &Store, service: ServiceId) -> Option<&Arc<Entry>> {
    store.get(&Key::Desired(DesiredKey::ServiceRemoval { service }))
}

pub(crate) fn node_removal(store: &Store, node: NodeId) -> Option<&Arc<Entry>> {
    let of = |entry| Key::Membership(MembershipKey::Removal { node, entry });
    store.range(of([0; 8])..=of([255; 8])).map(|(_, entry)| entry).min_by_key(|entry| entry.stamp())
}
