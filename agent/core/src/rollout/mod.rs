//! How an old task gives way to a new one, a slot at a time: drains and updates share it.
//!
//! ```text
//! start-first   {current A} ──▶ {current B, retire [A]} ── B healthy: A stops ── A ended ──▶ {current B}
//! stop-first    {current A} ──▶ {current B, retire [A]} ── A ended: B starts ──────────────▶ {current B}
//! heal          {current B} and A runs unlisted ──▶ {current A, retire [B]} or {current B, retire [A]}
//! ```
//! One record says both halves and their order; the agents of both tasks read it, so nobody has to be there
//! to take the second step. A rollout or drain has no state of its own: the next step is a function of
//! revisions, intents, slot records and task history, and a new holder goes on where the last one stopped.
//!
//! # Invariants
//! - `drain_keeps_serving`: start-first, a slot's old task is never without a successor that is observed
//!   healthy.
//! - `in_flight_counts`: what is retired or not yet healthy counts against parallelism.
//! - `ended_then_forgotten`: a retired task is named until it is observed ended or its node is removed. (One
//!   that was never observed is forgotten after [`UNSEEN_STAYS_NAMED`]; should it run, it is unlisted, and
//!   settled.)
//!
//! # Not here
//! Where a task goes: `placement`. Who stops and starts it: the agents, in `reconcile`.

use core::time::Duration;

pub(crate) mod seat;
pub(crate) mod settle;
mod status;
pub(crate) mod step;

pub use status::RolloutStatus;
pub(crate) use status::{paused_by, status};

/// How long a node must be up before what it reports decides between two tasks of a slot: what happened while
/// it was away must have arrived.
pub const SETTLES_AFTER: Duration = Duration::from_secs(5);

/// How long a retired task that ended by itself stays named, for its node to read that it must not try again.
pub const ENDED_STAYS_NAMED: Duration = Duration::from_secs(5);

/// How long a retired task that no node ever reported stays named, while its node is up.
pub const UNSEEN_STAYS_NAMED: Duration = Duration::from_secs(30);
