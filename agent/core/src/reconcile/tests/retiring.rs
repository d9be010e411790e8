//! `retired_by_name`: what stops a task, and what does not.

use super::*;

const MOVED: &str = "retired: another node runs it now";

#[test]
fn a_slot_that_names_another_node_stops_nothing() {
    let mut bench = Bench::running(stamp(1, 7));
    let moved = desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new());
    assert!(bench.assign(1, moved).is_empty());
    assert_eq!(bench.node.tasks(bench.now).map(|task| task.listed).collect::<Vec<_>>(), [false]);
    bench.node.set_assignment(slot(1), None);
    bench.node.settle(bench.now);
    assert!(bench.said().is_empty());
    assert_eq!(bench.after(Duration::from_secs(100)), ["list"]);
    assert!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])).is_empty());
}

#[test]
fn an_unlisted_task_that_ends_is_not_started_again() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.assign(1, desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new()));
    let said = bench.engine(exited(task(1, 7, 1), 1));
    assert_eq!(said, ["remove c7.1", "7.1 failed @0 exited with code 1"]);
    assert!(bench.engine(EngineReport::Removed { task: task(1, 7, 1) }).is_empty());
    assert_eq!(bench.node.tasks(bench.now).count(), 0);
}

#[test]
fn a_task_that_ended_while_its_slot_was_anothers_goes_on_when_it_is_its_own_again() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.assign(1, desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new()));
    bench.engine(exited(task(1, 7, 1), 1));
    bench.engine(EngineReport::Removed { task: task(1, 7, 1) });
    assert_eq!(bench.node.tasks(bench.now).count(), 0);
    let said = bench.assign(1, mine(stamp(1, 7)));
    assert_eq!(said, ["7.2 assigned @1 attempt 2 in 109 ms"]);
    assert_eq!(bench.wake().1, ["start 7.2", "7.2 preparing @1"]);
}

#[test]
fn a_task_that_was_stopped_does_not_go_on_when_its_slot_names_it_again() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.assign(1, desired(1, None, Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)])));
    bench.engine(exited(task(1, 7, 1), 0));
    bench.engine(EngineReport::Removed { task: task(1, 7, 1) });
    assert!(bench.assign(1, mine(stamp(1, 7))).is_empty());
    assert_eq!(bench.after(Duration::from_secs(100)), ["list"]);
}

#[test]
fn a_retired_task_is_stopped_and_removed() {
    let mut bench = Bench::running(stamp(1, 7));
    let command = Retired { reason: RetireReason::Command, ..retired(stamp(1, 7), ME) };
    let stop = with_template(desired(1, None, Order::StartFirst, Vec::from([command])), |t| {
        t.stop_signal = "SIGQUIT".into();
        t.stop_grace_ms = 500;
    });
    let said = bench.assign(1, stop);
    assert_eq!(said, ["stop c7.1 SIGQUIT 500", "7.1 stopping @0 retired by a command"]);
    let said = bench.engine(exited(task(1, 7, 1), 0));
    assert_eq!(said, ["remove c7.1", "7.1 stopped @0 retired by a command"]);
    assert!(bench.engine(EngineReport::Removed { task: task(1, 7, 1) }).is_empty());
    assert!(bench.node.is_idle());
}

#[test]
fn a_name_counts_only_with_its_node() {
    let mut bench = Bench::running(stamp(1, 7));
    let other = desired(1, None, Order::StopFirst, Vec::from([retired(stamp(1, 7), PEER)]));
    assert!(bench.assign(1, other).is_empty());
}

#[test]
fn what_is_current_is_not_stopped_even_if_it_is_named() {
    let mut bench = Bench::running(stamp(1, 7));
    let both =
        desired(1, Some(assigned(stamp(1, 7), ME)), Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)]));
    assert!(bench.assign(1, both).is_empty());
}

#[test]
fn start_first_stops_the_old_one_when_the_new_one_is_healthy_elsewhere() {
    let mut bench = Bench::running(stamp(1, 7));
    let current = Some(assigned(stamp(1, 8), PEER));
    let mut order = desired(1, current, Order::StartFirst, Vec::from([retired(stamp(1, 7), ME)]));
    assert!(bench.assign(1, order.clone()).is_empty());
    for (state, health) in [(TaskState::Starting, Health::None), (TaskState::Running, Health::Starting)] {
        order.peers = Vec::from([peer(stamp(1, 8), state, health)]);
        assert!(bench.assign(1, order.clone()).is_empty());
    }
    let healthy = peer(stamp(1, 8), TaskState::Running, Health::Healthy);
    order.peers = Vec::from([PeerTask { node_down_confirmed: true, ..healthy.clone() }]);
    assert!(bench.assign(1, order.clone()).is_empty());
    order.peers = Vec::from([healthy]);
    let stopping = format!("7.1 stopping @0 {MOVED}");
    assert_eq!(bench.assign(1, order), ["stop c7.1 10000".to_string(), stopping]);
}

