//! An engine with everything that can go wrong with one, and a memory of what it was asked.

use alloc::collections::BTreeMap;

use super::*;

/// Deterministic numbers: one stream a run.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn ms(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) label: Option<TaskLabel>,
    pub(super) running: bool,
    started: bool,
    exit: Option<Exit>,
    /// In how many lists in a row it was left out.
    hidden: u8,
}

enum Event {
    Create(Box<sleep_wire::engine::Launch>),
    Run(TaskId),
    Stop(TaskId, String),
    Remove(TaskId, String),
    List,
    Tell(EngineReport),
}

pub(super) struct Fake {
    pub(super) chance: Chance,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) faulty: bool,
    queue: BTreeMap<(Instant, u64), Event>,
    count: u64,
    pub(super) starts_under_way: BTreeSet<TaskId>,
}

impl Fake {
    pub(super) fn new(seed: u64) -> Self {
        let foreign = [
            ("theirs", None),
            ("other-node", Some(TaskLabel { node: PEER, ..label(slot(1), task(90, 1, 1)) })),
            ("gone-node", Some(TaskLabel { node: GONE, ..label(slot(1), task(90, 2, 1)) })),
        ];
        let container = |label| Container { label, running: true, started: true, exit: None, hidden: 0 };
        Self {
            chance: Chance(seed),
            containers: foreign.map(|(name, label)| (name.to_string(), container(label))).into(),
            faulty: true,
            queue: BTreeMap::new(),
            count: 0,
            starts_under_way: BTreeSet::new(),
        }
    }

    fn later(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.queue.insert((at, self.count), event);
    }

    fn tell(&mut self, at: Instant, report: EngineReport) {
        self.later(at, Event::Tell(report));
    }

    fn later_within(&mut self, at: Instant, ms: u64, event: Event) {
        let at = at + self.chance.ms(ms);
        self.later(at, event);
    }

    fn tell_within(&mut self, at: Instant, ms: u64, report: EngineReport) {
        self.later_within(at, ms, Event::Tell(report));
    }

