//! What is known of one runtime, and when it is next asked for everything that it has.
//!
//! A list speaks for the moment at which it was asked for, at the latest: whatever this node learned or did
//! after that is not its subject. What a list does not mention is not gone before [`MISSES`] lists in a row
//! lack it. That holds from the first list on: where an agent has a past, its engine may have what its disk
//! does not tell of (the disk may be older), and the first list may lack just that.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::engine::EngineError;

use super::restart::{Dice, again_after};
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;
use crate::validate::canonical;

/// How many lists in a row must lack a container that ran before it is gone: one may be incomplete.
pub(crate) const MISSES: u8 = 3;
/// How long after a list that left a doubt the next is asked for.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// How long a list may take before it counts as lost: beyond any driver's own deadline.
const LIST_PATIENCE: Duration = Duration::from_secs(60);
/// How many lists must fail in a row before a runtime that said nothing of itself counts as ill.
const FAILURES: u32 = 3;

/// How a runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeHealth {
    /// It has not answered yet.
    Unknown,
    /// It answers.
    Well,
    /// It does not, or with errors only: it gets no new work.
    Ill(EngineError),
}

/// One runtime of this node.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) health: RuntimeHealth,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) images: Vec<String>,
    pub(crate) unreadable: Vec<String>,
    /// How many lists came since the agent started, up to [`MISSES`].
    lists: u8,
    /// Whether earlier lives of this agent may have left something on it.
    has_past: bool,
    /// When the list under way is overdue.
    asked: Option<Instant>,
    /// The turn for which the next answer speaks.
    asked_turn: u64,
    /// Whether every list asked for was answered: if not, the next answer may be an older one's.
    answered: bool,
    ill_turn: u64,
    next: Instant,
    failures: u32,
}

impl Engine {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            health: RuntimeHealth::Unknown,
            id: String::new(),
            version: String::new(),
            images: Vec::new(),
            unreadable: Vec::new(),
            lists: 0,
            has_past: false,
            asked: None,
            asked_turn: 0,
            answered: true,
            ill_turn: 0,
            next: now,
            failures: 0,
        }
    }

    /// Earlier lives of this agent may have left something on it, which they need not have told of.
    pub(crate) const fn note_past(&mut self) {
        self.has_past = true;
    }

    /// A list shows what is this node's: if it is the first, then earlier lives left it.
    pub(crate) const fn finds_own(&mut self) {
        self.has_past |= self.lists == 1;
    }

    /// Whether it was listed since the agent started.
    pub(crate) const fn is_listed(&self) -> bool {
        self.lists > 0
    }

    /// Whether it may have what no list has shown.
    pub(crate) fn may_hide(&self) -> bool {
        self.has_past && self.lists < MISSES && !is_sown(Mutant::FirstListIsAll)
    }

    /// Whether what no list has shown is not there.
    pub(crate) fn has_shown_all(&self) -> bool {
        self.is_listed() && !self.may_hide()
    }

    /// Whether it cannot be looked at.
    pub(crate) const fn is_ill(&self) -> bool {
        matches!(self.health, RuntimeHealth::Ill(_))
    }

    /// Whether it needs to fetch nothing to run this image; none is a plain command's.
    pub(crate) fn holds(&self, image: &str) -> bool {
        image.is_empty() || self.images.iter().any(|known| canonical(known) == canonical(image))
    }

    /// Whether new work may be given to it: what it has must be known before.
    pub(crate) fn takes_work(&self) -> bool {
        self.has_shown_all() && !self.is_ill()
    }

    /// Whether it is to be listed now; it then counts as asked.
    pub(crate) fn ask(&mut self, now: Instant, turn: u64) -> bool {
        if self.asked.is_some() || now < self.next {
            return false;
        }
        self.asked = Some(now + LIST_PATIENCE);
        if self.answered {
            self.asked_turn = turn;
        }
        self.answered = false;
        true
    }

    /// Asks for a list no later than at `at`.
    pub(crate) fn want(&mut self, at: Instant) {
        self.next = self.next.min(at);
    }

    /// Whether the list under way is overdue; it then counts as failed.
    pub(crate) fn overdue(&mut self, now: Instant, dice: &mut Dice) -> bool {
        if self.asked.is_none_or(|by| now < by) {
            return false;
        }
        self.list_failed(now, EngineError::TimedOut { call: "list" }, dice);
        self.answered = false;
        true
    }

    pub(crate) fn list_failed(&mut self, now: Instant, error: EngineError, dice: &mut Dice) {
        self.asked = None;
        self.answered = true;
        self.failures = self.failures.saturating_add(1);
        self.next = now + dice.lengthen(again_after(SOON, self.failures, Duration::from_secs(10)));
        if self.failures >= FAILURES && !self.is_ill() {
            self.health = RuntimeHealth::Ill(error);
        }
    }

    /// A list has come: the turn for which it speaks; `None` if nobody asked for it.
    pub(crate) fn list_came(&mut self, now: Instant, every: Duration, dice: &mut Dice) -> Option<u64> {
        self.asked.take()?;
        self.answered = true;
        self.failures = 0;
        self.lists = self.lists.saturating_add(1).min(MISSES);
        self.next = now + dice.lengthen(every);
        // What it says of itself after it was asked is newer than its answer.
        if self.ill_turn < self.asked_turn || self.health == RuntimeHealth::Unknown {
            self.health = RuntimeHealth::Well;
        }
        Some(self.asked_turn)
    }

    pub(crate) fn well(&mut self, now: Instant, id: String, version: String) {
        if self.is_ill() {
            self.want(now);
        }
        self.health = RuntimeHealth::Well;
        self.id = id;
        self.version = version;
    }

    pub(crate) fn ill(&mut self, turn: u64, error: EngineError) {
        self.health = RuntimeHealth::Ill(error);
        self.ill_turn = turn;
    }

    pub(crate) fn next_wake(&self) -> Instant {
        self.asked.unwrap_or(self.next)
    }
}

