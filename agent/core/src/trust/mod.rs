//! Who is a member, and who may write what.
//!
//! ```text
//!  cluster id = H(first key, nonce)
//!       │ genesis admission                       token's private half
//!       ▼                                               │ signs the newcomer's key
//!  first member ── admits, by a control node's record ──┴──▶ member ── removed, for good ──▶ out
//!                                                              │ ▲
//!                                                     role: control ⇄ worker
//! ```
//! Admissions, role changes and removals are never written over. Whether a record is valid is a pure
//! function of the record and of those of them that stand here: its author's role *at the record's stamp*
//! must allow its key. By present roles a newcomer would refuse what a departed first node wrote.
//!
//! # Invariants
//! - `authorship`: a valid record carries the signature of a key whose role at its stamp allows its key.
//! - `order_free`: what is valid depends on the set of membership records, never on the order in which they
//!   came. (What is not may be void or worse: whoever heard more of its author says it again.)
//! - Removal is final for a key; two that remove each other are both out.
//! - Among members of whom any ever had the role `control`, one has it.
//! - Refusal rests on signature and key space alone, so it is the same on every honest node.
//!
//! # Not here
//! Storing, merging and re-authoring records: `state`. Closing a removed node's connections: whoever owns
//! them. Remembering which signatures were checked: an implementation of [`Crypto`] may.

mod judge;
mod ledger;
mod pen;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::key::MembershipKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{ClusterId, Key, NodeId, PublicKey, Record, TokenId};

use crate::clock;
use crate::crypto::Crypto;
use ledger::Ledger;

pub use judge::Verdict;
pub use ledger::{Removed, Standing};
pub use pen::{Pen, found};
pub use token::{ForeignDoor, Newcomer, join_request, new_token, verify_chain};

/// All that a node knows of keys and roles.
#[derive(Clone, Debug)]
pub struct Trust {
    cluster: ClusterId,
    ledger: Ledger,
    /// Keys of everybody who was ever admitted, members and operators. An id is a hash of its key, so a key
    /// is the right one whether or not its admission counts.
    keys: BTreeMap<NodeId, PublicKey>,
    /// Membership records whose author's key is not known yet.
    waiting: BTreeMap<NodeId, Vec<Record>>,
}

impl Trust {
    /// An empty set: nobody is a member.
    pub const fn new(cluster: ClusterId) -> Self {
        Self { cluster, ledger: Ledger::new(), keys: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// The cluster it speaks of.
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Adds a membership record, whatever came before it; others are none of its business. One that cannot be
    /// judged yet is kept, so hand in what [`Trust::judge`] did not refuse, or what lies on this node's own
    /// disk.
    ///
    /// Returns the nodes and operators whose standing changed, sorted: records that they wrote may be valid
    /// now or be so no longer, and are to be judged again.
    pub fn apply(&mut self, record: &Record, crypto: &dyn Crypto) -> BTreeSet<NodeId> {
        let mut touched = BTreeSet::new();
        let mut open = Vec::from([record.clone()]);
        while let Some(record) = open.pop() {
            let Ok(claim) = judge::read_membership(&self.cluster, &record, crypto) else {
                // Of a later release, which nothing follows from: nor from what it took the place of.
                if let Ok(Some(Key::Membership(key))) = Key::from_bytes(&record.key) {
                    touched.extend(self.withdraw(&key));
                }
                continue;
            };
            let Some(key) = claim.author_key(&self.keys) else {
                let waiting = self.waiting.entry(record.author).or_default();
                if !waiting.contains(&record) {
                    waiting.push(record);
                }
                continue;
            };
            if !crypto.verify(&key, &record.signed_bytes(&self.cluster), &record.signature) {
                continue;
            }
            if let Some((node, key)) = claim.introduces {
                self.keys.insert(node, key);
                open.extend(self.waiting.remove(&node).into_iter().flatten());
            }
            touched.extend(self.ledger.insert(claim.entry));
        }
        touched
    }

    /// A membership record that was added stands among this node's records no more, and counts for nothing
    /// until it is added again. Returns the same as [`Trust::apply`].
    pub fn withdraw(&mut self, key: &MembershipKey) -> BTreeSet<NodeId> {
        let bytes = Key::Membership(*key).to_bytes();
        self.waiting.values_mut().for_each(|records| records.retain(|record| record.key != bytes));
        self.ledger.withdraw(key)
    }

    /// How a node stands; `None` if it was never admitted.
    pub fn standing(&self, node: NodeId) -> Option<Standing> {
        self.ledger.standings().get(&node).copied()
    }

    /// Whether a node was removed because its key may be in other hands.
    pub fn is_stolen(&self, node: NodeId) -> bool {
        self.standing(node).and_then(|standing| standing.removed).is_some_and(|removed| removed.compromised)
    }

    /// Every node that was ever admitted, removed ones too, sorted.
    pub fn standings(&self) -> impl Iterator<Item = (NodeId, Standing)> + '_ {
        self.ledger.standings().iter().map(|(node, standing)| (*node, *standing))
    }

    /// Whether a node is a member now.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.role(node).is_some()
    }

