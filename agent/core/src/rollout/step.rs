//! Which slots may take their next step now.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::slot::Cause;

use super::seat::{Seat, Standing};
use crate::placement::service::Service;
use crate::time::Instant;

/// A slot that is to get another task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which of the seats.
    pub(crate) seat: usize,
    /// Why.
    pub(crate) cause: Cause,
}

/// The slots that are to get another task, in order, and how many of each kind may now.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Slots that cannot stay where they are.
    pub(crate) leaving: Vec<Step>,
    /// How many of them may move now.
    pub(crate) may_leave: usize,
    /// Slots under way already whose new task is not wanted any more: another target costs nothing.
    pub(crate) retarget: Vec<Step>,
    /// Slots of an older revision: first those that do not serve.
    pub(crate) outdated: Vec<Step>,
    /// How many of them may be updated now.
    pub(crate) may_update: usize,
    /// Slots whose task cannot be started where it is.
    pub(crate) failed: Vec<Step>,
}

/// What may be done about slots whose tasks are to be replaced, and when more may. What this plan has given a
/// new body counts as under way, and so do the `filled` slots that it has just given a task.
pub(crate) fn steps(
    service: &Service,
    seats: &[Seat<'_>],
    paused: bool,
    filled: usize,
    now: Instant,
) -> (Steps, Option<Instant>) {
    let mut steps = Steps::default();
    let (mut moving, mut updating) = (filled, filled);
    for (at, seat) in seats.iter().enumerate() {
        if !seat.is_active() {
            continue;
        }
        let under_way = is_under_way(seat);
        moving += usize::from(under_way);
        updating += usize::from(under_way || holds_update_back(seat));
        if seat.acted || !seat.is_within_reach() {
            if !seat.acted && seat.standing == Standing::Done && seat.outdated && !paused {
                steps.outdated.push(Step { seat: at, cause: Cause::Updated });
            }
            continue;
        }
        match &seat.leave {
            Some(cause @ Cause::Failed(_)) => steps.failed.push(Step { seat: at, cause: cause.clone() }),
            Some(cause) => {
                let step = Step { seat: at, cause: cause.clone() };
                if under_way { steps.retarget.push(step) } else { steps.leaving.push(step) }
            }
            None if seat.outdated && !paused => {
                let step = Step { seat: at, cause: Cause::Updated };
                if under_way { steps.retarget.push(step) } else { steps.outdated.push(step) }
            }
            None => {}
        }
    }
    steps.outdated.sort_by_key(|step| (serves(&seats[step.seat]), step.seat));
    steps.may_leave = 1_usize.saturating_sub(moving);
    let (parallelism, wait) = parallelism(service, seats, now);
    steps.may_update = parallelism.saturating_sub(updating);
    (steps, wait)
}

/// Whether a slot is between two tasks, or its task is on its way for the first time.
fn is_under_way(seat: &Seat<'_>) -> bool {
    seat.acted || seat.retiring || seat.standing == Standing::Starting
}

/// Whether an update waits for a slot that is not under way: it does not serve, and an update would not mend
/// it.
fn holds_update_back(seat: &Seat<'_>) -> bool {
    match seat.standing {
        Standing::Failing => !seat.outdated,
        Standing::Away => true,
        Standing::Vacant | Standing::Done | Standing::Healthy | Standing::Starting | Standing::Lost(_) => {
            false
        }
    }
}

fn serves(seat: &Seat<'_>) -> bool {
    seat.standing == Standing::Healthy
}

/// How many slots may be under way in an update, and until when none may start because the last has only just
/// arrived.
fn parallelism(service: &Service, seats: &[Seat<'_>], now: Instant) -> (usize, Option<Instant>) {
    let Some(spec) = service.spec() else { return (0, None) };
    let update = &spec.revision.update;
    let limit = match update.parallelism {
        0 => usize::MAX,
        limit => limit as usize,
    };
    if update.delay_ms == 0 {
        return (limit, None);
    }
    let delay = Duration::from_millis(update.delay_ms);
    let mut wait = None;
    for seat in seats.iter().filter(|seat| serves(seat) && !seat.outdated) {
        let updated = seat.current().filter(|current| current.cause == Cause::Updated);
        let task = updated.and_then(|current| seat.fact.latest(&current.assignment));
        if let Some(until) = task.map(|task| task.seen + delay).filter(|until| *until > now) {
            wait = Some(wait.map_or(until, |known: Instant| known.max(until)));
        }
    }
    (if wait.is_some() { 0 } else { limit }, wait)
}
