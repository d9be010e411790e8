//! The engine alone, and a node's own tasks on it.

use sleep_core::reconcile::{
    Desired, Limits, Reconcile, ReconcileInput, ReconcileOutput, Recovered, Setup, SlotRecord, Template,
};
use sleep_wire::engine::{Launch, StartStep};
use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::{Assigned, Cause, Choice, Slot};
use sleep_wire::spec::{Order, RestartPolicy, Revision, TaskTemplate};
use sleep_wire::task::{TaskLabel, TaskStatus};
use sleep_wire::{Epoch, RevisionId, ServiceId, Stamp};
use std::sync::Arc;

use super::*;

const ME: NodeId = NodeId([1; 16]);
const PEER: NodeId = NodeId([2; 16]);
const CLUSTER: ClusterId = ClusterId([9; 32]);
const EPOCH: Epoch = Epoch { generation: 0, term: 1, candidate: PEER };
const REVISION: RevisionId = RevisionId([4; 16]);

fn now(ms: u64) -> Now {
    let wall = WallTime(i64::try_from(ms).expect("tests are short"));
    Now { instant: Instant(ms * 1_000), wall }
}

fn task(counter: u64, attempt: u32) -> TaskId {
    TaskId { assignment: Stamp::Lease { epoch: EPOCH, counter }, attempt }
}

fn slot(number: u32) -> SlotKey {
    SlotKey { service: ServiceId([5; 16]), slot: SlotName::Number(number) }
}

fn label(node: NodeId, counter: u64) -> TaskLabel {
    let slot = slot(u32::try_from(counter).expect("few slots"));
    TaskLabel { node, slot, task: task(counter, 1), revision: REVISION, epoch: EPOCH }
}

fn launch(counter: u64) -> EngineAction {
    let template = TaskTemplate { image: "app:1".to_owned(), ..TaskTemplate::default() };
    let label = label(ME, counter);
    EngineAction::Start(Box::new(Launch {
        cluster: CLUSTER,
        label,
        service_name: "web".to_owned(),
        template,
        fence: 1,
    }))
}

fn stop(engine: &Engine, counter: u64) -> EngineAction {
    let container = name(engine, counter);
    let (runtime, signal) = (Runtime::Docker, String::new());
    EngineAction::Stop { runtime, task: task(counter, 1), container, signal, grace_ms: 10_000 }
}

fn name(engine: &Engine, counter: u64) -> String {
    let found = engine.containers().find(|container| container.task() == Some(task(counter, 1)));
    found.map(|container| container.name.clone()).unwrap_or_default()
}

fn engine(faults: Faults) -> Engine {
    let mut engine = Engine::new(7, ME, [Runtime::Docker]);
    engine.set_cluster(Some(CLUSTER));
    engine.set_faults(faults);
    engine.start_agent(now(0));
    engine
}

/// Everything that is said up to a moment, in a word each.
fn said(engine: &mut Engine, until_ms: u64) -> Vec<&'static str> {
    let mut words = Vec::new();
    while let Some(at) = engine.next_at().filter(|at| at.0 <= until_ms * 1_000) {
        while let Some(report) = engine.poll(now(at.0 / 1_000 + 1)) {
            words.push(word(&report));
        }
    }
    words
}

fn word(report: &EngineReport) -> &'static str {
    match report {
        EngineReport::Progress { step: StartStep::Pulling, .. } => "pulling",
        EngineReport::Progress { step: StartStep::ImageReady { .. }, .. } => "image",
        EngineReport::Progress { step: StartStep::Created { .. }, .. } => "created",
        EngineReport::Progress { step: StartStep::Running { .. }, .. } => "running",
        EngineReport::StartFailed { .. } => "start failed",
        EngineReport::Exited { deaf: false, .. } => "exited",
        EngineReport::Exited { deaf: true, .. } => "killed",
        EngineReport::StopFailed { .. } => "stop failed",
        EngineReport::HealthChanged { .. } => "health",
        EngineReport::Removed { .. } => "removed",
        EngineReport::RemoveFailed { .. } => "remove failed",
        EngineReport::Listed { .. } => "listed",
        EngineReport::ListFailed { .. } => "list failed",
        EngineReport::Well { .. } => "well",
        EngineReport::Ill { .. } => "ill",
    }
}

const STARTED: [&str; 5] = ["well", "pulling", "image", "created", "running"];

#[test]
fn a_start_is_told_step_by_step_and_an_image_is_fetched_once() {
    let mut engine = engine(Faults::default());
    engine.apply(now(0), launch(1));
    assert_eq!(said(&mut engine, 10_000).iter().filter(|word| STARTED.contains(word)).count(), 5);
    engine.apply(now(10_001), launch(2));
    assert_eq!(said(&mut engine, 20_000), ["image", "created", "running"]);
    assert_eq!(engine.running().count(), 2);
}

