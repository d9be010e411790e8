//! Starting, ending, starting again.

use super::*;

/// For a time its node was no member, and what it published is gone: of an attempt that ended too.
#[test]
fn what_stands_no_more_is_told_anew() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.engine(exited(task(1, 7, 1), 1));
    bench.wake();
    bench.engine(running(task(1, 7, 2), Health::None));
    bench.now.instant += Duration::from_secs(3);
    bench.node.tell_anew(bench.now, |_, place| place == 0);
    assert_eq!(bench.said(), ["=7.2 running @1"]);
    bench.node.tell_anew(bench.now, |_, _| false);
    assert_eq!(bench.said(), ["=7.1 failed @0 exited with code 1", "=7.2 running @1"]);
    bench.node.tell_anew(bench.now, |_, _| true);
    assert!(bench.said().is_empty());
}

#[test]
fn an_assignment_is_started_once_its_runtime_was_listed() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.assign(1, mine(stamp(1, 7))), ["list", "7.1 assigned @0"]);
    assert_eq!(bench.list(Vec::new()), ["runtimes", "start 7.1", "7.1 preparing @0"]);
    let (task, digest) = (task(1, 7, 1), String::new());
    let step = StartStep::ImageReady { digest };
    assert_eq!(bench.engine(EngineReport::Progress { task, step }), ["7.1 starting @0"]);
    assert_eq!(bench.engine(running(task, Health::None)), ["7.1 running @0"]);
    assert!(bench.engine(running(task, Health::None)).is_empty());
}

#[test]
fn nothing_is_started_on_a_runtime_that_is_ill() {
    let mut bench = Bench::listed(1);
    let ill = EngineReport::Ill { runtime: Runtime::Docker, error: EngineError::TimedOut { call: "ping" } };
    assert_eq!(bench.engine(ill), ["runtimes"]);
    let waits = "7.1 assigned @0 waits: the engine did not answer in time (ping)";
    assert_eq!(bench.assign(1, mine(stamp(1, 7))), [waits]);
    let well = EngineReport::Well { runtime: Runtime::Docker, engine: "e".into(), version: "1".into() };
    assert_eq!(bench.engine(well), ["runtimes", "start 7.1", "list", "7.1 preparing @0"]);
}

#[test]
fn no_more_starts_are_under_way_than_the_limit() {
    let mut bench = Bench::listed(1);
    let mut started = Vec::new();
    for number in 1..=6 {
        started.extend(bench.assign(number, mine(stamp(1, u64::from(number)))));
    }
    started.retain(|line| line.starts_with("start"));
    assert_eq!(started, ["start 1.1", "start 2.1", "start 3.1", "start 4.1"]);
    let next = bench.engine(running(task(1, 3, 1), Health::None));
    assert_eq!(next, ["start 5.1", "3.1 running @0"]);
}

#[test]
fn a_slow_image_keeps_no_other_task_from_starting() {
    let mut bench = Bench::listed(1);
    for number in 1..=5 {
        bench.assign(number, mine(stamp(1, u64::from(number))));
    }
    let pulling = EngineReport::Progress { task: task(1, 1, 1), step: StartStep::Pulling };
    assert_eq!(bench.engine(pulling), ["start 5.1"]);
}

#[test]
fn images_that_are_waited_for_keep_no_task_waiting_whose_image_is_there() {
    let mut bench = Bench::listed(1);
    bench.after(Duration::from_secs(20));
    let (runtime, images) = (Runtime::Docker, Vec::from(["app:1".to_string()]));
    bench.engine(EngineReport::Listed { runtime, found: Vec::new(), images });
    let absent = |number| with_template(mine(stamp(1, number)), |t| t.image = "absent:1".to_string());
    for number in 1..=16 {
        bench.assign(number, absent(u64::from(number)));
        let step = StartStep::Pulling;
        bench.engine(EngineReport::Progress { task: task(1, u64::from(number), 1), step });
    }
    assert_eq!(bench.assign(17, absent(17)), ["17.1 preparing @0"]);
    assert_eq!(bench.assign(18, mine(stamp(1, 18))), ["start 18.1", "18.1 preparing @0"]);
}

