//! A record, read once: its bytes as received, and everything that is a pure function of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use sleep_wire::key::{DesiredKey, MembershipKey, ObservedKey};
use sleep_wire::node::{Horizon, NodeFacts, NodeImages, NodeIntent, NodeLabel};
use sleep_wire::slot::Slot;
use sleep_wire::spec::{RevisionBody, Scale, ServiceBirth, ServiceRemoval};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::sync::{Prefix, TriePath};
use sleep_wire::task::TaskStatus;
use sleep_wire::trust::{Admission, JoinToken, OperatorAdmission, OperatorRemoval, Removal, RoleChange};
use sleep_wire::{Digest, Family, Key, NodeId, Record, Stamp, Wire, decode, encode};

use super::commands::{self, Used};
use crate::Crypto;
use crate::mutant::{Mutant, is_sown};

/// The longest record under a key of a later release that is kept, in bytes.
pub const FOREIGN_LIMIT: usize = 16 * 1024;

/// How long tombstones are kept, in milliseconds of cluster time: seven days.
pub const TOMBSTONES_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The body format that this release writes and reads, of every kind of record.
pub const BODY_VERSION: u16 = 1;

/// Where a record lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Under a key of this release.
    Known(Key),
    /// Under a key of a later release.
    Foreign(Unread),
}

/// A key of a later release: of a family that is unknown here, or of a variant in a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// The node whose report it is, if it is one's.
    pub of: Option<NodeId>,
    /// The key's hash.
    pub key: Digest,
}

/// What a record says, as far as this release can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A node was admitted.
    Admission(Admission),
    /// A node's role changed.
    Role(RoleChange),
    /// A node was removed.
    Removal(Removal),
    /// An operator was admitted.
    Operator(OperatorAdmission),
    /// An operator was removed.
    OperatorRemoval(OperatorRemoval),
    /// A service was created.
    Birth(Box<ServiceBirth>),
    /// A service was changed.
    Revision(Box<RevisionBody>),
    /// A service was scaled.
    Scale(Scale),
    /// A service was removed.
    Gone(Box<ServiceRemoval>),
    /// A node takes work, or does not.
    Intent(NodeIntent),
    /// A node's label.
    Label(NodeLabel),
    /// A join token.
    Token(JoinToken),
    /// How far back tombstones go.
    Horizon(Horizon),
    /// Which task fills a slot.
    Slot(Box<Slot>),
    /// What a node is.
    Facts(Box<NodeFacts>),
    /// A task.
    Task(Box<TaskStatus>),
    /// Images.
    Images(NodeImages),
    /// Something of a later release: a family, a key or a body that this one cannot read. Kept, hashed and
    /// handed on; left out of every view.
    Sealed,
}

/// A record, read.
#[derive(Debug)]
pub struct Entry {
    bytes: Box<[u8]>,
    hash: Digest,
    bucket: u16,
    place: Place,
    stamp: Stamp,
    author: NodeId,
    fact: Fact,
    used: Option<Used>,
}

