//! Writing records: keys, claims and signatures.

use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::key::MembershipKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::{Admission, OperatorAdmission, OperatorRemoval, Removal, Role, RoleChange, Warrant};
use sleep_wire::{ClusterId, Key, NodeId, PublicKey, Record, Signature, Stamp, WallTime, Wire, encode};

use super::judge::entry;
use crate::crypto::Crypto;

/// One node's hand: signs what it writes, for one cluster.
#[derive(Clone, Copy)]
pub struct Pen<'a> {
    /// The node's key.
    pub crypto: &'a dyn Crypto,
    /// The cluster it writes for.
    pub cluster: ClusterId,
}

/// Founds a cluster: its id, and the record that makes the founder its first member.
pub fn found(crypto: &dyn Crypto, nonce: [u8; 16], time: ClusterTime, at: WallTime) -> (ClusterId, Record) {
    let key = crypto.public_key();
    let cluster = ClusterId(crypto.hash(&Warrant::genesis_claim(&key, &nonce)).0);
    let admission = Admission { key, role: Role::Control, warrant: Warrant::Genesis { nonce }, at };
    (cluster, Pen { crypto, cluster }.admission(time, &admission))
}

impl Pen<'_> {
    /// Whose hand it is.
    pub fn author(&self) -> NodeId {
        self.crypto.node_id(&self.crypto.public_key())
    }

    /// A signed record, of the first version of its body.
    pub fn sign(&self, key: &Key, stamp: Stamp, body: Vec<u8>) -> Record {
        let mut record = Record {
            key: key.to_bytes(),
            stamp,
            author: self.author(),
            version: 1,
            body,
            signature: Signature([0; 64]),
        };
        record.signature = self.crypto.sign(&record.signed_bytes(&self.cluster));
        record
    }

    /// A newcomer becomes a member.
    pub fn admission(&self, time: ClusterTime, body: &Admission) -> Record {
        let node = self.crypto.node_id(&body.key);
        self.membership(time, body, |entry| MembershipKey::Admission { node, entry })
    }

    /// A member's role changes.
    pub fn role_change(&self, time: ClusterTime, node: NodeId, role: Role, at: WallTime) -> Record {
        self.membership(time, &RoleChange { role, at }, |entry| MembershipKey::Role { node, entry })
    }

    /// A member is out, for good. Of oneself: one leaves.
    pub fn removal(&self, time: ClusterTime, node: NodeId, compromised: bool, at: WallTime) -> Record {
        self.membership(time, &Removal { compromised, at }, |entry| MembershipKey::Removal { node, entry })
    }

    /// A key becomes an operator's.
    pub fn operator(&self, time: ClusterTime, name: String, key: PublicKey, at: WallTime) -> Record {
        let operator = self.crypto.node_id(&key);
        let body = OperatorAdmission { name, key, at };
        self.membership(time, &body, |entry| MembershipKey::Operator { operator, entry })
    }

    /// An operator's key is out, for good.
    pub fn operator_removal(&self, time: ClusterTime, operator: NodeId, at: WallTime) -> Record {
        let body = OperatorRemoval { at };
        self.membership(time, &body, |entry| MembershipKey::OperatorRemoval { operator, entry })
    }

    fn membership<T: Wire>(
        &self,
        time: ClusterTime,
        body: &T,
        key: impl FnOnce([u8; 8]) -> MembershipKey,
    ) -> Record {
        let author = self.author();
        let stamp = Stamp::Time { time, node: author };
        let body = encode(body);
        let key = key(entry(&author, &stamp, &body, self.crypto));
        self.sign(&Key::Membership(key), stamp, body)
    }
}