#[test]
fn a_task_is_never_run_twice() {
    let mut engine = engine(Faults::default());
    for ms in [0, 1, 9_000] {
        engine.apply(now(ms), launch(1));
    }
    said(&mut engine, 20_000);
    assert_eq!(engine.tally()[&task(1, 1)].starts, 1);
}

#[test]
fn a_container_ends_when_told_and_the_deaf_are_killed_at_once() {
    for (faults, told) in [
        (Faults::default(), "exited"),
        (Faults { deaf: 1_000, ..Faults::default() }, "killed"),
        (Faults { stubborn: 1_000, ..Faults::default() }, "exited"),
    ] {
        let mut engine = engine(faults);
        engine.apply(now(0), launch(1));
        said(&mut engine, 10_000);
        let order = stop(&engine, 1);
        engine.apply(now(10_000), order);
        let early = said(&mut engine, 19_999);
        let late = said(&mut engine, 21_000);
        let expected = if faults.stubborn > 0 { (vec![], vec![told]) } else { (vec![told], vec![]) };
        assert_eq!((early, late), expected);
        let name = name(&engine, 1);
        assert_eq!(
            engine.tally()[&task(1, 1)],
            Tally { starts: 1, stops: 1, ends: vec![(name, Ended::Told)] }
        );
    }
}

#[test]
fn an_error_may_hide_a_container_that_runs() {
    let mut engine = engine(Faults { start_lies: 1_000, ..Faults::default() });
    engine.apply(now(0), launch(1));
    assert_eq!(said(&mut engine, 60_000).last(), Some(&"start failed"));
    assert_eq!(engine.running().count(), 1);
}

#[test]
fn an_engine_that_hangs_answers_nothing_and_says_so() {
    let mut engine = engine(Faults::default());
    said(&mut engine, 100);
    engine.hang(now(1_000), Duration::from_secs(120));
    engine.apply(now(2_000), EngineAction::List { runtime: Runtime::Docker });
    assert_eq!(said(&mut engine, 31_000), ["ill"]);
    assert_eq!(said(&mut engine, 120_000), ["list failed"]);
    assert_eq!(said(&mut engine, 125_000), ["well"]);
}

#[test]
fn an_engine_that_restarts_keeps_what_it_is_told_to_keep() {
    for (survivors, running, left) in
        [(Survivors::Running, 1, 1), (Survivors::Ended, 0, 1), (Survivors::None, 0, 0)]
    {
        let mut engine = engine(Faults::default());
        engine.apply(now(0), launch(1));
        said(&mut engine, 10_000);
        engine.apply(now(10_000), launch(2));
        engine.restart(now(10_001), Duration::from_secs(5), survivors);
        assert_eq!((engine.running().count(), engine.containers().count()), (running, left));
        let mut words = said(&mut engine, 20_000);
        words.sort_unstable();
        assert_eq!(words, ["ill", "start failed", "well"]);
    }
}

#[test]
fn an_event_may_be_lost_or_come_twice() {
    for (faults, told) in [
        (Faults::default(), 1),
        (Faults { event_lost: 1_000, ..Faults::default() }, 0),
        (Faults { event_twice: 1_000, ..Faults::default() }, 2),
    ] {
        let mut engine = engine(faults);
        engine.apply(now(0), launch(1));
        said(&mut engine, 10_000);
        engine.exit(now(10_000), task(1, 1), Exit { code: 1, out_of_memory: false });
        assert_eq!(said(&mut engine, 60_000), vec!["exited"; told]);
    }
}

#[test]
fn a_list_leaves_nothing_out_more_than_twice_in_a_row() {
    let mut engine = engine(Faults { list_partial: 1_000, ..Faults::default() });
    engine.apply(now(0), launch(1));
    said(&mut engine, 10_000);
    let (mut missed, mut longest) = (0, 0);
    for second in 10..200 {
        engine.apply(now(second * 1_000), EngineAction::List { runtime: Runtime::Docker });
        while let Some(at) = engine.next_at() {
            if let Some(EngineReport::Listed { found, .. }) = engine.poll(now(at.0 / 1_000 + 1)) {
                missed = if found.is_empty() { missed + 1 } else { 0 };
                longest = longest.max(missed);
            }
        }
    }
    assert_eq!(longest, 2);
}

