//! What a list of a runtime says, and what it does not.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::Stamp;
use sleep_wire::engine::Found;
use sleep_wire::spec::Runtime;
use sleep_wire::task::{TaskId, TaskLabel, TaskState};

use super::desired::StopCause;
use super::engine::{Engine, MISSES, SOON, words};
use super::leftover::Leftover;
use super::report::end_words;
use super::restart::{CAP, PREPARE_AGAIN, again_after};
use super::task::{Attempt, Step};
use super::{Novelty, Reconcile, ReconcileOutput, publish_one};
use crate::mutant::{Mutant, is_sown};
use crate::time::Now;

/// One list, while it is read.
struct Reading {
    runtime: Runtime,
    /// What this node did or learned in a later turn is not its subject. (Within a turn, lists are asked for
    /// last.)
    asked: u64,
}

impl Reconcile {
    pub(crate) fn listed(&mut self, now: Now, runtime: Runtime, found: Vec<Found>, images: Vec<String>) {
        let every = self.limits.list_every;
        let engine = self.engines.entry(runtime).or_insert_with(|| Engine::new(now.instant));
        let before = (engine.health.clone(), engine.is_listed());
        let Some(asked) = engine.list_came(now.instant, every, &mut self.dice) else { return };
        if before != (engine.health.clone(), engine.is_listed()) {
            self.outputs.push_back(ReconcileOutput::RuntimesChanged);
        }
        if engine.images != images {
            engine.images = images;
            self.outputs.push_back(ReconcileOutput::ImagesChanged);
        }
        if found.iter().filter_map(|f| f.label.as_ref()).any(|label| label.node == self.me) {
            engine.finds_own();
        }
        let unreadable = found.iter().filter(|f| f.label.is_none()).map(|f| f.container.clone());
        engine.unreadable = unreadable.collect();
        let reading = Reading { runtime, asked };
        let mut seen = BTreeSet::new();
        for found in found {
            let Some(label) = found.label.clone() else { continue };
            let is_others = label.node != self.me && !self.removed_nodes.contains(&label.node);
            if is_others && !is_sown(Mutant::ClearsOthers) {
                continue;
            }
            // A second container under one name of ours is somebody's copy: it is not looked at.
            if !seen.insert(label.task) {
                continue;
            }
            if label.node == self.me {
                self.found_own(now, &reading, &label, found);
            } else {
                self.found_left(now, &reading, label.task, found, StopCause::NodeRemoved);
            }
        }
        self.missing(now, &reading, &seen);
    }

    fn found_own(&mut self, now: Now, reading: &Reading, label: &TaskLabel, found: Found) {
        let id = label.task;
        if is_sown(Mutant::NoAdoption) {
            return;
        }
        if is_sown(Mutant::StopsWhatItFinds) && reading.asked <= 1 {
            return self.found_left(now, reading, id, found, StopCause::Superseded);
        }
        let told = self.slots.get(&label.slot).and_then(|slot| slot.history.newest_of(&id.assignment));
        let is_over = told.is_some_and(|(_, told)| told.task.attempt >= id.attempt && told.state.is_over());
        match self.tasks.get(&id.assignment) {
            // Of a slot that it does not belong to: nothing of ours bears such a label.
            Some(task) if task.slot != label.slot => return,
            Some(task) if id.attempt < task.attempt.number => {
                return self.found_left(now, reading, id, found, StopCause::Superseded);
            }
            Some(task) if id.attempt > task.attempt.number => self.skip_to(now, label),
            Some(_) => {}
            None if is_over => {
                return self.found_left(now, reading, id, found, StopCause::Superseded);
            }
            None => {
                if !self.remember(now, label) {
                    return;
                }
            }
        }
        self.found_newest(now, reading, label, found);
    }

    /// An attempt that was begun and never published is the newest one.
    fn skip_to(&mut self, now: Now, label: &TaskLabel) {
        let turn = self.turn;
        let Some(task) = self.tasks.get_mut(&label.task.assignment) else { return };
        let Some(state) = self.slots.get_mut(&label.slot) else { return };
        if !task.is_over() {
            task.end(now, turn, None, String::from("its end was not recorded"));
        }
        publish_one(now, task, &mut state.history, Novelty::State, &mut self.outputs);
        let Some(place) = state.history.take() else { return };
        task.attempt = Attempt::new(now, label.task.attempt, place, now.instant);
        task.attempt.doubt(0, None);
    }

    fn found_newest(&mut self, now: Now, reading: &Reading, label: &TaskLabel, found: Found) {
        let (id, turn) = (label.task, self.turn);
        let Some(task) = self.tasks.get_mut(&id.assignment).filter(|task| task.id() == id) else { return };
        task.runtime = Some(reading.runtime);
        if task.is_over() {
            return self.found_left(now, reading, id, found, StopCause::Superseded);
        }
        let attempt = &mut task.attempt;
        if attempt.changed > reading.asked {
            return;
        }
        if !found.image_digest.is_empty() {
            attempt.image_digest.clone_from(&found.image_digest);
        }
        attempt.container.clone_from(&found.container);
        if found.running {
            attempt.health = found.health;
            attempt.clear_misses();
            if !attempt.is_up() {
                task.up(now, turn, found.started_at);
            }
            return;
        }
        if found.exit.is_some() || found.started_at.is_some() {
            attempt.keep_lines(&found.last_lines);
            attempt.started_at = attempt.started_at.or(found.started_at);
            let why = task.stop.map_or_else(|| end_words(found.exit), |cause| String::from(cause.words()));
            task.end(now, turn, found.exit, why);
            return self.leave_behind(now, id);
        }
        self.found_created(now, reading, id, found.container);
    }

