//! The Docker driver against engines that answer oddly, late or not at all.

#[path = "support/fake.rs"]
mod fake;
#[path = "support/task.rs"]
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fake::Answer::{self, Hangs, Says, Silence, Waits};
use fake::Fake;
use sleep_drivers::{Deadlines, Docker, Options};
use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, StartStep};
use sleep_wire::id::WallTime;
use sleep_wire::spec::{Runtime, TaskTemplate};
use sleep_wire::task::{Exit, Health, TaskId};
use task::{CLUSTER, NODE, Reports, launch, words};
use tokio::sync::{Notify, mpsc};

/// A container's id.
const ID: &str = "74b6994aee3f743a216761ddafc24f6bc20fd5a4018864d766c45eb737d5b7b2";

fn driver(fake: &Fake) -> (Docker, Reports) {
    let short = Duration::from_millis(300);
    let deadlines = Deadlines {
        look: short,
        create: short,
        start: short,
        pull_stall: short,
        kill: short,
        ..Deadlines::default()
    };
    driver_with(fake, deadlines)
}

/// One that waits long enough for a test never to see a deadline.
fn patient(fake: &Fake) -> (Docker, Reports) {
    driver_with(fake, Deadlines::default())
}

fn driver_with(fake: &Fake, deadlines: Deadlines) -> (Docker, Reports) {
    let (sender, reports) = mpsc::channel(64);
    let options = Options {
        cluster: Some(CLUSTER),
        node: NODE,
        node_name: "node1".to_owned(),
        docker_host: Some(fake.host()),
        process_dir: "/nonexistent".into(),
        shim: "/nonexistent".into(),
        deadlines,
    };
    (Docker::new(&options, sender), Reports(reports))
}

/// What every engine answers while a driver connects; its version is far ahead.
fn connects(asked: &str) -> Option<Answer> {
    Some(match path(asked) {
        "GET /version" => Says(200, r#"{"Version":"99.1","ApiVersion":"1.99","New":{"A":null}}"#.to_owned()),
        "GET /info" => {
            Says(200, r#"{"ID":"E","ServerVersion":"99.1","Unheard":[1],"Labels":null}"#.to_owned())
        }
        "GET /containers/json" if !asked.contains("filters") => Says(200, "[]".to_owned()),
        "GET /events" => Hangs(String::new()),
        _ => return None,
    })
}

/// The path of what was asked, without its query.
fn path(asked: &str) -> &str {
    asked.split('?').next().unwrap_or_default()
}

/// The n-th container's id.
fn id(number: u32) -> String {
    format!("{number:064x}")
}

/// The labels of the n-th task's container.
fn labels(number: u32) -> String {
    let labels = sleep_drivers::foreign::labels(&launch(number, TaskTemplate::default()));
    serde_json::to_string(&labels).expect("they are texts")
}

/// How a list shows the n-th task's container.
fn listed(number: u32, state: &str, status: &str) -> String {
    let (id, labels, short) = (id(number), labels(number), task_of(number).short());
    format!(
        r#"{{"Id":"{id}","Names":["/web.{number}.{short}"],"ImageID":"sha256:1","Labels":{labels},
            "State":"{state}","Status":"{status}"}}"#
    )
}

/// How an engine tells of the end of a container with these labels.
fn ended(id: &str, name: &str, labels: &str) -> String {
    let mut attributes: serde_json::Value = serde_json::from_str(labels).expect("they were written");
    attributes["name"] = name.into();
    attributes["exitCode"] = "0".into();
    let actor = serde_json::json!({ "ID": id, "Attributes": attributes });
    let event = serde_json::json!({ "Action": "die", "timeNano": 9_000_000_000_i64, "Actor": actor });
    format!("{event}\n")
}

/// How an inspection shows a container of the n-th task that runs.
fn inspected(number: u32, name: &str, image: &str) -> String {
    let (id, labels) = (id(number), labels(number));
    format!(
        r#"{{"Id":"{id}","Name":"{name}","Image":"{image}","Config":{{"Labels":{labels}}},
            "State":{{"Running":true,"Pid":1,"StartedAt":"2020-01-01T00:00:00Z"}}}}"#
    )
}

fn task_of(number: u32) -> TaskId {
    launch(number, TaskTemplate::default()).label.task
}

