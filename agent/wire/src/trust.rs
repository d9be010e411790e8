//! Bodies of membership records, and of join tokens.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{ClusterId, NodeId, PublicKey, Signature, TokenId, WallTime};
use crate::stamp::Stamp;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case"))]
pub enum Role {
    /// May write desired state, vote, lead, and admit.
    Control,
    /// Writes its own facts and task status only.
    Worker,
}

/// Body of an admission: a key becomes a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Admission {
    /// The newcomer's key.
    pub key: PublicKey,
    /// Its first role.
    pub role: Role,
    /// On whose word.
    pub warrant: Warrant,
    /// For display.
    pub at: WallTime,
}

/// Why a key was admitted: what any third party can check.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Warrant {
    /// The first member: the cluster's id is the hash of its key and this nonce.
    Genesis {
        /// Drawn at `cluster init`.
        nonce: [u8; 16],
    },
    /// The newcomer held the private half of a join token.
    Token {
        /// Which token.
        token: TokenId,
        /// Its public half.
        key: PublicKey,
        /// Over [`Warrant::token_claim`], by the token's private half.
        signature: Signature,
    },
}

impl Warrant {
    /// What a newcomer signs with a token's private half: a purpose, the cluster, the token, its own key.
    pub fn token_claim(cluster: &ClusterId, token: &TokenId, newcomer: &PublicKey) -> Vec<u8> {
        [b"sleepd token 1\0\0".as_slice(), &cluster.0, &token.0, &newcomer.0].concat()
    }

    /// What the cluster's id is the hash of.
    pub fn genesis_claim(first: &PublicKey, nonce: &[u8; 16]) -> Vec<u8> {
        [b"sleepd cluster 1".as_slice(), &first.0, nonce].concat()
    }

    /// What a node's or operator's id is the hash of.
    pub fn node_claim(key: &PublicKey) -> Vec<u8> {
        [b"sleepd node 1\0\0\0".as_slice(), &key.0].concat()
    }

    /// What a join token's id is the hash of.
    pub fn token_id_claim(key: &PublicKey) -> Vec<u8> {
        [b"sleepd token id\0".as_slice(), &key.0].concat()
    }
}

/// What the `entry` of a membership key is the hash of (its first 8 bytes): author, stamp and body. So two
/// different records never share a key, and the set of them only grows.
pub fn entry_claim(author: &NodeId, stamp: &Stamp, body: &[u8]) -> Vec<u8> {
    let mut claim = Vec::from(b"sleepd entry 1\0\0");
    claim.extend_from_slice(&author.0);
    let stamp = bincode::encode_to_vec(stamp, bincode::config::standard());
    claim.extend(stamp.expect("wire types hold nothing that cannot be encoded"));
    claim.extend_from_slice(body);
    claim
}

/// Body of a role change.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoleChange {
    /// From this record's stamp on.
    pub role: Role,
    /// For display.
    pub at: WallTime,
}

/// Body of a removal: final for the key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Removal {
    /// Whether the key is in other hands: then every record it stamped later than the removal is void, even
    /// one that was made before.
    pub compromised: bool,
    /// For display.
    pub at: WallTime,
}

/// Body of an operator's admission.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OperatorAdmission {
    /// What people call them.
    pub name: String,
    /// Their key.
    pub key: PublicKey,
    /// For display.
    pub at: WallTime,
}

/// Body of an operator's removal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OperatorRemoval {
    /// For display.
    pub at: WallTime,
}

/// Body of a join token's register.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JoinToken {
    /// The public half; the private half is in the string that people paste.
    pub key: PublicKey,
    /// The role it admits to.
    pub role: Role,
    /// In milliseconds of cluster time; `None` never expires.
    pub expires_ms: Option<u64>,
    /// Whether it admits one node only; redeemed by the quorum holder alone.
    pub single_use: bool,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Who made it.
    pub creator: NodeId,
    /// For display.
    pub created_at: WallTime,
}

macro_rules! small {
    ($($kind:ty),*) => { $(impl Wire for $kind { const LIMIT: usize = 1024; })* };
}

small!(Admission, RoleChange, Removal, OperatorAdmission, OperatorRemoval, JoinToken);