#[test]
fn a_task_that_ends_is_followed_by_another_attempt_and_its_container_stays_for_a_look() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.after(Duration::from_secs(40));
    bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))]));
    let ended = bench.engine(exited(task(1, 7, 1), 3));
    assert_eq!(ended, ["7.1 failed @0 exited with code 3", "start 7.2", "7.2 preparing @1"]);
    bench.engine(running(task(1, 7, 2), Health::None));
    bench.after(Duration::from_secs(40));
    let both = [found(label(slot(1), task(1, 7, 2))), found_exited(label(slot(1), task(1, 7, 1)), 3)];
    assert!(bench.list(both.into()).is_empty());
    let ended = bench.engine(exited(task(1, 7, 2), 0));
    assert_eq!(ended, ["7.2 complete @1", "start 7.3", "remove c7.1", "7.3 preparing @2"]);
}

#[test]
fn quick_ends_wait_longer_and_longer() {
    let mut bench = Bench::running(stamp(1, 7));
    let mut waits = Vec::new();
    for attempt in 1..=4 {
        let ended = bench.engine(exited(task(1, 7, attempt), 1));
        assert!(ended.iter().all(|line| !line.starts_with("start")), "{ended:?}");
        let (ms, said) = bench.wake();
        assert_eq!(said[0], format!("start 7.{}", attempt + 1));
        waits.push(ms);
        bench.engine(running(task(1, 7, attempt + 1), Health::None));
        bench.engine(EngineReport::Removed { task: task(1, 7, attempt.saturating_sub(1)) });
    }
    let within = |(ms, least): (&u128, u128)| (least..=least + least / 4).contains(ms);
    assert!(waits.iter().zip([100, 200, 400, 800]).all(within), "{waits:?}");
}

#[test]
fn without_a_restart_policy_a_task_is_started_once() {
    let mut bench = Bench::listed(1);
    let once = with_template(mine(stamp(1, 7)), |t| t.restart.condition = RestartCondition::None);
    bench.assign(1, once);
    bench.engine(running(task(1, 7, 1), Health::None));
    assert_eq!(bench.engine(exited(task(1, 7, 1), 0)), ["7.1 complete @0"]);
    assert_eq!(bench.after(Duration::from_secs(100)), ["list"]);
}

#[test]
fn a_missing_image_is_a_reason_to_wait_and_no_hot_loop() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let error = EngineError::NoSuchImage { image: "app:1".into() };
    let missing = || EngineReport::StartFailed { task: task(1, 7, 1), error: error.clone() };
    assert_eq!(bench.engine(missing()), ["=7.1 preparing @0 no such image: app:1"]);
    let mut starts = Vec::new();
    let begin = bench.now.instant;
    while bench.now.instant.since(begin) < Duration::from_secs(300) {
        let (_, said) = bench.wake();
        for line in said {
            match line.as_str() {
                "list" => assert!(bench.list(Vec::new()).is_empty()),
                "start 7.1" => {
                    starts.push(bench.now.instant.since(begin).as_secs());
                    assert!(bench.engine(missing()).is_empty());
                }
                other => panic!("{other}"),
            }
        }
    }
    assert!((7..=10).contains(&starts.len()), "{starts:?}");
}

