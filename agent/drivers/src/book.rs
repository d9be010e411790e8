//! What a driver remembers of its containers or processes: whose they are, and who waits for their end.
//!
//! ```text
//!            create          Running told
//! (unknown) ───────▶ Starting ──────────▶ Idle ⇄ Stopping
//! ```
//! An end that is seen while its start is still being told is held back, so that a task's reports stay in
//! order. An end that a stop waits for is handed to it. Everything here can be read again from the engine, or
//! from disk.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::WallTime;
use sleep_wire::engine::Found;
use sleep_wire::task::TaskLabel;
use tokio::sync::oneshot;

/// The end of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Died {
    pub(crate) code: i32,
    pub(crate) at: WallTime,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<String, Entry>);

#[derive(Debug, Default)]
struct Entry {
    label: Option<TaskLabel>,
    phase: Phase,
    /// Whether it was said to run, and no end was heard of since.
    runs: bool,
    /// When it ended, if that was told: an end is told once.
    told: Option<WallTime>,
    /// What an inspection found, until an event says that it changed.
    facts: Option<Found>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Starting {
        died: Option<Died>,
        /// Those who want to stop it once it is started.
        waiting: Vec<oneshot::Sender<()>>,
    },
    Stopping(oneshot::Sender<Died>),
}

/// What somebody who wants to stop a container has to wait for.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Its end.
    End(oneshot::Receiver<Died>),
    /// The end of its start: then ask again.
    Start(oneshot::Receiver<()>),
    /// Nothing: somebody else stops it already.
    Taken,
}

/// What is to be done about an end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Report it.
    Tell,
    /// Somebody else will, or has.
    Leave,
}

impl Book {
    fn entry(&mut self, container: &str) -> &mut Entry {
        self.0.entry(container.to_owned()).or_default()
    }

    /// Whose it is, if that was read.
    pub(crate) fn label(&self, container: &str) -> Option<&TaskLabel> {
        self.0.get(container)?.label.as_ref()
    }

    /// Its labels were read, or written.
    pub(crate) fn learn(&mut self, container: &str, label: &TaskLabel) {
        self.entry(container).label = Some(label.clone());
    }

    /// It is about to be started: its end is held back from now on.
    pub(crate) fn starting(&mut self, container: &str) {
        self.entry(container).phase = Phase::Starting { died: None, waiting: Vec::new() };
    }

    /// It is about to be said that it runs; `false` if that was said already.
    pub(crate) fn runs(&mut self, container: &str) -> bool {
        !std::mem::replace(&mut self.entry(container).runs, true)
    }

    /// Whether its start would be news to anybody.
    pub(crate) fn start_is_news(&self, container: &str) -> bool {
        self.0
            .get(container)
            .is_none_or(|entry| !entry.runs && !matches!(entry.phase, Phase::Starting { .. }))
    }

    /// Whether somebody is starting it right now.
    pub(crate) fn is_starting(&self, container: &str) -> bool {
        self.0.get(container).is_some_and(|entry| matches!(entry.phase, Phase::Starting { .. }))
    }

    /// Its start was told, or failed: the end that came meanwhile, if one did.
    pub(crate) fn started(&mut self, container: &str) -> Option<Died> {
        let entry = self.entry(container);
        match std::mem::take(&mut entry.phase) {
            Phase::Starting { died, waiting: _ } => {
                entry.runs &= died.is_none();
                died
            }
            other @ (Phase::Idle | Phase::Stopping(_)) => {
                entry.phase = other;
                None
            }
        }
    }

