//! What goes wrong with an engine: by itself, with a probability, or because somebody says so.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sleep_core::{Instant, Now};
use sleep_wire::engine::{EngineError, EngineReport};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, TaskId};

use super::container::{Container, Ears, Ended, Owner};
use super::driver::Step;
use super::{Engine, Moment};

/// How long things take: the least and the most, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paces {
    /// Fetching an image that is not here.
    pub pull_ms: (u32, u32),
    /// Creating a container.
    pub create_ms: (u32, u32),
    /// Starting it.
    pub start_ms: (u32, u32),
    /// Between a signal and the end of a process that heeds it.
    pub end_ms: (u32, u32),
    /// Removing a container.
    pub remove_ms: (u32, u32),
    /// Looking: lists, pings.
    pub look_ms: (u32, u32),
    /// From a container's end to the event that tells it.
    pub event_ms: (u32, u32),
    /// The driver's deadline for a call.
    pub deadline: Duration,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            pull_ms: (500, 3_000),
            create_ms: (20, 80),
            start_ms: (60, 200),
            end_ms: (1, 100),
            remove_ms: (10, 60),
            look_ms: (2, 20),
            event_ms: (1, 20),
            deadline: Duration::from_secs(30),
        }
    }
}

/// How likely each mishap is, in thousandths. None by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Faults {
    /// A call is not answered in time; half of these are carried out.
    #[serde(skip_serializing_if = "is_zero")]
    pub call_hangs: u16,
    /// No registry has the image, this time.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_image: u16,
    /// A container is created, and the answer is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_lies: u16,
    /// A container does not start.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_fails: u16,
    /// A container starts, and the answer is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_lies: u16,
    /// A stop is answered with an error; half of these are carried out.
    #[serde(skip_serializing_if = "is_zero")]
    pub stop_fails: u16,
    /// A removal is answered with an error; half of these are carried out.
    #[serde(skip_serializing_if = "is_zero")]
    pub remove_fails: u16,
    /// The event of an end is lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub event_lost: u16,
    /// The event of an end comes again, up to 30 s later.
    #[serde(skip_serializing_if = "is_zero")]
    pub event_twice: u16,
    /// A list leaves things out: never the same one more than twice in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub list_partial: u16,
    /// A container ends as soon as it is started.
    #[serde(skip_serializing_if = "is_zero")]
    pub exits_at_once: u16,
    /// A container ends by itself within a minute.
    #[serde(skip_serializing_if = "is_zero")]
    pub exits_soon: u16,
    /// The kernel ends a container for its memory within a minute.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_of_memory: u16,
    /// A container's first process cannot hear a signal.
    #[serde(skip_serializing_if = "is_zero")]
    pub deaf: u16,
    /// A container's first process hears the signal and goes on.
    #[serde(skip_serializing_if = "is_zero")]
    pub stubborn: u16,
}

const fn is_zero(value: &u16) -> bool {
    *value == 0
}

/// What of an engine's containers is left when it has restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survivors {
    /// All run on.
    Running,
    /// All are there; none runs.
    Ended,
    /// None is there.
    None,
}

/// SplitMix64 (Steele, Lea, Flood 2014): a stream of its own for each purpose.
#[derive(Clone, Debug)]
pub(super) struct Stream(u64);

impl Stream {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether a mishap of that probability, in thousandths, happens. Draws whatever the probability is.
    pub(super) const fn hits(&mut self, permille: u16) -> bool {
        self.next() % 1000 < permille as u64
    }

    /// A time between two, in milliseconds, both included.
    pub(super) fn between(&mut self, (least, most): (u32, u32)) -> Duration {
        let span = u64::from(most.saturating_sub(least)) * 1_000 + 1;
        Duration::from_millis(u64::from(least)) + Duration::from_micros(self.next() % span)
    }
}

impl Engine {
    /// Nothing is answered for a while: calls time out, lists never return. The driver says so.
    pub fn hang(&mut self, now: Now, time: Duration) {
        self.hung_until = self.hung_until.max(now.instant + time);
        self.push(now.instant, Moment::Look(self.life));
    }

    /// Whether a container is being started.
    pub fn is_starting(&self) -> bool {
        self.queue.values().any(|moment| matches!(moment, Moment::Step(_, Step::Run(..))))
    }

    /// When it answers again, if it does not.
    pub fn well_at(&self) -> Instant {
        self.blocked_until()
    }

