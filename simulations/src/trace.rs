//! What happened, as one number: equal for equal runs.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

/// A running hash (XXH3) over everything that a world does.
#[derive(Clone, Default)]
pub struct Trace {
    hash: XxHash3_64,
    events: u64,
}

impl Trace {
    /// Adds one event: when, where, and what, as bytes that stand for it.
    pub fn add(&mut self, at: u64, host: usize, what: &[u8]) {
        self.hash.write(&at.to_le_bytes());
        self.hash.write(&(host as u64).to_le_bytes());
        self.hash.write(&(what.len() as u64).to_le_bytes());
        self.hash.write(what);
        self.events += 1;
    }

    /// How many events it covers.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The hash of them all.
    pub fn digest(&self) -> u64 {
        self.hash.finish()
    }
}