impl Entry {
    /// Reads a record's bytes.
    ///
    /// # Errors
    /// What is wrong with them, in this room's vocabulary: the same on every node, whatever it knows.
    pub fn read(bytes: &[u8], crypto: &(impl Crypto + ?Sized)) -> Result<Self, &'static str> {
        let record: Record = decode(bytes).map_err(|_| "not a record")?;
        // One record, one encoding: else the same signature would cover many byte strings, and each would
        // hash anew.
        if encode(&record) != bytes {
            return Err("the record has another encoding than its author's");
        }
        let key_hash = crypto.hash(&record.key);
        let place = match Key::from_bytes(&record.key) {
            Ok(Some(key)) if key.to_bytes() == record.key => Place::Known(key),
            Ok(None) if is_sown(Mutant::RefusesUnread) && Family::of(&record.key).is_some() => {
                return Err("the key is malformed");
            }
            Ok(None) if bytes.len() <= FOREIGN_LIMIT && !record.key.is_empty() => {
                Place::Foreign(Unread { of: ObservedKey::node_of_unread(&record.key), key: key_hash })
            }
            Ok(None) => return Err("a record of a later release is too long, or has no key"),
            Ok(Some(_)) | Err(_) => return Err("the key is malformed"),
        };
        check_stamp(&record.key, &record.stamp)?;
        let fact = read_fact(&place, record.version, &record.body)?;
        if let Fact::Horizon(horizon) = &fact {
            check_horizon(*horizon, &record.stamp)?;
        }
        Ok(Self {
            bytes: bytes.into(),
            hash: if is_sown(Mutant::HashOfTheKey) { key_hash } else { crypto.hash(bytes) },
            bucket: bucket_of(Family::of(&record.key), &place, &key_hash),
            used: commands::used(&place, &fact, crypto),
            place,
            stamp: record.stamp,
            author: record.author,
            fact,
        })
    }

    /// An entry under another label and with another hash, but with the same bytes: a store is filled with
    /// these where only hashes count.
    #[cfg(test)]
    pub(crate) fn resembling(&self, number: u32, crypto: &impl Crypto) -> Self {
        let Some(Key::Desired(DesiredKey::NodeLabel { node, .. })) = self.key() else {
            unreachable!("only labels are resembled");
        };
        let label = alloc::format!("{number}");
        let place = Place::Known(Key::Desired(DesiredKey::NodeLabel { node: *node, label }));
        let hash = crypto.hash(&number.to_le_bytes());
        Self {
            bytes: self.bytes.clone(),
            hash,
            bucket: bucket_of(Some(Family::Desired), &place, &hash),
            place,
            stamp: self.stamp,
            author: self.author,
            fact: Fact::Sealed,
            used: None,
        }
    }

    /// The record's bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record itself, decoded anew.
    pub fn record(&self) -> Record {
        decode(&self.bytes).expect("the bytes were decoded when the entry was read")
    }

    /// The bytes of its key.
    pub fn key_bytes(&self) -> Vec<u8> {
        match &self.place {
            Place::Known(key) => key.to_bytes(),
            Place::Foreign(_) => self.record().key,
        }
    }

    /// The hash of its bytes.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The first bytes of that hash.
    pub fn prefix(&self) -> Prefix {
        *self.hash.0.first_chunk().expect("a hash is longer than a prefix")
    }

    /// Its bucket of the trie.
    pub const fn bucket(&self) -> u16 {
        self.bucket
    }

    /// Where it lives.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Its key, if this release can read it.
    pub const fn key(&self) -> Option<&Key> {
        match &self.place {
            Place::Known(key) => Some(key),
            Place::Foreign(_) => None,
        }
    }

    /// Its stamp.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Its stamp's cluster time, if that is what orders its family.
    pub const fn time(&self) -> Option<ClusterTime> {
        match self.stamp {
            Stamp::Time { time, .. } => Some(time),
            Stamp::Lease { .. } | Stamp::Boot { .. } => None,
        }
    }

    /// Whose signature it bears.
    pub const fn author(&self) -> NodeId {
        self.author
    }

    /// What it says.
    pub const fn fact(&self) -> &Fact {
        &self.fact
    }

    /// The command that it carries out, if it names one.
    pub(crate) const fn used(&self) -> Option<&Used> {
        self.used.as_ref()
    }

    /// Whether it belongs to membership.
    pub const fn is_membership(&self) -> bool {
        matches!(self.place, Place::Known(Key::Membership(_)))
    }

    /// Whether it belongs to the foundation: what the judgement of others rests on.
    pub const fn is_foundation(&self) -> bool {
        (self.bucket as usize) < TriePath::FOUNDATION_BUCKETS
    }

    /// Whether it takes the other's place: the greater stamp does, or else the greater bytes.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        (self.stamp, &self.bytes) > (other.stamp, &other.bytes) || is_sown(Mutant::LastComerStands)
    }
}

fn check_stamp(key: &[u8], stamp: &Stamp) -> Result<(), &'static str> {
    if Family::of(key).is_some_and(|family| stamp.clock() != family.clock()) {
        return Err("the stamp is of another clock than the family's");
    }
    match stamp {
        Stamp::Time { time, .. } if time.ms() >= ClusterTime::LIMIT_MS => Err("the stamp is out of range"),
        Stamp::Time { .. } | Stamp::Lease { .. } | Stamp::Boot { .. } => Ok(()),
    }
}

