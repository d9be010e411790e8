//! A fixed number of inputs from a fixed seed: what the gate tries of each target.
//!
//! Half of them are seeds with damage, some are seeds cut and joined, the others are bytes of no meaning. A
//! run is a function of the target's name, its seeds and what was kept for it, and of no clock.
//!
//! # Not here
//! Guidance by coverage: `cargo bolero test`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use crate::kept;

/// So many times as many inputs, if the environment says so.
const TIMES: &str = "SLEEP_FUZZ_TIMES";

/// The longest input without a seed.
const RANDOM: usize = 600;

/// Words of an input that lie about lengths, or stand at the edge of what a number holds.
const EDGES: [&[u8]; 10] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[251, 0xff, 0xff],
    &[252, 0xff, 0xff, 0xff, 0x7f],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    b"-1",
    b"18446744073709551616",
];

/// Where a target's inputs are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The folder with its `corpus` and its `crashes`.
    pub kept: &'a Path,
    /// Where an input is put that fails.
    pub failed: &'a Path,
}

/// Tries `cases` inputs made from `seeds` and from what was kept.
///
/// # Panics
/// As `check` does, after the input was written to a file that is named.
pub fn run(name: &str, place: Place<'_>, cases: u64, mut seeds: Vec<Vec<u8>>, check: impl Fn(&[u8])) {
    seeds.extend(kept::files(&place.kept.join("corpus")));
    seeds.extend(kept::files(&place.kept.join("crashes")));
    let times = std::env::var(TIMES).ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let whole = seeds.iter().cloned();
    let made = inputs(name, cases * times, &seeds);
    for (number, input) in whole.chain(made).enumerate() {
        if times > 1 {
            // For what brings down the whole process: memory, or a stack that is used up.
            fs::write(place.failed.join(format!("{name}-last")), &input).expect("it can be written");
        }
        let Err(why) = catch_unwind(AssertUnwindSafe(|| check(&input))) else { continue };
        let path = place.failed.join(format!("{name}-{number}"));
        let written = fs::write(&path, &input).map(|()| path.display().to_string());
        eprintln!(
            "input {number} of `{name}` fails: {}; kept in {} it is replayed for ever",
            written.unwrap_or_else(|error| format!("{input:02x?} ({error})")),
            kept_path(place.kept).display()
        );
        resume_unwind(why);
    }
}

/// So many inputs made from `seeds`: the same for the same name.
pub fn inputs(name: &str, cases: u64, seeds: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    (0..cases).map(move |case| Chance::of(name, case).input(seeds))
}

/// Where a failing input is to be kept, as people call it.
fn kept_path(kept: &Path) -> PathBuf {
    let name = kept.file_name().unwrap_or_default();
    Path::new("tests/fuzz/tests/__fuzz__").join(name).join("crashes")
}

/// Chance that follows from a name and a number (SplitMix64): no release of any crate can change it.
struct Chance(u64);

impl Chance {
    fn of(name: &str, case: u64) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut chance = Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash));
        chance.0 ^= chance.next().wrapping_add(case.wrapping_mul(0xd134_2543_de82_ef95));
        chance
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % limit.max(1)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[3]).collect()
    }

    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let len = self.below(RANDOM);
        if seeds.is_empty() || self.below(8) == 0 {
            return self.bytes(len);
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        if self.below(4) == 0 {
            let other = &seeds[self.below(seeds.len())];
            input.truncate(self.below(input.len() + 1));
            input.extend_from_slice(&other[self.below(other.len() + 1)..]);
        }
        for _ in 0..=self.below(4) {
            self.damage(&mut input);
        }
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let until = (at + 1 + self.below(8)).min(input.len());
        match self.below(7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..until)),
            2 => {
                let few = self.below(8);
                let few = self.bytes(few);
                input.splice(at..at, few);
            }
            3 => {
                let again = input[at..until].to_vec();
                input.splice(at..at, again);
            }
            4 => drop(input.splice(at..until, EDGES[self.below(EDGES.len())].iter().copied())),
            5 if at < input.len() => input[at] ^= 1 << self.below(8),
            _ if at < input.len() => input[at] = self.next().to_le_bytes()[5],
            _ => input.push(0),
        }
    }
}
