//! The envelope of every replicated fact.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::{MAX_LEN, Wire};
use crate::id::{ClusterId, NodeId, Signature};
use crate::stamp::Stamp;

/// One replicated fact, as its author signed it.
///
/// Keys and bodies stay bytes: a record of a later release is stored, hashed, relayed and handed on
/// untouched.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// Where it lives: see [`crate::Key`].
    pub key: Vec<u8>,
    /// Decides between two records of one key.
    pub stamp: Stamp,
    /// Whose signature this is: a node, or an operator.
    pub author: NodeId,
    /// The format of the body, from 1.
    pub version: u16,
    /// The fact itself, in the encoding that family, key and version fix.
    pub body: Vec<u8>,
    /// Over [`Record::signed_bytes`].
    pub signature: Signature,
}

impl Record {
    /// The longest body, in bytes.
    pub const BODY_LIMIT: usize = 128 * 1024;

    /// What the author signs: a purpose, the cluster, and everything but the signature, each of fixed or
    /// prefixed length.
    pub fn signed_bytes(&self, cluster: &ClusterId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96 + self.key.len() + self.body.len());
        bytes.extend_from_slice(b"sleepd record 1\0");
        bytes.extend_from_slice(&cluster.0);
        let claim = (&self.key, &self.stamp, &self.author, &self.version, &self.body);
        bytes.extend(
            bincode::encode_to_vec(claim, bincode::config::standard())
                .expect("wire types hold nothing that cannot be encoded"),
        );
        bytes
    }
}

impl Wire for Record {
    const LIMIT: usize = Self::BODY_LIMIT + 1024;
}

/// Several records in one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    /// Each record as received: [`crate::decode`] reads them one by one, so one that is malformed spoils no
    /// other.
    pub records: Vec<Vec<u8>>,
}

impl Wire for Batch {
    const LIMIT: usize = MAX_LEN;
}