/// Whoever writes the horizon cannot bring it closer to its own stamp than tombstones are kept.
fn check_horizon(horizon: Horizon, stamp: &Stamp) -> Result<(), &'static str> {
    match stamp {
        Stamp::Time { time, .. } if horizon.gc_before_ms <= time.ms().saturating_sub(TOMBSTONES_MS) => Ok(()),
        Stamp::Time { .. } | Stamp::Lease { .. } | Stamp::Boot { .. } => Err("the horizon is too near"),
    }
}

/// The bucket is the same in every release, so that equal records have equal sums: only what the first one
/// knew for a foundation is one.
fn bucket_of(family: Option<Family>, place: &Place, key_hash: &Digest) -> u16 {
    let [a, b, c, d, ..] = key_hash.0;
    let hash = u32::from_be_bytes([a, b, c, d]);
    let foundation = TriePath::FOUNDATION_BUCKETS as u32;
    let is_foundation = match family {
        Some(Family::Membership) => !(is_sown(Mutant::UnreadElsewhere) && matches!(place, Place::Foreign(_))),
        Some(Family::Desired) => matches!(place, Place::Known(Key::Desired(DesiredKey::Horizon))),
        Some(Family::Slot | Family::Island | Family::Observed) | None => false,
    };
    let bucket = if is_foundation {
        hash % foundation
    } else {
        foundation + hash % (TriePath::BUCKETS as u32 - foundation)
    };
    u16::try_from(bucket).expect("there are fewer than 2^16 buckets")
}

/// Reads a body.
///
/// # Errors
/// If this release ought to be able to read it, and cannot.
fn read_fact(place: &Place, version: u16, body: &[u8]) -> Result<Fact, &'static str> {
    if version == 0 {
        return Err("version 0 is none");
    }
    match place {
        Place::Known(key) if version == BODY_VERSION => fact_of(key, body),
        Place::Known(_) | Place::Foreign(_) => Ok(Fact::Sealed),
    }
}

/// What a body of this release says under a key.
///
/// # Errors
/// If it is malformed.
pub(crate) fn fact_of(key: &Key, body: &[u8]) -> Result<Fact, &'static str> {
    fn read<T: Wire>(body: &[u8], fact: impl FnOnce(T) -> Fact) -> Result<Fact, &'static str> {
        decode(body).map(fact).map_err(|_| "the body is malformed")
    }
    fn boxed<T: Wire>(body: &[u8], fact: impl FnOnce(Box<T>) -> Fact) -> Result<Fact, &'static str> {
        read(body, |value: T| fact(Box::new(value)))
    }
    match key {
        Key::Membership(key) => match key {
            MembershipKey::Admission { .. } => read(body, Fact::Admission),
            MembershipKey::Role { .. } => read(body, Fact::Role),
            MembershipKey::Removal { .. } => read(body, Fact::Removal),
            MembershipKey::Operator { .. } => read(body, Fact::Operator),
            MembershipKey::OperatorRemoval { .. } => read(body, Fact::OperatorRemoval),
        },
        Key::Desired(key) => match key {
            DesiredKey::ServiceBirth { .. } => boxed(body, Fact::Birth),
            DesiredKey::ServiceRevision { .. } => boxed(body, Fact::Revision),
            DesiredKey::ServiceScale { .. } => read(body, Fact::Scale),
            DesiredKey::ServiceRemoval { .. } => boxed(body, Fact::Gone),
            DesiredKey::NodeAvailability { .. } => read(body, Fact::Intent),
            DesiredKey::NodeLabel { .. } => read(body, Fact::Label),
            DesiredKey::JoinToken { .. } => read(body, Fact::Token),
            DesiredKey::Secret { .. } | DesiredKey::Config { .. } => Ok(Fact::Sealed),
            DesiredKey::Horizon => read(body, Fact::Horizon),
        },
        Key::Slot(_) | Key::Island(_) => boxed(body, Fact::Slot),
        Key::Observed(key) => match key {
            ObservedKey::Facts { .. } => boxed(body, Fact::Facts),
            ObservedKey::Task { .. } => boxed(body, Fact::Task),
            ObservedKey::Images { .. } => read(body, Fact::Images),
        },
    }
}
