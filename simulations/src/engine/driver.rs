//! The driver in front of the engine: the calls of an action, one after another, as the real one makes them.

use std::time::Duration;

use sleep_core::Instant;
use sleep_wire::WallTime;
use sleep_wire::engine::{EngineError, EngineReport, Launch, StartStep};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId};

use super::container::{Container, Ears, Ended, Owner, Touch};
use super::fault::toss;
use super::{Engine, Halt, Moment};

/// How many lists in a row may leave out one container.
const HIDDEN: u8 = 2;

/// A point of a start.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The image is here, or its registry has said no.
    Fetched(Box<Launch>),
    /// The container is to be created.
    Create(Box<Launch>),
    /// It is to run.
    Run(Box<Launch>, String),
}

impl Step {
    pub(super) fn task(&self) -> TaskId {
        match self {
            Self::Fetched(launch) | Self::Create(launch) | Self::Run(launch, _) => launch.label.task,
        }
    }
}

/// The engine's name for a task's container: one a task, so that it cannot run twice.
fn name_of(launch: &Launch) -> String {
    format!("{}.{}.{}", launch.service_name, launch.label.slot.slot, launch.label.task.short())
}

pub(super) fn exited(task: TaskId, container: &str, exit: Exit, at: WallTime, deaf: bool) -> EngineReport {
    EngineReport::Exited { task, container: container.to_owned(), exit, at, deaf, last_lines: Vec::new() }
}

fn other(message: &str) -> EngineError {
    EngineError::Other { message: message.to_owned() }
}

impl Engine {
    pub(super) fn begin_start(&mut self, now: Instant, launch: Box<Launch>) {
        let task = launch.label.task;
        self.given_up.remove(&task);
        if self.images.contains(&launch.template.image) || launch.template.runtime == Runtime::Process {
            return self.push(now, Moment::Step(self.life, Step::Fetched(launch)));
        }
        self.tell(now, self.life, EngineReport::Progress { task, step: StartStep::Pulling });
        let at = self.later(now, self.paces.pull_ms);
        self.push(at, Moment::Step(self.life, Step::Fetched(launch)));
    }

    /// The driver gives up a start that has not come to starting: at once while it waits for the image,
    /// after the answer while the engine creates.
    pub(super) fn cancel(&mut self, now: Instant, task: TaskId) {
        let life = self.life;
        let of_it =
            |moment: &Moment| matches!(moment, Moment::Step(of, step) if *of == life && step.task() == task);
        let found = self.queue.iter().find(|(_, moment)| of_it(moment));
        let Some((at, moment)) = found.map(|(at, moment)| (*at, moment.clone())) else { return };
        match moment {
            Moment::Step(_, Step::Fetched(_)) => {
                self.queue.remove(&at);
                self.tell(now, life, EngineReport::StartFailed { task, error: EngineError::Cancelled });
            }
            Moment::Step(_, Step::Create(_)) => drop(self.given_up.insert(task)),
            // It is starting: whoever asked hears that it runs.
            Moment::Step(_, Step::Run(..))
            | Moment::Tell(..)
            | Moment::End { .. }
            | Moment::Remove(..)
            | Moment::List(..)
            | Moment::Look(_) => {}
        }
    }

    /// A step of a start by the driver of that life. Of one that is no more, only what it had sent has an
    /// effect.
    pub(super) fn step(&mut self, at: Instant, wall: WallTime, life: u64, step: Step) {
        if life != self.life && !self.mishaps.hits(500) {
            return;
        }
        match step {
            Step::Fetched(launch) => self.fetched(at, life, launch),
            Step::Create(launch) => self.create(at, life, launch),
            Step::Run(launch, name) => self.run(at, wall, life, &launch, &name),
        }
    }

    fn fetched(&mut self, at: Instant, life: u64, launch: Box<Launch>) {
        let task = launch.label.task;
        let image = launch.template.image.clone();
        if self.mishaps.hits(self.faults.no_image) {
            let error = EngineError::NoSuchImage { image };
            return self.tell(at, life, EngineReport::StartFailed { task, error });
        }
        self.images.insert(image);
        let ready = StartStep::ImageReady { digest: String::new() };
        self.tell(at, life, EngineReport::Progress { task, step: ready });
        if life == self.life {
            let at = self.later(at, self.paces.create_ms);
            self.push(at, Moment::Step(life, Step::Create(launch)));
        }
    }

