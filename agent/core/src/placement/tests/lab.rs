//! The lab's story, told to the planner alone.

use alloc::vec;
use alloc::vec::Vec;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::Cause;
use sleep_wire::spec::{Mode, Order, Port, Protocol, Revision};

use super::world::World;
use crate::placement::testing::{node, node_id, revision, revision_id, service, service_id};
use crate::placement::{Answer, Liveness, Pending, Refused};

fn lab(replicas: u32, change: impl FnOnce(&mut Revision)) -> World {
    let mut spec = revision();
    change(&mut spec);
    World::new(vec![node(1), node(2), node(3)], vec![service(1, replicas, spec)])
}

fn key(number: u32) -> SlotKey {
    SlotKey { service: service_id(1), slot: SlotName::Number(number) }
}

#[test]
fn seven_on_three_are_spread_evenly_and_four_of_them_stay_as_they_are() {
    let mut world = lab(1, |_| {});
    world.settle();
    world.service(0).replicas = 7;
    world.settle();
    assert_eq!(world.spread(0), [3, 2, 2]);
    let before = world.tasks_of(0);
    world.service(0).replicas = 4;
    world.settle();
    assert_eq!(world.spread(0), [2, 1, 1]);
    let after = world.tasks_of(0);
    assert!(after.iter().all(|task| before.contains(task)), "{after:?} were all there: {before:?}");
    assert!(world.facts.services[0].slots.values().all(|slot| slot.slot.retire.is_empty()));
}

/// Its reports are of an agent that ran before, and the next one has not looked yet.
#[test]
fn a_restarted_agents_tasks_are_not_the_first_to_go() {
    let mut world = lab(7, |_| {});
    world.settle();
    let slots = world.service(0).slots.values_mut();
    for task in slots.flat_map(|slot| &mut slot.tasks).filter(|task| task.node == node_id(2)) {
        task.fresh = false;
    }
    world.service(0).replicas = 4;
    let plan = crate::placement::plan(&world.facts, world.now);
    let mut left = [0, 0, 0];
    for (slot, _, on) in world.tasks_of(0) {
        let goes = plan.writes.iter().any(|write| write.key.slot == slot && write.current.is_none());
        let at = (1..=3).position(|number| node_id(number) == on).expect("there are three nodes");
        left[at] += u32::from(!goes);
    }
    left.sort_unstable();
    assert_eq!(left, [1, 1, 2]);
}

#[test]
fn a_drain_keeps_serving_and_activating_brings_work_back() {
    for order in [Order::StartFirst, Order::StopFirst] {
        let mut world = lab(7, |spec| spec.update.order = order);
        world.settle();
        world.drain(2);
        for _ in 0..200 {
            world.tick();
            match order {
                Order::StartFirst => assert_eq!(world.served(0), 7),
                Order::StopFirst => assert!(world.served(0) >= 6, "one slot at a time"),
            }
        }
        assert_eq!(world.running(0).get(&node_id(2)), None);
        assert_eq!(world.planner().tasks_on(&node_id(2)), 0);
        assert_eq!(world.spread(0), [4, 3, 0]);
        let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
        assert!(progress.is_converged(), "{progress:?}");
        world.activate(2);
        for _ in 0..200 {
            world.tick();
            assert_eq!(world.served(0), 7, "work returns start-first, whatever the order of updates");
        }
        assert_eq!(world.spread(0), [3, 2, 2]);
    }
}

#[test]
fn a_lost_node_s_work_is_placed_elsewhere_and_comes_back_half_a_minute_after_the_node() {
    let mut world = lab(7, |_| {});
    world.settle();
    world.lose(3, true);
    world.ticks(3);
    assert_eq!(world.written, 7, "not before the delay of the service is over");
    world.ticks(8);
    assert_eq!(world.spread(0), [4, 3, 0]);
    world.find(3);
    world.ticks(100);
    assert_eq!(world.spread(0), [4, 3, 0], "not yet ready for long enough");
    world.settle();
    assert_eq!(world.spread(0), [3, 2, 2]);
}

