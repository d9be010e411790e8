//! Signing, verifying and hashing, as one trait that enters from outside.
//!
//! The agent uses ed25519 and SHA-256; the simulator uses the same keys and bytes, and remembers verdicts.

use alloc::sync::Arc;

use sleep_wire::trust::Warrant;
use sleep_wire::{Digest, NodeId, PublicKey, Signature, TokenId};

use crate::state::Entry;

/// A node's own key, and everybody's arithmetic.
pub trait Crypto {
    /// SHA-256.
    fn hash(&self, bytes: &[u8]) -> Digest;

    /// This node's public key.
    fn public_key(&self) -> PublicKey;

    /// Signs with this node's key.
    fn sign(&self, bytes: &[u8]) -> Signature;

    /// Whether `signature` over `bytes` is `key`'s: strict ed25519 (RFC 8032), so that all agree.
    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool;

    /// The public half of a join token's key pair, from its seed.
    fn token_key(&self, seed: &[u8; 32]) -> PublicKey;

    /// Signs with a join token's private half.
    fn sign_with_token(&self, seed: &[u8; 32], bytes: &[u8]) -> Signature;

    /// The node or operator that a key belongs to.
    fn node_id(&self, key: &PublicKey) -> NodeId {
        NodeId::from_digest(&self.hash(&Warrant::node_claim(key)))
    }

    /// The join token that a key belongs to.
    fn token_id(&self, key: &PublicKey) -> TokenId {
        TokenId::from_digest(&self.hash(&Warrant::token_id_claim(key)))
    }
    /// Reads a record: a pure function of its bytes. The simulator remembers what it has read, as a thousand
    /// nodes hold the same bytes in one process.
    ///
    /// # Errors
    /// As [`Entry::read`].
    fn read_record(&self, bytes: &[u8]) -> Result<Arc<Entry>, &'static str>
    where
        Self: Sized,
    {
        Entry::read(bytes, self).map(Arc::new)
    }
}