/// What is found, and which images.
async fn list(docker: &Docker, reports: &mut Reports) -> (Vec<Found>, Vec<String>) {
    docker.act(EngineAction::List { runtime: Runtime::Docker });
    let listed = reports.until(|report| match report {
        EngineReport::Listed { found, images, .. } => Some((found.clone(), images.clone())),
        EngineReport::ListFailed { error, .. } => panic!("{error:?}"),
        _ => None,
    });
    listed.await
}

fn start(docker: &Docker, number: u32) -> TaskId {
    let template =
        TaskTemplate { image: "box:1".to_owned(), command: words(&["sleep"]), ..TaskTemplate::default() };
    let launch = launch(number, template);
    let task = launch.label.task;
    docker.act(EngineAction::Start(Box::new(launch)));
    task
}

#[tokio::test]
async fn a_start_makes_four_calls_and_takes_what_it_gets() {
    let fake = Fake::start(|asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /images/box:1/json" => Says(200, r#"{"Id":"sha256:1","RepoDigests":null}"#.to_owned()),
            "POST /containers/create" => Says(201, format!(r#"{{"Id":"{ID}","Warnings":null}}"#)),
            path if path.ends_with("/start") => Says(204, String::new()),
            // No state, no labels, nothing.
            path if path == format!("GET /containers/{ID}/json") => Says(200, "{}".to_owned()),
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = driver(&fake);
    let (engine, version) = ("E".to_owned(), "99.1".to_owned());
    assert_eq!(reports.next().await, EngineReport::Well { runtime: Runtime::Docker, engine, version });
    assert_eq!(fake.asked()[..3], ["GET /version", "GET /info", "GET /containers/json"]);
    let task = start(&docker, 1);
    let step = |step| EngineReport::Progress { task, step };
    assert_eq!(reports.next().await, step(StartStep::ImageReady { digest: "sha256:1".to_owned() }));
    assert_eq!(reports.next().await, step(StartStep::Created { container: ID.to_owned() }));
    let EngineReport::Progress { step: StartStep::Running { container, pid, at, health }, .. } =
        reports.next().await
    else {
        panic!("it runs next")
    };
    assert_eq!((container.as_str(), pid, health), (ID, 0, Health::None));
    assert!(at > WallTime(0), "this host's clock, for want of the engine's");
    let mut asked = fake.asked();
    asked.retain(|asked| asked != "GET /events");
    let expected = [
        "GET /images/box:1/json".to_owned(),
        "POST /containers/create".to_owned(),
        format!("POST /containers/{ID}/start"),
        format!("GET /containers/{ID}/json"),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_call_without_an_answer_is_told_and_not_repeated() {
    let fake = Fake::start(|asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /images/box:1/json" => Says(200, r#"{"Id":"sha256:1"}"#.to_owned()),
            "POST /containers/create" => Silence,
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = driver(&fake);
    reports.well().await;
    let task = start(&docker, 1);
    let error = EngineError::TimedOut { call: "create" };
    let failed = EngineReport::StartFailed { task, error };
    reports.until(|report| (*report == failed).then_some(())).await;
    assert_eq!(fake.asked().iter().filter(|asked| *asked == "POST /containers/create").count(), 1);
}

#[tokio::test]
async fn an_engine_that_is_too_old_or_only_listens_is_ill() {
    let old = Fake::start(|asked| match path(asked) {
        "GET /version" => Says(200, r#"{"ApiVersion":"1.40"}"#.to_owned()),
        _ => connects(asked).unwrap_or(Silence),
    });
    let (docker, mut reports) = driver(&old);
    let report = reports.next().await;
    let EngineReport::Ill { error: EngineError::Other { message }, .. } = &report else {
        panic!("{report:?}")
    };
    assert_eq!(message, "its API is older than 1.41: engine 20.10 or later is needed");
    // It is refused at once, with the same words, and without a call.
    let task = start(&docker, 1);
    let error = EngineError::Other { message: message.clone() };
    assert_eq!(reports.next().await, EngineReport::StartFailed { task, error });
    assert!(!old.asked().iter().any(|asked| asked.contains("images")));

    let deaf = Fake::start(|_| Silence);
    let (_docker, mut reports) = driver(&deaf);
    let error = EngineError::TimedOut { call: "connect" };
    assert_eq!(reports.next().await, EngineReport::Ill { runtime: Runtime::Docker, error });
}

#[tokio::test]
async fn a_pull_lives_as_long_as_it_moves() {
    let progress = r#"{"status":"Downloading"}"#;
    for (said, hangs, expected) in [
        (progress.to_owned(), true, EngineError::TimedOut { call: "pull" }),
        (
            format!(
                "{progress}\n{}",
                r#"{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}"#
            ),
            false,
            EngineError::NoSuchImage { image: "box:1".to_owned() },
        ),
        // It says that it is done, and has nothing.
        (progress.to_owned(), false, EngineError::NoSuchImage { image: "box:1".to_owned() }),
    ] {
        let fake = Fake::start(move |asked| {
            connects(asked).unwrap_or_else(|| match path(asked) {
                "GET /images/box:1/json" => Says(404, r#"{"message":"No such image: box:1"}"#.to_owned()),
                "POST /images/create" if hangs => Hangs(format!("{said}\n")),
                "POST /images/create" => Says(200, format!("{said}\n")),
                other => panic!("{other}"),
            })
        });
        let (docker, mut reports) = driver(&fake);
        reports.well().await;
        let task = start(&docker, 1);
        assert_eq!(reports.next().await, EngineReport::Progress { task, step: StartStep::Pulling });
        assert_eq!(reports.next().await, EngineReport::StartFailed { task, error: expected });
    }
}

/// Nothing is created and nothing started; the engine that fetches sees its client go.
#[tokio::test]
async fn a_start_that_waits_for_its_image_is_given_up_when_it_is_told_to() {
    let fake = Fake::start(|asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /images/box:1/json" => Says(404, r#"{"message":"No such image: box:1"}"#.to_owned()),
            "POST /images/create" => Hangs(String::new()),
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = patient(&fake);
    reports.well().await;
    let task = start(&docker, 1);
    assert_eq!(reports.next().await, EngineReport::Progress { task, step: StartStep::Pulling });
    let runtime = Runtime::Docker;
    docker.act(EngineAction::Cancel { runtime, task });
    let given_up = EngineReport::StartFailed { task, error: EngineError::Cancelled };
    assert_eq!(reports.next().await, given_up);
    // It may be given up before anything of it was done.
    let task = start(&docker, 2);
    docker.act(EngineAction::Cancel { runtime, task });
    assert_eq!(reports.next().await, EngineReport::StartFailed { task, error: EngineError::Cancelled });
}

#[tokio::test]
async fn what_is_missing_null_new_or_absurd_does_not_stop_a_list() {
    let other = ID.replace('7', "8");
    let listed = format!(
        r#"[{{"Id":"{ID}","Labels":{{"io.sleepd.cluster":"{CLUSTER}","io.sleepd.label":"not hex"}},
            "State":"exited",
            "Names":null,"Novel":{{}},"Ports":null}},
            {{"Id":"{other}","Labels":{{"io.sleepd.cluster":"{CLUSTER}"}}}},
            {{"Labels":null}}, {{"Id":"gone"}}]"#
    );
    let inspected = r#"{"State":{"Running":false,"ExitCode":-99999999999,"OOMKilled":null,
        "StartedAt":"2999-01-01T00:00:00Z","FinishedAt":"never"},"Config":null}"#;
    let fake = Fake::start(move |asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /containers/json" => Says(200, listed.clone()),
            "GET /images/json" => Says(200, "[]".to_owned()),
            path if path == format!("GET /containers/{ID}/json") => Says(200, inspected.to_owned()),
            path if path.ends_with("/json") => Says(404, r#"{"message":"No such container"}"#.to_owned()),
            path if path.ends_with("/logs") => Hangs("a line without an end".to_owned()),
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = driver(&fake);
    reports.well().await;
    docker.act(EngineAction::List { runtime: Runtime::Docker });
    let found = Found {
        label: None,
        container: ID.to_owned(),
        running: false,
        started_at: Some(WallTime(32_472_144_000_000)),
        exit: Some(Exit { code: -1, out_of_memory: false }),
        health: Health::None,
        image_digest: String::new(),
        last_lines: Vec::new(),
    };
    let (runtime, images) = (Runtime::Docker, Vec::new());
    assert_eq!(reports.next().await, EngineReport::Listed { runtime, found: vec![found], images });
}

#[tokio::test]
async fn a_start_that_cannot_be_looked_at_is_not_healthy_before_a_list_says_so() {
    let inspections = AtomicU32::new(0);
    let fake = Fake::start(move |asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /images/box:1/json" => Says(200, r#"{"Id":"sha256:1"}"#.to_owned()),
            "POST /containers/create" => Says(201, format!(r#"{{"Id":"{}","Warnings":[]}}"#, id(1))),
            path if path.ends_with("/start") => Says(204, String::new()),
            "GET /containers/json" => Says(200, format!("[{}]", listed(1, "running", "Up 1 second"))),
            "GET /images/json" => Says(200, "[]".to_owned()),
            path if path == format!("GET /containers/{}/json", id(1)) => {
                match inspections.fetch_add(1, Ordering::Relaxed) {
                    0 => Says(500, r#"{"message":"it is busy"}"#.to_owned()),
                    _ => Says(200, inspected(1, "/any", "sha256:1")),
                }
            }
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = patient(&fake);
    reports.well().await;
    start(&docker, 1);
    let health = reports.until(|report| match report {
        EngineReport::Progress { step: StartStep::Running { health, .. }, .. } => Some(*health),
        _ => None,
    });
    assert_eq!(health.await, Health::Starting);
    let (found, _) = list(&docker, &mut reports).await;
    assert_eq!((found.len(), found[0].running, found[0].health), (1, true, Health::None));
}

/// The first one answers for both, and can still be given up.
#[tokio::test]
async fn a_start_that_is_asked_for_twice_happens_once() {
    let pulled = Arc::new(Notify::new());
    let told = pulled.clone();
    let fake = Fake::start(move |asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /images/box:1/json" => Says(404, r#"{"message":"No such image: box:1"}"#.to_owned()),
            "POST /images/create" => Waits(told.clone(), 200, String::new()),
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = patient(&fake);
    reports.well().await;
    let task = start(&docker, 1);
    assert_eq!(reports.next().await, EngineReport::Progress { task, step: StartStep::Pulling });
    start(&docker, 1);
    docker.act(EngineAction::Cancel { runtime: Runtime::Docker, task });
    pulled.notify_one();
    // Its reports end when nothing of it is under way any more.
    drop(docker);
    let mut said = Vec::new();
    while let Some(report) = reports.0.recv().await {
        said.push(report);
    }
    assert_eq!(said, [EngineReport::StartFailed { task, error: EngineError::Cancelled }]);
    assert!(!fake.asked().iter().any(|asked| asked.starts_with("POST /containers")));
}

#[tokio::test]
async fn a_container_that_cannot_be_inspected_hides_no_other() {
    let fake = Fake::start(|asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /containers/json" => {
                let all = [
                    listed(1, "running", "Up 2 hours (unhealthy)"),
                    listed(2, "exited", "Exited (3) 2 hours ago"),
                    listed(3, "created", "Created"),
                    listed(4, "running", "Up 2 hours"),
                ];
                Says(200, format!("[{}]", all.join(",")))
            }
            "GET /images/json" => Says(200, "[]".to_owned()),
            path if path == format!("GET /containers/{}/json", id(1)) => Silence,
            path if path == format!("GET /containers/{}/json", id(4)) => {
                Says(200, inspected(4, "/any", "sha256:1"))
            }
            path if path.starts_with("GET /containers/") => {
                Says(500, r#"{"message":"layer does not exist"}"#.to_owned())
            }
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = driver(&fake);
    reports.well().await;
    let seen = |found: &Found| (found.running, found.started_at.is_some(), found.exit.map(|exit| exit.code));
    for _ in 0..2 {
        let (found, _) = list(&docker, &mut reports).await;
        let expected =
            [(true, false, None), (false, false, Some(3)), (false, false, None), (true, true, None)];
        assert_eq!(found.iter().map(seen).collect::<Vec<_>>(), expected);
        let tasks: Vec<_> = found.iter().map(|found| found.label.as_ref().map(|label| label.task)).collect();
        assert_eq!(tasks, [1, 2, 3, 4].map(|number| Some(task_of(number))));
        assert_eq!((found[0].health, found[0].image_digest.as_str()), (Health::Unhealthy, "sha256:1"));
    }
}

#[tokio::test]
async fn images_that_cannot_be_listed_are_as_they_were() {
    let lists = AtomicU32::new(0);
    let fake = Fake::start(move |asked| {
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /containers/json" => Says(200, format!("[{}]", listed(1, "running", "Up 1 second"))),
            "GET /images/json" if lists.fetch_add(1, Ordering::Relaxed) == 1 => {
                let image = r#"{"Id":"sha256:1","ParentId":"","RepoTags":["box:1"],"RepoDigests":[],
                    "Created":1,"Size":1,"SharedSize":1,"Labels":{},"Containers":1}"#;
                Says(200, format!("[{image}]"))
            }
            "GET /images/json" => Silence,
            path if path.ends_with("/json") => Says(200, inspected(1, "/any", "sha256:1")),
            other => panic!("{other}"),
        })
    });
    let (docker, mut reports) = driver(&fake);
    reports.well().await;
    for expected in [vec![], vec!["box:1".to_owned()], vec!["box:1".to_owned()]] {
        let (found, images) = list(&docker, &mut reports).await;
        assert_eq!((found.len(), images), (1, expected));
    }
}

/// What is run from an image that `docker commit` made of a task's container inherits its labels.
#[tokio::test]
async fn a_copy_of_a_tasks_container_is_not_the_task() {
    let happens = Arc::new(Notify::new());
    let told = happens.clone();
    let copy = id(0xc);
    let fake = Fake::start(move |asked| {
        if path(asked) == "GET /events" {
            let own = format!("web.2.{}", task_of(2).short());
            let events = ended(&id(0xc), "brave_borg", &labels(1)) + &ended(&id(2), &own, &labels(2));
            return Waits(told.clone(), 200, events);
        }
        connects(asked).unwrap_or_else(|| match path(asked) {
            "GET /containers/json" => {
                let shown = |number| listed(number, "running", "Up 1 second");
                let own = |number| format!("web.{number}.{}", task_of(number).short());
                let copy = shown(1).replace(&own(1), "brave_borg").replace("sha256:1", "sha256:committed");
                // The third was renamed by somebody: its image says nothing of it.
                let renamed = shown(3).replace(&own(3), "old");
                let all = [shown(1), shown(2), copy.replace(&id(1), &id(0xc)), renamed];
                Says(200, format!("[{}]", all.join(",")))
            }
            "GET /images/json" => Says(200, "[]".to_owned()),
            "GET /images/sha256:committed/json" => {
                Says(200, format!(r#"{{"Id":"sha256:committed","Config":{{"Labels":{}}}}}"#, labels(1)))
            }
            "GET /images/sha256:1/json" => Says(200, r#"{"Id":"sha256:1"}"#.to_owned()),
            path if path == format!("GET /containers/{}/json", id(0xc)) => {
                Says(200, inspected(1, "/brave_borg", "sha256:committed"))
            }
            path => {
                let number = (1..=3).find(|number| path == format!("GET /containers/{}/json", id(*number)));
                Says(200, inspected(number.unwrap_or_else(|| panic!("{path}")), "/any", "sha256:1"))
            }
        })
    });
    let (docker, mut reports) = patient(&fake);
    reports.well().await;
    let (found, _) = list(&docker, &mut reports).await;
    let containers: Vec<_> = found.into_iter().map(|found| found.container).collect();
    assert_eq!(containers, [id(1), id(2), id(3)]);
    let (task, runtime) = (task_of(1), Runtime::Docker);
    let (signal, container) = (String::new(), copy.clone());
    docker.act(EngineAction::Stop { runtime, task, container, signal, grace_ms: 0 });
    let refused = reports.next().await;
    assert!(matches!(refused, EngineReport::StopFailed { .. }), "{refused:?}");
    docker.act(EngineAction::Remove { runtime, task, container: copy });
    let refused = reports.next().await;
    assert!(matches!(refused, EngineReport::RemoveFailed { .. }), "{refused:?}");
    assert!(!fake.asked().iter().any(|asked| asked.starts_with("POST") || asked.starts_with("DELETE")));
    // The copy's end is nobody's; the one after it is the second task's.
    happens.notify_one();
    let ended = reports.until(|report| match report {
        EngineReport::Exited { task, .. } => Some(*task),
        _ => None,
    });
    assert_eq!(ended.await, task_of(2));
}
