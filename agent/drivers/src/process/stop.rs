//! Ending a process and removing what is left of it.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sleep_wire::engine::{EngineError, EngineReport};
use sleep_wire::task::TaskId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::store::{Home, Running, is_damage};
use super::{Inner, exit, failed, watch};
use crate::book::{Died, Turn};
use crate::signal;
use crate::text::now;

pub(crate) async fn stop(inner: &Arc<Inner>, task: TaskId, container: String, signal: &str, grace: Duration) {
    let end = loop {
        let turn = inner.book().stopping(&container);
        match turn {
            Turn::End(end) => break end,
            // Its sender is dropped when the start is over: a start has deadlines.
            Turn::Start(started) => drop(started.await),
            Turn::Taken => {
                let error = EngineError::Other { message: "it is being stopped already".to_owned() };
                return inner.tell(EngineReport::StopFailed { task, error }).await;
            }
        }
    };
    let outcome = end_of(inner, task, &container, signal, grace, end).await;
    inner.book().stopped(&container, outcome.as_ref().ok().map(|died| died.at));
    let report = match outcome {
        Ok(Died { code, at }) => {
            let exit = exit(super::Ended { code, at: at.0 });
            EngineReport::Exited { task, container, exit, at, deaf: false, last_lines: Vec::new() }
        }
        Err(error) => EngineReport::StopFailed { task, error },
    };
    inner.tell(report).await;
}

async fn end_of(
    inner: &Arc<Inner>,
    task: TaskId,
    container: &str,
    signal: &str,
    grace: Duration,
    mut end: oneshot::Receiver<Died>,
) -> Result<Died, EngineError> {
    let (home, label) = inner.owned(task, container)?;
    let running = match home.running() {
        Ok(running) => running,
        Err(error) if !is_damage(&error) => return Err(failed(&error)),
        Err(_) => {
            // It never ran, and nobody is starting it; or its file is lost, and its shim is gone.
            let strays = inner.strays(&home)?;
            let code = if strays.is_empty() { watch::UNKNOWN } else { watch::KILLED };
            return if watch::end(strays).await {
                Ok(Died { code, at: now() })
            } else {
                Err(EngineError::TimedOut { call: "kill" })
            };
        }
    };
    if !watch::runs(&home, &running) {
        return Ok(watch::conclude(&home, &running, &inner.node_name).await.into());
    }
    if let Some(label) = label {
        inner.watch(home.clone(), container.to_owned(), label, running.clone());
    }
    let polite = if signal.is_empty() { Some(Signal::TERM) } else { parse(signal) };
    // One that cannot be sent is not waited for.
    if let Some(polite) = polite {
        tell_group(&home, &running, polite)?;
        if let Ok(Ok(died)) = timeout(grace, &mut end).await {
            return Ok(died);
        }
    }
    tell_group(&home, &running, Signal::KILL)?;
    match timeout(inner.deadlines.kill, end).await {
        Ok(Ok(died)) => Ok(died),
        Ok(Err(_)) | Err(_) => Err(EngineError::TimedOut { call: "kill" }),
    }
}

/// A signal that has a name: others cannot be sent from here.
fn parse(text: &str) -> Option<Signal> {
    let number = signal::number(text).and_then(|number| i32::try_from(number).ok());
    number.and_then(Signal::from_named_raw)
}

/// Signals the task's process group, which cannot be another's while its shim lives: the shim reaps its first
/// process only when it ends, and then ends all others itself.
fn tell_group(home: &Home, running: &Running, signal: Signal) -> Result<(), EngineError> {
    let group =
        Pid::from_raw(running.main.pid).filter(|_| watch::runs(home, running) && running.main.lives());
    match group.map(|group| kill_process_group(group, signal)) {
        // It ended a moment ago: its end is on its way.
        None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(errno)) => Err(failed(&errno.into())),
    }
}

pub(crate) async fn remove(inner: &Arc<Inner>, task: TaskId, container: String) {
    let report = match removal(inner, task, &container) {
        Ok(()) | Err(EngineError::NoSuchContainer) => {
            inner.book().gone(&container);
            EngineReport::Removed { task }
        }
        Err(error) => EngineReport::RemoveFailed { task, error },
    };
    inner.tell(report).await;
}

fn removal(inner: &Inner, task: TaskId, container: &str) -> Result<(), EngineError> {
    let (home, _) = inner.owned(task, container)?;
    let runs = match home.running() {
        Ok(running) => watch::runs(&home, &running),
        Err(error) if is_damage(&error) => !inner.strays(&home)?.is_empty(),
        Err(error) => return Err(failed(&error)),
    };
    if runs || inner.book().is_starting(container) {
        return Err(EngineError::Other { message: "it still runs".to_owned() });
    }
    home.remove().map_err(|error| failed(&error))
}
