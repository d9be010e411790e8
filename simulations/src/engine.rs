//! A container engine that does what it is told, after a while.

use std::collections::BTreeMap;
use std::time::Duration;

use sleep_core::Instant;
use sleep_wire::WallTime;
use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, StartStep};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel};

use crate::random::Stream;

/// One host's engine.
pub struct Engine {
    stream: Stream,
    containers: BTreeMap<String, Container>,
    due: BTreeMap<(Instant, u64), EngineReport>,
    last: u64,
    /// How often each task was started.
    pub starts: BTreeMap<TaskId, u32>,
}

/// One container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Whose it is.
    pub label: TaskLabel,
    /// Whether it runs.
    pub running: bool,
    /// The service's name.
    pub service: String,
    exit: Option<Exit>,
}

impl Engine {
    /// An engine without containers.
    pub fn new(seed: u64, number: u64) -> Self {
        let stream = Stream::new(seed, "engine", number);
        Self { stream, containers: BTreeMap::new(), due: BTreeMap::new(), last: 0, starts: BTreeMap::new() }
    }

    fn later(&mut self, now: Instant, least_ms: u64, most_ms: u64, report: EngineReport) {
        self.last += 1;
        let after = Duration::from_micros(self.stream.between(least_ms * 1000, most_ms * 1000));
        self.due.insert((now + after, self.last), report);
    }

    /// Is told to do something.
    pub fn apply(&mut self, now: Instant, action: EngineAction) {
        match action {
            EngineAction::Start(launch) => {
                let task = launch.label.task;
                let container = task.short();
                *self.starts.entry(task).or_default() += 1;
                let step = StartStep::Created { container: container.clone() };
                self.later(now, 20, 60, EngineReport::Progress { task, step });
                let made =
                    Container { label: launch.label, running: true, service: launch.service_name, exit: None };
                self.containers.insert(container.clone(), made);
                let step = StartStep::Running { container, pid: 1, at: WallTime(0), health: Health::None };
                self.later(now, 80, 300, EngineReport::Progress { task, step });
            }
            EngineAction::Stop { task, container, .. } => {
                let exit = Exit { code: 137, out_of_memory: false };
                match self.containers.get_mut(&container) {
                    Some(known) => {
                        known.running = false;
                        known.exit = Some(exit);
                        let report = EngineReport::Exited {
                            task,
                            container,
                            exit,
                            at: WallTime(0),
                            deaf: true,
                            last_lines: Vec::new(),
                        };
                        self.later(now, 50, 200, report);
                    }
                    None => {
                        let error = EngineError::NoSuchContainer;
                        self.later(now, 5, 20, EngineReport::StopFailed { task, error });
                    }
                }
            }
            EngineAction::Remove { task, container, .. } => {
                self.containers.remove(&container);
                self.later(now, 10, 50, EngineReport::Removed { task });
            }
            EngineAction::List { runtime } => {
                let found = self.containers.iter().map(|(container, known)| Found {
                    label: Some(known.label.clone()),
                    container: container.clone(),
                    running: known.running,
                    started_at: Some(WallTime(0)),
                    exit: known.exit,
                    health: Health::None,
                    image_digest: String::new(),
                    last_lines: Vec::new(),
                });
                let found = found.collect();
                let engine = String::from("simulated");
                self.later(now, 1, 2, EngineReport::Well { runtime, engine, version: String::from("1") });
                self.later(now, 3, 9, EngineReport::Listed { runtime, found, images: Vec::new() });
            }
        }
    }

    /// When something is to be reported.
    pub fn next_at(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The next report that is due.
    pub fn poll(&mut self, now: Instant) -> Option<EngineReport> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// The agent died: what was to be reported to it is reported to nobody.
    pub fn crash_agent(&mut self) {
        self.due.clear();
    }

    /// Containers that run.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| container.running)
    }

    /// The runtime that it stands for.
    pub const RUNTIME: Runtime = Runtime::Docker;
}