    fn create(&mut self, at: Instant, life: u64, launch: Box<Launch>) {
        let task = launch.label.task;
        let name = name_of(&launch);
        let owner = Owner::Task(launch.cluster, Box::new(launch.label.clone()));
        let ears = self.ears();
        let known = self.containers.entry(name.clone()).or_insert_with(|| Container {
            name: name.clone(),
            owner: owner.clone(),
            runtime: launch.template.runtime,
            since: None,
            exit: None,
            started_at: None,
            ports: launch.template.ports.clone(),
            ears,
            run: 0,
            hidden: 0,
        });
        let ours = known.owner == owner && (known.running() || known.exit.is_none());
        if !ours {
            let error = EngineError::NameTaken { name };
            return self.tell(at, life, EngineReport::StartFailed { task, error });
        }
        if self.mishaps.hits(self.faults.create_lies) {
            let error = EngineError::TimedOut { call: "create" };
            return self.tell(at + self.paces.deadline, life, EngineReport::StartFailed { task, error });
        }
        let created = StartStep::Created { container: name.clone() };
        self.tell(at, life, EngineReport::Progress { task, step: created });
        if life == self.life && self.given_up.remove(&task) {
            self.tell(at, life, EngineReport::StartFailed { task, error: EngineError::Cancelled });
        } else if life == self.life {
            let at = self.later(at, self.paces.start_ms);
            self.push(at, Moment::Step(life, Step::Run(launch, name)));
        }
    }

    fn run(&mut self, at: Instant, wall: WallTime, life: u64, launch: &Launch, name: &str) {
        let task = launch.label.task;
        let fails = self.mishaps.hits(self.faults.start_fails);
        let lies = self.mishaps.hits(self.faults.start_lies);
        let outcome = if fails { Err(other("cannot start")) } else { self.run_now(at, wall, name) };
        match outcome {
            Err(error) => self.tell(at, life, EngineReport::StartFailed { task, error }),
            Ok(()) if lies => {
                // One engine says what is not so, another says nothing in time.
                let error = if toss(name, 0) {
                    other("internal error")
                } else {
                    EngineError::TimedOut { call: "start" }
                };
                self.tell(at + self.paces.deadline, life, EngineReport::StartFailed { task, error });
            }
            Ok(()) => {
                let running =
                    StartStep::Running { container: name.to_owned(), pid: 0, at: wall, health: Health::None };
                self.tell(at, life, EngineReport::Progress { task, step: running });
            }
        }
        self.fate(at, name);
    }

    pub(super) fn run_now(&mut self, at: Instant, wall: WallTime, name: &str) -> Result<(), EngineError> {
        let wanted = self.containers.get(name).map_or_else(Vec::new, |container| container.ports.clone());
        let taken = self.running().filter(|other| other.name != name).flat_map(|other| &other.ports);
        if let Some(port) = taken
            .into_iter()
            .find(|port| wanted.iter().any(|p| (p.published, p.protocol) == (port.published, port.protocol)))
        {
            return Err(EngineError::PortTaken { message: port.published.to_string() });
        }
        let container = self.containers.get_mut(name).ok_or(EngineError::NoSuchContainer)?;
        if container.running() {
            return Ok(());
        }
        container.since = Some(at);
        container.started_at = Some(wall);
        container.exit = None;
        container.run += 1;
        if let Some(task) = container.task() {
            self.tally.entry(task).or_default().starts += 1;
        }
        Ok(())
    }

    /// How a run that has begun will end, if it ends by itself.
    fn fate(&mut self, at: Instant, name: &str) {
        let at_once = self.mishaps.hits(self.faults.exits_at_once);
        let soon = self.mishaps.hits(self.faults.exits_soon);
        let starved = self.mishaps.hits(self.faults.out_of_memory);
        let wait = self.mishaps.between((1, 60_000));
        let Some(run) = self.containers.get(name).filter(|found| found.running()).map(|found| found.run)
        else {
            return;
        };
        let end = |exit| Moment::End { container: name.to_owned(), run, exit, why: Ended::Alone, by: None };
        if at_once {
            self.push(at, end(Exit { code: 1, out_of_memory: false }));
        } else if soon {
            self.push(at + wait, end(Exit { code: 1, out_of_memory: false }));
        } else if starved {
            self.push(at + wait, end(Exit { code: 137, out_of_memory: true }));
        }
    }

    fn ears(&mut self) -> Ears {
        let deaf = self.mishaps.hits(self.faults.deaf);
        let stubborn = self.mishaps.hits(self.faults.stubborn);
        match (deaf, stubborn) {
            (true, _) => Ears::Deaf,
            (false, true) => Ears::Stubborn,
            (false, false) => Ears::Slow,
        }
    }

