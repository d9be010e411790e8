//! What happened, as one number: equal for equal runs.

use sha2::{Digest as _, Sha256};

/// A running hash over everything that a world does.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: Sha256,
    events: u64,
}

impl Trace {
    /// Adds one event: when, where, and what, as bytes that stand for it.
    pub fn add(&mut self, at: u64, host: usize, what: &[u8]) {
        self.hash.update(at.to_le_bytes());
        self.hash.update((host as u64).to_le_bytes());
        self.hash.update((what.len() as u64).to_le_bytes());
        self.hash.update(what);
        self.events += 1;
    }

    /// How many events it covers.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The first 64 bits of the hash.
    pub fn digest(&self) -> u64 {
        let hash: [u8; 32] = self.hash.clone().finalize().into();
        u64::from_be_bytes(*hash.first_chunk().expect("a hash has more than eight bytes"))
    }
}
