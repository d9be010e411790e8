//! The agent: where clock, randomness, sockets, disk and core meet.
//!
//! ```text
//!  doors (api) ─┐                       ┌─▶ net
//!  net events ──┼─ one Input at a time ─┼─▶ storage
//!  reports ─────┤      ▼     ▲          ├─▶ drivers
//!  timers ──────┘   core::Node ─ Output ┴─▶ answers
//! ```
//! # Not here
//! Any rule of a protocol: see `sleep_core`.
#![forbid(unsafe_code)]

pub mod agent;
pub mod api;
pub mod config;
pub mod crypto;
pub mod host;
pub mod lock;
mod logs;
mod peers;
pub mod shim;
pub mod storage;
mod told;

pub use agent::run;
