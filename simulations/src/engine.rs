//! What a host's container engine, and the driver in front of it, do with what a node asks of them.
//!
//! ```text
//! apply ─▶ driver: image ─▶ create ─▶ run      ┐      ┌─▶ poll: reports
//!          driver: signal ─▶ grace ─▶ kill     ├─ at ─┤
//!          driver: remove · list               ┘      └─▶ containers change
//! ```
//! Time passes only between calls: everything is a queue of moments. What lasts how long, and what goes
//! wrong, is drawn from two streams of its own seed, so that a new fault shifts no delay.
//!
//! # What the checks read
//! - `hands_off`: [`Engine::touches`], every attempt to stop or remove what is not this cluster's and this
//!   node's.
//! - `control_plane_is_harmless`, `heal_keeps_original`: [`Engine::tally`], what was started and ended, and
//!   how.
//! - `retired_by_name`: [`Ended::Told`] in the same, and the time of it.
//!
//! # Not here
//! Which containers are to run: the core. When a fault happens: whoever calls the methods named after them.

mod container;
mod driver;
mod fault;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sleep_core::{Instant, Now};
use sleep_wire::engine::{EngineAction, EngineError, EngineReport};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, TaskId};
use sleep_wire::{ClusterId, NodeId, WallTime};

pub use container::{Container, Ended, Owner, Tally, Touch};
pub use fault::{Faults, Paces, Survivors};

use container::Ears;
use fault::{Stream, is_call};

/// A container engine with its driver.
#[derive(Clone, Debug)]
pub struct Engine {
    node: NodeId,
    cluster: Option<ClusterId>,
    runtimes: BTreeSet<Runtime>,
    paces: Paces,
    faults: Faults,
    delays: Stream,
    mishaps: Stream,
    containers: BTreeMap<String, Container>,
    images: BTreeSet<String>,
    queue: BTreeMap<(Instant, u64), Moment>,
    sequence: u64,
    /// Whether an agent is there to hear anything.
    attached: bool,
    /// Counts the agent's lives: an answer to an earlier one is heard by nobody.
    life: u64,
    /// Starts that are given up as soon as the call under way is answered.
    given_up: BTreeSet<TaskId>,
    /// Stops that wait for a container's end.
    stopping: BTreeMap<String, Halt>,
    hung_until: Instant,
    down_until: Instant,
    ill: bool,
    touches: Vec<Touch>,
    tally: BTreeMap<TaskId, Tally>,
}

/// A stop under way.
#[derive(Clone, Debug)]
struct Halt {
    task: TaskId,
    life: u64,
    deaf: bool,
}

/// Something that happens at a moment.
#[derive(Clone, Debug)]
enum Moment {
    /// The driver tells the agent of that life.
    Tell(u64, Box<EngineReport>),
    /// The driver of that life has come to this point of a start.
    Step(u64, driver::Step),
    /// A run ends: if `by` is given, only while the driver of that life is there to end it.
    End { container: String, run: u64, exit: Exit, why: Ended, by: Option<u64> },
    /// A removal reaches the engine.
    Remove(u64, TaskId, String),
    /// A list reaches the engine.
    List(u64, Runtime),
    /// The driver looks whether the engine answers.
    Look(u64),
}

impl Engine {
    /// An engine that has nothing, and whose agent has not started: see [`Engine::start_agent`].
    pub fn new(seed: u64, node: NodeId, runtimes: impl IntoIterator<Item = Runtime>) -> Self {
        Self {
            node,
            cluster: None,
            runtimes: runtimes.into_iter().collect(),
            paces: Paces::default(),
            faults: Faults::default(),
            delays: Stream::new(seed),
            mishaps: Stream::new(seed ^ 0x6d69_7368_6170),
            containers: BTreeMap::new(),
            images: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            attached: false,
            life: 0,
            given_up: BTreeSet::new(),
            stopping: BTreeMap::new(),
            hung_until: Instant::default(),
            down_until: Instant::default(),
            ill: false,
            touches: Vec::new(),
            tally: BTreeMap::new(),
        }
    }

    /// The cluster whose containers are listed from now on.
    pub fn set_cluster(&mut self, cluster: Option<ClusterId>) {
        self.cluster = cluster;
    }

