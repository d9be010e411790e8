//! `control_plane_is_harmless`, `hands_off`, `unknown_is_not_dead`: what lists say.

use super::*;

#[test]
fn a_restarted_agent_adopts_what_runs_without_touching_it() {
    let mut bench = Bench::new(1);
    let recovered = |place, task, state| Recovered { slot: slot(1), place, status: status(task, state) };
    let history =
        [recovered(2, task(1, 7, 3), TaskState::Failed), recovered(3, task(1, 7, 4), TaskState::Running)];
    assert_eq!(bench.input(ReconcileInput::Recovered(history.into())), ["list"]);
    assert!(bench.assign(1, mine(stamp(1, 7))).is_empty());
    // Told once more: what an earlier boot said is nobody's present.
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 4)))]));
    assert_eq!(said, ["runtimes", "=7.4 running @3"]);
    assert!(bench.look_again(&[found(label(slot(1), task(1, 7, 4)))]).is_empty());
    let said = bench.engine(exited(task(1, 7, 4), 1));
    assert_eq!(said, ["7.4 failed @3 exited with code 1", "start 7.5", "7.5 preparing @4"]);
}

#[test]
fn what_runs_and_was_forgotten_is_adopted_by_its_label() {
    let mut bench = Bench::new(1);
    bench.tick();
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 4)))]));
    assert_eq!(said, ["runtimes", "7.4 running @0"]);
    assert!(bench.assign(1, mine(stamp(1, 7))).is_empty());
}

#[test]
fn a_container_found_beats_an_assignment_that_came_first() {
    let mut bench = Bench::new(1);
    bench.tick();
    assert_eq!(bench.assign(1, mine(stamp(1, 7))), ["7.1 assigned @0"]);
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))]));
    assert_eq!(said, ["runtimes", "7.1 running @0"]);
}

#[test]
fn an_attempt_that_was_begun_and_not_recorded_is_the_newest() {
    let mut bench = Bench::new(1);
    let status = status(task(1, 7, 1), TaskState::Running);
    bench.input(ReconcileInput::Recovered(Vec::from([Recovered { slot: slot(1), place: 0, status }])));
    bench.assign(1, mine(stamp(1, 7)));
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 2)))]));
    assert_eq!(said, ["runtimes", "7.1 failed @0 its end was not recorded", "7.2 running @1"]);
}

#[test]
fn how_long_an_adopted_task_has_been_running_is_bounded_by_its_hosts_age() {
    let mut bench = Bench::new(1);
    bench.now.wall.0 += 1_000_000_000;
    bench.tick();
    bench.list(Vec::from([found(label(slot(1), task(1, 7, 4)))]));
    let ages: Vec<u64> = bench.node.tasks(bench.now).map(|task| task.status.running_for_ms).collect();
    assert_eq!(ages, [3_600_000]);
}

#[test]
fn one_list_without_a_container_ends_nothing_and_three_do() {
    let mut bench = Bench::running(stamp(1, 7));
    assert_eq!(bench.wake().1, ["list"]);
    assert!(bench.list(Vec::new()).is_empty());
    for _ in 0..2 {
        assert_eq!(bench.wake(), (1_000, Vec::from(["list".to_string()])));
        assert!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])).is_empty());
        assert_eq!(bench.wake().1, ["list"]);
        assert!(bench.list(Vec::new()).is_empty());
    }
    assert_eq!(bench.wake().1, ["list"]);
    assert!(bench.list(Vec::new()).is_empty());
    assert_eq!(bench.wake().1, ["list"]);
    assert_eq!(bench.list(Vec::new())[0], "7.1 failed @0 it is gone from its engine");
}

