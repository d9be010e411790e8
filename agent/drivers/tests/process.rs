//! The process driver with its real shim.

#[path = "support/task.rs"]
mod task;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sleep_drivers::{Deadlines, LogOptions, LogStream, Options, Process};
use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, StartStep};
use sleep_wire::id::ClusterId;
use sleep_wire::spec::{Runtime, TaskTemplate};
use sleep_wire::task::{Exit, Health, TaskId};
use task::{CLUSTER, NODE, Reports, launch, words};
use tokio::sync::mpsc;

struct Lab {
    process: Process,
    reports: Reports,
    tasks: u32,
    dir: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let (process, mut reports) = driver(&dir.path().join("tasks"), Some(CLUSTER));
        reports.well().await;
        Self { process, reports, tasks: 0, dir }
    }

    fn home(&self, container: &str) -> PathBuf {
        self.dir.path().join("tasks").join(container)
    }

    /// What a file of a task says.
    fn file(&self, container: &str, name: &str) -> serde_json::Value {
        let bytes = std::fs::read(self.home(container).join(name)).expect("it was written");
        serde_json::from_slice(&bytes).expect("it was written whole")
    }

    fn pid(&self, container: &str, whose: &str) -> Pid {
        let pid =
            self.file(container, "running")[whose]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(Pid::from_raw).expect("it is a process")
    }

    async fn run(&mut self, command: &[&str]) -> (TaskId, String) {
        self.run_template(TaskTemplate { command: words(command), ..TaskTemplate::default() }).await
    }

    async fn run_template(&mut self, template: TaskTemplate) -> (TaskId, String) {
        let task = self.start(template);
        let container = self.reports.until(|report| match report {
            EngineReport::Progress { step: StartStep::Running { container, .. }, .. } => {
                Some(container.clone())
            }
            EngineReport::StartFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        });
        (task, container.await)
    }

    fn start(&mut self, template: TaskTemplate) -> TaskId {
        self.tasks += 1;
        let launch = launch(self.tasks, TaskTemplate { runtime: Runtime::Process, ..template });
        let task = launch.label.task;
        self.process.act(EngineAction::Start(Box::new(launch)));
        task
    }

    fn stop(&self, task: TaskId, container: &str, signal: &str, grace_ms: u64) {
        let (runtime, container, signal) = (Runtime::Process, container.to_owned(), signal.to_owned());
        self.process.act(EngineAction::Stop { runtime, task, container, signal, grace_ms });
    }

    async fn exited(&mut self) -> (Exit, Vec<String>) {
        let exited = self.reports.until(|report| match report {
            EngineReport::Exited { exit, last_lines, deaf: false, .. } => Some((*exit, last_lines.clone())),
            EngineReport::StopFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        });
        exited.await
    }

    async fn list(&mut self) -> Vec<Found> {
        self.process.act(EngineAction::List { runtime: Runtime::Process });
        let listed = self.reports.until(|report| match report {
            EngineReport::Listed { found, .. } => Some(found.clone()),
            EngineReport::ListFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        });
        listed.await
    }
}

/// A shim outlives whoever started it: a test that fails must not leave its tasks behind.
impl Drop for Lab {
    fn drop(&mut self) {
        for home in std::fs::read_dir(self.dir.path().join("tasks")).into_iter().flatten().flatten() {
            let running = std::fs::read(home.path().join("running")).unwrap_or_default();
            let running: serde_json::Value = serde_json::from_slice(&running).unwrap_or_default();
            let main =
                running["main"]["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            if let (Some(main), false) = (main, home.path().join("ended").exists()) {
                let _gone = kill_process(main, Signal::KILL);
            }
        }
    }
}

fn driver(dir: &Path, cluster: Option<ClusterId>) -> (Process, Reports) {
    let (sender, reports) = mpsc::channel(64);
    let options = Options {
        cluster,
        node: NODE,
        node_name: node_name(dir),
        docker_host: None,
        process_dir: dir.to_owned(),
        shim: env!("CARGO_BIN_EXE_process-shim").into(),
        deadlines: Deadlines::default(),
    };
    (Process::new(&options, sender), Reports(reports))
}

/// No two tests share a node: what runs on one is found by its name.
fn node_name(tasks: &Path) -> String {
    let name = tasks.parent().and_then(Path::file_name).expect("it is in a directory of its own");
    name.to_string_lossy().into_owned()
}