#[test]
fn an_unconfirmed_or_restarting_node_or_the_brake_holds_its_work() {
    for held in [true, false] {
        let mut world = lab(7, |_| {});
        world.settle();
        world.lose(3, false);
        let now = world.now;
        world.node(3).liveness =
            if held { Liveness::Held } else { Liveness::Down { since: now, confirmed: false } };
        world.settle();
        assert_eq!(world.written, 7);
    }
    let mut world = lab(7, |_| {});
    world.settle();
    world.facts.brake = true;
    world.lose(3, false);
    world.settle();
    assert_eq!(world.written, 7);
    world.facts.brake = false;
    world.ticks(10);
    assert_eq!(world.spread(0), [4, 3, 0]);
}

/// After a heal the slot has two tasks: the one that ran all along stays, and nothing is lost meanwhile.
#[test]
fn a_heal_keeps_the_original() {
    let mut world = lab(7, |_| {});
    world.settle();
    let before = world.tasks_of(0);
    world.lose(3, false);
    world.ticks(40);
    assert_eq!(world.spread(0), [4, 3, 0]);
    world.find(3);
    for _ in 0..120 {
        world.tick();
        assert_eq!(world.served(0), 7);
    }
    assert_eq!(world.tasks_of(0), before, "every original runs, and nothing else");
}

#[test]
fn a_heal_keeps_the_newest_if_asked() {
    let mut world = lab(7, |spec| spec.partition.on_heal = sleep_wire::spec::OnHeal::KeepNewest);
    world.settle();
    world.lose(3, false);
    world.ticks(40);
    let between = world.tasks_of(0);
    world.find(3);
    world.ticks(60);
    let after = world.tasks_of(0);
    assert_eq!(after.len(), 7);
    assert!(after.iter().all(|task| between.contains(task)));
}

#[test]
fn a_removed_node_s_slots_are_filled_at_once_with_that_cause() {
    let mut world = lab(3, |_| {});
    world.settle();
    world.node(1).liveness = Liveness::Removed;
    world.cut.insert(node_id(1));
    world.tick();
    let causes: Vec<_> = world
        .plan
        .writes
        .iter()
        .filter_map(|write| write.new_assignment())
        .map(|new| new.cause.clone())
        .collect();
    assert_eq!(causes, [Cause::NodeRemoved(node_id(1))]);
    world.settle();
    assert_eq!(world.spread(0), [2, 1, 0]);
}

#[test]
fn a_global_service_has_one_task_on_every_node_that_takes_it() {
    let mut world = lab(0, |spec| spec.placement.constraints = vec!["node.name!=node-2".into()]);
    world.service(0).mode = Mode::Global;
    world.settle();
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(1), node_id(3)]);
    world.drain(1);
    world.facts.nodes.push(node(4));
    world.settle();
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(3), node_id(4)]);
    world.lose(4, false);
    let written = world.written;
    world.settle();
    assert_eq!(world.written, written, "its place is that node and no other");
    world.update(0, revision_id(2), |spec| spec.template.env = vec!["A=1".into()]);
    world.find(4);
    world.settle();
    let mut revisions = world.tasks.values().filter(|t| t.state == sleep_wire::task::TaskState::Running);
    assert!(revisions.all(|task| task.revision == revision_id(2)));
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(3), node_id(4)]);
    let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
    assert_eq!((progress.desired, progress.is_converged()), (2, true));
}

