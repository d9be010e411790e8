//! The last few tasks of a slot, as this node has published them.

use alloc::vec::Vec;

use sleep_wire::Stamp;
use sleep_wire::key::ObservedKey;
use sleep_wire::task::{TaskId, TaskState, TaskStatus};

const PLACES: usize = ObservedKey::HISTORY as usize;

/// What was published of a slot's tasks, by place.
///
/// Places are taken in turn, past those whose task is not over: a task in a crash loop must not hide one that
/// runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    places: [Option<TaskStatus>; PLACES],
    next: usize,
}

impl History {
    /// Puts back what was published before the agent restarted.
    pub(crate) fn recover(&mut self, place: u8, status: TaskStatus) {
        let Some(slot) = self.places.get_mut(usize::from(place)) else { return };
        *slot = Some(status);
        let newest = |(_, status): &(usize, &TaskStatus)| status.task;
        let known = self.places.iter().enumerate().filter_map(|(at, status)| Some((at, status.as_ref()?)));
        self.next = known.max_by_key(newest).map_or(0, |(at, _)| (at + 1) % PLACES);
    }

    /// Takes the next place for a task; `None` if all are taken by tasks that are not over.
    pub(crate) fn take(&mut self) -> Option<u8> {
        let free = |at: &usize| self.places[*at].as_ref().is_none_or(|status| status.state.is_over());
        let place = (0..PLACES).map(|step| (self.next + step) % PLACES).find(free)?;
        self.next = (place + 1) % PLACES;
        u8::try_from(place).ok()
    }

    /// All that was published and is remembered.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u8, &TaskStatus)> {
        (0_u8..).zip(&self.places).filter_map(|(place, status)| Some((place, status.as_ref()?)))
    }

    /// What was published at a place.
    pub(crate) fn at(&self, place: u8) -> Option<&TaskStatus> {
        self.places.get(usize::from(place))?.as_ref()
    }

    /// Notes what is published at a place.
    pub(crate) fn put(&mut self, place: u8, status: TaskStatus) {
        if let Some(slot) = self.places.get_mut(usize::from(place)) {
            *slot = Some(status);
        }
    }

    /// The state of the newest attempt at an assignment, if it is remembered.
    pub(crate) fn state_of(&self, assignment: &Stamp) -> Option<TaskState> {
        self.newest_of(assignment).map(|(_, status)| status.state)
    }

    /// The newest attempt at an assignment with its place, if it is remembered.
    pub(crate) fn newest_of(&self, assignment: &Stamp) -> Option<(u8, &TaskStatus)> {
        self.newest().find(|(_, status)| status.task.assignment == *assignment)
    }

    /// The attempts at an assignment that are remembered, oldest first.
    pub(crate) fn attempts(&self, assignment: &Stamp) -> Vec<&TaskStatus> {
        let of_it = self.places.iter().flatten().filter(|status| status.task.assignment == *assignment);
        let mut attempts: Vec<&TaskStatus> = of_it.collect();
        attempts.sort_by_key(|status| status.task.attempt);
        attempts
    }

    /// The newest attempt at every assignment that is remembered, with its place.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (u8, &TaskStatus)> {
        self.all().filter(|(_, status)| {
            let TaskId { assignment, attempt } = status.task;
            let no_later =
                |other: &TaskStatus| other.task.assignment != assignment || other.task.attempt <= attempt;
            self.places.iter().flatten().all(no_later)
        })
    }
}

#[cfg(test)]
mod tests {
    use sleep_wire::{RevisionId, WallTime};

    use super::*;

    fn status(counter: u64, attempt: u32, state: TaskState) -> TaskStatus {
        let assignment = Stamp::Lease { epoch: sleep_wire::Epoch::ZERO, counter };
        TaskStatus::new(TaskId { assignment, attempt }, RevisionId([0; 16]), state, WallTime(0))
    }

    #[test]
    fn places_are_taken_in_turn_past_tasks_that_are_not_over() {
        let mut history = History::default();
        let mut taken = Vec::new();
        for attempt in 1..=8 {
            let place = history.take().expect("one place is free");
            let state = if place == 1 { TaskState::Running } else { TaskState::Failed };
            history.put(place, status(1, attempt, state));
            taken.push(place);
        }
        assert_eq!(taken, [0, 1, 2, 3, 4, 0, 2, 3]);
    }

    #[test]
    fn no_place_is_free_while_all_tasks_go_on() {
        let mut history = History::default();
        for counter in 0..5 {
            let place = history.take().expect("one place is free");
            history.put(place, status(counter, 1, TaskState::Running));
        }
        assert_eq!(history.take(), None);
    }

    #[test]
    fn a_recovered_history_goes_on_after_its_newest_task() {
        let mut history = History::default();
        history.recover(0, status(2, 3, TaskState::Failed));
        history.recover(3, status(2, 1, TaskState::Failed));
        history.recover(4, status(2, 2, TaskState::Failed));
        assert_eq!(history.take(), Some(1));
        let places: Vec<u8> = history.newest().map(|(place, _)| place).collect();
        assert_eq!(
            (places, history.state_of(&status(2, 0, TaskState::Failed).task.assignment)),
            (alloc::vec![0], Some(TaskState::Failed))
        );
    }
}