    /// It exists and never ran.
    fn found_created(&mut self, now: Now, reading: &Reading, id: TaskId, container: String) {
        let turn = self.turn;
        let Some(task) = self.tasks.get_mut(&id.assignment) else { return };
        match task.attempt.step.clone() {
            Step::Asked { .. } | Step::Over { .. } => return,
            Step::Doubtful { error: Some(error), .. } => {
                if task.stop.is_none() {
                    task.attempt.message = words(&error);
                }
                return self.failed_to_start(now, id);
            }
            Step::Doubtful { .. } if task.stop.is_some() => return self.failed_to_start(now, id),
            Step::Up { .. } | Step::Halting { .. } => return self.failed_to_start(now, id),
            Step::Doubtful { tries, error: None, .. } => {
                let wait = self.dice.lengthen(again_after(PREPARE_AGAIN, tries, CAP));
                task.attempt.step = Step::Waiting { until: now.instant + wait, tries };
                task.attempt.changed = turn;
            }
            Step::Waiting { .. } => {}
        }
        // It bears the name that the next try needs.
        let left = Leftover::new(container, reading.runtime, false, now.instant, turn);
        self.leftovers.entry(id).or_insert(left);
    }

    /// A container that is no task's newest attempt.
    fn found_left(&mut self, now: Now, reading: &Reading, id: TaskId, found: Found, cause: StopCause) {
        let ran = found.started_at.is_some() || found.exit.is_some();
        let over_since = self.tasks.get(&id.assignment).filter(|task| task.id() == id);
        if over_since.is_some_and(|task| task.attempt.changed > reading.asked) {
            return;
        }
        let new = Leftover::new(found.container, reading.runtime, ran, now.instant, 0);
        let left = self.leftovers.entry(id).or_insert(new);
        if left.changed <= reading.asked {
            left.seen(found.running, cause);
        }
    }

    /// What a list does not mention.
    fn missing(&mut self, now: Now, reading: &Reading, seen: &BTreeSet<TaskId>) {
        let mut doubts = self.engines.get(&reading.runtime).is_some_and(Engine::may_hide);
        self.leftovers.retain(|id, left| {
            let told = seen.contains(id) || left.runtime != reading.runtime || left.changed > reading.asked;
            let kept = told || left.missed();
            doubts |= kept && !told;
            kept
        });
        let all_listed = self.engines.values().all(Engine::is_listed);
        let assignments: Vec<Stamp> = self.tasks.keys().copied().collect();
        for assignment in assignments {
            let Some(task) = self.tasks.get(&assignment) else { continue };
            let concerned = self.runtime_of(task).map_or(all_listed, |runtime| runtime == reading.runtime);
            let told = seen.contains(&task.id()) || task.attempt.changed > reading.asked;
            if concerned && !told {
                doubts |= self.missed(now, &assignment);
            }
        }
        if doubts {
            self.want_list(Some(reading.runtime), now.instant + SOON);
        }
    }

    /// A list lacks a task's newest attempt. Whether the next list is to look again soon.
    fn missed(&mut self, now: Now, assignment: &Stamp) -> bool {
        let turn = self.turn;
        let Some(slot) = self.tasks.get(assignment).map(|task| task.slot) else { return false };
        let wanted = self.desired(&slot).is_none_or(|desired| desired.may_repeat(assignment));
        let Some(task) = self.tasks.get_mut(assignment) else { return false };
        let never_ran = task.attempt.state() < TaskState::Running;
        match &mut task.attempt.step {
            Step::Waiting { .. } | Step::Asked { .. } | Step::Over { .. } => return false,
            // The next try bears the same name: the engine itself refuses to run it twice.
            Step::Doubtful { tries, error: None, .. } if never_ran && wanted => {
                let tries = *tries;
                let wait = self.dice.lengthen(again_after(PREPARE_AGAIN, tries, CAP));
                task.attempt.step = Step::Waiting { until: now.instant + wait, tries };
                task.attempt.unsure = true;
                task.attempt.changed = turn;
                return false;
            }
            Step::Doubtful { misses, .. } | Step::Up { misses } | Step::Halting { misses, .. } => {
                *misses = misses.saturating_add(1);
                if *misses < MISSES && !is_sown(Mutant::MissedOnceIsDead) {
                    return true;
                }
            }
        }
        if let Step::Doubtful { error: Some(error), .. } = &task.attempt.step
            && never_ran
            && wanted
            && task.stop.is_none()
        {
            // The engine refused, and nothing came of it.
            task.attempt.message = words(error);
            let id = task.id();
            self.failed_to_start(now, id);
            return false;
        }
        if never_ran && task.stop.is_none() {
            task.abandon(now, turn);
        } else {
            let why = task.stop.map_or_else(|| end_words(None), |cause| String::from(cause.words()));
            task.end(now, turn, None, why);
        }
        false
    }
}
