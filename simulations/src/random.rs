//! One stream of randomness a purpose: a draw for one shifts no other's.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream(SmallRng);

impl Stream {
    /// The stream of a purpose (and of whatever a number tells apart within it) in the world of a seed.
    pub fn new(seed: u64, purpose: &str, number: u64) -> Self {
        // FNV-1a: the names of purposes are few and told apart by it.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in purpose.bytes().chain(seed.to_le_bytes()).chain(number.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(SmallRng::seed_from_u64(hash))
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound.max(1))
    }

    /// A number between two, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most.max(least))
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, share: u32) -> bool {
        self.0.random_range(0..1000u32) < share
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.random()
    }

    /// Fills an array.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.fill_with(|| self.0.random());
        bytes
    }
}
