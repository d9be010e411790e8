//! Real keys, real bytes; verdicts and readings are remembered, as a thousand nodes ask the same.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use sleep_core::Crypto;
use sleep_core::state::Entry;
use sleep_wire::{Digest, PublicKey, Signature};
use twox_hash::XxHash3_128;

/// What all nodes of a world have worked out already.
#[derive(Default)]
struct Memory {
    /// By signature, key and bytes: whether it is theirs.
    verdicts: FxHashMap<[u128; 3], bool>,
    /// By the record's bytes.
    read: FxHashMap<u128, Result<Arc<Entry>, &'static str>>,
}

/// What stands for bytes in a memory or a set of a simulation: nobody there looks for two that have the same.
pub fn short(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

impl Memory {
    fn verify(&mut self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        *self.verdicts.entry([&signature.0[..], &key.0, bytes].map(short)).or_insert_with(|| {
            VerifyingKey::from_bytes(&key.0).is_ok_and(|key| {
                key.verify_strict(bytes, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
            })
        })
    }
}

/// One node's key, and the memory of its world.
#[derive(Clone)]
pub struct SimCrypto {
    key: SigningKey,
    memory: Rc<RefCell<Memory>>,
}

/// Makes keys for one world.
#[derive(Clone, Default)]
pub struct Mint {
    memory: Rc<RefCell<Memory>>,
}

impl Mint {
    /// The key with this number.
    pub fn key(&self, seed: u64, number: u64) -> SimCrypto {
        let secret = Sha256::new()
            .chain_update(b"simulated key")
            .chain_update(seed.to_le_bytes())
            .chain_update(number.to_le_bytes())
            .finalize();
        SimCrypto { key: SigningKey::from_bytes(&secret.into()), memory: self.memory.clone() }
    }

    /// What stands for bytes, and what they say if they are a record, as every node of the world reads them.
    pub fn read(&self, bytes: &[u8]) -> (u128, Option<Arc<Entry>>) {
        let asked = short(bytes);
        let known = self.memory.borrow().read.get(&asked).cloned();
        // Whoever reads needs no key, and has nearly always read it before it comes here.
        (asked, known.unwrap_or_else(|| self.key(0, 0).read_record(bytes)).ok())
    }

    /// Whether a key made a signature, as every node of the world would find.
    pub fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        self.memory.borrow_mut().verify(key, bytes, signature)
    }
}

impl Crypto for SimCrypto {
    fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// Whoever made a signature need not be asked whether it is good: that saves a verification a record.
    fn sign(&self, bytes: &[u8]) -> Signature {
        let signature = Signature(self.key.sign(bytes).to_bytes());
        let asked = [&signature.0[..], &self.public_key().0, bytes].map(short);
        self.memory.borrow_mut().verdicts.insert(asked, true);
        signature
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        self.memory.borrow_mut().verify(key, bytes, signature)
    }

    fn token_key(&self, seed: &[u8; 32]) -> PublicKey {
        PublicKey(SigningKey::from_bytes(seed).verifying_key().to_bytes())
    }

    fn sign_with_token(&self, seed: &[u8; 32], bytes: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(seed).sign(bytes).to_bytes())
    }

    fn read_record(&self, bytes: &[u8]) -> Result<Arc<Entry>, &'static str> {
        let asked = short(bytes);
        if let Some(known) = self.memory.borrow().read.get(&asked) {
            return known.clone();
        }
        let read = Entry::read(bytes, self).map(Arc::new);
        self.memory.borrow_mut().read.insert(asked, read.clone());
        read
    }
}
