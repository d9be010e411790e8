//! Deterministic simulations of whole clusters, with faults.
#![forbid(unsafe_code)]

pub mod engine;
