//! Whatever happens to a small cluster, the laws hold.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use sleep_wire::node::Availability;
use sleep_wire::spec::{Mode, OnHeal, Order, Port, Protocol, Revision};

use super::world::World;
use crate::placement::facts::{Facts, Liveness};
use crate::placement::testing::{node, node_id, revision, revision_id, service, service_id};
use crate::placement::{Planner, lint, plan};
use crate::rollout::RolloutStatus;

const NODES: u32 = 6;

#[derive(Clone, Debug)]
enum Event {
    Scale(usize, u32),
    Update(usize),
    Drain(u32),
    Pause(u32),
    Activate(u32),
    Lose(u32, bool),
    Hold(u32),
    Find(u32),
    Remove(u32),
    Label(u32, bool),
    Break(u32),
    Mend,
    Brake(bool),
    Gone(usize),
    Wait(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 1..=NODES;
    prop_oneof![
        4 => (0..3_usize, 0..12_u32).prop_map(|(service, replicas)| Event::Scale(service, replicas)),
        3 => (0..3_usize).prop_map(Event::Update),
        2 => node().prop_map(Event::Drain),
        1 => node().prop_map(Event::Pause),
        3 => node().prop_map(Event::Activate),
        2 => (node(), any::<bool>()).prop_map(|(node, dies)| Event::Lose(node, dies)),
        1 => node().prop_map(Event::Hold),
        3 => node().prop_map(Event::Find),
        1 => (4..=NODES).prop_map(Event::Remove),
        1 => (node(), any::<bool>()).prop_map(|(node, on)| Event::Label(node, on)),
        1 => node().prop_map(Event::Break),
        1 => Just(Event::Mend),
        1 => any::<bool>().prop_map(Event::Brake),
        1 => (0..3_usize).prop_map(Event::Gone),
        6 => (1..160_usize).prop_map(Event::Wait),
    ]
}

fn spec() -> impl Strategy<Value = Revision> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0..3_u32, 0..3_u32).prop_map(|((start_first, spread, port, newest, ssd), memory, parallelism)| {
        let mut spec = revision();
        spec.update.order = if start_first { Order::StartFirst } else { Order::StopFirst };
        spec.update.parallelism = parallelism;
        spec.template.resources.reserve_memory = u64::from(memory) << 30;
        spec.template.resources.reserve_cpu_milli = u64::from(memory) * 300;
        spec.partition.on_heal = if newest { OnHeal::KeepNewest } else { OnHeal::KeepOriginal };
        if spread {
            spec.placement.spread_by = "zone".to_string();
        }
        if port && memory == 0 {
            let (host_ip, published, target) = ("".to_string(), 80, 80);
            spec.template.ports.push(Port { host_ip, published, target, protocol: Protocol::Tcp });
        }
        if ssd && memory == 1 {
            spec.placement.constraints.push("node.labels.ssd!=no".to_string());
        }
        spec
    })
}

fn world() -> impl Strategy<Value = World> {
    let services = proptest::collection::vec((spec(), 0..10_u32, 0..8_u8), 3);
    services.prop_map(|specs| {
        let nodes = (1..=NODES).map(|number| {
            let mut node = node(number);
            node.labels.insert("zone".to_string(), format!("z{}", number % 3));
            node
        });
        let services = specs.into_iter().zip(1..).map(|((spec, replicas, kind), number)| {
            let mut service = service(number, replicas, spec);
            if kind == 0 {
                service.mode = Mode::Global;
            }
            service.singleton = kind == 1;
            service
        });
        World::new(nodes.collect(), services.collect())
    })
}

fn is_here(world: &mut World, number: u32) -> bool {
    world.node(number).liveness != Liveness::Removed
}

fn happen(world: &mut World, event: &Event) {
    match *event {
        Event::Scale(service, replicas) => world.service(service).replicas = replicas,
        Event::Update(service) => {
            let next = revision_id(u32::try_from(world.service(service).revisions.len()).unwrap_or(0) + 1);
            world.update(service, next, |spec| spec.template.env.push(format!("R={next}")));
        }
        Event::Drain(number) => world.drain(number),
        Event::Pause(number) => world.node(number).availability = Availability::Paused,
        Event::Activate(number) => world.activate(number),
        Event::Lose(number, dies) if is_here(world, number) => world.lose(number, dies),
        Event::Hold(number) if is_here(world, number) => world.node(number).liveness = Liveness::Held,
        Event::Find(number) if is_here(world, number) => world.find(number),
        Event::Remove(number) => {
            world.lose(number, true);
            world.node(number).liveness = Liveness::Removed;
        }
        Event::Lose(..) | Event::Hold(_) | Event::Find(_) => {}
        Event::Label(number, on) => {
            let value = if on { "yes" } else { "no" };
            world.node(number).labels.insert("ssd".to_string(), value.to_string());
        }
        Event::Break(number) => {
            let revision = world.service(0).revision;
            world.broken.insert((revision, node_id(number)));
        }
        Event::Mend => world.broken.clear(),
        Event::Brake(on) => world.facts.brake = on,
        Event::Gone(service) => world.service(service).removed = true,
        Event::Wait(ticks) => world.ticks(ticks),
    }
    world.tick();
}