    fn fault(&mut self, bound: u64) -> bool {
        self.faulty && self.chance.one_in(bound)
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn apply(&mut self, now: Instant, action: EngineAction) {
        let at = now + self.chance.ms(300);
        match action {
            EngineAction::Start(launch) => {
                let task = launch.label.task;
                assert!(self.starts_under_way.insert(task), "asked twice to start {}", name(task));
                if self.fault(8) {
                    let error = EngineError::NoSuchImage { image: launch.template.image.clone() };
                    return self.tell(at, EngineReport::StartFailed { task, error });
                }
                let ready = StartStep::ImageReady { digest: String::new() };
                self.tell(at, EngineReport::Progress { task, step: ready });
                self.later_within(at, 100, Event::Create(launch));
            }
            EngineAction::Cancel { task, .. } => self.cancel(at, task),
            EngineAction::Stop { task, container, .. } => self.later(at, Event::Stop(task, container)),
            EngineAction::Remove { task, container, .. } => self.later(at, Event::Remove(task, container)),
            EngineAction::List { .. } => self.later(at, Event::List),
        }
    }

    /// What the engine says by now, if anything.
    pub(super) fn poll(&mut self, now: Instant) -> Option<EngineReport> {
        while self.next_at().is_some_and(|at| at <= now) {
            let ((at, _), event) = self.queue.pop_first()?;
            match event {
                Event::Tell(report) => {
                    let answered = match &report {
                        EngineReport::StartFailed { task, .. }
                        | EngineReport::Progress { task, step: StartStep::Running { .. } } => Some(*task),
                        EngineReport::Progress { .. }
                        | EngineReport::Exited { .. }
                        | EngineReport::StopFailed { .. }
                        | EngineReport::HealthChanged { .. }
                        | EngineReport::Removed { .. }
                        | EngineReport::RemoveFailed { .. }
                        | EngineReport::Listed { .. }
                        | EngineReport::ListFailed { .. }
                        | EngineReport::Well { .. }
                        | EngineReport::Ill { .. } => None,
                    };
                    if let Some(task) = answered {
                        self.starts_under_way.remove(&task);
                    }
                    return Some(report);
                }
                Event::Create(launch) => self.create(at, &launch.label),
                Event::Run(task) => self.run(at, task),
                Event::Stop(task, container) => self.stop(at, task, &container),
                Event::Remove(task, container) => self.remove(at, task, container),
                Event::List => self.list(at),
            }
        }
        None
    }

    /// A start that has not come to creating anything is given up, most of the time.
    fn cancel(&mut self, at: Instant, task: TaskId) {
        let of_it = |event: &Event| matches!(event, Event::Create(launch) if launch.label.task == task);
        let before = self.queue.len();
        if !self.fault(4) {
            self.queue.retain(|_, event| !of_it(event));
        }
        if self.queue.len() < before {
            self.tell(at, EngineReport::StartFailed { task, error: EngineError::Cancelled });
        }
    }

    fn create(&mut self, at: Instant, label: &TaskLabel) {
        let (task, container) = (label.task, container(label.task));
        if self.fault(12) {
            let refused = EngineError::Other { message: "400".to_string() };
            let error = [timed_out(), refused][usize::from(self.chance.one_in(2))].clone();
            return self.tell(at, EngineReport::StartFailed { task, error });
        }
        let fresh =
            Container { label: Some(label.clone()), running: false, started: false, exit: None, hidden: 0 };
        let known = self.containers.entry(container.clone()).or_insert(fresh);
        if known.started && !known.running {
            let error = EngineError::NameTaken { name: container };
            return self.tell(at, EngineReport::StartFailed { task, error });
        }
        if self.fault(12) {
            return self
                .tell(at + Duration::from_secs(30), EngineReport::StartFailed { task, error: timed_out() });
        }
        self.tell(at, EngineReport::Progress { task, step: StartStep::Created { container } });
        self.later_within(at, 200, Event::Run(task));
    }

    fn run(&mut self, at: Instant, task: TaskId) {
        let other = EngineError::Other { message: "500".to_string() };
        let error = [timed_out(), other][usize::from(self.chance.one_in(2))].clone();
        if self.fault(12) {
            return self.tell(at, EngineReport::StartFailed { task, error });
        }
        let lies = self.fault(12);
        let Some(container) = self.containers.get_mut(&container(task)) else {
            return self.tell(at, EngineReport::StartFailed { task, error: EngineError::NoSuchContainer });
        };
        container.running = true;
        container.started = true;
        if lies {
            self.tell_within(at, 5_000, EngineReport::StartFailed { task, error });
        } else {
            self.tell(at, running(task, Health::None));
        }
    }

    fn stop(&mut self, at: Instant, task: TaskId, container: &str) {
        if self.fault(6) {
            return self.tell(at, EngineReport::StopFailed { task, error: timed_out() });
        }
        if !self.containers.contains_key(container) {
            let error = EngineError::NoSuchContainer;
            return self.tell(at, EngineReport::StopFailed { task, error });
        }
        self.end(container, 143);
        if self.fault(6) {
            return self.tell(at, EngineReport::StopFailed { task, error: timed_out() });
        }
        self.tell_exit(at, task, container);
    }

    fn tell_exit(&mut self, at: Instant, task: TaskId, container: &str) {
        let Some(exit) = self.containers.get(container).and_then(|c| c.exit) else { return };
        let EngineReport::Exited { at: wall, deaf, last_lines, .. } = exited(task, 0) else { return };
        let container = container.to_string();
        let report = EngineReport::Exited { task, container, exit, at: wall, deaf, last_lines };
        if self.fault(6) {
            self.tell_within(at, 20_000, report.clone());
        }
        self.tell(at, report);
    }

    fn remove(&mut self, at: Instant, task: TaskId, container: String) {
        if self.fault(6) {
            return self.tell(at, EngineReport::RemoveFailed { task, error: timed_out() });
        }
        match self.containers.get(&container) {
            Some(found) if found.running => {
                let error = EngineError::Other { message: "it runs".to_string() };
                return self.tell(at, EngineReport::RemoveFailed { task, error });
            }
            Some(_) => {}
            None => {
                let error = EngineError::NoSuchContainer;
                return self.tell(at, EngineReport::RemoveFailed { task, error });
            }
        }
        self.containers.remove(&container);
        if self.fault(6) {
            return self.tell(at, EngineReport::RemoveFailed { task, error: timed_out() });
        }
        self.tell(at, EngineReport::Removed { task });
    }

    fn list(&mut self, at: Instant) {
        let runtime = Runtime::Docker;
        if self.fault(5) {
            let error = EngineError::TimedOut { call: "list" };
            return self.tell_within(at, 30_000, EngineReport::ListFailed { runtime, error });
        }
        let partial = self.fault(4);
        let mut found = Vec::new();
        for (name, container) in &mut self.containers {
            // Lists may be incomplete, but not for ever.
            if partial && container.hidden < engine::MISSES - 1 && self.chance.one_in(3) {
                container.hidden += 1;
                continue;
            }
            container.hidden = 0;
            found.push(Found {
                label: container.label.clone(),
                container: name.clone(),
                running: container.running,
                started_at: container.started.then_some(WallTime(0)),
                exit: container.exit,
                health: Health::None,
                image_digest: String::new(),
                last_lines: Vec::new(),
            });
        }
        let images = Vec::new();
        self.tell_within(at, 2_000, EngineReport::Listed { runtime, found, images });
    }

    fn end(&mut self, container: &str, code: i32) {
        if let Some(container) = self.containers.get_mut(container).filter(|c| c.running) {
            container.running = false;
            container.exit = Some(Exit { code, out_of_memory: false });
        }
    }

    /// Something happens by itself.
    pub(super) fn mischief(&mut self, now: Instant) {
        let ours = |c: &Container| c.label.as_ref().is_some_and(|label| label.node == ME);
        let names: Vec<String> =
            self.containers.iter().filter(|(_, c)| ours(c)).map(|(name, _)| name.clone()).collect();
        match self.chance.below(6) {
            // The engine restarts; sometimes without its containers.
            0 => {
                for name in names {
                    self.end(&name, 137);
                    if self.chance.one_in(4) {
                        self.containers.remove(&name);
                    }
                }
            }
            // A container ends by itself, or somebody removes it; the event may be lost.
            1 | 2 => {
                let Some(name) = names.get(usize::try_from(self.chance.below(20)).unwrap_or(0)) else {
                    return;
                };
                self.end(name, 1);
                let task = self.containers.get(name).and_then(|c| c.label.as_ref()).map(|label| label.task);
                if let Some(task) = task.filter(|_| !self.chance.one_in(3)) {
                    self.tell_exit(now, task, name);
                }
                if self.chance.one_in(4) {
                    self.containers.remove(name);
                }
            }
            3 => {
                let error = EngineError::TimedOut { call: "ping" };
                self.tell(now, EngineReport::Ill { runtime: Runtime::Docker, error });
                let at = now + self.chance.ms(20_000);
                self.tell(at, well());
            }
            _ => {}
        }
    }

    /// The agent is gone: nobody hears what was on its way, and what it had asked for is still done.
    pub(super) fn agent_restarts(&mut self) {
        self.starts_under_way.clear();
        self.queue.retain(|_, event| !matches!(event, Event::Tell(_) | Event::List | Event::Create(_)));
    }
}

pub(super) fn well() -> EngineReport {
    EngineReport::Well { runtime: Runtime::Docker, engine: "e".to_string(), version: "1".to_string() }
}