#[test]
fn start_first_on_one_node_starts_then_stops() {
    let mut bench = Bench::running(stamp(1, 7));
    let current = Some(assigned(stamp(1, 8), ME));
    let order = desired(1, current, Order::StartFirst, Vec::from([retired(stamp(1, 7), ME)]));
    assert_eq!(bench.assign(1, order), ["start 8.1", "8.1 preparing @1"]);
    let said = bench.engine(running(task(1, 8, 1), Health::Starting));
    assert_eq!(said, ["8.1 running @1"]);
    let healthy = EngineReport::HealthChanged { task: task(1, 8, 1), health: Health::Healthy };
    let said = bench.engine(healthy);
    assert_eq!(said, ["stop c7.1 10000", &format!("7.1 stopping @0 {MOVED}"), "=8.1 running @1"]);
}

#[test]
fn stop_first_on_one_node_stops_then_starts() {
    let mut bench = Bench::running(stamp(1, 7));
    let current = Some(assigned(stamp(1, 8), ME));
    let order = desired(1, current, Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)]));
    let waits = "8.1 assigned @1 waits: the task that it replaces has not ended";
    let stopping = format!("7.1 stopping @0 {MOVED}");
    assert_eq!(bench.assign(1, order), ["stop c7.1 10000", &stopping, waits]);
    let said = bench.engine(exited(task(1, 7, 1), 143));
    let stopped = format!("7.1 stopped @0 {MOVED}");
    assert_eq!(said, ["start 8.1", "remove c7.1", &stopped, "8.1 preparing @1"]);
}

#[test]
fn stop_first_starts_when_the_old_one_has_ended_elsewhere_or_its_node_is_down() {
    let current = Some(assigned(stamp(1, 8), ME));
    let order = desired(1, current, Order::StopFirst, Vec::from([retired(stamp(1, 7), PEER)]));
    let ended = peer(stamp(1, 7), TaskState::Stopped, Health::None);
    let running = peer(stamp(1, 7), TaskState::Running, Health::None);
    let down = PeerTask { node_down_confirmed: true, ..running.clone() };
    let unheard = PeerTask { state: None, ..running.clone() };
    for (peers, starts) in [
        (Vec::new(), false),
        (Vec::from([running]), false),
        (Vec::from([unheard]), false),
        (Vec::from([ended]), true),
        (Vec::from([down]), true),
    ] {
        let mut bench = Bench::listed(1);
        let said = bench.assign(1, Desired { peers: peers.clone(), ..order.clone() });
        assert_eq!(said[0] == "start 8.1", starts, "{peers:?}: {said:?}");
    }
}

#[test]
fn a_restart_does_not_wait_again_for_what_it_replaced() {
    let mut bench = Bench::listed(1);
    let current = Some(assigned(stamp(1, 8), ME));
    let mut order = desired(1, current, Order::StopFirst, Vec::from([retired(stamp(1, 7), PEER)]));
    order.peers = Vec::from([peer(stamp(1, 7), TaskState::Stopped, Health::None)]);
    bench.assign(1, order.clone());
    bench.engine(running(task(1, 8, 1), Health::None));
    order.peers.clear();
    bench.assign(1, order);
    bench.engine(exited(task(1, 8, 1), 1));
    assert_eq!(bench.wake().1, ["start 8.2", "8.2 preparing @1"]);
}

#[test]
fn whoever_waits_for_a_task_that_never_was_learns_that_it_ended() {
    let mut bench = Bench::new(1);
    let current = Some(assigned(stamp(1, 8), PEER));
    let order = desired(1, current, Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)]));
    assert_eq!(bench.assign(1, order), ["list"]);
    let said = bench.list(Vec::new());
    assert_eq!(said, ["runtimes", "=7.0 stopped @0 retired before it was started here"]);
    assert_eq!(bench.after(Duration::from_secs(100)), ["list"]);
}

#[test]
fn a_removed_service_stops_all_that_it_has_and_leaves_nothing() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.engine(exited(task(1, 7, 1), 1));
    bench.wake();
    bench.engine(running(task(1, 7, 2), Health::None));
    let removed = Desired { removed: true, ..mine(stamp(1, 7)) };
    let said = bench.assign(1, removed);
    let why = "its service is removed";
    assert_eq!(said, ["stop c7.2 10000", "remove c7.1", &format!("7.2 stopping @1 {why}")]);
    bench.engine(EngineReport::Removed { task: task(1, 7, 1) });
    let said = bench.engine(exited(task(1, 7, 2), 137));
    assert_eq!(said, ["remove c7.2", &format!("7.2 stopped @1 {why}")]);
    bench.engine(EngineReport::Removed { task: task(1, 7, 2) });
    bench.node.set_assignment(slot(1), None);
    bench.node.settle(bench.now);
    assert_eq!(bench.said(), ["forget"]);
}

