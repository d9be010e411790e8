//! Everything at once: a holder that changes its mind, an agent that restarts, an engine that lies. Every
//! invariant is checked at every step; and when the faults stop, what is desired runs.

use alloc::collections::BTreeMap;

use super::fake::{Chance, Fake, well};
use super::*;

const SLOTS: u32 = 6;

/// What the world, which sees everything, remembers.
struct World {
    node: Reconcile,
    engine: Fake,
    chance: Chance,
    now: Now,
    term: u64,
    counter: u64,
    wanted: BTreeMap<SlotKey, Desired>,
    /// What is durable here.
    fence: Epoch,
    writing: Option<Epoch>,
    published: BTreeMap<(SlotKey, u8), TaskStatus>,
    /// Assignments that were ever named in a `retire` of ours, or whose service was removed.
    may_stop: BTreeSet<Stamp>,
    /// The newest attempt that was ever started.
    started: BTreeMap<Stamp, u32>,
    listed: bool,
    restarts: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Now { instant: Instant(1_000_000_000), wall: WallTime(0) };
        let mut world = Self {
            node: Reconcile::new(now, Bench::setup(1, false)),
            engine: Fake::new(seed),
            chance: Chance(seed ^ 0xabcd),
            now,
            term: 1,
            counter: 0,
            wanted: BTreeMap::new(),
            fence: epoch(1),
            writing: None,
            published: BTreeMap::new(),
            may_stop: BTreeSet::new(),
            started: BTreeMap::new(),
            listed: false,
            restarts: 0,
        };
        world.input(ReconcileInput::RemovedNodes(BTreeSet::from([GONE])));
        world
    }

    fn input(&mut self, input: ReconcileInput) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                ReconcileOutput::Engine(action) => {
                    self.check(&action);
                    self.engine.apply(self.now.instant, action);
                }
                ReconcileOutput::Publish { slot, place, status } => self.publish(slot, place, *status),
                ReconcileOutput::PersistFence { epoch } => {
                    assert!(epoch > self.fence && self.writing.is_none(), "fenced: it never falls");
                    self.writing = Some(epoch);
                }
                ReconcileOutput::Forget { slot } => self.published.retain(|(of, _), _| *of != slot),
                ReconcileOutput::RuntimesChanged
                | ReconcileOutput::ImagesChanged
                | ReconcileOutput::Event(_) => {}
            }
        }
        assert!(
            self.node.next_wake().is_some_and(|at| at > self.now.instant),
            "no_hot_loop: a wake in the past"
        );
    }

    fn check(&mut self, action: &EngineAction) {
        match action {
            EngineAction::Start(launch) => {
                let TaskId { assignment, attempt } = launch.label.task;
                assert!(self.listed, "control_plane_is_harmless: a start before the first list");
                assert!(launch.label.epoch <= self.fence, "fenced: {:?} is not durable", launch.label.epoch);
                let newest = self.started.entry(assignment).or_insert(attempt);
                assert!(attempt >= *newest, "attempts only rise");
                *newest = attempt;
                let runs = |c: &fake::Container| {
                    let other = |label: &TaskLabel| {
                        label.task.assignment == assignment && label.task.attempt != attempt
                    };
                    c.running && c.label.as_ref().is_some_and(other)
                };
                assert!(!self.engine.containers.values().any(runs), "one_attempt: another runs");
                assert!(self.engine.starts_under_way.len() < 4, "bounded_calls");
            }
            EngineAction::Cancel { task, .. } => {
                assert!(self.may_stop.contains(&task.assignment), "retired_by_name: {}", name(*task));
            }
            EngineAction::Stop { task, container, .. } => {
                self.touch(container);
                let superseded =
                    self.started.get(&task.assignment).is_some_and(|newest| *newest > task.attempt);
                let runs = self.engine.containers.get(container).is_some_and(|found| found.running);
                let named = self.may_stop.contains(&task.assignment) || container == "gone-node";
                assert!(named || superseded || !runs, "retired_by_name: {container}");
            }
            EngineAction::Remove { container, .. } => self.touch(container),
            EngineAction::List { .. } => {}
        }
    }

    fn touch(&self, container: &str) {
        let Some(found) = self.engine.containers.get(container) else { return };
        let node = found.label.as_ref().map(|label| label.node);
        assert!(node == Some(ME) || node == Some(GONE), "hands_off: {container}");
    }

    fn publish(&mut self, slot: SlotKey, place: u8, status: TaskStatus) {
        if let Some(before) = self.published.get(&(slot, place)) {
            if before.task == status.task {
                assert!(status.state >= before.state, "forward_only: {before:?} {status:?}");
                assert!(!before.state.is_over(), "an end is final");
            } else {
                assert!(before.state.is_over(), "{before:?} is hidden by {status:?}");
            }
        }
        self.published.insert((slot, place), status);
    }

    fn live(&self, slot: SlotKey) -> Vec<TaskStatus> {
        let of_slot = self.published.range((slot, 0)..=(slot, u8::MAX));
        of_slot.filter(|(_, status)| !status.state.is_over()).map(|(_, status)| status.clone()).collect()
    }

    /// The holder writes a slot's record.
    fn write(&mut self, key: SlotKey, current: Option<Stamp>, node: NodeId, retire: &[Stamp], removed: bool) {
        self.counter += 1;
        let order = [Order::StopFirst, Order::StartFirst][usize::from(self.chance.one_in(2))];
        let retire: Vec<Retired> = retire.iter().map(|stamp| retired(*stamp, ME)).collect();
        let mut wanted =
            desired(self.term, current.map(|stamp| assigned(stamp, node)), order, retire.clone());
        if let Some(record) = &mut wanted.record {
            record.stamp = stamp(self.term, self.counter);
        }
        wanted.removed = removed;
        if let Some(current) = current.filter(|_| node == PEER) {
            wanted.peers = Vec::from([peer(current, TaskState::Running, Health::None)]);
        }
        self.may_stop.extend(retire.iter().map(|retired| retired.assignment));
        if removed {
            self.may_stop.extend(self.live(key).iter().map(|status| status.task.assignment));
        }
        self.wanted.insert(key, wanted.clone());
        self.node.set_assignment(key, Some(wanted));
        self.node.settle(self.now);
        self.drain();
    }

    /// The holder changes its mind about a slot.
    fn command(&mut self) {
        let number = u32::try_from(self.chance.below(u64::from(SLOTS))).expect("few slots") + 1;
        let key = slot(number);
        let live: Vec<Stamp> = self.live(key).iter().map(|status| status.task.assignment).collect();
        let fresh = stamp(self.term, self.counter + 1);
        match self.chance.below(8) {
            0..=2 => self.write(key, Some(fresh), ME, &live, false),
            3 => self.write(key, Some(fresh), PEER, &live, false),
            4 => self.write(key, Some(fresh), PEER, &[], false),
            5 => self.write(key, None, ME, &live, false),
            6 => {
                self.node.set_assignment(key, None);
                self.node.settle(self.now);
                self.wanted.remove(&key);
                self.drain();
            }
            _ => {
                self.term += 1;
                self.input(ReconcileInput::EpochSeen(epoch(self.term)));
            }
        }
    }

    fn restart_agent(&mut self) {
        self.restarts += 1;
        self.listed = false;
        self.writing = None;
        self.engine.agent_restarts();
        let mut setup = Bench::setup(0, false);
        setup.fence = self.fence;
        setup.seed = self.restarts;
        self.node = Reconcile::new(self.now, setup);
        let recovered = self.published.iter().map(|((slot, place), status)| Recovered {
            slot: *slot,
            place: *place,
            status: status.clone(),
        });
        let recovered = recovered.collect();
        self.input(ReconcileInput::Recovered(recovered));
        self.input(ReconcileInput::RemovedNodes(BTreeSet::from([GONE])));
        for (slot, wanted) in self.wanted.clone() {
            self.node.set_assignment(slot, Some(wanted));
            self.node.settle(self.now);
            self.drain();
        }
    }

    fn step(&mut self, until: Instant) {
        let wakes = [self.node.next_wake(), self.engine.next_at()];
        let next = wakes.into_iter().flatten().min().unwrap_or(until).min(until).max(self.now.instant);
        let passed = next.since(self.now.instant);
        self.now.instant = next;
        self.now.wall.0 += i64::try_from(passed.as_millis()).expect("runs are short");
        if let Some(report) = self.engine.poll(self.now.instant) {
            if matches!(report, EngineReport::Listed { .. }) {
                self.listed = true;
            }
            return self.input(ReconcileInput::Engine(report));
        }
        if let Some(epoch) = self.writing.filter(|_| self.chance.one_in(3)) {
            self.writing = None;
            if self.engine.faulty && self.chance.one_in(4) {
                return self.input(ReconcileInput::FenceFailed);
            }
            self.fence = epoch;
            return self.input(ReconcileInput::FenceDurable(epoch));
        }
        self.input(ReconcileInput::Tick);
    }

    fn run(&mut self, time: Duration, trouble: bool) {
        let until = self.now.instant + time;
        while self.now.instant < until {
            let slice = self.now.instant + Duration::from_millis(200 + self.chance.below(2_000));
            while self.now.instant < slice.min(until) {
                self.step(slice.min(until));
            }
            if !trouble {
                continue;
            }
            match self.chance.below(12) {
                0..=3 => self.command(),
                4..=6 => self.engine.mischief(self.now.instant),
                7 => self.restart_agent(),
                _ => {}
            }
        }
    }

    /// The faults stop, and the holder writes what it finally wants: even slots run here, odd ones nowhere.
    fn settle(&mut self) {
        self.engine.faulty = false;
        self.term += 1;
        self.input(ReconcileInput::Engine(well()));
        self.run(Duration::from_secs(60), false);
        for number in 1..=SLOTS {
            let key = slot(number);
            let mut live: Vec<Stamp> = self.live(key).iter().map(|status| status.task.assignment).collect();
            let keep =
                self.live(key).into_iter().find(|status| !self.may_stop.contains(&status.task.assignment));
            if number % 2 == 1 {
                self.write(key, None, ME, &live, number == 1);
                continue;
            }
            let current = keep.map_or(stamp(self.term, self.counter + 1), |status| status.task.assignment);
            live.retain(|stamp| *stamp != current);
            self.write(key, Some(current), ME, &live, false);
        }
        self.run(Duration::from_secs(200), false);
    }

    fn check_settled(&self) {
        let running = |key: SlotKey| {
            let of_slot =
                self.engine.containers.values().filter(|c| c.running).filter_map(|c| c.label.as_ref());
            of_slot.filter(|l| l.slot == key && l.node == ME).map(|l| l.task).collect::<Vec<_>>()
        };
        for number in 1..=SLOTS {
            let key = slot(number);
            let record = self.wanted.get(&key).and_then(|wanted| wanted.record.as_ref());
            let current = record.and_then(|record| record.slot.current.as_ref()).map(|c| c.assignment);
            let runs = running(key);
            assert_eq!(runs.iter().map(|task| task.assignment).collect::<Vec<_>>(), Vec::from_iter(current));
            let live = self.live(key);
            let told: Vec<_> = live.iter().map(|status| (status.task, status.state)).collect();
            assert_eq!(told, runs.iter().map(|task| (*task, TaskState::Running)).collect::<Vec<_>>());
            let left =
                self.engine.containers.values().filter(|c| c.label.as_ref().is_some_and(|l| l.slot == key));
            let left = left.filter(|c| c.label.as_ref().is_some_and(|l| l.node == ME)).count();
            assert!(left <= 2 * usize::from(current.is_some()), "containers left in slot {number}: {left}");
        }
        let foreign = |name: &str| self.engine.containers.get(name).is_some_and(|c| c.running);
        assert!(foreign("theirs") && foreign("other-node"), "hands_off");
        assert!(
            !self.engine.containers.contains_key("gone-node"),
            "a removed node's container is cleared away"
        );
    }
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    world.run(Duration::from_secs(300), true);
    world.settle();
    world.check_settled();
}

/// `SLEEP_SEED=n` plays one seed alone.
#[test]
fn invariants_hold_under_every_fault_and_what_is_desired_runs_when_they_stop() {
    extern crate std;
    if let Some(seed) = std::env::var("SLEEP_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return play(seed);
    }
    for seed in 0..100 {
        std::println!("seed {seed}");
        play(seed);
    }
}

/// An agent that is restarted over and over under a calm engine stops and restarts nothing.
#[test]
fn restarts_of_the_agent_restart_no_task() {
    let mut world = World::new(1);
    world.engine.faulty = false;
    for number in 1..=SLOTS {
        let fresh = stamp(1, world.counter + 1);
        world.write(slot(number), Some(fresh), ME, &[], false);
    }
    world.run(Duration::from_secs(5), false);
    let before: Vec<String> = world.engine.containers.keys().cloned().collect();
    for _ in 0..20 {
        world.restart_agent();
        world.run(Duration::from_millis(700), false);
    }
    world.run(Duration::from_secs(30), false);
    let after: Vec<String> = world.engine.containers.keys().cloned().collect();
    assert_eq!(after, before.into_iter().filter(|name| name != "gone-node").collect::<Vec<_>>());
    assert!(world.started.values().all(|attempt| *attempt == 1));
}