#[test]
fn what_no_node_takes_is_pending_and_every_node_says_why() {
    let mut world = lab(4, |spec| {
        spec.template.resources.reserve_memory = 3 << 30;
        spec.placement.max_per_node = 1;
        spec.template.ports =
            vec![Port { host_ip: "".into(), published: 80, target: 80, protocol: Protocol::Tcp }];
    });
    world.node(1).memory = 2 << 30;
    world.node(2).availability = sleep_wire::node::Availability::Paused;
    world.settle();
    let wanted = |number| Pending { key: key(number), cause: Cause::Wanted };
    assert_eq!(world.plan.pending, [wanted(2), wanted(3), wanted(4)]);
    assert_eq!(
        world.planner().why(key(2), world.now),
        [
            (node_id(1), Answer::Refuses(Refused::Memory { needs: 3 << 30, free: 2 << 30 })),
            (node_id(2), Answer::Refuses(Refused::Paused)),
            (
                node_id(3),
                Answer::Refuses(Refused::PortTaken { port: 80, protocol: Protocol::Tcp, by: service_id(1) })
            ),
        ]
    );
    let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
    assert_eq!((progress.desired, progress.stable, progress.pending), (4, 1, 3));
    world.activate(2);
    world.settle();
    assert_eq!(world.plan.pending, [wanted(3), wanted(4)]);
}

#[test]
fn constraints_labels_runtimes_and_health_of_the_engine_refuse_with_their_names() {
    let mut world = lab(1, |spec| spec.placement.constraints = vec!["node.labels.ssd==yes".into()]);
    world.node(2).labels.insert("ssd".into(), "yes".into());
    world.node(2).runtimes.insert(sleep_wire::spec::Runtime::Docker, "does not answer".into());
    world.node(3).runtimes.clear();
    world.tick();
    let docker = sleep_wire::spec::Runtime::Docker;
    assert_eq!(
        world.planner().why(key(1), world.now),
        [
            (node_id(1), Answer::Refuses(Refused::Constraint { text: "node.labels.ssd==yes".into() })),
            (node_id(2), Answer::Refuses(Refused::Ill { runtime: docker, reason: "does not answer".into() })),
            (node_id(3), Answer::Refuses(Refused::NoRuntime { runtime: docker })),
        ]
    );
    world.node(2).runtimes.insert(docker, "".into());
    world.settle();
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(2)]);
    // The label moves: so does the task, and not before there is somewhere to go.
    world.node(2).labels.clear();
    world.settle();
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(2)]);
    assert_eq!(world.plan.pending, [Pending { key: key(1), cause: Cause::Unfit(node_id(2)) }]);
    let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
    assert_eq!((progress.stable, progress.pending, progress.stuck, progress.leaving), (1, 0, 1, 1));
    assert!(!progress.is_converged());
    world.node(1).labels.insert("ssd".into(), "yes".into());
    world.settle();
    assert_eq!(world.running(0).into_keys().collect::<Vec<_>>(), [node_id(1)]);
}

/// Nothing is tried without end: three nodes at most, each with its own agent's backoff.
#[test]
fn an_image_that_exists_nowhere_is_tried_on_three_nodes_and_then_left_where_it_is() {
    let nodes = (1..=9).map(node).collect();
    let mut world = World::new(nodes, vec![service(1, 1, revision())]);
    world.broken = (1..=9).map(|number| (revision_id(1), node_id(number))).collect();
    world.ticks(200);
    let written = world.written;
    assert_eq!(written, 3 + 1, "placed three times, and the retired tasks were forgotten");
    world.ticks(2_000);
    assert_eq!(world.written, written);
    let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
    assert_eq!((progress.running, progress.failing), (0, vec![SlotName::Number(1)]));
}

#[test]
fn a_task_that_cannot_start_on_one_node_starts_on_another() {
    let mut world = lab(3, |_| {});
    world.broken.insert((revision_id(1), node_id(1)));
    world.ticks(200);
    assert_eq!(world.served(0), 3);
    assert_eq!(world.spread(0), [2, 1, 0]);
}

#[test]
fn a_removed_service_is_left_to_the_agents() {
    let mut world = lab(7, |_| {});
    world.settle();
    world.service(0).removed = true;
    let written = world.written;
    world.tick();
    let converged = |world: &World| {
        world.planner().progress(&service_id(1), world.now).expect("a known service").is_converged()
    };
    assert!(!converged(&world), "not before its tasks are seen to have ended");
    world.settle();
    assert!(converged(&world));
    assert_eq!((world.written, world.spread(0)), (written, vec![0, 0, 0]));
    assert_eq!(world.planner().tasks_on(&node_id(1)), 0);
}
