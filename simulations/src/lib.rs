//! Whole clusters in virtual time: the same core as the agent's, with a network, disks, clocks and engines
//! that do as a seed says.
//!
//! # Not here
//! Rules of the cluster: they are `sleep-core`'s, and there is no second implementation of any.
#![forbid(unsafe_code)]

pub mod chaos;
pub mod crypto;
pub mod disk;
pub mod engine;
pub mod experiment;
pub mod host;
pub mod invariants;
pub mod liar;
pub mod lines;
pub mod liveness;
pub mod load;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod span;
pub mod story;
pub mod successor;
pub mod sweep;
pub mod trace;
pub mod world;
