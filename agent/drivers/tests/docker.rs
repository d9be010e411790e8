//! The Docker driver against a real engine.

#[path = "support/engine.rs"]
mod engine;
#[path = "support/task.rs"]
mod task;

use std::time::{Duration, Instant};

use engine::{Engine, IMAGE};
use futures_util::StreamExt;
use sleep_drivers::{Deadlines, Docker, LogOptions, LogStream, Options};
use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, Launch, StartStep};
use sleep_wire::spec::{Port, Protocol, Resources, Runtime, TaskTemplate};
use sleep_wire::task::{Exit, Health, TaskId};
use task::{CLUSTER, NODE, Reports, launch, words};
use tokio::sync::mpsc;

struct Lab {
    docker: Docker,
    reports: Reports,
    engine: Engine,
    tasks: u32,
}

impl Lab {
    /// A driver on an engine of its own, which is well.
    async fn new() -> Self {
        let engine = Engine::start();
        let (docker, reports) = driver(&engine);
        let mut lab = Self { docker, reports, engine, tasks: 0 };
        lab.reports.well().await;
        lab
    }

    async fn next(&mut self) -> EngineReport {
        self.reports.next().await
    }

    async fn until<T>(&mut self, wanted: impl Fn(&EngineReport) -> Option<T>) -> T {
        self.reports.until(wanted).await
    }

    fn launch(&mut self, template: TaskTemplate) -> Launch {
        self.tasks += 1;
        launch(self.tasks, template)
    }

    fn act(&self, action: EngineAction) {
        self.docker.act(action);
    }

    /// Starts a task and waits until it runs; its id and its container's.
    async fn run(&mut self, template: TaskTemplate) -> (TaskId, String) {
        let launch = self.launch(template);
        let task = launch.label.task;
        self.act(EngineAction::Start(Box::new(launch)));
        let container = self
            .until(|report| match report {
                EngineReport::Progress { step: StartStep::Running { container, .. }, .. } => {
                    Some(container.clone())
                }
                EngineReport::StartFailed { error, .. } => panic!("{error:?}"),
                _ => None,
            })
            .await;
        (task, container)
    }

