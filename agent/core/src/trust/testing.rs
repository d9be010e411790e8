//! Keys for tests: ed25519 and SHA-256, from a seed of one byte.

use ed25519_dalek::{Signature as Signed, Signer, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use sleep_wire::{Digest, PublicKey, Signature};

use crate::crypto::Crypto;

/// A node's key.
pub(crate) struct TestKey(SigningKey);

impl TestKey {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Crypto for TestKey {
    fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&key.0)
            .is_ok_and(|key| key.verify_strict(bytes, &Signed::from_bytes(&signature.0)).is_ok())
    }

    fn token_key(&self, seed: &[u8; 32]) -> PublicKey {
        PublicKey(SigningKey::from_bytes(seed).verifying_key().to_bytes())
    }

    fn sign_with_token(&self, seed: &[u8; 32], bytes: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(seed).sign(bytes).to_bytes())
    }
}