#[test]
fn a_list_says_nothing_of_what_began_after_it_was_asked_for() {
    let mut bench = Bench::listed(1);
    assert_eq!(bench.wake().1, ["list"]);
    assert_eq!(bench.assign(1, mine(stamp(1, 7))), ["start 7.1", "7.1 preparing @0"]);
    bench.engine(running(task(1, 7, 1), Health::None));
    assert!(bench.list(Vec::new()).is_empty());
    let (ms, said) = bench.wake();
    assert!(ms > 1_000 && said == ["list"], "{ms} {said:?}");
}

#[test]
fn lists_that_fail_end_nothing() {
    let mut bench = Bench::running(stamp(1, 7));
    let mut said = Vec::new();
    for _ in 0..20 {
        said.extend(bench.wake().1);
        let error = EngineError::TimedOut { call: "list" };
        said.extend(bench.engine(EngineReport::ListFailed { runtime: Runtime::Docker, error }));
    }
    said.retain(|line| line != "list");
    assert_eq!(said, ["runtimes"]);
}

#[test]
fn a_lost_event_is_found_by_the_next_list() {
    let mut bench = Bench::running(stamp(1, 7));
    assert_eq!(bench.wake().1, ["list"]);
    let said = bench.list(Vec::from([found_exited(label(slot(1), task(1, 7, 1)), 9)]));
    assert_eq!(said[0], "7.1 failed @0 exited with code 9");
}

#[test]
fn foreign_containers_are_left_alone() {
    let mut bench = Bench::new(1);
    bench.tick();
    let foreign = TaskLabel { node: PEER, ..label(slot(1), task(1, 7, 1)) };
    let unreadable = Found { label: None, ..found(label(slot(2), task(1, 8, 1))) };
    let said = bench.list(Vec::from([found(foreign.clone()), found_exited(foreign, 1), unreadable]));
    assert_eq!(said, ["runtimes"]);
    let names: Vec<_> = bench.node.runtimes().flat_map(|runtime| runtime.unreadable.to_vec()).collect();
    assert_eq!((names, bench.node.tasks(bench.now).count()), (Vec::from(["c8.1".to_string()]), 0));
}

#[test]
fn what_a_removed_node_left_on_this_engine_is_stopped_and_removed() {
    let mut bench = Bench::new(1);
    bench.input(ReconcileInput::RemovedNodes(BTreeSet::from([GONE])));
    let foreign = TaskLabel { node: GONE, ..label(slot(1), task(1, 7, 1)) };
    assert_eq!(bench.list(Vec::from([found(foreign)])), ["runtimes", "stop c7.1 10000"]);
    assert_eq!(bench.engine(exited(task(1, 7, 1), 0)), ["remove c7.1"]);
    assert!(bench.engine(EngineReport::Removed { task: task(1, 7, 1) }).is_empty());
    assert!(bench.node.is_idle());
}

#[test]
fn an_attempt_that_turns_up_after_a_later_one_began_gives_way() {
    let mut bench = Bench::running(stamp(1, 7));
    for _ in 0..3 {
        bench.wake();
        bench.list(Vec::new());
    }
    assert_eq!(bench.wake().1[0], "start 7.2");
    bench.engine(running(task(1, 7, 2), Health::None));
    while bench.wake().1 != ["list"] {}
    let both = [found(label(slot(1), task(1, 7, 1))), found(label(slot(1), task(1, 7, 2)))];
    assert_eq!(bench.list(both.into()), ["stop c7.1 10000"]);
}

#[test]
fn a_restarted_host_waits_for_its_peers_and_then_trusts_its_own_word() {
    let mut bench = Bench::with(Bench::setup(1, true));
    let status = status(task(1, 7, 1), TaskState::Running);
    bench.input(ReconcileInput::Recovered(Vec::from([Recovered { slot: slot(1), place: 0, status }])));
    bench.assign(1, mine(stamp(1, 7)));
    let exited = Vec::from([found_exited(label(slot(1), task(1, 7, 1)), 137)]);
    let said = bench.list(exited.clone());
    assert_eq!(said[..2], ["runtimes", "7.1 failed @0 exited with code 137"]);
    assert_eq!(said[2], "7.2 assigned @1 waits: this host was restarted and looks for its peers");
    assert!(bench.look_again(&exited).is_empty());
    let (ms, said) = bench.wake();
    assert_eq!((ms, said), (8_000, Vec::from(["start 7.2".into(), "7.2 preparing @1".into()])));
}

