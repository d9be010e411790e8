//! The Docker driver against engines that answer oddly, late or not at all.

#[path = "support/fake.rs"]
mod fake;
#[path = "support/task.rs"]
mod task;

use std::time::Duration;

use fake::Answer::{self, Hangs, Says, Silence};
use fake::Fake;
use sleep_drivers::{Deadlines, Docker, Options};
use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found, StartStep};
use sleep_wire::id::WallTime;
use sleep_wire::spec::{Runtime, TaskTemplate};
use sleep_wire::task::{Exit, Health, TaskId};
use task::{CLUSTER, NODE, Reports, launch, words};
use tokio::sync::mpsc;

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
    Some(match asked.split('?').next().unwrap_or_default() {
        "GET /version" => Says(200, r#"{"Version":"99.1","ApiVersion":"1.99","New":{"A":null}}"#.to_owned()),
        "GET /info" => {
            Says(200, r#"{"ID":"E","ServerVersion":"99.1","Unheard":[1],"Labels":null}"#.to_owned())
        }
        "GET /containers/json" if !asked.contains("filters") => Says(200, "[]".to_owned()),
        "GET /events" => Hangs(String::new()),
        _ => return None,
    })
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
        connects(asked).unwrap_or_else(|| match asked.split('?').next().unwrap_or_default() {
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
        connects(asked).unwrap_or_else(|| match asked.split('?').next().unwrap_or_default() {
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
    let old = Fake::start(|asked| match asked.split('?').next().unwrap_or_default() {
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
            connects(asked).unwrap_or_else(|| match asked.split('?').next().unwrap_or_default() {
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
        connects(asked).unwrap_or_else(|| match asked.split('?').next().unwrap_or_default() {
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
        connects(asked).unwrap_or_else(|| match asked.split('?').next().unwrap_or_default() {
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
