//! Single rules, one at a time.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::{Cause, RetireReason};
use sleep_wire::spec::{Order, RestartCondition};
use sleep_wire::task::TaskState;

use super::world::World;
use crate::placement::testing::{node, node_id, revision, service, service_id};
use crate::placement::{Answer, Facts, Plan, Planner, RETURN_LIMIT, Why, plan};
use crate::time::Instant;

fn causes(plan: &Plan) -> Vec<Cause> {
    plan.writes.iter().filter_map(|write| write.new_assignment()).map(|new| new.cause.clone()).collect()
}

/// Whatever is at hand must not pull all tasks to the one node that has it.
#[test]
fn an_image_that_is_there_decides_between_equals_and_never_over_spread() {
    let mut nodes: Vec<_> = (1..=3).map(node).collect();
    nodes[1].images.insert("docker.io/library/app:latest".to_string());
    let services = vec![service(1, 1, revision())];
    let facts = Facts { nodes, services, brake: false };
    let written = plan(&facts, Instant(0));
    let new = written.writes[0].new_assignment().expect("a new task");
    assert_eq!((new.node, new.choice.decided_by.as_str()), (node_id(2), "image"));
    assert_eq!((new.choice.fitting, new.choice.refused), (3, 0));
    let mut world = World::new(facts.nodes, vec![service(1, 7, revision())]);
    world.settle();
    assert_eq!(world.spread(0), [3, 2, 2]);
}

#[test]
fn work_that_is_done_is_neither_done_again_nor_moved() {
    let mut spec = revision();
    spec.template.restart.condition = RestartCondition::OnFailure;
    let mut world = World::new(vec![node(1), node(2)], vec![service(1, 2, spec)]);
    world.settle();
    for task in world.tasks.values_mut() {
        task.state = TaskState::Complete;
    }
    let written = world.written;
    world.settle();
    world.drain(1);
    world.settle();
    world.lose(2, false);
    world.settle();
    assert_eq!(world.written, written);
    let progress = world.planner().progress(&service_id(1), world.now).expect("a known service");
    assert_eq!((progress.done, progress.running, progress.is_converged()), (2, 0, true));
}

#[test]
fn a_task_that_its_node_stopped_for_good_leaves_a_slot_that_wants_one() {
    let mut world = World::new(vec![node(1), node(2)], vec![service(1, 2, revision())]);
    world.settle();
    let stopped = *world.tasks.keys().next().expect("two tasks");
    world.tasks.get_mut(&stopped).expect("one of them").state = TaskState::Stopped;
    world.tick();
    assert_eq!(causes(&world.plan), [Cause::Wanted]);
    world.settle();
    assert_eq!(world.spread(0), [1, 1]);
}

#[test]
fn no_more_tasks_return_in_a_minute_than_the_limit_says() {
    let services = (1..=10).map(|number| service(number, 2, revision())).collect();
    let mut world = World::new(vec![node(1), node(2)], services);
    world.drain(2);
    world.settle();
    world.activate(2);
    let mut returned = Vec::new();
    for _ in 0..1_000 {
        world.tick();
        for write in &world.plan.writes {
            if let Why::Assigned(cause) = &write.why {
                assert_eq!(*cause, Cause::Rebalanced(node_id(1)));
                assert_eq!(write.order, Order::StartFirst);
                assert_eq!(write.retire[0].reason, RetireReason::Moved);
                returned.push(world.now);
            }
        }
    }
    assert_eq!(returned.len(), 10, "one task of each service");
    let minute = core::time::Duration::from_secs(60);
    for began in &returned {
        let within = returned.iter().filter(|at| *at >= began && at.since(*began) < minute).count();
        assert!(within as u64 <= RETURN_LIMIT, "{returned:?}");
    }
}

/// Two of three zones have one node each: zones come first, nodes second.
#[test]
fn failure_domains_are_filled_evenly_before_nodes_are() {
    let mut spec = revision();
    spec.placement.spread_by = "zone".to_string();
    let mut nodes: Vec<_> = (1..=6).map(node).collect();
    for (at, node) in nodes.iter_mut().enumerate() {
        node.labels.insert("zone".to_string(), if at < 2 { at.to_string() } else { "2".to_string() });
    }
    let mut world = World::new(nodes, vec![service(1, 9, spec)]);
    world.settle();
    let running = world.running(0);
    assert_eq!((running[&node_id(1)], running[&node_id(2)]), (3, 3));
    let rest: Vec<_> = (3..=6).map(|number| running.get(&node_id(number)).copied().unwrap_or(0)).collect();
    assert_eq!((rest.iter().sum::<u32>(), rest.iter().max()), (3, Some(&1)));
}

#[test]
fn a_plan_that_is_not_written_is_planned_again() {
    let facts = Facts {
        nodes: vec![node(1), node(2), node(3)],
        services: vec![service(1, 5, revision())],
        brake: false,
    };
    let mut planner = Planner::new(facts.clone());
    let first = planner.step(Instant(0));
    assert_eq!(first.writes.len(), 5);
    assert_eq!(planner.step(Instant(0)), first);
    assert_eq!(planner.tasks_on(&node_id(1)), 0, "nothing stays booked");
}

#[test]
fn every_node_says_how_well_it_would_do() {
    let mut world = World::new(vec![node(1), node(2), node(3)], vec![service(1, 2, revision())]);
    world.settle();
    let key = SlotKey { service: service_id(1), slot: SlotName::Number(1) };
    let home = world.tasks_of(0)[0].2;
    let other = world.tasks_of(0)[1].2;
    for (id, answer) in world.planner().why(key, world.now) {
        match answer {
            Answer::Runs => assert_eq!(id, home),
            Answer::Fits(fitness) if id == other => {
                assert_eq!((fitness.score.of_service, fitness.rank), (1, 1));
            }
            Answer::Fits(fitness) => assert_eq!((fitness.score.of_service, fitness.rank), (0, 0)),
            Answer::Refuses(refused) => panic!("{refused:?}"),
        }
    }
}