/// Ends every trouble but the removal of nodes and services.
fn calm(world: &mut World) {
    world.broken.clear();
    world.facts.brake = false;
    for number in 1..=NODES {
        if is_here(world, number) {
            world.find(number);
            world.activate(number);
            world.node(number).labels.remove("ssd");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Every tick of a world also checks that the incremental plan is the whole one, and that lint finds
    /// nothing.
    #[test]
    fn after_any_story_desired_is_running_and_evenly_spread(
        mut world in world(),
        story in proptest::collection::vec(event(), 1..30),
    ) {
        for event in &story {
            happen(&mut world, event);
        }
        calm(&mut world);
        world.settle();
        for at in 0..world.facts.services.len() {
            let service = &world.facts.services[at];
            let running: u32 = world.running(at).values().sum();
            prop_assert_eq!(running as usize, world.served(at), "no slot has two");
            let pending = world.plan.pending.iter().filter(|p| p.key.service == service.id).count();
            let progress = world.planner().progress(&service.id, world.now).expect("a known service");
            let expected = if service.removed { 0 } else { progress.desired };
            // With a port to publish, an update that starts first may have no room: then it says so.
            prop_assert_eq!(running + progress.pending, expected, "{:?} {}", progress, pending);
            let paused = matches!(progress.rollout, RolloutStatus::Paused { .. });
            prop_assert!(
                pending > 0 || service.removed || paused || progress.is_converged(),
                "{:?}",
                progress
            );
            let evenly = service.revisions[&service.revision].placement.spread_by.is_empty()
                && service.mode == Mode::Replicated
                && !service.removed
                && !service.singleton
                && pending == 0;
            if evenly {
                let here = world.facts.nodes.iter().filter(|node| node.liveness != Liveness::Removed).count();
                let spread = &world.spread(at)[..here];
                let apart = spread.first().unwrap_or(&0) - spread.last().unwrap_or(&0);
                let fits = service.revisions[&service.revision].template.resources.reserve_memory == 0;
                prop_assert!(apart <= 1 || !fits, "{:?}", spread);
            }
        }
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_the_facts(
        mut world in world(),
        story in proptest::collection::vec(event(), 1..12),
        turn in 0..6_usize,
    ) {
        for event in &story {
            happen(&mut world, event);
            let Facts { mut nodes, mut services, brake } = world.facts.clone();
            nodes.rotate_left(turn % 6);
            services.reverse();
            for slot in services.iter_mut().flat_map(|service| service.slots.values_mut()) {
                slot.tasks.reverse();
            }
            let shuffled = Facts { nodes, services, brake };
            prop_assert_eq!(plan(&shuffled, world.now), plan(&world.facts, world.now));
        }
    }

    /// Scaling down takes what is surplus and touches nothing else.
    #[test]
    fn scaling_down_keeps_the_survivors_and_the_spread(
        from in 1..30_u32,
        to in 0..30_u32,
        nodes in 1..7_u32,
    ) {
        let nodes = (1..=nodes).map(node).collect();
        let mut world = World::new(nodes, Vec::from([service(1, from, revision())]));
        world.settle();
        let before = world.tasks_of(0);
        world.service(0).replicas = to.min(from);
        world.settle();
        let after = world.tasks_of(0);
        prop_assert_eq!(after.len(), to.min(from) as usize);
        prop_assert!(after.iter().all(|task| before.contains(task)));
        let spread = world.spread(0);
        prop_assert!(spread[0] - spread[spread.len() - 1] <= 1, "{:?}", spread);
    }

    /// Start-first, neither drains nor updates take anything away that is not served elsewhere.
    #[test]
    fn draining_and_updating_start_first_keep_serving(
        replicas in 1..9_u32,
        steps in proptest::collection::vec((0..4_u8, 1..=4_u32, 1..40_usize), 1..12),
    ) {
        let mut spec = revision();
        spec.update.order = Order::StartFirst;
        let mut world = World::new((1..=5).map(node).collect(), Vec::from([service(1, replicas, spec)]));
        world.settle();
        for (step, number, ticks) in steps {
            match step {
                0 => world.drain(number),
                1 => world.activate(number),
                2 => {
                    let next = revision_id(u32::try_from(world.service(0).revisions.len()).unwrap_or(0) + 1);
                    world.update(0, next, |spec| spec.template.env.push(format!("R={next}")));
                }
                _ => {}
            }
            for _ in 0..ticks {
                world.tick();
                prop_assert_eq!(world.served(0), replicas as usize);
            }
        }
    }
}

/// Large domains are sampled, and are evenly filled all the same.
#[test]
fn in_a_large_domain_tasks_are_at_most_one_apart_whether_few_or_many() {
    for replicas in [10, 150, 200, 450] {
        let facts = Facts {
            nodes: (1..=200).map(node).collect(),
            services: Vec::from([service(1, replicas, revision())]),
            brake: false,
        };
        let mut planner = Planner::new(facts.clone());
        let plan = planner.step(facts_now());
        assert_eq!(plan.writes.len(), replicas as usize);
        assert_eq!(lint(&plan, &facts), []);
        let mut counts = [0_u32; 201];
        for write in &plan.writes {
            let node = write.new_assignment().expect("all are new").node;
            counts[(1..=200).find(|number| node_id(*number) == node).expect("one of these") as usize] += 1;
        }
        let (least, most) = (counts[1..].iter().min(), counts[1..].iter().max());
        assert!(most.expect("200 nodes") - least.expect("200 nodes") <= 1, "{replicas}: {counts:?}");
        assert_eq!(plan.writes[0].key.service, service_id(1));
    }
}

fn facts_now() -> crate::time::Instant {
    crate::placement::testing::at(3_600)
}