const fn exit(code: i32) -> Exit {
    Exit { code, out_of_memory: false }
}

/// Whether nothing has this pid, or only an exit code that its parent has not fetched.
fn is_gone(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    test_kill_process(pid).is_err() || status.map_or(true, |status| status.contains("State:\tZ"))
}

#[tokio::test]
async fn a_task_runs_in_a_session_of_its_own_and_is_found_by_another_driver() {
    let mut lab = Lab::new().await;
    let task = lab.start(TaskTemplate { command: words(&["sleep", "1000"]), ..TaskTemplate::default() });
    let container = format!("web.1.{}", task.short());
    let step = |step| EngineReport::Progress { task, step };
    assert_eq!(lab.reports.next().await, step(StartStep::Created { container: container.clone() }));
    let EngineReport::Progress { step: StartStep::Running { container: runs, pid, at, health }, .. } =
        lab.reports.next().await
    else {
        panic!("it runs next")
    };
    assert_eq!((&runs, health), (&container, Health::None));
    let main = lab.pid(&container, "main");
    assert_eq!(u32::try_from(main.as_raw_nonzero().get()), Ok(pid));
    // The session is named after the shim, and so is not that of this test. The test's own is not asked for:
    // it may have no number in this pid namespace, which rustix takes for impossible.
    let session = rustix::process::getsid(Some(main)).expect("it runs");
    assert_eq!(session, lab.pid(&container, "shim"));
    assert_eq!(rustix::process::getpgid(Some(main)), Ok(main));
    let mode = std::fs::metadata(lab.dir.path().join("tasks")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let found = lab.list().await;
    let expected = Found {
        label: Some(launch(1, TaskTemplate::default()).label),
        container: container.clone(),
        running: true,
        started_at: Some(at),
        exit: None,
        health: Health::None,
        image_digest: String::new(),
        last_lines: Vec::new(),
    };
    assert_eq!(found, [expected]);
    (lab.process, lab.reports) = driver(&lab.dir.path().join("tasks"), None);
    assert_eq!(lab.list().await, [], "before it is told whose it is");
    lab.process.belong_to(Some(CLUSTER));
    assert_eq!(lab.list().await, found);
    kill_process(main, Signal::USR1).expect("it runs");
    assert_eq!(lab.exited().await.0, exit(128 + 10));
}

#[tokio::test]
async fn a_task_knows_who_it_is_and_nothing_of_its_agent() {
    let mut lab = Lab::new().await;
    let template = TaskTemplate { env: words(&["A=1"]), workdir: "/usr".into(), ..TaskTemplate::default() };
    let show =
        "echo $A $SLEEPD_FENCE $SLEEPD_NODE $SLEEPD_SERVICE $PWD \"${CARGO_MANIFEST_DIR-none}\"; exit 3";
    lab.run_template(TaskTemplate { command: words(&["sh", "-c", show]), ..template }).await;
    let said = format!("1 77 {} web /usr none", node_name(&lab.dir.path().join("tasks")));
    assert_eq!(lab.exited().await, (exit(3), vec![said.clone()]));
    let found = lab.list().await;
    assert_eq!((found[0].running, found[0].exit), (false, Some(exit(3))));
    assert_eq!(found[0].last_lines, [said]);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut lab = Lab::new().await;
    let default = TaskTemplate::default();
    let failures = [
        (TaskTemplate { command: words(&["no-such-program"]), ..default.clone() }, "BadCommand"),
        (TaskTemplate { command: words(&["/etc/passwd"]), ..default.clone() }, "BadCommand"),
        (default.clone(), "BadCommand"),
        (TaskTemplate { command: words(&["true"]), workdir: "/nosuch".into(), ..default.clone() }, "Other"),
        (TaskTemplate { command: words(&["true"]), user: "no-such-user".into(), ..default }, "Other"),
    ];
    let count = failures.len();
    for (template, expected) in failures {
        let task = lab.start(template);
        let failed = lab.reports.until(|report| match report {
            EngineReport::StartFailed { task: failed, error } if *failed == task => Some(error.clone()),
            _ => None,
        });
        let error = failed.await;
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
    let left: Vec<_> = lab.list().await.into_iter().map(|found| (found.running, found.started_at)).collect();
    assert_eq!(left, vec![(false, None); count]);
}

#[tokio::test]
async fn a_stop_asks_waits_and_kills() {
    let mut lab = Lab::new().await;
    let (task, container) = lab.run(&["sleep", "1000"]).await;
    lab.stop(task, &container, "", 60_000);
    assert_eq!(lab.exited().await.0, exit(128 + 15));

    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let (task, container) = lab.run(&["sh", "-c", stubborn]).await;
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut output = lab.process.logs(task, &container, follow).expect("it is ours");
    assert!(output.next().await.is_some_and(|line| line.is_ok_and(|line| line.bytes == "ready")));
    let began = Instant::now();
    lab.stop(task, &container, "SIGTERM", 500);
    assert_eq!(lab.exited().await.0, exit(128 + 9));
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(output.next().await.is_none(), "an ended task's log ends");
    // Who has ended already is told again.
    lab.stop(task, &container, "", 0);
    assert_eq!(lab.exited().await.0, exit(128 + 9));

    // What cannot be sent is not waited for.
    for signal in ["34", "SIGRTMIN+3", "NOPE"] {
        let (task, container) = lab.run(&["sleep", "1000"]).await;
        lab.stop(task, &container, signal, 600_000);
        assert_eq!(lab.exited().await.0, exit(128 + 9), "{signal}");
    }

    let (task, container) = lab.run(&["sleep", "1000"]).await;
    lab.process.act(EngineAction::Remove { runtime: Runtime::Process, task, container: container.clone() });
    let refused = lab.reports.next().await;
    assert!(matches!(refused, EngineReport::RemoveFailed { .. }), "it runs: {refused:?}");
    lab.stop(task, &container, "QUIT", 60_000);
    assert_eq!(lab.exited().await.0, exit(128 + 3));
    for _ in 0..2 {
        lab.process.act(EngineAction::Remove {
            runtime: Runtime::Process,
            task,
            container: container.clone(),
        });
        assert_eq!(lab.reports.next().await, EngineReport::Removed { task });
    }
    assert!(!lab.home(&container).exists());
}

#[tokio::test]
async fn nothing_that_a_task_left_behind_outlives_it() {
    let mut lab = Lab::new().await;
    // A daemon in a session of its own, an orphan in the task's.
    let daemons = "setsid sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!'; sleep 0.3; exit 4";
    lab.run(&["sh", "-c", daemons]).await;
    let (ended, lines) = lab.exited().await;
    assert_eq!(ended, exit(4));
    let pids: Vec<Pid> = lines.iter().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
    assert_eq!((pids.len(), pids.iter().all(|pid| is_gone(*pid))), (2, true));
}

#[tokio::test]
async fn the_death_of_a_shim_ends_its_task() {
    let mut lab = Lab::new().await;
    let (_, container) = lab.run(&["sh", "-c", "sleep 1000 & sleep 1000"]).await;
    let (shim, main) = (lab.pid(&container, "shim"), lab.pid(&container, "main"));
    kill_process(shim, Signal::KILL).expect("it runs");
    assert_eq!(lab.exited().await.0, exit(128 + 9));
    assert!(is_gone(main));
    assert_eq!(lab.list().await[0].exit, Some(exit(128 + 9)));
}

#[tokio::test]
async fn what_has_left_its_session_ends_with_its_shim_too() {
    let mut lab = Lab::new().await;
    let daemon = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000";
    let (task, container) = lab.run(&["sh", "-c", daemon]).await;
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut output = lab.process.logs(task, &container, follow).expect("it is ours");
    let line = output.next().await.expect("it says who it is").expect("its log can be read");
    let daemon = String::from_utf8_lossy(&line.bytes).parse().ok().and_then(Pid::from_raw);
    let daemon = daemon.expect("it is a process");
    let (shim, main) = (lab.pid(&container, "shim"), lab.pid(&container, "main"));
    assert_eq!(rustix::process::getsid(Some(daemon)), Ok(daemon));
    kill_process(shim, Signal::KILL).expect("it runs");
    assert_eq!(lab.exited().await.0, exit(128 + 9));
    assert_eq!([daemon, main].map(is_gone), [true; 2]);
}

#[tokio::test]
async fn a_pid_that_is_somebody_elses_now_is_left_alone() {
    let mut lab = Lab::new().await;
    let (task, container) = lab.run(&["true"]).await;
    assert_eq!(lab.exited().await.0, exit(0));
    // As after a crash of everything but the disk: another process has the pids, and nobody wrote an end.
    // It leads a session of that number, as a shim does.
    let mut bystander = std::process::Command::new("setsid")
        .args(["sh", "-c", "echo; exec sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("setsid is there");
    let mut said = bystander.stdout.take().expect("it was piped");
    said.read_exact(&mut [0]).expect("it leads it by now");
    let mut running = lab.file(&container, "running");
    for whose in ["shim", "main"] {
        running[whose]["pid"] = bystander.id().into();
        // The kernel counts starts in hundredths of a second, and this test is quicker than that.
        running[whose]["started"] = 1.into();
    }
    let home = lab.home(&container);
    std::fs::write(home.join("running"), running.to_string()).expect("it can be written");
    std::fs::remove_file(home.join("ended")).expect("it was written");
    lab.stop(task, &container, "KILL", 0);
    assert_eq!(lab.exited().await.0, exit(-1));
    assert_eq!(lab.list().await[0].exit, Some(exit(-1)));
    assert!(bystander.try_wait().expect("it is our child").is_none(), "it was left alone");
    bystander.kill().and_then(|()| bystander.wait()).expect("it is our child");
}

#[tokio::test]
async fn what_ran_before_the_host_was_started_has_ended() {
    let mut lab = Lab::new().await;
    let (task, container) = lab.run(&["sleep", "1000"]).await;
    let main = lab.pid(&container, "main");
    let mut running = lab.file(&container, "running");
    running["boot"] = "another".into();
    std::fs::write(lab.home(&container).join("running"), running.to_string()).expect("it can be written");
    (lab.process, lab.reports) = driver(&lab.dir.path().join("tasks"), Some(CLUSTER));
    let found = lab.list().await;
    assert_eq!((found[0].running, found[0].exit), (false, Some(exit(-1))));
    lab.stop(task, &container, "KILL", 0);
    assert_eq!(lab.exited().await.0, exit(-1));
    assert!(!is_gone(main), "its pid says nothing after a restart");
    kill_process(main, Signal::KILL).expect("it runs");
}

#[tokio::test]
async fn nothing_foreign_is_touched() {
    let mut lab = Lab::new().await;
    let (task, ours) = lab.run(&["sleep", "1000"]).await;
    let foreign = lab.home("notes");
    std::fs::create_dir(&foreign).expect("the directory can be written");
    std::fs::write(foreign.join("spec"), "{}").expect("the directory can be written");
    let stranger = TaskId { attempt: 99, ..task };
    for (task, container) in [(task, "notes"), (stranger, &ours), (task, "../tasks"), (task, "nosuch")] {
        lab.stop(task, container, "", 0);
        let refused = lab.reports.next().await;
        assert!(matches!(refused, EngineReport::StopFailed { .. }), "{refused:?}");
    }
    let (runtime, container) = (Runtime::Process, "notes".to_owned());
    lab.process.act(EngineAction::Remove { runtime, task, container });
    let refused = lab.reports.next().await;
    assert!(matches!(refused, EngineReport::RemoveFailed { .. }), "{refused:?}");
    assert!(foreign.exists());
    lab.process.belong_to(Some(ClusterId([0; 32])));
    assert_eq!(lab.list().await, []);
    lab.stop(task, &ours, "", 0);
    let refused = lab.reports.next().await;
    assert!(matches!(refused, EngineReport::StopFailed { .. }), "{refused:?}");
    lab.process.belong_to(Some(CLUSTER));
    assert_eq!(lab.list().await.len(), 1);
    lab.stop(task, &ours, "", 0);
    assert!(lab.exited().await.0.code > 128);
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_does_not_happen_twice() {
    let mut lab = Lab::new().await;
    let (task, container) = lab.run(&["sleep", "1000"]).await;
    lab.tasks -= 1;
    assert_eq!(lab.run(&["sleep", "1000"]).await, (task, container.clone()));
    assert_eq!(lab.list().await.len(), 1);
    lab.stop(task, &container, "", 60_000);
    lab.exited().await;
    lab.tasks -= 1;
    lab.start(TaskTemplate { command: words(&["true"]), ..TaskTemplate::default() });
    let error = EngineError::NameTaken { name: container };
    assert_eq!(lab.reports.next().await, EngineReport::StartFailed { task, error });
}

/// The name of the n-th task's directory.
fn name_of(number: u32) -> (TaskId, String) {
    let task = launch(number, TaskTemplate::default()).label.task;
    (task, format!("web.{number}.{}", task.short()))
}

/// An agent that dies in the middle of a start, or a disk that is full then, leaves half a directory: the
/// next try makes it anew.
#[tokio::test]
async fn a_start_that_was_cut_off_is_made_again() {
    let mut lab = Lab::new().await;
    std::fs::create_dir(lab.home(&name_of(1).1)).expect("the directory can be written");
    let torn = lab.home(&name_of(2).1);
    std::fs::create_dir(&torn).expect("the directory can be written");
    std::fs::write(torn.join("spec"), "{\"cluster\":").expect("the directory can be written");
    for number in 1..=2 {
        assert_eq!(lab.run(&["sleep", "1000"]).await, name_of(number));
    }
    let (task, container) = name_of(3);
    // Killed before its shim was there: nothing that was asked for may have run.
    lab.tasks = 2;
    let failing = TaskTemplate { command: words(&["no-such-program"]), ..TaskTemplate::default() };
    assert_eq!(lab.start(failing), task);
    lab.reports.until(|report| matches!(report, EngineReport::StartFailed { .. }).then_some(())).await;
    lab.tasks = 2;
    assert_eq!(lab.run(&["sleep", "1000"]).await, (task, container));
    assert_eq!(lab.list().await.iter().filter(|found| found.running).count(), 3);
}

#[tokio::test]
async fn what_a_start_left_and_nobody_wants_is_cleared() {
    let mut lab = Lab::new().await;
    let half = lab.home(&name_of(1).1);
    let begun = lab.home(&format!(".new-{}", name_of(2).1));
    let foreign = lab.home("notes");
    for dir in [&half, &begun, &foreign] {
        std::fs::create_dir(dir).expect("the directory can be written");
    }
    std::fs::write(half.join("spec"), "").expect("the directory can be written");
    (lab.process, lab.reports) = driver(&lab.dir.path().join("tasks"), Some(CLUSTER));
    assert_eq!(lab.list().await, []);
    assert_eq!([half, begun, foreign].map(|dir| dir.exists()), [false, false, true]);
}

#[tokio::test]
async fn a_task_whose_files_are_damaged_is_found_by_its_shim() {
    let mut lab = Lab::new().await;
    let damages: [fn(&Path); 5] = [
        |home| std::fs::write(home.join("running"), "").expect("it can be written"),
        |home| std::fs::remove_file(home.join("running")).expect("it is there"),
        |home| std::fs::write(home.join("spec"), "{").expect("it can be written"),
        |home| {
            std::fs::remove_file(home.join("spec")).expect("it is there");
            std::fs::write(home.join("running"), "{}").expect("it can be written");
        },
        |home| std::fs::remove_dir_all(home).expect("it is there"),
    ];
    for damage in damages {
        let (task, container) = lab.run(&["sh", "-c", "sleep 1000 & sleep 1000"]).await;
        let (shim, main) = (lab.pid(&container, "shim"), lab.pid(&container, "main"));
        damage(&lab.home(&container));
        // To the driver that started it the list is news, to one that comes later the start is.
        (lab.process, lab.reports) = driver(&lab.dir.path().join("tasks"), Some(CLUSTER));
        let found = lab.list().await;
        let label = Some(launch(lab.tasks, TaskTemplate::default()).label);
        assert_eq!((found.len(), found[0].running, &found[0].label), (1, true, &label));
        damage(&lab.home(&container));
        lab.tasks -= 1;
        assert_eq!(lab.run(&["sleep", "1000"]).await, (task, container.clone()), "and none beside it");
        assert_eq!((lab.pid(&container, "shim"), lab.pid(&container, "main")), (shim, main));
        damage(&lab.home(&container));
        lab.process.act(EngineAction::Remove {
            runtime: Runtime::Process,
            task,
            container: container.clone(),
        });
        lab.reports.until(|report| matches!(report, EngineReport::RemoveFailed { .. }).then_some(())).await;
        lab.stop(task, &container, "", 60_000);
        assert_eq!(lab.exited().await.0, exit(128 + 15));
        assert!(is_gone(main));
        let (runtime, name) = (Runtime::Process, container.clone());
        lab.process.act(EngineAction::Remove { runtime, task, container: name });
        assert_eq!(lab.reports.next().await, EngineReport::Removed { task });
        assert!(!lab.home(&container).exists());
    }
}

#[tokio::test]
async fn nothing_is_started_beside_what_a_lost_task_left() {
    let mut lab = Lab::new().await;
    let (task, container) = name_of(1);
    let home = lab.home(&container);
    std::fs::create_dir(&home).expect("the directory can be written");
    for file in ["spec", "running"] {
        std::fs::write(home.join(file), "").expect("the directory can be written");
    }
    // Its shim is gone, as after a kill of everything that looked after it.
    let mut sleep = std::process::Command::new("sleep");
    let node = node_name(&lab.dir.path().join("tasks"));
    sleep.arg("1000").env("SLEEPD_TASK", task.short()).env("SLEEPD_NODE", node);
    let mut stray = sleep.spawn().expect("sleep is there");
    let mut bystander = sleep.env("SLEEPD_NODE", "another").spawn().expect("sleep is there");
    let found = lab.list().await;
    assert_eq!((found.len(), &found[0].label, &found[0].container), (1, &None, &container));
    lab.start(TaskTemplate { command: words(&["sleep", "1000"]), ..TaskTemplate::default() });
    let EngineReport::StartFailed { error: EngineError::Other { message }, .. } = lab.reports.next().await
    else {
        panic!("it may run already")
    };
    let expected = format!("an earlier start may still run as process {}", stray.id());
    assert!(message.starts_with(&expected), "{message}");
    lab.stop(task, &container, "", 60_000);
    // Its parent reaps it, and only then it is gone.
    assert_eq!(lab.exited().await.0, exit(128 + 9));
    stray.wait().expect("it is our child");
    lab.process.act(EngineAction::Remove { runtime: Runtime::Process, task, container });
    assert_eq!(lab.reports.next().await, EngineReport::Removed { task });
    assert!(!home.exists());
    assert!(bystander.try_wait().expect("it is our child").is_none(), "it is another node's");
    bystander.kill().and_then(|()| bystander.wait()).expect("it is our child");
}

#[tokio::test]
async fn output_is_read_line_by_line() {
    let mut lab = Lab::new().await;
    let talk = "echo one; sleep 0.1; echo two >&2; sleep 0.3; printf three";
    let (task, container) = lab.run(&["sh", "-c", talk]).await;
    let read = async |lab: &Lab, options| {
        let lines = lab.process.logs(task, &container, options).expect("it is ours");
        let lines: Vec<_> = lines.map(|line| line.expect("it can be read")).collect().await;
        lines
    };
    let all = read(&lab, LogOptions { follow: true, ..LogOptions::default() }).await;
    let seen: Vec<_> = all.iter().map(|line| (line.stream, line.bytes.as_ref())).collect();
    let (out, err) = (LogStream::Out, LogStream::Err);
    assert_eq!(seen, [(out, b"one".as_slice()), (err, b"two"), (out, b"three")]);
    assert_eq!(read(&lab, LogOptions { tail: Some(2), ..LogOptions::default() }).await, all[1..]);
    assert_eq!(read(&lab, LogOptions { since: all[2].at, ..LogOptions::default() }).await, all[2..]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_illness_until_it_can() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().join("tasks");
    std::fs::write(&path, "a file").expect("the directory can be written");
    let (process, mut reports) = driver(&path, Some(CLUSTER));
    assert!(matches!(reports.next().await, EngineReport::Ill { .. }));
    process.act(EngineAction::List { runtime: Runtime::Process });
    assert!(matches!(reports.next().await, EngineReport::Ill { .. }));
    assert!(matches!(reports.next().await, EngineReport::ListFailed { .. }));
    std::fs::remove_file(&path).expect("it was written");
    process.act(EngineAction::List { runtime: Runtime::Process });
    assert!(matches!(reports.next().await, EngineReport::Well { .. }));
    assert!(matches!(reports.next().await, EngineReport::Listed { .. }));
}
