//! Ending a task and removing what is left of it.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptions};
use sleep_wire::engine::{EngineError, EngineReport};
use sleep_wire::task::{Exit, TaskId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::copy::Made;
use super::start::labels_of;
use super::{Inner, error, facts, hearing};
use crate::book::{Died, Turn};
use crate::label::{self, Owner};

/// What asks a process to end if neither the service nor its image says otherwise.
const USUAL_SIGNAL: &str = "SIGTERM";
/// The engines' runtimes whose containers are processes of the host's own kernel.
const KERNEL_RUNTIMES: [&str; 5] = ["", "runc", "crun", "youki", "io.containerd.runc.v2"];

/// What is to be stopped, and how.
pub(crate) struct Order {
    pub(crate) task: TaskId,
    pub(crate) container: String,
    /// Empty for the container's own.
    pub(crate) signal: String,
    pub(crate) grace: Duration,
}

pub(crate) async fn stop(inner: &Inner, order: Order) {
    let task = order.task;
    let container = order.container.clone();
    let end = loop {
        let turn = inner.book().stopping(&container);
        match turn {
            Turn::End(end) => break end,
            // Its sender is dropped when the start is over: a start has deadlines.
            Turn::Start(started) => drop(started.await),
            Turn::Taken => {
                let error = error::other("it is being stopped already");
                return inner.tell(EngineReport::StopFailed { task, error }).await;
            }
        }
    };
    let outcome = end_of(inner, order, end).await;
    inner.book().stopped(&container, outcome.as_ref().ok().map(|(died, _)| died.at));
    let report = match outcome {
        Ok((died, deaf)) => {
            let exit = Exit { code: died.code, out_of_memory: false };
            EngineReport::Exited { task, container, exit, at: died.at, deaf, last_lines: Vec::new() }
        }
        Err(error) => EngineReport::StopFailed { task, error },
    };
    inner.tell(report).await;
}

/// Its end, and whether it was killed without waiting since it could not have heard.
async fn end_of(
    inner: &Inner,
    order: Order,
    mut end: oneshot::Receiver<Died>,
) -> Result<(Died, bool), EngineError> {
    let seen = owned(inner, order.task, &order.container).await?;
    let state = seen.state.clone().unwrap_or_default();
    if state.running != Some(true) {
        let never_ran = Died { code: facts::code(state.exit_code), at: crate::text::now() };
        return Ok((facts::died(&state).unwrap_or(never_ran), false));
    }
    let image_signal = seen.config.as_ref().and_then(|config| config.stop_signal.clone());
    let signal = [Some(order.signal), image_signal].into_iter().flatten().find(|signal| !signal.is_empty());
    let signal = signal.unwrap_or_else(|| USUAL_SIGNAL.to_owned());
    let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let deaf = match (pid, facts::started_at(&state)) {
        // Who has next to no grace is not made to wait for a judgement.
        (Some(pid), Some(started_at)) if order.grace > hearing::GROWING_UP && can_be_judged(inner, &seen) => {
            let suspect = hearing::Suspect { container: &order.container, pid, started_at };
            if !hearing::is_in_sight(suspect) && inner.engine.is_news_that_it_is_out_of_sight() {
                tracing::warn!(
                    "the container engine's processes are not to be seen from here (another pid namespace?): \
                     a task that cannot hear its stop signal is killed only when its grace is over"
                );
            }
            hearing::is_deaf(suspect, &signal).await
        }
        (Some(_) | None, _) => false,
    };
    if !deaf {
        kill(inner, &order.container, &signal).await?;
        if let Ok(Ok(died)) = timeout(order.grace, &mut end).await {
            return Ok((died, false));
        }
    }
    kill(inner, &order.container, "SIGKILL").await?;
    if let Ok(Ok(died)) = timeout(inner.engine.deadlines.kill, end).await {
        return Ok((died, deaf));
    }
    // Its event may have been lost.
    let state = owned(inner, order.task, &order.container).await?.state.unwrap_or_default();
    facts::died(&state).map(|died| (died, deaf)).ok_or(EngineError::TimedOut { call: "kill" })
}

/// Whether the first process can be looked at: it is this kernel's, in a namespace of its own.
fn can_be_judged(inner: &Inner, seen: &ContainerInspectResponse) -> bool {
    let host = seen.host_config.as_ref();
    let runtime = host.and_then(|host| host.runtime.as_deref()).unwrap_or_default();
    inner.engine.is_local() && KERNEL_RUNTIMES.contains(&runtime)
}

async fn kill(inner: &Inner, container: &str, signal: &str) -> Result<(), EngineError> {
    let options = KillContainerOptions { signal: signal.to_owned() };
    let killed = inner
        .engine
        .look("kill", |client| async move { client.kill_container(container, Some(options)).await })
        .await;
    match killed {
        // It ended a moment ago: its event is on its way.
        Err(EngineError::Other { message }) if message.contains("is not running") => Ok(()),
        killed => killed,
    }
}

pub(crate) async fn remove(inner: &Inner, task: TaskId, container: String) {
    let report = match removal(inner, task, &container).await {
        Ok(()) | Err(EngineError::NoSuchContainer) => {
            inner.book().gone(&container);
            EngineReport::Removed { task }
        }
        Err(error) => EngineReport::RemoveFailed { task, error },
    };
    inner.tell(report).await;
}

async fn removal(inner: &Inner, task: TaskId, container: &str) -> Result<(), EngineError> {
    let known = inner.book().label(container).is_some_and(|label| label.task == task);
    if !known {
        owned(inner, task, container).await?;
    }
    let options = RemoveContainerOptions { v: true, force: false, link: false };
    let deadline = inner.engine.deadlines.remove;
    inner
        .engine
        .call(
            "remove",
            deadline,
            |client| async move { client.remove_container(container, Some(options)).await },
        )
        .await
}

/// Inspects a container, and refuses to go on unless its labels name this cluster and this very task.
pub(crate) async fn owned(
    inner: &Inner,
    task: TaskId,
    container: &str,
) -> Result<ContainerInspectResponse, EngineError> {
    if !is_id(container) {
        return Err(EngineError::NoSuchContainer);
    }
    let seen = inner
        .engine
        .look("inspect", |client| async move { client.inspect_container(container, None).await })
        .await?;
    match label::owner(&labels_of(&seen), inner.cluster()) {
        Owner::Ours(Some(label)) if label.task == task => {
            let made =
                Made { container, names: seen.name.as_slice(), image: seen.image.as_deref(), label: &label };
            if made.is_copy(inner).await? {
                return Err(error::other("it is a copy of this task's container: left alone"));
            }
            inner.book().learn(container, &label);
            Ok(seen)
        }
        Owner::Ours(_) | Owner::Foreign => Err(error::other("its labels do not name this task: left alone")),
    }
}

/// Whether text is an engine's name for a container, which may stand in a path of its API.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