    /// Whose containers are this agent's from now on.
    pub fn set_node(&mut self, node: NodeId) {
        self.node = node;
    }

    /// How likely what goes wrong by itself is from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// How long things take from now on.
    pub fn set_paces(&mut self, paces: Paces) {
        self.paces = paces;
    }

    /// Carries out one action, later. An agent that asks has started.
    pub fn apply(&mut self, now: Now, action: EngineAction) {
        if !self.attached {
            self.start_agent(now);
        }
        if let Some(error) = self.unanswered(now.instant, &action) {
            return self.fail(now.instant, action, error);
        }
        match action {
            EngineAction::Start(launch) => self.begin_start(now.instant, launch),
            EngineAction::Cancel { runtime: _, task } => self.cancel(now.instant, task),
            EngineAction::Stop { runtime: _, task, container, signal: _, grace_ms } => {
                self.begin_stop(now.instant, task, container, Duration::from_millis(grace_ms));
            }
            EngineAction::Remove { runtime: _, task, container } => {
                let at = self.later(now.instant, self.paces.remove_ms);
                self.push(at, Moment::Remove(self.life, task, container));
            }
            EngineAction::List { runtime } => {
                let at = self.later(now.instant, self.paces.look_ms);
                self.push(at, Moment::List(self.life, runtime));
            }
        }
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets everything happen that is due, up to the first report. To be called until it has none.
    pub fn poll(&mut self, now: Now) -> Option<EngineReport> {
        while self.next_at().is_some_and(|at| at <= now.instant) {
            let ((at, _), moment) = self.queue.pop_first()?;
            if at < self.hung_until && is_call(&moment) {
                self.stall(at, moment);
                continue;
            }
            match moment {
                Moment::Tell(life, report) if life == self.life => return Some(*report),
                Moment::Tell(..) => {}
                Moment::Step(life, step) => self.step(at, now.wall, life, step),
                Moment::End { by: Some(life), .. } if life != self.life => {}
                Moment::End { container, run, exit, why, by: _ } => {
                    self.end(at, now.wall, &container, run, exit, why);
                }
                Moment::Remove(life, task, container) => self.remove(at, life, task, &container),
                Moment::List(life, runtime) => self.list(at, life, runtime),
                Moment::Look(life) => self.look(at, life),
            }
        }
        None
    }

    /// Everything that runs, foreign containers included.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| container.running())
    }

    /// Everything that there is, foreign containers included.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// Attempts to stop or remove what does not bear this cluster's and this node's label. Those on
    /// containers of this cluster tell the node, which may have been removed; none may be on anything else.
    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// What became of every task that ever ran here.
    pub fn tally(&self) -> &BTreeMap<TaskId, Tally> {
        &self.tally
    }

    /// The agent has started: its driver connects, and tells how the engine is.
    pub fn start_agent(&mut self, now: Now) {
        self.attached = true;
        self.ill = false;
        if now.instant < self.blocked_until() {
            return self.push(now.instant, Moment::Look(self.life));
        }
        for runtime in self.runtimes.clone() {
            let at = self.later(now.instant, self.paces.look_ms);
            self.tell(at, self.life, self.well(runtime));
        }
    }

    /// The agent dies. Containers run on; of the calls under way, some have reached the engine, and nobody
    /// hears of them; a start goes no further than the step that it was at.
    pub fn crash_agent(&mut self) {
        self.attached = false;
        self.life += 1;
        self.queue.retain(|_, moment| match moment {
            Moment::End { .. } | Moment::Step(..) | Moment::Remove(..) => true,
            Moment::Tell(..) | Moment::List(..) | Moment::Look(_) => false,
        });
        self.stopping.clear();
    }

    /// The host restarts: agent, engine and all containers end at once, whatever the engine was about to do
    /// is forgotten, and nothing starts by itself. The host's clock may begin anew.
    pub fn reboot(&mut self) {
        self.attached = false;
        self.life += 1;
        self.queue.clear();
        self.stopping.clear();
        self.hung_until = Instant::default();
        self.down_until = Instant::default();
        for (name, container) in &mut self.containers {
            if container.running() && !container.is_foreign_to(self.cluster) {
                Self::note_end(&mut self.tally, name, container, Ended::Rebooted);
            }
            container.stop(Exit { code: 137, out_of_memory: false });
            container.forget_times();
        }
    }

