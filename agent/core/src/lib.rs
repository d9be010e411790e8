//! Every decision of a cluster, without input or output.
//!
//! ```text
//!            Input ──▶ ┌──────┐ ──▶ Output
//!  (frames, timers,    │ Node │     (frames, persist, engine actions,
//!   commands, reports) └──────┘      replies, wake-ups, events)
//! ```
//! The agent feeds it real inputs; the simulator feeds it virtual ones. There is no second implementation of
//! a rule.
//!
//! # Invariants
//! - `drain_rule`: outputs are drained until none is left before the next input.
//! - `pure`: no clock, no socket, no disk, no thread and no randomness but the seed that [`node::Node::new`]
//!   is given: equal inputs give equal outputs, byte for byte.
//!
//! # Not here
//! Anything that can be said about a socket, a file, a process or a person.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod clock;
pub mod crypto;
pub mod io;
pub mod lease;
pub mod membership;
pub mod mutant;
pub mod node;
pub mod placement;
pub mod reconcile;
pub mod rollout;
pub mod state;
pub mod time;
pub mod trust;
pub mod validate;
pub mod view;

pub use crypto::Crypto;
pub use time::{Instant, Now};