    pub(super) fn begin_stop(&mut self, now: Instant, task: TaskId, name: String, grace: Duration) {
        let at = self.later(now, self.paces.look_ms);
        let allowed = self.may_touch(now, task, &name);
        let error = match self.containers.get(&name) {
            None => Some(EngineError::NoSuchContainer),
            Some(_) if !allowed => Some(other("its labels do not name this task")),
            Some(_) if self.stopping.contains_key(&name) => Some(other("it is being stopped already")),
            Some(_) => None,
        };
        if let Some(error) = error {
            return self.tell(at, self.life, EngineReport::StopFailed { task, error });
        }
        let Some(container) = self.containers.get(&name) else { return };
        if !container.running() {
            let exit = container.exit.unwrap_or(Exit { code: 0, out_of_memory: false });
            let wall = container.started_at.unwrap_or_default();
            return self.tell(at, self.life, exited(task, &name, exit, wall, false));
        }
        let (run, ears) = (container.run, container.ears);
        self.tally.entry(task).or_default().stops += 1;
        if self.mishaps.hits(self.faults.stop_fails) {
            let error = EngineError::TimedOut { call: "kill" };
            if self.mishaps.hits(500) {
                self.kill(at, task, &name, ears);
            }
            return self.tell(at + self.paces.deadline, self.life, EngineReport::StopFailed { task, error });
        }
        self.stopping.insert(name.clone(), Halt { task, life: self.life, deaf: ears == Ears::Deaf });
        if ears == Ears::Stubborn {
            // The driver kills it when its grace is over, if it is still there to do so.
            let exit = Exit { code: 137, out_of_memory: false };
            let by = Some(self.life);
            self.push(at + grace, Moment::End { container: name, run, exit, why: Ended::Told, by });
        } else {
            self.kill(at, task, &name, ears);
        }
    }

    /// A signal reaches a container's first process, which does as it does.
    pub(super) fn kill(&mut self, at: Instant, task: TaskId, name: &str, ears: Ears) {
        let end_ms = self.paces.end_ms;
        let (wait, code) = match ears {
            Ears::Quick => (Duration::ZERO, 143),
            Ears::Slow => (self.delays.between(end_ms), 143),
            Ears::Deaf => (Duration::ZERO, 137),
            Ears::Stubborn => return,
        };
        let Some(container) = self.containers.get(name).filter(|found| found.task() == Some(task)) else {
            return;
        };
        let (run, exit) = (container.run, Exit { code, out_of_memory: false });
        let container = name.to_owned();
        self.push(at + wait, Moment::End { container, run, exit, why: Ended::Told, by: None });
    }

    /// A stop has reached its end.
    pub(super) fn stopped(&mut self, at: Instant, wall: WallTime, name: &str, exit: Exit, halt: &Halt) {
        self.tell(at, halt.life, exited(halt.task, name, exit, wall, halt.deaf));
    }

    pub(super) fn remove(&mut self, at: Instant, life: u64, task: TaskId, name: &str) {
        let fails = self.mishaps.hits(self.faults.remove_fails);
        let all_the_same = self.mishaps.hits(500);
        let allowed = self.may_touch(at, task, name);
        let outcome = match self.containers.get(name) {
            None => Ok(()),
            Some(_) if !allowed => Err(other("its labels do not name this task")),
            Some(container) if container.running() => Err(other("it runs")),
            Some(_) if fails && !all_the_same => Err(other("device or resource busy")),
            Some(_) => {
                self.containers.remove(name);
                if fails { Err(EngineError::TimedOut { call: "remove" }) } else { Ok(()) }
            }
        };
        let report = match outcome {
            Ok(()) => EngineReport::Removed { task },
            Err(error) => EngineReport::RemoveFailed { task, error },
        };
        self.tell(at, life, report);
    }

    /// Whether a container is the task that it is said to be, of this cluster and this node. If not, that is
    /// noted; one of this cluster may be another node's, which was removed: that is for the reader to judge.
    fn may_touch(&mut self, at: Instant, task: TaskId, name: &str) -> bool {
        let Some(container) = self.containers.get(name) else { return true };
        let node =
            if container.is_foreign_to(self.cluster) { None } else { container.label().map(|l| l.node) };
        if node != Some(self.node) {
            self.touches.push(Touch { container: name.to_owned(), node, at });
        }
        node.is_some() && container.task() == Some(task)
    }

    pub(super) fn list(&mut self, at: Instant, life: u64, runtime: Runtime) {
        let partial = self.mishaps.hits(self.faults.list_partial);
        let cluster = self.cluster;
        let mut found = Vec::new();
        for container in self.containers.values_mut() {
            if container.runtime != runtime || container.is_foreign_to(cluster) {
                continue;
            }
            if partial && container.hidden < HIDDEN && self.mishaps.hits(500) {
                container.hidden += 1;
            } else {
                container.hidden = 0;
                found.push(container.found());
            }
        }
        let images = match runtime {
            Runtime::Docker => self.images.iter().filter(|image| !image.is_empty()).cloned().collect(),
            Runtime::Process => Vec::new(),
        };
        let at = self.later(at, self.paces.look_ms);
        self.tell(at, life, EngineReport::Listed { runtime, found, images });
    }
}