    /// A member's role now.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.standing(node).filter(Standing::is_member).map(|standing| standing.role)
    }

    /// Whether a node has, or once had, the role `control`.
    pub fn was_control(&self, node: NodeId) -> bool {
        self.standing(node).is_some_and(|standing| standing.ever_control)
    }

    /// Whether a node had the role `control` when it made a stamp.
    pub fn is_control_at(&self, node: NodeId, time: ClusterTime) -> bool {
        self.ledger.role_at(node, (time, node)) == Some(Role::Control)
    }

    /// The first moment from this one on at which a node has the role `control`, by what is known.
    pub fn control_from(&self, node: NodeId, time: ClusterTime) -> Option<ClusterTime> {
        if self.is_control_at(node, time) {
            return Some(time);
        }
        self.ledger.changes_after(time).map(clock::after).find(|time| self.is_control_at(node, *time))
    }

    /// All members now, sorted.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standings().filter(|(_, standing)| standing.is_member()).map(|(node, _)| node)
    }

    /// All members with the role `control` now, sorted.
    pub fn controls(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standings()
            .filter(|(_, standing)| standing.is_member() && standing.role == Role::Control)
            .map(|(node, _)| node)
    }

    /// Whether the cluster would have no control node without this one.
    pub fn is_last_control(&self, node: NodeId) -> bool {
        let mut controls = self.controls();
        controls.next() == Some(node) && controls.next().is_none()
    }

    /// Whether a key may use the API as an operator's now.
    pub fn is_operator(&self, operator: NodeId) -> bool {
        self.ledger.operator_at(operator, ledger::LAST)
    }

    /// Whether a key was an operator's, and was removed.
    pub fn was_operator(&self, operator: NodeId) -> bool {
        !self.is_operator(operator) && self.ledger.is_known(operator) && self.standing(operator).is_none()
    }

    /// The key of a node or operator, removed ones too.
    pub fn key_of(&self, node: NodeId) -> Option<PublicKey> {
        self.keys.get(&node).copied()
    }

    /// How many members a token admitted.
    pub fn uses(&self, token: TokenId) -> usize {
        self.ledger.uses(token)
    }

    /// The keys of the records by which a node was removed, in order.
    pub fn removals(&self, node: NodeId) -> Vec<MembershipKey> {
        self.ledger.removed_by(node)
    }

    /// The keys of the records that show to a stranger that these nodes are members, in an order in which
    /// each can be judged: the least that has to be sent.
    pub fn door_chain(&self, nodes: &[NodeId]) -> Vec<Key> {
        self.ledger.chain(nodes).into_iter().map(Key::Membership).collect()
    }
}

/// The node or operator that a membership record speaks of.
pub const fn subject(key: &MembershipKey) -> NodeId {
    ledger::subject(key)
}