#[test]
fn a_restarted_host_that_found_peers_obeys_what_it_syncs() {
    let mut bench = Bench::with(Bench::setup(1, true));
    let status = status(task(1, 7, 1), TaskState::Running);
    bench.input(ReconcileInput::Recovered(Vec::from([Recovered { slot: slot(1), place: 0, status }])));
    bench.assign(1, mine(stamp(1, 7)));
    let exited = found_exited(label(slot(1), task(1, 7, 1)), 137);
    bench.list(Vec::from([exited.clone()]));
    assert!(bench.look_again(&[exited]).is_empty());
    assert!(bench.input(ReconcileInput::Peers(Peers::Found)).is_empty());
    let silent = bench.after(Duration::from_secs(60));
    assert_eq!(silent, ["list"]);
    // Meanwhile the slot went elsewhere.
    let moved = desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new());
    let said = bench.assign(1, moved);
    assert_eq!(said, ["remove c7.1", "7.2 stopped @1 not started: its slot is another task's"]);
    assert!(bench.input(ReconcileInput::Peers(Peers::Synced)).is_empty());
}

#[test]
fn a_stop_that_had_begun_before_the_agent_restarted_is_carried_through() {
    let mut bench = Bench::new(1);
    let status = status(task(1, 7, 1), TaskState::Stopping);
    bench.input(ReconcileInput::Recovered(Vec::from([Recovered { slot: slot(1), place: 0, status }])));
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))]));
    assert_eq!(said, ["runtimes", "stop c7.1 10000", "=7.1 stopping @0"]);
}

/// An agent whose last word of slot 1 was that attempt 2 failed. Its engine has attempts of which its disk
/// says nothing, and its first list lacks them.
fn with_an_older_disk() -> Bench {
    let mut bench = Bench::new(1);
    let history = [earlier(&bench, 1, TaskState::Failed, 60), earlier(&bench, 2, TaskState::Failed, 60)];
    bench.input(ReconcileInput::Recovered(history.into()));
    bench
}

#[test]
fn what_a_first_list_lacks_is_not_gone() {
    let mut bench = with_an_older_disk();
    assert!(bench.assign(1, mine(stamp(1, 7)))[0].starts_with("7.3 assigned @2"));
    assert_eq!(bench.list(Vec::new()), ["runtimes"]);
    // Nothing starts beside it.
    let fifth = [found(label(slot(1), task(1, 7, 5)))];
    let said = bench.look_again(&fifth);
    assert_eq!(said, ["7.3 failed @2 its end was not recorded", "7.5 running @3"]);
}

#[test]
fn an_attempt_that_lists_may_have_hidden_is_not_called_stopped() {
    let mut bench = with_an_older_disk();
    bench.assign(1, mine(stamp(1, 7)));
    bench.list(Vec::new());
    let moved = desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, Vec::new());
    assert!(bench.assign(1, moved).iter().all(|line| line == "list"));
    let third = found(label(slot(1), task(1, 7, 3)));
    assert_eq!(bench.list(Vec::from([third])), ["7.3 running @2"]);
}

#[test]
fn whoever_waits_for_what_a_first_list_lacks_hears_nothing() {
    let mut bench = with_an_older_disk();
    let retire = Vec::from([retired(stamp(1, 6), ME)]);
    bench.assign(1, desired(1, Some(assigned(stamp(1, 8), PEER)), Order::StopFirst, retire));
    assert_eq!(bench.list(Vec::new()), ["runtimes"]);
    let said = bench.look_again(&[]);
    assert_eq!(said, ["=6.0 stopped @2 retired before it was started here"]);
}

