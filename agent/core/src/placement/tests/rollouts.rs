//! Updates, carried out.

use alloc::vec;
use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::slot::{Cause, RetireReason};
use sleep_wire::spec::{Order, Revision};
use sleep_wire::task::TaskState;

use super::world::World;
use crate::placement::testing::{node, node_id, revision, revision_id, service, service_id};
use crate::rollout::RolloutStatus;

fn world(replicas: u32, change: impl FnOnce(&mut Revision)) -> World {
    let mut spec = revision();
    change(&mut spec);
    let mut world = World::new(vec![node(1), node(2), node(3)], vec![service(1, replicas, spec)]);
    world.settle();
    world
}

fn new_image(spec: &mut Revision) {
    spec.template.image = "app:2".into();
}

fn updated(world: &World) -> usize {
    let is_new = |revision| revision == revision_id(2);
    world.tasks.values().filter(|task| is_new(task.revision) && task.state == TaskState::Running).count()
}

#[test]
fn a_start_first_update_never_serves_less_and_stays_on_its_nodes() {
    let mut world = world(7, |spec| spec.update.order = Order::StartFirst);
    let nodes = |world: &World| world.tasks_of(0).into_iter().map(|(s, _, n)| (s, n)).collect::<Vec<_>>();
    let before = nodes(&world);
    world.update(0, revision_id(2), new_image);
    let mut most = 0;
    for _ in 0..300 {
        world.tick();
        assert_eq!(world.served(0), 7);
        most = most.max(world.tasks_of(0).len());
    }
    assert_eq!((updated(&world), most), (7, 8), "one more at a time");
    assert_eq!(nodes(&world), before);
    assert_eq!(world.planner().rollout(&service_id(1), world.now), Some(RolloutStatus::Idle));
}

#[test]
fn a_stop_first_update_stops_one_before_it_starts_one() {
    let mut world = world(7, |_| {});
    world.update(0, revision_id(2), new_image);
    world.tick();
    let write = &world.plan.writes[0];
    assert_eq!(world.plan.writes.len(), 1);
    assert_eq!(write.order, Order::StopFirst);
    assert_eq!(
        write.retire.iter().map(|retired| retired.reason).collect::<Vec<_>>(),
        [RetireReason::Command]
    );
    let new = write.new_assignment().expect("it gets a new task");
    // No other node was asked; not that no other could have taken it.
    assert_eq!((&new.cause, new.choice.decided_by.as_str()), (&Cause::Updated, "stays"));
    for _ in 0..300 {
        world.tick();
        assert!(world.tasks_of(0).len() >= 6 && world.tasks_of(0).len() <= 7);
    }
    assert_eq!(updated(&world), 7);
}

#[test]
fn parallelism_bounds_how_many_are_under_way_and_zero_means_all() {
    for (parallelism, expected) in [(1, 1), (3, 3), (0, 7)] {
        let mut world = world(7, |spec| spec.update.parallelism = parallelism);
        world.update(0, revision_id(2), new_image);
        world.tick();
        assert_eq!(world.plan.writes.len(), expected);
        world.tick();
        assert_eq!(world.plan.writes.len(), 0, "until one of them is healthy");
        world.settle();
        assert_eq!(updated(&world), 7);
    }
}

#[test]
fn the_delay_lies_between_two_slots() {
    let mut world = world(3, |spec| spec.update.delay_ms = 10_000);
    world.update(0, revision_id(2), new_image);
    world.ticks(30);
    assert_eq!(updated(&world), 1);
    world.ticks(30);
    assert_eq!(updated(&world), 2);
    world.settle();
    assert_eq!(updated(&world), 3);
}

#[test]
fn a_failed_update_pauses_and_the_other_slots_keep_what_they_have() {
    let mut world = world(7, |spec| spec.update.order = Order::StartFirst);
    world.broken = (1..=3).map(|number| (revision_id(2), node_id(number))).collect();
    world.update(0, revision_id(2), new_image);
    world.ticks(400);
    assert_eq!((world.served(0), updated(&world)), (7, 0));
    let paused = RolloutStatus::Paused { updated: 1, of: 7, failed: vec![SlotName::Number(1)] };
    assert_eq!(world.planner().rollout(&service_id(1), world.now), Some(paused));
    // A node that drains meanwhile takes its work away as it was.
    world.drain(3);
    world.ticks(400);
    assert_eq!((world.served(0), updated(&world)), (7, 0));
    // A third revision mends it.
    world.update(0, revision_id(3), |spec| spec.template.image = "app:3".into());
    for _ in 0..400 {
        world.tick();
        assert_eq!(world.served(0), 7);
    }
    let third = world.tasks.values().filter(|task| task.revision == revision_id(3));
    assert_eq!(third.filter(|task| task.state == TaskState::Running).count(), 7);
    assert_eq!(world.spread(0), [4, 3, 0]);
}

#[test]
fn a_revision_that_changes_no_task_restarts_none() {
    let mut world = world(7, |_| {});
    let before = world.tasks_of(0);
    world.update(0, revision_id(2), |spec| spec.update.parallelism = 2);
    world.settle();
    assert_eq!(world.tasks_of(0), before);
    assert_eq!(world.planner().rollout(&service_id(1), world.now), Some(RolloutStatus::Idle));
}

#[test]
fn a_singleton_s_tasks_never_overlap() {
    let mut world = world(1, |spec| spec.update.order = Order::StartFirst);
    world.service(0).singleton = true;
    world.update(0, revision_id(2), new_image);
    for _ in 0..50 {
        world.tick();
        assert!(world.tasks_of(0).len() <= 1);
    }
    let home = world.tasks_of(0)[0].2;
    world.drain(if home == node_id(1) {
        1
    } else if home == node_id(2) {
        2
    } else {
        3
    });
    for _ in 0..50 {
        world.tick();
        assert!(world.tasks_of(0).len() <= 1);
    }
    assert_eq!((updated(&world), world.tasks_of(0)[0].2 != home), (1, true));
}

#[test]
fn scaling_down_and_up_in_the_middle_of_an_update_ends_well() {
    let mut world = world(7, |spec| spec.update.order = Order::StartFirst);
    world.update(0, revision_id(2), new_image);
    world.ticks(5);
    world.service(0).replicas = 3;
    world.ticks(3);
    world.service(0).replicas = 9;
    world.settle();
    assert_eq!((world.served(0), updated(&world)), (9, 9));
    assert_eq!(world.spread(0), [3, 3, 3]);
}

#[test]
fn a_fence_number_grows_with_every_new_task_and_never_falls() {
    let mut world = world(3, |spec| spec.update.order = Order::StartFirst);
    let fences = |world: &World| {
        let slots = world.facts.services[0].slots.values();
        slots.map(|slot| slot.slot.fence).collect::<Vec<_>>()
    };
    assert_eq!(fences(&world), [1, 1, 1]);
    world.update(0, revision_id(2), new_image);
    world.settle();
    assert_eq!(fences(&world), [2, 2, 2]);
    world.service(0).replicas = 2;
    world.settle();
    assert_eq!(fences(&world), [2, 2, 2]);
    world.service(0).replicas = 3;
    world.settle();
    assert_eq!(fences(&world).into_iter().sum::<u64>(), 7);
}
