//! What the Docker driver costs, beside the same engine's bare API with four threads, in one run.
//!
//! `cargo bench -p sleep-drivers --bench engine`, as root.

#[path = "../tests/support/engine.rs"]
#[expect(dead_code, reason = "tests do more to an engine than measure it")]
mod engine;
#[path = "../tests/support/task.rs"]
mod task;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use engine::{Engine, IMAGE};
use futures_util::{StreamExt, stream};
use sleep_drivers::{Deadlines, Docker, Options};
use sleep_wire::engine::{EngineAction, EngineReport, StartStep};
use sleep_wire::spec::{Runtime, TaskTemplate};
use sleep_wire::task::TaskId;
use task::{CLUSTER, NODE, Reports, launch, words};
use tokio::sync::mpsc;

const ROUNDS: usize = 5;
/// As many as the driver allows itself.
const THREADS: usize = 4;

static TASKS: AtomicU32 = AtomicU32::new(1);

fn driver(engine: &Engine) -> (Docker, Reports) {
    let (sender, reports) = mpsc::channel(1024);
    let options = Options {
        cluster: Some(CLUSTER),
        node: NODE,
        node_name: "node1".to_owned(),
        docker_host: Some(engine.host()),
        process_dir: "/nonexistent".into(),
        shim: "/nonexistent".into(),
        deadlines: Deadlines::default(),
    };
    (Docker::new(&options, sender), Reports(reports))
}

/// Creates and starts so many containers with nothing but the API.
async fn bare(client: &bollard::Docker, count: u32) -> Duration {
    let began = Instant::now();
    let start = async |_| {
        let number = TASKS.fetch_add(1, Ordering::Relaxed);
        let options = CreateContainerOptions { name: Some(format!("bare-{number}")), ..Default::default() };
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(words(&["sleep", "1000"])),
            ..Default::default()
        };
        let made = client.create_container(Some(options), body).await.expect("the engine is well");
        client.start_container(&made.id, None).await.expect("the engine is well");
    };
    stream::iter(0..count).for_each_concurrent(THREADS, start).await;
    began.elapsed()
}

/// Starts so many tasks; how long until all run, and which they are.
async fn ours(docker: &Docker, reports: &mut Reports, count: u32) -> (Duration, Vec<(TaskId, String)>) {
    let began = Instant::now();
    for _ in 0..count {
        let number = TASKS.fetch_add(1, Ordering::Relaxed);
        let template = TaskTemplate {
            image: IMAGE.to_owned(),
            command: words(&["sleep", "1000"]),
            ..TaskTemplate::default()
        };
        docker.act(EngineAction::Start(Box::new(launch(number, template))));
    }
    let mut running = Vec::new();
    for _ in 0..count {
        let next = reports.until(|report| match report {
            EngineReport::Progress { task, step: StartStep::Running { container, .. } } => {
                Some((*task, container.clone()))
            }
            EngineReport::StartFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        });
        running.push(next.await);
    }
    (began.elapsed(), running)
}

/// Stops these tasks and removes each as soon as it has ended; how long until nothing is left.
async fn clear(docker: &Docker, reports: &mut Reports, tasks: Vec<(TaskId, String)>) -> Duration {
    let began = Instant::now();
    let mut left = tasks.len();
    let runtime = Runtime::Docker;
    for (task, container) in tasks {
        docker.act(EngineAction::Stop { runtime, task, container, signal: String::new(), grace_ms: 10_000 });
    }
    while left > 0 {
        match reports.next().await {
            EngineReport::Exited { task, container, .. } => {
                docker.act(EngineAction::Remove { runtime, task, container });
            }
            EngineReport::Removed { .. } => left -= 1,
            other => panic!("{other:?}"),
        }
    }
    began.elapsed()
}

async fn list(docker: &Docker, reports: &mut Reports) -> (Duration, usize) {
    let began = Instant::now();
    docker.act(EngineAction::List { runtime: Runtime::Docker });
    let found = reports.until(|report| match report {
        EngineReport::Listed { found, .. } => Some(found.len()),
        _ => None,
    });
    let found = found.await;
    (began.elapsed(), found)
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[tokio::main]
async fn main() {
    let engine = Engine::start();
    let client = bollard::Docker::connect_with_host(&engine.host()).expect("the engine is up");
    let client = client.negotiate_version().await.expect("the engine is up");
    let (docker, mut reports) = driver(&engine);
    reports.well().await;
    println!("| tasks | bare API, 4 at a time | driver | ratio | stop and remove |");
    println!("|---|---|---|---|---|");
    for count in [1, 7, 50] {
        let (mut theirs, mut own, mut cleared) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(bare(&client, count).await);
            engine.docker(
                &["rm", "-f", "-v"]
                    .into_iter()
                    .chain(names(&engine).iter().map(String::as_str))
                    .collect::<Vec<_>>(),
            );
            let (took, tasks) = ours(&docker, &mut reports, count).await;
            own.push(took);
            cleared.push(clear(&docker, &mut reports, tasks).await);
        }
        let (theirs, own, cleared) = (median(&mut theirs), median(&mut own), median(&mut cleared));
        println!("| {count} | {theirs:.2} s | {own:.2} s | {:.2} | {cleared:.2} s |", own / theirs);
    }
    let (_, tasks) = ours(&docker, &mut reports, 50).await;
    drop(docker);
    let began = Instant::now();
    let (docker, mut reports) = driver(&engine);
    reports.well().await;
    let connected = began.elapsed();
    let (first, found) = list(&docker, &mut reports).await;
    let (again, _) = list(&docker, &mut reports).await;
    println!("adoption of {found}: connected {connected:.1?}, first list {first:.1?}, the next {again:.1?}");
    clear(&docker, &mut reports, tasks).await;
    for count in [1, 7] {
        let (_, tasks) = ours(&docker, &mut reports, count).await;
        // Older than what is young enough to be waited for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cleared = clear(&docker, &mut reports, tasks).await;
        println!("stop and remove of {count} that ran for a second: {cleared:.1?}");
    }
}

fn names(engine: &Engine) -> Vec<String> {
    engine.docker(&["ps", "-aq"]).lines().map(str::to_owned).collect()
}
