//! Facts for tests, made short.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::node::Availability;
use sleep_wire::spec::{Mode, Placement, Revision, Runtime, TaskTemplate};
use sleep_wire::trust::Role;
use sleep_wire::{Epoch, NodeId, RevisionId, ServiceId, Stamp, WallTime};

use super::facts::{Liveness, NodeFact, ServiceFact};
use crate::time::Instant;

/// A moment, in seconds since the planner's boot.
pub(crate) fn at(seconds: u64) -> Instant {
    Instant(seconds * 1_000_000)
}

pub(crate) fn node_id(number: u32) -> NodeId {
    NodeId(id(1, number))
}

pub(crate) fn service_id(number: u32) -> ServiceId {
    ServiceId(id(2, number))
}

pub(crate) fn revision_id(number: u32) -> RevisionId {
    RevisionId(id(3, number))
}

fn id(kind: u8, number: u32) -> [u8; 16] {
    let mut id = [kind; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

pub(crate) fn stamp(counter: u64) -> Stamp {
    Stamp::Lease { epoch: Epoch { generation: 0, term: 1, candidate: node_id(1) }, counter }
}

/// A node that has been up for long.
pub(crate) fn node(number: u32) -> NodeFact {
    NodeFact {
        id: node_id(number),
        name: format!("node-{number}"),
        availability: Availability::Active,
        liveness: Liveness::Up { since: at(0) },
        activated: None,
        role: Role::Control,
        labels: BTreeMap::new(),
        cpu_milli: 4_000,
        memory: 8 << 30,
        architecture: "x86_64".to_string(),
        os: "linux".to_string(),
        runtimes: BTreeMap::from([(Runtime::Docker, "".to_string())]),
        images: BTreeSet::new(),
    }
}

pub(crate) fn revision() -> Revision {
    Revision {
        parents: Vec::new(),
        template: TaskTemplate { image: "app".to_string(), ..TaskTemplate::default() },
        placement: Placement::default(),
        update: sleep_wire::spec::UpdatePolicy::default(),
        partition: sleep_wire::spec::PartitionPolicy::default(),
        labels: Vec::new(),
        at: WallTime(0),
    }
}

/// A replicated service without slots.
pub(crate) fn service(number: u32, replicas: u32, revision: Revision) -> ServiceFact {
    ServiceFact {
        id: service_id(number),
        mode: Mode::Replicated,
        replicas,
        removed: false,
        singleton: false,
        revision: revision_id(1),
        revisions: BTreeMap::from([(revision_id(1), Arc::new(revision))]),
        slots: BTreeMap::new(),
    }
}