    fn blocked_until(&self) -> Instant {
        self.hung_until.max(self.down_until)
    }

    fn push(&mut self, at: Instant, moment: Moment) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), moment);
    }

    fn tell(&mut self, at: Instant, life: u64, report: EngineReport) {
        if self.attached && life == self.life {
            self.push(at, Moment::Tell(life, Box::new(report)));
        }
    }

    fn later(&mut self, at: Instant, range_ms: (u32, u32)) -> Instant {
        at + self.delays.between(range_ms)
    }

    fn well(&self, runtime: Runtime) -> EngineReport {
        EngineReport::Well { runtime, engine: format!("engine of {}", self.node), version: "1".to_owned() }
    }

    fn end(&mut self, at: Instant, wall: WallTime, name: &str, run: u64, exit: Exit, why: Ended) {
        let Some(container) = self.containers.get_mut(name) else { return };
        if !container.running() || container.run != run {
            return;
        }
        container.stop(exit);
        Self::note_end(&mut self.tally, name, container, why);
        let task = container.task();
        let halt = self.stopping.remove(name);
        // The answer to a stop tells the end; only without one does it rest on an event.
        if let Some(halt) = halt.filter(|halt| halt.life == self.life) {
            return self.stopped(at, wall, name, exit, &halt);
        }
        if let Some(task) = task {
            self.event(at, wall, name, task, exit);
        }
    }

    /// An event, which may be lost, or come twice.
    fn event(&mut self, at: Instant, wall: WallTime, name: &str, task: TaskId, exit: Exit) {
        let report = driver::exited(task, name, exit, wall, false);
        if self.mishaps.hits(self.faults.event_lost) {
            return;
        }
        if self.mishaps.hits(self.faults.event_twice) {
            let again = at + self.mishaps.between((1, 30_000));
            self.tell(again, self.life, report.clone());
        }
        let at = self.later(at, self.paces.event_ms);
        self.tell(at, self.life, report);
    }

    fn note_end(tally: &mut BTreeMap<TaskId, Tally>, name: &str, container: &Container, why: Ended) {
        if let Some(task) = container.task() {
            tally.entry(task).or_default().ends.push((name.to_owned(), why));
        }
    }

    /// Why an action gets no proper answer now, if so.
    fn unanswered(&mut self, now: Instant, action: &EngineAction) -> Option<EngineError> {
        let call = match action {
            EngineAction::Start(_) => "start",
            // No call of the engine: its driver hears it.
            EngineAction::Cancel { .. } => return None,
            EngineAction::Stop { .. } => "stop",
            EngineAction::Remove { .. } => "remove",
            EngineAction::List { .. } => "list",
        };
        if now < self.down_until {
            return Some(EngineError::Unreachable { message: "connection refused".to_owned() });
        }
        let hung = now < self.hung_until || self.mishaps.hits(self.faults.call_hangs);
        hung.then_some(EngineError::TimedOut { call })
    }

    /// A call that is answered with an error, sooner or later. One that hangs may still be carried out.
    fn fail(&mut self, now: Instant, action: EngineAction, error: EngineError) {
        let hung = matches!(error, EngineError::TimedOut { .. });
        let at = now + if hung { self.paces.deadline } else { Duration::from_millis(1) };
        let done_all_the_same = hung && self.mishaps.hits(500);
        let woken = self.blocked_until().max(now);
        let mute = u64::MAX;
        let report = match action {
            EngineAction::Start(launch) => {
                let task = launch.label.task;
                if done_all_the_same {
                    self.push(woken, Moment::Step(mute, driver::Step::Create(launch)));
                }
                EngineReport::StartFailed { task, error }
            }
            EngineAction::Cancel { .. } => return,
            EngineAction::Stop { task, container, .. } => {
                if done_all_the_same {
                    self.kill(woken, task, &container, Ears::Quick);
                }
                EngineReport::StopFailed { task, error }
            }
            EngineAction::Remove { task, container, .. } => {
                if done_all_the_same {
                    self.push(woken, Moment::Remove(mute, task, container));
                }
                EngineReport::RemoveFailed { task, error }
            }
            EngineAction::List { runtime } => EngineReport::ListFailed { runtime, error },
        };
        self.tell(at, self.life, report);
    }
}
