//! Waiting for the end of processes that may be nobody's children.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sleep_wire::WallTime;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use super::store::{Ended, Home, Running, boot};
use super::trace;
use crate::process_stat::{ProcessId, Stat, all};
use crate::text;

/// Between two looks where the kernel has no pidfd (before 5.3).
const POLL: Duration = Duration::from_millis(500);
/// How long a killed process may take to go.
const GOING: Duration = Duration::from_secs(10);
/// The code of a process that was killed.
pub(crate) const KILLED: i32 = 128 + 9;
/// The code of an end that nobody saw.
pub(crate) const UNKNOWN: i32 = -1;

/// Returns when the process has ended, or at once if it is not there.
pub(crate) async fn ended(process: ProcessId) {
    match open(process) {
        Ok(None) => {}
        Ok(Some(fd)) => {
            // An error would be the runtime's own end.
            let _readable = fd.readable().await;
        }
        Err(_) => {
            while process.lives() {
                sleep(POLL).await;
            }
        }
    }
}

/// A handle of a live process; `None` if it is not there.
fn open(process: ProcessId) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    let fd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    // Looked at after opening: from now on the handle cannot become another's.
    if !process.lives() {
        return Ok(None);
    }
    readable(fd).map(Some)
}

/// A descriptor whose readiness can be awaited.
#[expect(
    deprecated,
    reason = "sound for an owned descriptor, which stays open; its successor is an unsafe function"
)]
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// Whether a task runs: its shim does, on this run of the host, and has not written how it ended.
pub(crate) fn runs(home: &Home, running: &Running) -> bool {
    home.ended().is_err() && running.boot == boot() && running.shim.lives()
}

/// How a task ended whose shim is gone. A shim that was killed leaves its task behind without anybody who
/// would reap it, bound its log or tell its end: then what is left of it is killed, and that is its end.
pub(crate) async fn conclude(home: &Home, running: &Running, node: &str) -> Ended {
    if let Ok(ended) = home.ended() {
        return ended;
    }
    let ended = if running.boot == boot() {
        Ended { code: if sweep(home, running, node).await { KILLED } else { UNKNOWN }, at: text::now().0 }
    } else {
        Ended { code: UNKNOWN, at: running.at }
    };
    // Lists after this one find the same; one that cannot be written is found anew.
    if let Err(error) = home.write_ended(&ended) {
        tracing::warn!(%error, home = %home.path().display(), "the end of a task could not be noted");
    }
    ended
}

/// Kills what a shim that is gone left behind; whether there was anything.
async fn sweep(home: &Home, running: &Running, node: &str) -> bool {
    let mut any = false;
    let swept = async {
        loop {
            let left = remains(home, running.shim, node);
            if left.is_empty() {
                return;
            }
            any = true;
            kill(left).await;
        }
    };
    // What cannot be killed, since the kernel holds it, is not waited for.
    let _late = timeout(GOING, swept).await;
    any
}

/// What is left of a shim's session, and what bears its task's mark, in whatever session. A session's number
/// is not given to others while it has members: if another process has it, the session is that one's.
fn remains(home: &Home, shim: ProcessId, node: &str) -> Vec<ProcessId> {
    let mut left = all(|stat| stat.session == shim.pid && stat.started >= shim.started);
    if Stat::of(shim.pid).is_some_and(|stat| stat.started != shim.started) {
        left.clear();
    }
    match home.task().map_or(Ok(Vec::new()), |task| trace::processes(task, node)) {
        Ok(mut marked) => {
            marked.retain(|process| !left.contains(process));
            left.append(&mut marked);
        }
        Err(error) => {
            let home = home.path().display();
            tracing::warn!(%error, %home, "what a task left in other sessions cannot be looked for");
        }
    }
    left
}

/// Kills processes and waits for their ends. Whether all came in time.
pub(crate) async fn end(processes: Vec<ProcessId>) -> bool {
    timeout(GOING, kill(processes)).await.is_ok()
}

async fn kill(processes: Vec<ProcessId>) {
    for process in &processes {
        if let Ok(Some(fd)) = open(*process) {
            let _gone = pidfd_send_signal(&fd, Signal::KILL);
        }
    }
    for process in processes {
        ended(process).await;
    }
}

impl From<Ended> for crate::book::Died {
    fn from(ended: Ended) -> Self {
        Self { code: ended.code, at: WallTime(ended.at) }
    }
}