    /// Somebody is about to stop it.
    pub(crate) fn stopping(&mut self, container: &str) -> Turn {
        let entry = self.entry(container);
        match &mut entry.phase {
            Phase::Idle => {
                let (sender, receiver) = oneshot::channel();
                entry.phase = Phase::Stopping(sender);
                Turn::End(receiver)
            }
            Phase::Starting { died: _, waiting } => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Turn::Start(receiver)
            }
            Phase::Stopping(_) => Turn::Taken,
        }
    }

    /// Nobody stops it any more; its end was told if `at` says when it was.
    pub(crate) fn stopped(&mut self, container: &str, at: Option<WallTime>) {
        let entry = self.entry(container);
        entry.phase = Phase::Idle;
        entry.told = entry.told.max(at);
    }

    /// It ended.
    pub(crate) fn died(&mut self, container: &str, died: Died) -> Verdict {
        let entry = self.entry(container);
        entry.facts = None;
        entry.runs = false;
        let taken = match std::mem::take(&mut entry.phase) {
            Phase::Starting { died: _, waiting } => {
                entry.phase = Phase::Starting { died: Some(died), waiting };
                return Verdict::Leave;
            }
            // A waiter that gave up does not take it.
            Phase::Stopping(waiter) => waiter.send(died).is_ok(),
            Phase::Idle => entry.told.is_some_and(|told| died.at <= told),
        };
        entry.told = entry.told.max(Some(died.at));
        if taken { Verdict::Leave } else { Verdict::Tell }
    }

    /// Something happened to it: what was found before no longer holds.
    pub(crate) fn changed(&mut self, container: &str) {
        if let Some(entry) = self.0.get_mut(container) {
            entry.facts = None;
        }
    }

    /// What an inspection found.
    pub(crate) fn found(&mut self, found: &Found) {
        self.entry(&found.container).facts = Some(found.clone());
    }

    /// What the last inspection found, if it still holds.
    pub(crate) fn facts(&self, container: &str) -> Option<&Found> {
        self.0.get(container)?.facts.as_ref()
    }

    /// Events were missed: nothing that was found before can be relied on.
    pub(crate) fn forget_facts(&mut self) {
        self.0.values_mut().for_each(|entry| entry.facts = None);
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, container: &str) {
        self.0.remove(container);
    }

    /// These are all there are; what somebody is working on stays.
    pub(crate) fn retain(&mut self, there: &BTreeSet<String>) {
        self.0.retain(|container, entry| there.contains(container) || !matches!(entry.phase, Phase::Idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(at: i64) -> Died {
        Died { code: 1, at: WallTime(at) }
    }

    #[test]
    fn an_end_is_told_once_however_often_it_is_heard_of() {
        let mut book = Book::default();
        assert_eq!(book.died("c", died(5)), Verdict::Tell);
        assert_eq!(book.died("c", died(5)), Verdict::Leave);
        assert_eq!(book.died("c", died(9)), Verdict::Tell, "it was started again by hand");
    }

    #[test]
    fn an_end_during_a_start_is_held_back() {
        let mut book = Book::default();
        book.starting("c");
        assert_eq!(book.died("c", died(5)), Verdict::Leave);
        assert_eq!(book.started("c"), Some(died(5)));
        assert_eq!(book.started("c"), None);
    }

    /// An engine tells of every start, and late if it is busy: most are echoes of our own.
    #[test]
    fn a_start_is_news_once() {
        let mut book = Book::default();
        assert!(book.start_is_news("c"));
        book.starting("c");
        assert!(!book.start_is_news("c"));
        assert!(book.runs("c"));
        assert_eq!(book.started("c"), None);
        assert!(!book.start_is_news("c") && !book.runs("c"));
        assert_eq!(book.died("c", died(5)), Verdict::Tell);
        assert!(book.start_is_news("c") && book.runs("c"), "it was started again by hand");
    }

    #[test]
    fn a_stop_waits_for_the_start() {
        let mut book = Book::default();
        book.starting("c");
        let Turn::Start(mut started) = book.stopping("c") else { panic!("it is being started") };
        assert_eq!(started.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(book.started("c"), None);
        assert_eq!(started.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(matches!(book.stopping("c"), Turn::End(_)));
    }

    #[test]
    fn an_end_that_a_stop_waits_for_is_handed_to_it() {
        let mut book = Book::default();
        let Turn::End(mut end) = book.stopping("c") else { panic!("nobody stops it yet") };
        assert!(matches!(book.stopping("c"), Turn::Taken));
        assert_eq!(book.died("c", died(5)), Verdict::Leave);
        assert_eq!(end.try_recv(), Ok(died(5)));
        book.stopped("c", Some(WallTime(5)));
        assert_eq!(book.died("c", died(5)), Verdict::Leave);
    }

    #[test]
    fn an_end_whose_waiter_gave_up_is_told() {
        let mut book = Book::default();
        drop(book.stopping("c"));
        assert_eq!(book.died("c", died(5)), Verdict::Tell);
    }

    #[test]
    fn a_list_forgets_what_is_gone_but_not_what_is_under_way() {
        let mut book = Book::default();
        book.changed("a");
        book.starting("b");
        assert_eq!(book.died("c", died(1)), Verdict::Tell);
        book.retain(&BTreeSet::new());
        assert_eq!(book.0.keys().map(String::as_str).collect::<Vec<_>>(), ["b"]);
    }
}
