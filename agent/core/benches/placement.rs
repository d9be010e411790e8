//! What planning costs at 10,000 nodes and 100,000 tasks: `cargo bench -p sleep-core --bench placement`.
//!
//! 20 zones over which tasks are spread; half of the services ask for a label that seven in ten nodes have,
//! all reserve memory and cores, one in ten publishes a port. Goals: everything placed in 150 ms, one node's
//! loss in 1 ms.
//!
//! Measured is the time that the thread spent on a core, so that a busy machine tells the same as an idle
//! one: nothing here waits for anything.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime as ClockTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use sleep_core::Instant;
use sleep_core::placement::{
    Facts, Liveness, NodeFact, Planner, ServiceFact, SlotFact, TaskFact, lint, plan,
};
use sleep_wire::node::Availability;
use sleep_wire::spec::{
    Mode, PartitionPolicy, Placement, Port, Protocol, Revision, Runtime, TaskTemplate, UpdatePolicy,
};
use sleep_wire::task::{Health, TaskId, TaskState};
use sleep_wire::trust::Role;
use sleep_wire::{Epoch, NodeId, RevisionId, ServiceId, Stamp, WallTime};

const NODES: u32 = 10_000;
const SERVICES: u32 = 2_000;
const REPLICAS: u32 = 50;
const ZONES: u32 = 20;
const NOW: Instant = Instant(3_600_000_000);

fn id(kind: u8, number: u32) -> [u8; 16] {
    let mut id = [kind; 16];
    // Scattered, as hashes are.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    id
}

fn node(number: u32) -> NodeFact {
    let disk = if number % 10 < 7 { "ssd" } else { "hdd" };
    NodeFact {
        id: NodeId(id(1, number)),
        name: format!("node-{number}"),
        availability: Availability::Active,
        liveness: Liveness::Up { since: Instant(0) },
        activated: None,
        role: Role::Worker,
        labels: BTreeMap::from([
            ("zone".to_owned(), format!("z{}", number % ZONES)),
            ("disk".to_owned(), disk.to_owned()),
        ]),
        cpu_milli: 8_000,
        memory: 16 << 30,
        architecture: "x86_64".to_owned(),
        os: "linux".to_owned(),
        runtimes: BTreeMap::from([(Runtime::Docker, String::new())]),
        images: (0..20).map(|image| format!("registry/app-{}:1", (number + image) % 97)).collect(),
    }
}

fn service(number: u32) -> ServiceFact {
    let revision_id = RevisionId(id(3, number));
    let mut template =
        TaskTemplate { image: format!("registry/app-{}:1", number % 97), ..TaskTemplate::default() };
    template.resources.reserve_cpu_milli = 100;
    template.resources.reserve_memory = 256 << 20;
    if number.is_multiple_of(10) {
        let published = u16::try_from(10_000 + number / 10).expect("a few hundred ports");
        let host_ip = String::new();
        template.ports.push(Port { host_ip, published, target: 80, protocol: Protocol::Tcp });
    }
    let constraints =
        if number.is_multiple_of(2) { vec!["node.labels.disk==ssd".to_owned()] } else { Vec::new() };
    let revision = Revision {
        parents: Vec::new(),
        template,
        placement: Placement { constraints, spread_by: "zone".to_owned(), max_per_node: 0 },
        update: UpdatePolicy::default(),
        partition: PartitionPolicy::default(),
        labels: Vec::new(),
        at: WallTime(0),
    };
    ServiceFact {
        id: ServiceId(id(2, number)),
        mode: Mode::Replicated,
        replicas: REPLICAS,
        removed: false,
        singleton: false,
        revision: revision_id,
        revisions: BTreeMap::from([(revision_id, Arc::new(revision))]),
        slots: BTreeMap::new(),
    }
}

fn wanted() -> Facts {
    Facts {
        nodes: (0..NODES).map(node).collect(),
        services: (0..SERVICES).map(service).collect(),
        brake: false,
    }
}

/// What the plan said, carried out.
fn running() -> Facts {
    let mut facts = wanted();
    let plan = plan(&facts, NOW);
    assert_eq!((plan.writes.len(), plan.pending.len()), ((SERVICES * REPLICAS) as usize, 0));
    assert_eq!(lint(&plan, &facts), []);
    let mut services: BTreeMap<ServiceId, &mut ServiceFact> =
        facts.services.iter_mut().map(|service| (service.id, service)).collect();
    let epoch = Epoch { generation: 0, term: 1, candidate: NodeId(id(1, 0)) };
    for (write, counter) in plan.writes.iter().zip(1..) {
        let assignment = Stamp::Lease { epoch, counter };
        let new = write.new_assignment().expect("all are new");
        let task = TaskFact {
            task: TaskId { assignment, attempt: 1 },
            node: new.node,
            revision: new.revision,
            state: TaskState::Running,
            health: Health::None,
            started: true,
            running_for_ms: 0,
            seen: NOW,
            fresh: true,
        };
        let slot = write.body(assignment, WallTime(0));
        let slot = SlotFact { slot, written: NOW, assigned: NOW, tasks: vec![task] };
        let service = services.get_mut(&write.key.service).expect("a service of these facts");
        service.slots.insert(write.key.slot, slot);
    }
    facts
}

/// Time that this thread spent on a core.
struct CoreTime;

impl Measurement for CoreTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(spent.tv_nsec).expect("fewer nanoseconds than a second has");
        Duration::new(u64::try_from(spent.tv_sec).expect("time spent is positive"), nanos)
    }

    fn end(&self, began: Duration) -> Duration {
        self.start() - began
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        ClockTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        ClockTime.formatter()
    }
}

fn benches(c: &mut Criterion<CoreTime>) {
    let mut group = c.benchmark_group("placement");
    group.sample_size(10).measurement_time(Duration::from_secs(10));

    let facts = wanted();
    group.bench_function("place_100k_tasks_on_10k_nodes", |b| {
        b.iter_batched_ref(
            || Planner::new(facts.clone()),
            |planner| black_box(planner.step(NOW)).writes.len(),
            BatchSize::PerIteration,
        );
    });

    let facts = running();
    group.bench_function("look_at_100k_running_tasks", |b| {
        b.iter_batched_ref(
            || Planner::new(facts.clone()),
            |planner| assert_eq!(black_box(planner.step(NOW)).writes.len(), 0),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("index_and_look_at_100k_running_tasks", |b| {
        b.iter(|| assert_eq!(black_box(plan(&facts, NOW)).writes.len(), 0));
    });

    let mut planner = Planner::new(facts.clone());
    planner.step(NOW);
    let lost: Vec<NodeFact> = facts.nodes.iter().step_by(101).cloned().collect();
    group.bench_function("lose_one_node", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for round in 0..rounds {
                let back = lost[usize::try_from(round).expect("few rounds") % lost.len()].clone();
                let liveness = Liveness::Down { since: Instant(0), confirmed: true };
                let gone = NodeFact { liveness, ..back.clone() };
                let began = CoreTime.start();
                planner.set_node(gone);
                let plan = black_box(planner.step(NOW));
                spent += CoreTime.end(began);
                assert!(plan.writes.len() < 100 && plan.pending.is_empty());
                planner.set_node(back);
                assert_eq!(planner.step(NOW).writes.len(), 0);
            }
            spent
        });
    });
    group.finish();
}

criterion_group! {
    name = placement;
    config = Criterion::default().with_measurement(CoreTime);
    targets = benches
}
criterion_main!(placement);