    /// The engine restarts, and its socket is gone for a while. Whatever was under way comes to nothing, but
    /// for half of the starts where containers run on.
    pub fn restart(&mut self, now: Now, down: Duration, survivors: Survivors) {
        self.down_until = self.down_until.max(now.instant + down);
        self.hung_until = self.hung_until.min(now.instant);
        let calls: Vec<_> =
            self.queue.iter().filter(|(_, moment)| is_call(moment)).map(|(key, _)| *key).collect();
        for moment in calls.into_iter().filter_map(|key| self.queue.remove(&key)).collect::<Vec<_>>() {
            // It was on its way to the containers' own supervisor.
            if let Moment::Step(_, Step::Run(_, name)) = &moment
                && survivors == Survivors::Running
                && toss(name, 1)
            {
                drop(self.run_now(now.instant, now.wall, name));
            }
            let error = EngineError::Unreachable { message: "connection reset".to_owned() };
            self.break_off(now.instant, moment, error);
        }
        let halts = std::mem::take(&mut self.stopping);
        for halt in halts.into_values() {
            let error = EngineError::Unreachable { message: "connection reset".to_owned() };
            self.tell(now.instant, halt.life, EngineReport::StopFailed { task: halt.task, error });
        }
        if survivors != Survivors::Running {
            for (name, container) in &mut self.containers {
                if container.running() {
                    Self::note_end(&mut self.tally, name, container, Ended::Engine);
                    container.stop(Exit { code: 137, out_of_memory: false });
                }
            }
        }
        if survivors == Survivors::None {
            self.containers.clear();
        }
        self.push(now.instant, Moment::Look(self.life));
    }

    /// A task's container ends by itself.
    pub fn exit(&mut self, now: Now, task: TaskId, exit: Exit) {
        self.end_now(now.instant, task, exit, Ended::Alone);
    }

    /// Somebody kills a task's container by hand.
    pub fn kill_by_hand(&mut self, now: Now, task: TaskId) {
        self.end_now(now.instant, task, Exit { code: 137, out_of_memory: false }, Ended::ByHand);
    }

    /// Somebody removes a task's container by hand, running or not.
    pub fn remove_by_hand(&mut self, now: Now, task: TaskId) {
        let Some(name) = self.name_of(task) else { return };
        if let Some(container) = self.containers.get_mut(&name).filter(|container| container.running()) {
            let exit = Exit { code: 137, out_of_memory: false };
            container.stop(exit);
            Self::note_end(&mut self.tally, &name, container, Ended::ByHand);
            self.event(now.instant, now.wall, &name, task, exit);
        }
        self.containers.remove(&name);
    }

    /// Somebody takes the labels off a task's container.
    pub fn unlabel_by_hand(&mut self, task: TaskId) {
        let Some(name) = self.name_of(task) else { return };
        if let Some(container) = self.containers.get_mut(&name) {
            container.owner = Owner::Foreign;
        }
    }

    /// Somebody runs something of their own, or something that bears a label.
    pub fn run_by_hand(&mut self, now: Now, name: &str, owner: Owner) {
        let container = Container {
            name: name.to_owned(),
            owner,
            runtime: Runtime::Docker,
            since: Some(now.instant),
            exit: None,
            started_at: Some(now.wall),
            ports: Vec::new(),
            ears: Ears::Quick,
            run: 0,
            hidden: 0,
        };
        self.containers.insert(name.to_owned(), container);
    }

    /// The driver looks at the engine: it says when it falls ill, and when it is well again.
    pub(super) fn look(&mut self, at: Instant, life: u64) {
        let until = self.blocked_until();
        let ill = at < until;
        if ill {
            self.push(until, Moment::Look(life));
        }
        if ill == self.ill {
            return;
        }
        self.ill = ill;
        for runtime in self.runtimes.clone() {
            let report = if ill {
                let error = EngineError::TimedOut { call: "ping" };
                EngineReport::Ill { runtime, error }
            } else {
                self.well(runtime)
            };
            let at = self.later(at, self.paces.look_ms);
            self.tell(at, life, report);
        }
    }

    fn end_now(&mut self, now: Instant, task: TaskId, exit: Exit, why: Ended) {
        let Some(name) = self.name_of(task) else { return };
        let run = self.containers.get(&name).map_or(0, |container| container.run);
        self.push(now, Moment::End { container: name, run, exit, why, by: None });
    }

    fn name_of(&self, task: TaskId) -> Option<String> {
        self.containers
            .values()
            .find(|container| container.task() == Some(task))
            .map(|found| found.name.clone())
    }

    /// A call that reaches an engine which does not answer: it waits, for as long as its driver does.
    pub(super) fn stall(&mut self, at: Instant, moment: Moment) {
        if self.hung_until.since(at) <= self.paces.deadline {
            return self.push(self.hung_until, moment);
        }
        let error = EngineError::TimedOut { call: "call" };
        self.break_off(at + self.paces.deadline, moment, error);
    }

    /// A call that comes to nothing.
    fn break_off(&mut self, at: Instant, moment: Moment, error: EngineError) {
        let (life, report) = match moment {
            Moment::Step(life, step) => (life, EngineReport::StartFailed { task: step.task(), error }),
            Moment::Remove(life, task, _) => (life, EngineReport::RemoveFailed { task, error }),
            Moment::List(life, runtime) => (life, EngineReport::ListFailed { runtime, error }),
            Moment::Tell(..) | Moment::End { .. } | Moment::Look(_) => return,
        };
        self.tell(at, life, report);
    }
}

/// Coins that every container brings along, so that no stream has to be asked.
pub(super) fn toss(name: &str, coin: u32) -> bool {
    name.bytes().fold(0, u8::wrapping_add) >> coin & 1 == 1
}

pub(super) const fn is_call(moment: &Moment) -> bool {
    match moment {
        Moment::Step(..) | Moment::Remove(..) | Moment::List(..) => true,
        Moment::Tell(..) | Moment::End { .. } | Moment::Look(_) => false,
    }
}
