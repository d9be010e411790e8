//! Starting a process under a shim.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use sleep_wire::engine::{EngineError, EngineReport, Launch, StartStep};
use sleep_wire::task::Health;
use sleep_wire::{WallTime, encode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::shim::word;
use super::store::{Home, Spec, is_damage};
use super::{Inner, failed, trace, watch};
use crate::text::{MESSAGE, clean};
use crate::{environment, label};

/// The most bytes that a shim says.
const SAYS: u64 = 4096;

pub(crate) async fn start(inner: &Arc<Inner>, launch: Launch) {
    let task = launch.label.task;
    if let Err(error) = steps(inner, &launch).await {
        inner.tell(EngineReport::StartFailed { task, error }).await;
    }
}

async fn steps(inner: &Arc<Inner>, launch: &Launch) -> Result<(), EngineError> {
    inner.usable().await?;
    let container = label::name(launch);
    let Some(home) = Home::of(&inner.dir, &container) else {
        return Err(EngineError::Other { message: format!("{container}: not a name for a directory") });
    };
    let _turn = inner.starts.acquire().await.expect("nobody closes this semaphore");
    let fresh = create(inner, launch, &home, &container).await?;
    {
        let mut book = inner.book();
        book.learn(&container, &launch.label);
        book.starting(&container);
    }
    step(inner, launch, StartStep::Created { container: container.clone() }).await;
    let outcome = run(inner, launch, &home, &container, fresh).await;
    // A process is watched only once it is said to run: no end can have come before.
    let _none = inner.book().started(&container);
    outcome
}

/// Makes the task's directory. `false` if it runs already: an earlier start's answer was lost.
async fn create(inner: &Inner, launch: &Launch, home: &Home, container: &str) -> Result<bool, EngineError> {
    let spec = Spec {
        cluster: launch.cluster.to_string(),
        label: label::hex(&encode(&launch.label)),
        argv: launch.template.entrypoint.iter().chain(&launch.template.command).cloned().collect(),
        env: environment::of(launch, &inner.node_name),
        user: launch.template.user.clone(),
        workdir: launch.template.workdir.clone(),
    };
    if home.path().exists() || inner.is_watched(container) {
        inner.mend(home)?;
    }
    if home.path().exists() {
        let ours = match home.spec() {
            Ok(found) => found.cluster == spec.cluster && found.label == spec.label,
            Err(error) if is_damage(&error) => home.task() == Some(&*launch.label.task.short()),
            Err(error) => return Err(failed(&error)),
        };
        if ours && home.running().is_ok_and(|running| watch::runs(home, &running)) {
            return Ok(false);
        }
        let ended = home.spec().is_ok() && (home.running().is_ok() || home.ended().is_ok());
        if !ours || ended {
            return Err(EngineError::NameTaken { name: container.to_owned() });
        }
        inner.clear(home).await?;
    }
    let home = home.clone();
    let made = tokio::task::spawn_blocking(move || home.make(&spec)).await;
    made.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(|error| failed(&error))?;
    Ok(true)
}

async fn run(
    inner: &Arc<Inner>,
    launch: &Launch,
    home: &Home,
    container: &str,
    fresh: bool,
) -> Result<(), EngineError> {
    if fresh {
        let call = "shim";
        let spawned = timeout(inner.deadlines.start, spawn(inner, launch, home)).await;
        spawned.map_err(|_| EngineError::TimedOut { call })??;
    }
    let running = home.running().map_err(|error| failed(&error))?;
    let running_step = StartStep::Running {
        container: container.to_owned(),
        pid: u32::try_from(running.main.pid).unwrap_or(0),
        at: WallTime(running.at),
        health: Health::None,
    };
    step(inner, launch, running_step).await;
    inner.watch(home.clone(), container.to_owned(), launch.label.clone(), running);
    Ok(())
}

/// Starts the shim and hears what it says.
async fn spawn(inner: &Inner, launch: &Launch, home: &Home) -> Result<(), EngineError> {
    let mut shim = Command::new(&inner.shim)
        .arg(trace::SHIM)
        .arg(home.path())
        .env(trace::OWNER, format!("{} {}", launch.cluster, label::hex(&encode(&launch.label))))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            failed(&io::Error::new(error.kind(), format!("{}: {error}", inner.shim.display())))
        })?;
    let stdout = shim.stdout.take().expect("it was piped");
    // Whoever spawns a process reaps it; the pidfd tells of its end to everybody else.
    let reaped = tokio::spawn(async move { shim.wait().await });
    let mut line = String::new();
    BufReader::new(stdout.take(SAYS)).read_line(&mut line).await.map_err(|error| failed(&error))?;
    let (said, message) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
    let message = clean(message.as_bytes(), MESSAGE);
    if said != word::RUNNING {
        // While it lives it may still be about to run something, as far as a list can tell.
        drop(reaped.await);
    }
    match said {
        word::RUNNING => Ok(()),
        word::COMMAND => Err(EngineError::BadCommand { message }),
        word::FAILED => Err(EngineError::Other { message }),
        _ => Err(EngineError::Other { message: "the shim ended without a word".to_owned() }),
    }
}

async fn step(inner: &Inner, launch: &Launch, step: StartStep) {
    inner.tell(EngineReport::Progress { task: launch.label.task, step }).await;
}