#[test]
fn containers_outlive_the_agent_and_die_with_the_host() {
    let mut engine = engine(Faults::default());
    engine.apply(now(0), launch(1));
    said(&mut engine, 10_000);
    engine.apply(now(10_000), launch(2));
    engine.crash_agent();
    assert_eq!(said(&mut engine, 20_000), Vec::<&str>::new());
    assert!(engine.running().any(|container| container.task() == Some(task(1, 1))));
    engine.start_agent(now(20_000));
    assert_eq!(said(&mut engine, 21_000), ["well"]);
    engine.reboot();
    assert_eq!(engine.running().count(), 0);
    engine.apply(now(1), EngineAction::List { runtime: Runtime::Docker });
    assert_eq!(said(&mut engine, 1_000).len(), 2);
}

#[test]
fn whoever_touches_what_is_not_its_own_is_noted() {
    let mut engine = engine(Faults::default());
    let owners = [
        ("theirs", Owner::Foreign),
        ("peers", Owner::Task(CLUSTER, Box::new(label(PEER, 1)))),
        ("other cluster", Owner::Task(ClusterId([8; 32]), Box::new(label(ME, 1)))),
    ];
    for (name, owner) in owners {
        engine.run_by_hand(now(0), name, owner);
        let (runtime, container) = (Runtime::Docker, name.to_owned());
        engine.apply(now(1), EngineAction::Remove { runtime, task: task(1, 1), container });
    }
    said(&mut engine, 1_000);
    let mut touched: Vec<_> =
        engine.touches().iter().map(|touch| (touch.container.as_str(), touch.node)).collect();
    touched.sort();
    assert_eq!(touched, [("other cluster", None), ("peers", Some(PEER)), ("theirs", None)]);
    assert_eq!(engine.running().count(), 3);
}

#[test]
fn a_port_is_one_containers_at_a_time() {
    let mut engine = engine(Faults::default());
    for counter in [1, 2] {
        let mut action = launch(counter);
        if let EngineAction::Start(launch) = &mut action {
            let protocol = sleep_wire::spec::Protocol::Tcp;
            let port = sleep_wire::spec::Port { host_ip: String::new(), published: 80, target: 80, protocol };
            launch.template.ports = vec![port];
        }
        engine.apply(now(counter * 10_000), action);
    }
    assert!(said(&mut engine, 60_000).ends_with(&["created", "start failed"]));
}