#[test]
fn a_start_that_failed_for_certain_is_an_attempt_spent() {
    let mut bench = Bench::listed(1);
    bench.assign(1, with_template(mine(stamp(1, 7)), |t| t.restart.max_attempts = 1));
    let created =
        |task| EngineReport::Progress { task, step: StartStep::Created { container: container(task) } };
    bench.engine(created(task(1, 7, 1)));
    let error = EngineError::PortTaken { message: "80".into() };
    let failed = EngineReport::StartFailed { task: task(1, 7, 1), error: error.clone() };
    let said = bench.engine(failed);
    assert_eq!(said[0], "7.1 failed @0 a port is taken: 80");
    assert_eq!(said[1], "remove c7.1");
    assert_eq!(bench.wake().1, ["start 7.2", "7.2 preparing @1"]);
    bench.engine(created(task(1, 7, 2)));
    let failed = EngineReport::StartFailed { task: task(1, 7, 2), error };
    assert_eq!(bench.engine(failed), ["7.2 failed @1 a port is taken: 80", "remove c7.2"]);
}

#[test]
fn an_error_of_a_container_that_started_all_the_same_is_no_failure() {
    for error in [timed_out(), EngineError::Other { message: "500".into() }] {
        let mut bench = Bench::listed(1);
        bench.assign(1, mine(stamp(1, 7)));
        let step = StartStep::Created { container: container(task(1, 7, 1)) };
        bench.engine(EngineReport::Progress { task: task(1, 7, 1), step });
        let said = bench.engine(EngineReport::StartFailed { task: task(1, 7, 1), error });
        assert_eq!(said.iter().filter(|line| !line.starts_with('=')).collect::<Vec<_>>(), ["list"]);
        assert_eq!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])), ["7.1 running @0"]);
    }
}

/// An engine that refuses to create a container does so for good; that it did create one, lists would show.
#[test]
fn a_start_that_was_refused_and_that_no_list_shows_is_an_attempt_spent() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let (task, step) = (task(1, 7, 1), StartStep::ImageReady { digest: String::new() });
    bench.engine(EngineReport::Progress { task, step });
    let error = EngineError::Other { message: "Range of CPUs is from 0.01 to 4.00".into() };
    let said = bench.engine(EngineReport::StartFailed { task, error });
    assert_eq!(said, ["list", "=7.1 starting @0 Range of CPUs is from 0.01 to 4.00"]);
    for _ in 1..engine::MISSES {
        assert!(bench.list(Vec::new()).is_empty());
        assert_eq!(bench.wake(), (1_000, Vec::from(["list".to_string()])));
    }
    let said = bench.list(Vec::new());
    assert_eq!(said[0], "7.1 failed @0 Range of CPUs is from 0.01 to 4.00");
    assert_eq!(bench.wake().1, ["start 7.2", "7.2 preparing @1"]);
    // It was made after all: it is told by its name, and cleared away.
    let late = found_created(label(slot(1), task));
    bench.after(Duration::from_secs(20));
    assert_eq!(bench.list(Vec::from([late])), ["remove c7.1"]);
}

#[test]
fn an_unknown_start_that_no_list_shows_is_repeated_under_the_same_name() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    let said = bench.engine(EngineReport::StartFailed { task: task(1, 7, 1), error: timed_out() });
    assert_eq!(said, ["list", "=7.1 preparing @0 the engine did not answer in time (start)"]);
    assert!(bench.list(Vec::new()).is_empty());
    assert_eq!(bench.wake().1, ["start 7.1"]);
}

#[test]
fn what_a_start_left_behind_is_removed_before_its_name_is_used_again() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    bench.engine(EngineReport::StartFailed { task: task(1, 7, 1), error: timed_out() });
    let left = Vec::from([found_created(label(slot(1), task(1, 7, 1)))]);
    assert_eq!(bench.list(left), ["remove c7.1"]);
    assert!(bench.after(Duration::from_secs(2)).is_empty());
    assert_eq!(bench.engine(EngineReport::Removed { task: task(1, 7, 1) }), ["start 7.1"]);
}

#[test]
fn a_health_check_that_fails_is_told_and_stops_nothing() {
    let mut bench = Bench::running(stamp(1, 7));
    let report = EngineReport::HealthChanged { task: task(1, 7, 1), health: Health::Unhealthy };
    assert_eq!(bench.engine(report), ["=7.1 running @0"]);
}

