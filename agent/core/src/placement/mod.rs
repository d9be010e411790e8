//! Which task goes to which node: a pure function of facts, and the same on every node that knows them.
//!
//! ```text
//!   NodeFact ──▶ Fleet ──▶ Pool (constraints, by failure domain) ──┐
//!                  ▲ load                                          ▼
//!   ServiceFact ───┴─▶ Seat a slot ──▶ Pass a service ──▶ Seek: domain ▶ 8 candidates ▶ whole domain ▶ next
//!                                          │
//!                                          └──▶ Plan { writes, pending, wake_at } ──▶ lint
//! ```
//! What fits stays. A slot without a task goes to the failure domain that has the fewest of its service,
//! there to the best of a few candidates that hashing draws, and if those do not do, to the best of all.
//! Domains of up to [`SMALL_DOMAIN`] nodes are always looked at whole.
//!
//! # Invariants
//! - `plan_is_a_function`: equal facts give an equal plan, in whatever order they came; a plan never moves a
//!   healthy task without a reason that it names.
//! - `spread`: among nodes that all take a service, its tasks are at most one apart once nothing moves any
//!   more.
//! - `capacity`: no plan puts a task where more would be reserved than there is.
//! - `explained`: what refuses a node is what answers `why`: see [`Refused`].
//! - `incremental`: looking again at the services that a change touches gives what looking at all would.
//!
//! # Not here
//! What the facts are, and when a node counts as down: `state`, `membership`. In what order the tasks of one
//! slot start and stop: `rollout`, `reconcile`. Stamps, times, signatures: whoever writes the plan.

use core::time::Duration;

mod constraint;
mod explain;
pub(crate) mod facts;
pub(crate) mod fleet;
mod global;
mod hash;
mod lint;
mod load;
mod pass;
pub(crate) mod plan;
mod planner;
mod pool;
mod progress;
mod refused;
mod rehearse;
mod returns;
mod score;
mod seek;
pub(crate) mod service;
mod surplus;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use constraint::{BadConstraint, Constraint, check_constraints, parse_constraint};
pub use explain::{Answer, Fitness};
pub use facts::{Facts, Liveness, NodeFact, ServiceFact, SlotFact, TaskFact};
pub use lint::{LintError, lint};
pub use plan::{Current, NewAssignment, Pending, Plan, SlotWrite, Why};
pub use planner::{Planner, plan};
pub use progress::Progress;
pub use refused::Refused;
pub use rehearse::{Move, Rehearsal};
pub use score::Score;

/// How many candidates are drawn in a large domain: two choices already do most of the good (Mitzenmacher
/// 2001).
pub const CANDIDATES: u64 = 8;

/// Domains of up to so many nodes are looked at whole, so that there spread and load are as good as they can
/// be.
pub const SMALL_DOMAIN: usize = 64;

/// After so many failed starts of a revision a node is not tried with it again for [`FAILURES_COUNT_FOR`].
pub const MAX_START_FAILURES: u32 = 3;

/// How long a failed start counts against its node.
pub const FAILURES_COUNT_FOR: Duration = Duration::from_secs(600);

/// A revision that could not be started on so many nodes is not tried on another: it stays where it is.
pub const MAX_FAILED_NODES: usize = 3;

/// How long a node must be up before work returns to it unasked.
pub const RETURNS_AFTER: Duration = Duration::from_secs(30);

/// Over what time returning tasks are counted.
pub const RETURN_WINDOW: Duration = Duration::from_secs(60);

/// At least so many tasks may return in a window; one in a hundred if that is more.
pub const RETURN_LIMIT: u64 = 6;