    async fn list(&mut self) -> Vec<Found> {
        self.act(EngineAction::List { runtime: Runtime::Docker });
        self.until(|report| match report {
            EngineReport::Listed { found, .. } => Some(found.clone()),
            EngineReport::ListFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    /// Stops a task; the exit code, whether it was deaf, and how long it took.
    async fn stop(
        &mut self,
        task: TaskId,
        container: &str,
        signal: &str,
        grace: Duration,
    ) -> (i32, bool, Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).expect("it is short");
        let (container, signal) = (container.to_owned(), signal.to_owned());
        let began = Instant::now();
        self.act(EngineAction::Stop { runtime: Runtime::Docker, task, container, signal, grace_ms });
        let (code, deaf) = self
            .until(|report| match report {
                EngineReport::Exited { exit, deaf, .. } => Some((exit.code, *deaf)),
                EngineReport::StopFailed { error, .. } => panic!("{error:?}"),
                _ => None,
            })
            .await;
        (code, deaf, began.elapsed())
    }
}

fn driver(engine: &Engine) -> (Docker, Reports) {
    let (sender, reports) = mpsc::channel(64);
    let deadlines = Deadlines {
        look: Duration::from_secs(3),
        pulse: Duration::from_secs(1),
        reconnect: Duration::from_millis(200),
        ..Deadlines::default()
    };
    let options = Options {
        cluster: Some(CLUSTER),
        node: NODE,
        node_name: "node1".to_owned(),
        docker_host: Some(engine.host()),
        process_dir: "/nonexistent".into(),
        shim: "/nonexistent".into(),
        deadlines,
    };
    (Docker::new(&options, sender), Reports(reports))
}

fn template(command: &[&str]) -> TaskTemplate {
    TaskTemplate { image: IMAGE.to_owned(), command: words(command), ..TaskTemplate::default() }
}

fn sleeper() -> TaskTemplate {
    template(&["sleep", "1000"])
}

#[tokio::test]
async fn a_start_is_told_step_by_step_and_its_container_is_found_again() {
    let mut lab = Lab::new().await;
    let launch = lab.launch(TaskTemplate { hostname: "box".into(), ..sleeper() });
    let (task, label) = (launch.label.task, launch.label.clone());
    lab.act(EngineAction::Start(Box::new(launch)));
    let image = lab.engine.docker(&["image", "inspect", "-f", "{{.Id}}", IMAGE]);
    let step = |step| EngineReport::Progress { task, step };
    assert_eq!(lab.next().await, step(StartStep::ImageReady { digest: image.clone() }));
    let EngineReport::Progress { step: StartStep::Created { container }, .. } = lab.next().await else {
        panic!("it is created next")
    };
    let EngineReport::Progress { step: StartStep::Running { container: runs, pid, at, health }, .. } =
        lab.next().await
    else {
        panic!("it runs next")
    };
    assert_eq!((runs.as_str(), health), (container.as_str(), Health::None));
    assert_eq!(lab.engine.docker(&["inspect", "-f", "{{.State.Pid}}", &container]), pid.to_string());
    let expected = Found {
        label: Some(label),
        container: container.clone(),
        running: true,
        started_at: Some(at),
        exit: None,
        health: Health::None,
        image_digest: image,
        last_lines: Vec::new(),
    };
    assert_eq!(lab.list().await, std::slice::from_ref(&expected));
    // A driver that knows nothing finds the same.
    drop(std::mem::replace(&mut lab.docker, driver(&lab.engine).0));
    (lab.docker, lab.reports) = driver(&lab.engine);
    lab.reports.well().await;
    assert_eq!(lab.list().await, [expected]);
    let seen =
        lab.engine.docker(&["inspect", "-f", "{{.Name}} {{.HostConfig.RestartPolicy.Name}}", &container]);
    assert_eq!(seen, format!("/web.1.{} no", task.short()));
    let env =
        lab.engine.docker(&["exec", &container, "sh", "-c", "echo $SLEEPD_FENCE $SLEEPD_NODE $HOSTNAME"]);
    assert_eq!(env, "77 node1 box");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut lab = Lab::new().await;
    let holder =
        lab.engine.docker(&["run", "-d", "-p", "7000:7", "--name", "holder", IMAGE, "sleep", "1000"]);
    let port = Port { host_ip: String::new(), published: 7000, target: 7, protocol: Protocol::Tcp };
    let failures = [
        (template(&["nosuch"]), "BadCommand"),
        (TaskTemplate { ports: vec![port], ..sleeper() }, "PortTaken"),
        (TaskTemplate { image: "../containers/json?".into(), ..sleeper() }, "NoSuchImage"),
        (TaskTemplate { image: "nosuch:1".into(), ..sleeper() }, "Other"),
    ];
    for (template, expected) in failures {
        let launch = lab.launch(template);
        let task = launch.label.task;
        lab.act(EngineAction::Start(Box::new(launch)));
        let error = lab
            .until(|report| match report {
                EngineReport::StartFailed { task: failed, error } if *failed == task => Some(error.clone()),
                _ => None,
            })
            .await;
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
    // What was created and could not be started never ran.
    let left: Vec<_> =
        lab.list().await.into_iter().map(|found| (found.running, found.started_at, found.exit)).collect();
    assert_eq!(left, [(false, None, None), (false, None, None)]);
    assert_eq!(lab.engine.docker(&["inspect", "-f", "{{.State.Running}}", &holder]), "true");
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_does_not_happen_twice() {
    let mut lab = Lab::new().await;
    let (task, container) = lab.run(sleeper()).await;
    lab.tasks -= 1;
    assert_eq!(lab.run(sleeper()).await, (task, container), "the same task again");
    assert_eq!(lab.list().await.len(), 1);
    let mut taken = lab.launch(sleeper());
    taken.service_name = "other".to_owned();
    let name = format!("other.2.{}", taken.label.task.short());
    lab.engine.docker(&["create", "--name", &name, IMAGE, "true"]);
    let task = taken.label.task;
    lab.act(EngineAction::Start(Box::new(taken)));
    let error = EngineError::NameTaken { name };
    let failed = EngineReport::StartFailed { task, error };
    lab.until(|report| (*report == failed).then_some(())).await;
}

#[tokio::test]
async fn an_end_comes_after_its_start_with_its_last_words() {
    let mut lab = Lab::new().await;
    let (task, container) = lab
        .run(template(&[
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6; do echo line $i; done; echo -e '\\033[0m'; exit 3",
        ]))
        .await;
    let report = lab.next().await;
    let EngineReport::Exited { at, .. } = report else { panic!("{report:?}") };
    let last_lines = ["line 3", "line 4", "line 5", "line 6", "\\u{1b}[0m"].map(str::to_owned).to_vec();
    let exit = Exit { code: 3, out_of_memory: false };
    assert_eq!(
        report,
        EngineReport::Exited { task, container, exit, at, deaf: false, last_lines: last_lines.clone() }
    );
    let found = lab.list().await;
    assert_eq!((found[0].exit, &found[0].last_lines), (Some(exit), &last_lines));
}

#[tokio::test]
async fn a_task_without_memory_says_so() {
    let mut lab = Lab::new().await;
    let resources = Resources { limit_memory: 16 << 20, ..Resources::default() };
    let greedy = template(&["tail", "/dev/zero"]);
    let (task, _) = lab.run(TaskTemplate { resources, ..greedy }).await;
    let exit = lab
        .until(|report| match report {
            EngineReport::Exited { task: ended, exit, .. } if *ended == task => Some(*exit),
            _ => None,
        })
        .await;
    assert_eq!(exit, Exit { code: 137, out_of_memory: true });
}

#[tokio::test]
async fn only_who_cannot_hear_is_killed_at_once() {
    let mut lab = Lab::new().await;
    let long = Duration::from_secs(30);
    let trap = "trap 'exit 7' TERM; while :; do sleep 0.1; done";
    // (what runs, the signal, exit code, deaf)
    let cases = [
        (vec!["sleep", "1000"], "", 137, true),
        (vec!["sleep", "1000"], "SIGQUIT", 137, true),
        (vec!["sleep", "1000"], "SIGKILL", 137, false),
        (vec!["sh", "-c", trap], "", 7, false),
        // It waits in rt_sigtimedwait, where the kernel shows nothing as blocked.
        (vec!["tini-static", "--", "sleep", "1000"], "", 143, false),
        // Just begun: its handler may not be there yet.
        (vec!["sh", "-c", "sleep 0.05; trap 'exit 9' TERM; while :; do sleep 0.1; done"], "", 9, false),
    ];
    for (command, signal, code, deaf) in cases {
        let (task, container) = lab.run(template(&command)).await;
        let (ended, was_deaf, took) = lab.stop(task, &container, signal, long).await;
        assert_eq!((ended, was_deaf), (code, deaf), "{command:?} {signal}");
        assert!(took < Duration::from_secs(10), "{command:?} took {took:?}");
    }
}

#[tokio::test]
async fn who_hears_and_does_not_care_has_its_grace() {
    let mut lab = Lab::new().await;
    let (task, container) =
        lab.run(template(&["sh", "-c", "trap : TERM; while :; do sleep 0.1; done"])).await;
    let grace = Duration::from_secs(1);
    let (code, deaf, took) = lab.stop(task, &container, "", grace).await;
    assert_eq!((code, deaf), (137, false));
    assert!(took >= grace, "{took:?}");
    // Who has ended already is told again, and nothing is left after a removal.
    let (code, deaf, _) = lab.stop(task, &container, "", grace).await;
    assert_eq!((code, deaf), (137, false));
    for _ in 0..2 {
        lab.act(EngineAction::Remove { runtime: Runtime::Docker, task, container: container.clone() });
        assert_eq!(lab.next().await, EngineReport::Removed { task });
    }
    assert_eq!(lab.list().await, []);
}

#[tokio::test]
async fn nothing_foreign_is_touched() {
    let mut lab = Lab::new().await;
    let (task, ours) = lab.run(sleeper()).await;
    let cluster = format!("io.sleepd.cluster={CLUSTER}");
    let run = |engine: &Engine, labels: &[&str]| {
        let mut args = vec!["run", "-d"];
        args.extend(labels.iter().flat_map(|label| ["--label", *label]));
        args.extend([IMAGE, "sleep", "1000"]);
        engine.docker(&args)
    };
    let unlabelled = run(&lab.engine, &[]);
    let unreadable = run(&lab.engine, &[&cluster, "io.sleepd.label=00"]);
    let label = lab.engine.docker(&["inspect", "-f", r#"{{index .Config.Labels "io.sleepd.label"}}"#, &ours]);
    let other = run(&lab.engine, &["io.sleepd.cluster=00", &format!("io.sleepd.label={label}")]);
    let stranger = TaskId { attempt: 99, ..task };
    for (task, container) in [(task, &unlabelled), (task, &unreadable), (task, &other), (stranger, &ours)] {
        let (runtime, signal, grace_ms) = (Runtime::Docker, String::new(), 0);
        lab.act(EngineAction::Stop { runtime, task, container: container.clone(), signal, grace_ms });
        let refused = lab.next().await;
        assert!(matches!(refused, EngineReport::StopFailed { .. }), "{refused:?}");
        lab.act(EngineAction::Remove { runtime, task, container: container.clone() });
        let refused = lab.next().await;
        assert!(matches!(refused, EngineReport::RemoveFailed { .. }), "{refused:?}");
        assert_eq!(lab.engine.docker(&["inspect", "-f", "{{.State.Running}}", container]), "true");
        assert!(lab.docker.logs(task, container, LogOptions::default()).await.is_err());
    }
    let mut found: Vec<_> = lab
        .list()
        .await
        .into_iter()
        .map(|found| (found.container, found.label.map(|label| label.task)))
        .collect();
    found.sort();
    let mut expected = vec![(ours, Some(task)), (unreadable, None)];
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_commit_of_a_task_is_not_the_task_and_a_renamed_task_is() {
    let mut lab = Lab::new().await;
    let (task, ours) = lab.run(sleeper()).await;
    lab.engine.docker(&["commit", &ours, "copied:1"]);
    let copy = lab.engine.docker(&["run", "-d", "copied:1", "sleep", "1000"]);
    let containers = |found: Vec<Found>| found.into_iter().map(|found| found.container).collect::<Vec<_>>();
    assert_eq!(containers(lab.list().await), std::slice::from_ref(&ours));
    let (runtime, signal, container) = (Runtime::Docker, String::new(), copy.clone());
    lab.act(EngineAction::Stop { runtime, task, container, signal, grace_ms: 0 });
    let refused = lab.next().await;
    assert!(matches!(refused, EngineReport::StopFailed { .. }), "{refused:?}");
    // A driver that knows nothing has the image's labels to tell them apart.
    lab.engine.docker(&["rename", &ours, "renamed"]);
    (lab.docker, lab.reports) = driver(&lab.engine);
    lab.reports.well().await;
    assert_eq!(containers(lab.list().await), std::slice::from_ref(&ours));
    // The copy's end is nobody's.
    lab.engine.docker(&["rm", "-f", &copy]);
    let (signal, container) = (String::new(), ours.clone());
    lab.act(EngineAction::Stop { runtime, task, container, signal, grace_ms: 0 });
    let ended = lab.until(|report| match report {
        EngineReport::Exited { container, .. } => Some(container.clone()),
        _ => None,
    });
    assert_eq!(ended.await, ours);
}

#[tokio::test]
async fn an_engine_that_dies_or_hangs_is_ill_until_it_answers() {
    let mut lab = Lab::new().await;
    let (_, container) = lab.run(sleeper()).await;
    let ill = |report: &EngineReport| match report {
        EngineReport::Ill { error, .. } => Some(error.clone()),
        _ => None,
    };
    let well = |report: &EngineReport| matches!(report, EngineReport::Well { .. }).then_some(());
    let pid = lab.engine.pid();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
    assert_eq!(lab.until(ill).await, EngineError::TimedOut { call: "connect" });
    lab.act(EngineAction::List { runtime: Runtime::Docker });
    let refused = lab.until(|report| matches!(report, EngineReport::ListFailed { .. }).then_some(())).await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it runs");
    lab.until(well).await;
    assert_eq!((refused, lab.list().await.len()), ((), 1));
    lab.engine.kill();
    let error = lab.until(ill).await;
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error:?}");
    lab.engine.restart();
    lab.until(well).await;
    // What the engine did to its containers meanwhile is its own business; the list says what.
    let found = lab.list().await;
    assert_eq!(found.iter().map(|found| &found.container).collect::<Vec<_>>(), [&container]);
}

#[tokio::test]
async fn a_health_check_that_changes_its_mind_is_told() {
    let mut lab = Lab::new().await;
    let build = lab.engine.docker(&["create", "--name", "base", IMAGE, "true"]);
    let check = r#"HEALTHCHECK --interval=200ms --retries=1 CMD ["cat", "/well"]"#;
    lab.engine.docker(&["commit", "--change", check, &build, "checked:1"]);
    let (task, container) = lab.run(TaskTemplate { image: "checked:1".into(), ..sleeper() }).await;
    let changed = |health| EngineReport::HealthChanged { task, health };
    assert_eq!(lab.next().await, changed(Health::Unhealthy));
    assert_eq!(lab.list().await[0].health, Health::Unhealthy);
    lab.engine.docker(&["exec", &container, "touch", "/well"]);
    lab.until(|report| (*report == changed(Health::Healthy)).then_some(())).await;
    assert_eq!(lab.list().await[0].health, Health::Healthy);
    assert_eq!(lab.list().await[0].health, Health::Healthy, "from what is remembered");
}

#[tokio::test]
async fn output_is_read_line_by_line() {
    let mut lab = Lab::new().await;
    let talk = "echo one; echo two >&2; sleep 0.3; echo three; sleep 1000";
    let (task, container) = lab.run(template(&["sh", "-c", talk])).await;
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let lines = lab.docker.logs(task, &container, options).await.expect("it is ours");
    let lines: Vec<_> = lines
        .take(3)
        .map(|line| {
            line.map(|line| {
                (line.stream, String::from_utf8_lossy(&line.bytes).into_owned(), line.at.is_some())
            })
        })
        .collect()
        .await;
    let mut lines: Vec<_> = lines.into_iter().map(|line| line.expect("the engine is well")).collect();
    assert_eq!(lines[2], (LogStream::Out, "three".to_owned(), true));
    lines.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!((lines[0].0, lines[0].1.as_str()), (LogStream::Out, "one"));
    assert_eq!((lines[2].0, lines[2].1.as_str()), (LogStream::Err, "two"));
    let last = LogOptions { tail: Some(1), ..LogOptions::default() };
    let lines = lab.docker.logs(task, &container, last).await.expect("it is ours");
    let lines: Vec<_> = lines.map(|line| line.expect("the engine is well").bytes).collect().await;
    assert_eq!(lines, ["three"]);
}