/// A node with three tasks, its agent and its engine, under faults; then without.
fn play(seed: u64) -> (u64, Vec<TaskId>) {
    let mut trouble = Stream::new(seed);
    let mut engine = Engine::new(seed, ME, [Runtime::Docker]);
    engine.set_cluster(Some(CLUSTER));
    engine.set_faults(Faults {
        call_hangs: 20,
        no_image: 200,
        create_lies: 50,
        start_fails: 50,
        start_lies: 50,
        stop_fails: 100,
        remove_fails: 100,
        event_lost: 200,
        event_twice: 200,
        list_partial: 200,
        exits_at_once: 50,
        exits_soon: 400,
        out_of_memory: 20,
        deaf: 100,
        stubborn: 100,
    });
    engine.run_by_hand(now(0), "theirs", Owner::Foreign);
    let mut node = Node::start(now(0), seed, &[]);
    let (mut ms, mut trace) = (0, seed);
    while ms < 900_000 {
        let calm = ms >= 600_000;
        if calm {
            engine.set_faults(Faults::default());
        }
        let wakes = [node.core.next_wake(), engine.next_at()].into_iter().flatten().min();
        ms = wakes.map_or(ms + 1, |at| at.0.div_ceil(1_000)).max(ms + 1);
        while let Some(report) = engine.poll(now(ms)) {
            for byte in format!("{ms} {report:?}").bytes() {
                trace = (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            node.handle(now(ms), ReconcileInput::Engine(report), &mut engine);
        }
        node.handle(now(ms), ReconcileInput::Tick, &mut engine);
        let hit = if calm { 1_000 } else { trouble.between((0, 999)).as_millis() };
        match hit {
            0..25 => {
                engine.crash_agent();
                let told = std::mem::take(&mut node.told);
                node = Node::start(now(ms), seed, &told);
                node.told = told;
                engine.start_agent(now(ms));
            }
            25..40 => engine.restart(now(ms), Duration::from_secs(3), Survivors::Ended),
            40..50 => engine.restart(now(ms), Duration::from_secs(3), Survivors::Running),
            50..60 => engine.hang(now(ms), Duration::from_secs(20)),
            60..70 => engine.restart(now(ms), Duration::from_secs(1), Survivors::Running),
            70..80 => engine.remove_by_hand(now(ms), task(1, 1)),
            _ => {}
        }
    }
    assert_eq!(engine.touches(), []);
    // Nothing is ever retired by name here: all that may be stopped is what a later attempt took the place
    // of.
    let stopped = engine.tally().iter().filter(|(_, tally)| tally.stops > 0);
    assert!(
        stopped.map(|(id, _)| *id).all(|id| !node.is_newest(id)),
        "seed {seed}: a newest attempt was stopped"
    );
    assert!(engine.tally().len() > 3, "seed {seed}: too calm");
    let mut running: Vec<TaskId> = engine.running().filter_map(Container::task).collect();
    running.sort_unstable();
    (trace, running)
}

struct Node {
    core: Reconcile,
    told: Vec<(SlotKey, u8, TaskStatus)>,
}

impl Node {
    fn start(now: Now, seed: u64, told: &[(SlotKey, u8, TaskStatus)]) -> Self {
        let mut core = Reconcile::new(
            now,
            Setup {
                me: ME,
                cluster: CLUSTER,
                fence: EPOCH,
                host_rebooted: false,
                seed,
                runtimes: vec![Runtime::Docker],
                limits: Limits::default(),
            },
        );
        let recovered = told.iter().map(|(slot, place, status)| Recovered {
            slot: *slot,
            place: *place,
            status: status.clone(),
        });
        core.handle(now, ReconcileInput::Recovered(recovered.collect()));
        for counter in 1..=3 {
            core.set_assignment(slot(counter), Some(desired(u64::from(counter))));
            core.settle(now);
        }
        Self { core, told: Vec::new() }
    }

    fn handle(&mut self, now: Now, input: ReconcileInput, engine: &mut Engine) {
        self.core.handle(now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                ReconcileOutput::Engine(action) => engine.apply(now, action),
                ReconcileOutput::Publish { slot, place, status } => {
                    self.told.retain(|(s, p, _)| (*s, *p) != (slot, place));
                    self.told.push((slot, place, *status));
                }
                ReconcileOutput::Forget { .. }
                | ReconcileOutput::PersistFence { .. }
                | ReconcileOutput::RuntimesChanged
                | ReconcileOutput::ImagesChanged
                | ReconcileOutput::Event(_) => {}
            }
        }
    }

    fn is_newest(&self, id: TaskId) -> bool {
        let of_it = self.told.iter().filter(|(_, _, status)| status.task.assignment == id.assignment);
        of_it.map(|(_, _, status)| status.task.attempt).max() == Some(id.attempt)
    }
}

fn desired(counter: u64) -> Desired {
    let assignment = Stamp::Lease { epoch: EPOCH, counter };
    let (cause, choice, at) = (Cause::Wanted, Choice::default(), WallTime(0));
    let current = Assigned { assignment, node: ME, revision: REVISION, cause, choice, at };
    let slot = Slot { current: Some(current), order: Order::StopFirst, fence: 1, retire: Vec::new() };
    let restart = RestartPolicy { delay_ms: 0, ..RestartPolicy::default() };
    let template = TaskTemplate { image: "app:1".to_owned(), restart, ..TaskTemplate::default() };
    Desired {
        service_name: "web".to_owned(),
        removed: false,
        singleton: false,
        record: Some(SlotRecord { stamp: assignment, slot }),
        templates: vec![Template { revision: REVISION, spec: Arc::new(Revision::running(template)) }],
        peers: Vec::new(),
    }
}

#[test]
fn one_task_a_slot_runs_when_the_faults_stop_and_a_seed_is_a_run() {
    for seed in 0..60 {
        let (trace, running) = play(seed);
        let assignments: Vec<Stamp> = running.iter().map(|task| task.assignment).collect();
        assert_eq!(assignments, [1, 2, 3].map(|counter| task(counter, 1).assignment), "seed {seed}");
        if seed < 5 {
            assert_eq!(play(seed), (trace, running), "seed {seed}");
        }
    }
}

/// A start that is given up while its image is fetched makes nothing; while its container is created, it
/// leaves it unstarted; and once it starts, it runs.
#[test]
fn a_start_is_given_up_until_the_engine_is_asked_to_start_it() {
    let paces = Paces::default();
    let made = |after_ms: u64| {
        let mut engine = Engine::new(1, ME, [Runtime::Docker]);
        engine.set_cluster(Some(CLUSTER));
        engine.apply(now(0), launch(7));
        while engine.poll(now(after_ms)).is_some() {}
        engine.apply(now(after_ms), EngineAction::Cancel { runtime: Runtime::Docker, task: task(7, 1) });
        let mut cancelled = false;
        while let Some(report) = engine.poll(now(600_000)) {
            let error = EngineError::Cancelled;
            cancelled |= report == EngineReport::StartFailed { task: task(7, 1), error };
        }
        (cancelled, engine.containers().count(), engine.running().count())
    };
    assert_eq!(made(u64::from(paces.pull_ms.0) - 1), (true, 0, 0));
    let outcomes: BTreeSet<(bool, usize, usize)> = (0..4_000).step_by(10).map(made).collect();
    assert_eq!(outcomes, BTreeSet::from([(true, 0, 0), (true, 1, 0), (false, 1, 1)]));
}
