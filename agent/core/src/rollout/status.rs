//! How far an update has come, and whether its failures stop it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::spec::OnFailure;
use sleep_wire::task::TaskState;

use super::seat::Seat;
use crate::placement::service::Service;

/// How far an update has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStatus {
    /// Every task is of the present revision.
    Idle,
    /// Some are not yet.
    Updating {
        /// How many slots have the present revision.
        updated: u32,
        /// How many slots have a task.
        of: u32,
    },
    /// Too many tasks of the present revision failed; the other slots keep what they have.
    Paused {
        /// How many slots have the present revision.
        updated: u32,
        /// How many slots have a task.
        of: u32,
        /// The slots whose tasks of the present revision failed.
        failed: Vec<SlotName>,
    },
}

/// How far an update has come.
pub(crate) fn status(service: &Service, seats: &[Seat<'_>]) -> RolloutStatus {
    let count = |wanted: &dyn Fn(&&Seat<'_>) -> bool| {
        u32::try_from(seats.iter().filter(wanted).count()).unwrap_or(u32::MAX)
    };
    let of = count(&|seat| seat.is_active());
    let updated = count(&|seat| seat.is_active() && !seat.outdated);
    match paused_by(service, seats) {
        _ if updated == of => RolloutStatus::Idle,
        Some(failed) => RolloutStatus::Paused { updated, of, failed },
        None => RolloutStatus::Updating { updated, of },
    }
}

/// The slots whose failures stop the update; `None` if they do not, or if none is under way.
///
/// A failure is a task of the present revision that could not be started, or ended badly within the time for
/// which the update policy watches it. [`OnFailure::Rollback`] stops here too: to go back is a new revision,
/// for others to write.
pub(crate) fn paused_by(service: &Service, seats: &[Seat<'_>]) -> Option<Vec<SlotName>> {
    let update = &service.spec()?.revision.update;
    match update.on_failure {
        OnFailure::Continue => return None,
        OnFailure::Pause | OnFailure::Rollback => {}
    }
    if !seats.iter().any(|seat| seat.outdated) {
        return None;
    }
    let mut failed = BTreeSet::new();
    for seat in seats {
        let counts = seat.fact.tasks.iter().any(|task| {
            task.revision == service.fact.revision
                && task.state == TaskState::Failed
                && (!task.started || task.running_for_ms < update.monitor_ms.max(1))
        });
        if counts {
            failed.insert(seat.name);
        }
    }
    let of = seats.iter().filter(|seat| seat.is_active()).count() as u64;
    let allowed = of.saturating_mul(u64::from(update.max_failure_permille)) / 1000;
    (failed.len() as u64 > allowed).then(|| failed.into_iter().collect())
}