/// An earlier agent had started the same attempt, whose container was found unstarted and cleared away: word
/// of its end comes late.
#[test]
fn an_end_before_there_is_a_container_is_anothers() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(1, 7)));
    assert!(bench.engine(exited(task(1, 7, 1), 1)).is_empty());
    let step = StartStep::Created { container: container(task(1, 7, 1)) };
    bench.engine(EngineReport::Progress { task: task(1, 7, 1), step });
    assert_eq!(bench.engine(running(task(1, 7, 1), Health::None)), ["7.1 running @0"]);
}

#[test]
fn what_a_task_says_is_bounded() {
    let mut bench = Bench::running(stamp(1, 7));
    let mut report = exited(task(1, 7, 1), 1);
    if let EngineReport::Exited { last_lines, .. } = &mut report {
        *last_lines = alloc::vec!["ä".repeat(4_000); 100];
    }
    bench.node.handle(bench.now, ReconcileInput::Engine(report));
    let mut published = None;
    while let Some(output) = bench.node.poll_output() {
        if let ReconcileOutput::Publish { status, .. } = output {
            published.get_or_insert(status);
        }
    }
    let status = published.expect("an end is published");
    assert!(sleep_wire::encode(&*status).len() <= <TaskStatus as sleep_wire::Wire>::LIMIT);
    assert_eq!((status.last_lines.len(), status.last_lines[0].len()), (20, 400));
}

#[test]
fn an_idle_node_writes_nothing() {
    let mut bench = Bench::running(stamp(1, 7));
    for _ in 0..100 {
        let (_, said) = bench.wake();
        assert_eq!(said, ["list"]);
        assert!(bench.list(Vec::from([found(label(slot(1), task(1, 7, 1)))])).is_empty());
    }
}

#[test]
fn a_roll_call_is_answered_with_how_long_each_task_has_been_running() {
    let mut bench = Bench::running(stamp(1, 7));
    bench.now.instant += Duration::from_secs(90);
    bench.node.handle(bench.now, ReconcileInput::RollCall);
    let ReconcileOutput::Publish { status, .. } = bench.node.poll_output().expect("it is asked") else {
        panic!("a roll call is answered by records");
    };
    assert_eq!(status.running_for_ms, 90_000);
}

#[test]
fn a_singleton_is_not_started_without_a_permit() {
    let mut bench = Bench::listed(1);
    let singleton = Desired { singleton: true, ..mine(stamp(1, 7)) };
    let waits = "7.1 assigned @0 waits: singleton permits are not available in this release";
    assert_eq!(bench.assign(1, singleton), [waits]);
    assert_eq!(bench.after(Duration::from_secs(100)), ["list"]);
}

#[test]
fn a_task_of_a_runtime_that_the_node_lacks_says_so() {
    let mut bench = Bench::listed(1);
    let process = with_template(mine(stamp(1, 7)), |t| t.runtime = Runtime::Process);
    assert_eq!(bench.assign(1, process), ["7.1 assigned @0 waits: this node does not run processes"]);
}

#[test]
fn the_history_keeps_five_tasks_of_a_slot_in_turn() {
    let mut bench = Bench::running(stamp(1, 7));
    let mut places = Vec::new();
    for attempt in 1..=7 {
        for line in bench.engine(exited(task(1, 7, attempt), 1)) {
            if line.contains("assigned") {
                places.extend(line.split('@').nth(1).and_then(|rest| rest.chars().next()));
            }
        }
        while !bench.wake().1.iter().any(|line| line.starts_with("start")) {
            bench.list(Vec::new());
        }
        bench.engine(running(task(1, 7, attempt + 1), Health::None));
    }
    assert_eq!(places, ['1', '2', '3', '4', '0', '1', '2']);
}