#[test]
fn a_task_that_waits_is_stopped_without_the_engine() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.assign(1, mine(stamp(1, 7))), ["list", "7.1 assigned @0"]);
    let removed = Desired { removed: true, ..mine(stamp(1, 7)) };
    assert_eq!(bench.assign(1, removed), ["7.1 stopped @0 its service is removed"]);
}

#[test]
fn a_start_under_way_is_given_up_and_leaves_nothing() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let task = task(1, 7, 1);
    bench.engine(EngineReport::Progress { task, step: StartStep::Pulling });
    let said = bench.assign(1, Desired { removed: true, ..mine(stamp(1, 7)) });
    assert_eq!(said, ["cancel 7.1", "7.1 stopping @0 its service is removed"]);
    // Asked once.
    assert_eq!(bench.after(Duration::from_secs(1)), [""; 0]);
    let given_up = EngineReport::StartFailed { task, error: EngineError::Cancelled };
    assert_eq!(bench.engine(given_up), ["7.1 stopped @0 its service is removed"]);
    assert!(bench.node.is_idle());
}

#[test]
fn what_a_start_that_was_given_up_had_made_is_removed() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let task = task(1, 7, 1);
    bench.assign(1, Desired { removed: true, ..mine(stamp(1, 7)) });
    let step = StartStep::Created { container: container(task) };
    assert_eq!(bench.engine(EngineReport::Progress { task, step }), [""; 0]);
    let given_up = EngineReport::StartFailed { task, error: EngineError::Cancelled };
    assert_eq!(bench.engine(given_up), ["remove c7.1", "7.1 stopped @0 its service is removed"]);
}

#[test]
fn a_start_that_is_too_far_to_be_given_up_is_awaited_then_stopped() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let said = bench.assign(1, Desired { removed: true, ..mine(stamp(1, 7)) });
    assert_eq!(said, ["cancel 7.1", "7.1 stopping @0 its service is removed"]);
    assert_eq!(bench.engine(running(task(1, 7, 1), Health::None)), ["stop c7.1 10000"]);
}

#[test]
fn a_task_that_could_not_hear_its_signal_says_so() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.assign(1, desired(1, None, Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)])));
    let mut report = exited(task(1, 7, 1), 137);
    if let EngineReport::Exited { deaf, .. } = &mut report {
        *deaf = true;
    }
    let words = "killed without waiting: its first process ignores SIGTERM";
    assert_eq!(bench.engine(report), ["remove c7.1", &format!("7.1 stopped @0 {MOVED}; {words}")]);
}

#[test]
fn a_stop_that_failed_ends_nothing_and_is_repeated() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.assign(1, desired(1, None, Order::StopFirst, Vec::from([retired(stamp(1, 7), ME)])));
    let failed = |error| EngineReport::StopFailed { task: task(1, 7, 1), error };
    assert_eq!(bench.engine(failed(timed_out())), ["list"]);
    assert!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])).is_empty());
    assert_eq!(bench.wake().1, ["stop c7.1 10000"]);
    let said = bench.engine(failed(EngineError::NoSuchContainer));
    assert_eq!(said, [format!("7.1 stopped @0 {MOVED}")]);
}

#[test]
fn a_node_that_leaves_stops_everything_only_when_told() {
    let mut bench = Bench::running(stamp(1, 7));
    let said = bench.input(ReconcileInput::Leave);
    assert_eq!(said, ["stop c7.1 10000", "7.1 stopping @0 this node leaves the cluster"]);
    assert!(bench.assign(2, mine(stamp(1, 9))).is_empty());
    bench.engine(exited(task(1, 7, 1), 143));
    bench.engine(EngineReport::Removed { task: task(1, 7, 1) });
    assert!(bench.node.is_idle());
}

#[test]
fn a_slot_that_went_elsewhere_before_its_task_started_leaves_nothing_waiting() {
    let mut bench = Bench::listed(1);
    let elsewhere = |node| desired(1, Some(assigned(stamp(1, 8), node)), Order::StopFirst, Vec::new());
    bench.assign(1, with_template(mine(stamp(1, 7)), |t| t.runtime = Runtime::Process));
    assert_eq!(bench.assign(1, elsewhere(PEER)), ["7.1 stopped @0 not started: its slot is another task's"]);
}

#[test]
fn a_start_of_which_nothing_is_known_is_not_called_stopped_by_one_list() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    bench.engine(EngineReport::StartFailed { task: task(1, 7, 1), error: timed_out() });
    assert!(bench.list(Vec::new()).is_empty());
    let moved = desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new());
    assert_eq!(bench.assign(1, moved), ["list"]);
    for _ in 0..2 {
        assert!(bench.list(Vec::new()).is_empty());
        assert_eq!(bench.wake(), (1_000, Vec::from(["list".to_string()])));
    }
    assert_eq!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])), ["7.1 running @0"]);
}