/// What went wrong, in words.
pub(crate) fn words(error: &EngineError) -> String {
    match error {
        EngineError::TimedOut { call } => alloc::format!("the engine did not answer in time ({call})"),
        EngineError::Unreachable { message } => alloc::format!("the engine cannot be reached: {message}"),
        EngineError::NoSuchImage { image } => alloc::format!("no such image: {image}"),
        EngineError::PortTaken { message } => alloc::format!("a port is taken: {message}"),
        EngineError::NameTaken { name } => {
            alloc::format!("the name {name} is taken by something that is not this task")
        }
        EngineError::Cancelled => String::from("it was given up before it started"),
        EngineError::NoSuchContainer => String::from("its runtime knows nothing of it"),
        EngineError::BadCommand { message } => alloc::format!("the command cannot be run: {message}"),
        EngineError::Other { message } => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    #[test]
    fn a_list_that_nobody_asked_for_says_nothing() {
        let (mut engine, mut dice) = (Engine::new(at(0)), Dice::new(1));
        assert_eq!(engine.list_came(at(0), EVERY, &mut dice), None);
        assert!(!engine.takes_work());
        assert!(engine.ask(at(0), 7) && !engine.ask(at(0), 8));
        assert_eq!(engine.list_came(at(1), EVERY, &mut dice), Some(7));
        assert!(engine.takes_work());
    }

    #[test]
    fn after_a_lost_list_the_next_answer_may_be_the_older_one() {
        let (mut engine, mut dice) = (Engine::new(at(0)), Dice::new(1));
        assert!(engine.ask(at(0), 7));
        assert!(engine.overdue(at(60), &mut dice));
        assert!(engine.ask(at(70), 9));
        assert_eq!(engine.list_came(at(71), EVERY, &mut dice), Some(7));
        assert!(engine.ask(at(90), 12));
        assert_eq!(engine.list_came(at(91), EVERY, &mut dice), Some(12));
    }

    #[test]
    fn three_failed_lists_make_a_runtime_ill_and_one_answer_makes_it_well() {
        let (mut engine, mut dice) = (Engine::new(at(0)), Dice::new(1));
        let error = || EngineError::TimedOut { call: "list" };
        for (second, ill) in [(0, false), (20, false), (40, true)] {
            assert!(engine.ask(at(second), second));
            engine.list_failed(at(second), error(), &mut dice);
            assert_eq!(matches!(engine.health, RuntimeHealth::Ill(_)), ill);
        }
        assert!(engine.ask(at(60), 60));
        assert_eq!(engine.list_came(at(61), EVERY, &mut dice), Some(60));
        assert_eq!(engine.health, RuntimeHealth::Well);
    }

    #[test]
    fn an_image_is_held_under_each_of_its_names() {
        let mut engine = Engine::new(at(0));
        engine.images = ["busybox:latest", "host:5000/app:1"].map(String::from).into();
        let held = ["busybox", "docker.io/library/busybox:latest", "host:5000/app:1", ""];
        assert_eq!(held.map(|image| engine.holds(image)), [true; 4]);
        assert_eq!(["busybox:1", "app:1", "host:5000/app"].map(|image| engine.holds(image)), [false; 3]);
    }

    #[test]
    fn what_a_runtime_says_of_itself_outlives_an_older_answer() {
        let (mut engine, mut dice) = (Engine::new(at(0)), Dice::new(1));
        assert!(engine.ask(at(0), 3));
        engine.ill(4, EngineError::TimedOut { call: "ping" });
        assert_eq!(engine.list_came(at(1), EVERY, &mut dice), Some(3));
        assert!(!engine.takes_work());
    }
}