#[test]
fn an_attempt_later_than_the_last_that_was_told_is_nobodys_leftover() {
    let mut bench = with_an_older_disk();
    let said = bench.list(Vec::from([found(label(slot(1), task(1, 7, 3)))]));
    assert_eq!(said, ["runtimes", "7.3 running @2"]);
}

#[test]
fn a_leftover_that_one_list_lacks_is_not_gone() {
    let mut bench = Bench::new(1);
    let history = [earlier(&bench, 1, TaskState::Failed, 60), earlier(&bench, 2, TaskState::Assigned, 60)];
    bench.input(ReconcileInput::Recovered(history.into()));
    bench.assign(1, mine(stamp(1, 7)));
    let first = found(label(slot(1), task(1, 7, 1)));
    let said = bench.list(Vec::from([first.clone()]));
    assert_eq!(said, ["runtimes", "stop c7.1 10000", "=7.2 assigned @1"]);
    assert!(bench.look_again(&[]).is_empty(), "nothing starts beside it");
    assert_eq!(bench.engine(exited(task(1, 7, 1), 0)), ["start 7.2", "7.2 preparing @1"]);
}

/// What an earlier process of this agent published of attempt `number`, so many seconds ago.
fn earlier(bench: &Bench, number: u32, state: TaskState, seconds_ago: i64) -> Recovered {
    let since = WallTime(bench.now.wall.0 - seconds_ago * 1000);
    let status = TaskStatus { since, ..status(task(1, 7, number), state) };
    Recovered { slot: slot(1), place: u8::try_from(number - 1).expect("few attempts"), status }
}

/// A third attempt runs and ends, after two that ended so long ago; two restarts are allowed a minute.
fn third_end(seconds_ago: [i64; 2]) -> Vec<String> {
    let mut bench = Bench::new(1);
    let [first, second] = seconds_ago;
    let history = [
        earlier(&bench, 1, TaskState::Failed, first),
        earlier(&bench, 2, TaskState::Failed, second),
        earlier(&bench, 3, TaskState::Running, second),
    ];
    bench.input(ReconcileInput::Recovered(history.into()));
    let twice_a_minute = |template: &mut TaskTemplate| {
        template.restart.max_attempts = 2;
        template.restart.window_ms = 60_000;
    };
    bench.assign(1, with_template(mine(stamp(1, 7)), twice_a_minute));
    let third = found(label(slot(1), task(1, 7, 3)));
    bench.list(Vec::from([third.clone()]));
    bench.look_again(&[third]);
    bench.engine(exited(task(1, 7, 3), 1))
}

#[test]
fn restarts_before_the_agents_own_count_within_the_policys_window() {
    let failed = "7.3 failed @2 exited with code 1";
    assert_eq!(third_end([40, 20]), [failed]);
    assert_eq!(third_end([90, 20]), [failed, "start 7.4", "7.4 preparing @3"]);
}

#[test]
fn a_restart_of_the_agent_shortens_no_delay() {
    let mut bench = Bench::new(1);
    let history = [earlier(&bench, 1, TaskState::Failed, 10), earlier(&bench, 2, TaskState::Assigned, 10)];
    bench.input(ReconcileInput::Recovered(history.into()));
    bench.assign(1, with_template(mine(stamp(1, 7)), |template| template.restart.delay_ms = 30_000));
    assert_eq!(bench.list(Vec::new()), ["runtimes", "=7.2 assigned @1"]);
    let begun = bench.now.instant;
    let said = loop {
        let (_, said) = bench.wake();
        if said != ["list"] {
            break said;
        }
        assert!(bench.list(Vec::new()).is_empty());
    };
    assert_eq!(said, ["start 7.2", "7.2 preparing @1"]);
    assert_eq!(bench.now.instant.since(begun), Duration::from_secs(20));
}
