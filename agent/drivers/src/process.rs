//! Tasks as plain processes, each under a shim of its own.
//!
//! ```text
//! EngineAction ─▶ start ──spawns──▶ shim ─▶ task
//!                 stop ───signals its group───▲
//! EngineReport ◀─ watch (pidfd of the shim, then its `ended`)
//! ```
//! A task is adopted by the pid and the start time of its shim, which stand in its directory: see `store`.
//! Reservations and limits, ports, images and host names mean nothing here: a process has what its host has.
//!
//! # Invariants
//! - `hands_off`: only a process group that a `running` file names, of a live shim with the noted start time,
//!   is signalled; only a directory whose `spec` names this cluster and this task is removed.
//! - Nothing is polled: a pidfd tells of an end, an inotify of a line (before kernel 5.3 an end is polled
//!   for).
//!
//! # Not here
//! Isolation. Who wants it uses a container engine.

mod follow;
mod log;
mod shim;
mod start;
mod stop;
mod store;
mod user;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel};
use sleep_wire::{ClusterId, NodeId, RELEASE, WallTime, decode};
use tokio::sync::{Semaphore, mpsc};

use crate::book::{Book, Died, Verdict};
use crate::logs::{LogOptions, Logs};
use crate::text::{MESSAGE, clean};
use crate::{Deadlines, Options, label};
use store::{Ended, Home, Running};

pub use shim::shim_main;

/// How many shims may be started at a time.
const STARTS: usize = 8;

/// The processes of a node. Dropping it changes nothing: what runs goes on.
#[derive(Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    shim: PathBuf,
    cluster: RwLock<Option<ClusterId>>,
    node: NodeId,
    node_name: String,
    deadlines: Deadlines,
    reports: mpsc::Sender<EngineReport>,
    book: Mutex<Book>,
    watched: Mutex<BTreeSet<String>>,
    starts: Semaphore,
    /// Whether the last thing told of the directory was that it can be used.
    well: Mutex<bool>,
}

impl Process {
    /// Looks after the processes whose state is in the options' directory, and says whether that can be used.
    /// Must be called within a tokio runtime.
    pub fn new(options: &Options, reports: mpsc::Sender<EngineReport>) -> Self {
        let inner = Arc::new(Inner {
            dir: options.process_dir.clone(),
            shim: options.shim.clone(),
            cluster: RwLock::new(options.cluster),
            node: options.node,
            node_name: options.node_name.clone(),
            deadlines: options.deadlines.clone(),
            reports,
            book: Mutex::default(),
            watched: Mutex::default(),
            starts: Semaphore::new(STARTS),
            well: Mutex::new(false),
        });
        let checked = inner.clone();
        tokio::spawn(async move { checked.usable().await });
        Self { inner }
    }

    /// Whose processes count from now on; `None` for nobody's.
    pub fn belong_to(&self, cluster: Option<ClusterId>) {
        *self.inner.cluster.write().unwrap_or_else(PoisonError::into_inner) = cluster;
    }

    /// Begins to carry out an action. Must be called within a tokio runtime.
    pub fn act(&self, action: EngineAction) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            match action {
                EngineAction::Start(launch) => start::start(&inner, *launch).await,
                // A process is spawned at once: there is nothing that could be given up on the way.
                EngineAction::Cancel { .. } => {}
                EngineAction::Stop { runtime: _, task, container, signal, grace_ms } => {
                    let grace = Duration::from_millis(grace_ms);
                    stop::stop(&inner, task, container, &signal, grace).await;
                }
                EngineAction::Remove { runtime: _, task, container } => {
                    stop::remove(&inner, task, container).await;
                }
                EngineAction::List { runtime } => {
                    let report = match inner.everything().await {
                        Ok(found) => EngineReport::Listed { runtime, found, images: Vec::new() },
                        Err(error) => EngineReport::ListFailed { runtime, error },
                    };
                    inner.tell(report).await;
                }
            }
        });
    }

    /// The output of a task.
    ///
    /// # Errors
    /// That there is no such task, or that its log cannot be read.
    pub fn logs(&self, task: TaskId, container: &str, options: LogOptions) -> Result<Logs, EngineError> {
        let (home, _) = self.inner.owned(task, container)?;
        follow::logs(home, options)
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, report: EngineReport) {
        // Nobody listens any more: the agent is going.
        let _closed = self.reports.send(report).await;
    }

    /// Sees that the directory can be used; tells if that is news.
    async fn usable(&self) -> Result<(), EngineError> {
        let runtime = Runtime::Process;
        let outcome = make_private(&self.dir).map_err(|error| failed(&error));
        let was_well = {
            let mut well = self.well.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *well, outcome.is_ok())
        };
        match &outcome {
            Ok(()) if was_well => {}
            Ok(()) => {
                // No two nodes share a directory: their locks see to that.
                let engine = format!("process:{}", self.node);
                self.tell(EngineReport::Well { runtime, engine, version: RELEASE.to_owned() }).await;
            }
            Err(error) => self.tell(EngineReport::Ill { runtime, error: error.clone() }).await,
        }
        outcome
    }

    /// A task's directory, and its label, if its spec names this cluster and this task.
    fn owned(&self, task: TaskId, container: &str) -> Result<(Home, TaskLabel), EngineError> {
        let home = Home::of(&self.dir, container).ok_or(EngineError::NoSuchContainer)?;
        if !home.path().exists() {
            return Err(EngineError::NoSuchContainer);
        }
        match self.label(&home) {
            Some(Some(label)) if label.task == task => Ok((home, label)),
            Some(_) | None => {
                let message = "its spec does not name this task: left alone".to_owned();
                Err(EngineError::Other { message })
            }
        }
    }

    /// Whose a directory is: `None` if not this cluster's, `Some(None)` if it does not say for which task.
    fn label(&self, home: &Home) -> Option<Option<TaskLabel>> {
        let spec = home.spec().ok()?;
        let cluster = *self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        (spec.cluster == cluster?.to_string())
            .then(|| label::unhex(&spec.label).and_then(|bytes| decode(&bytes).ok()))
    }

    /// Everything of this cluster that runs or ran here. Whoever runs is watched from now on.
    async fn everything(self: &Arc<Self>) -> Result<Vec<Found>, EngineError> {
        self.usable().await?;
        let entries = std::fs::read_dir(&self.dir).map_err(|error| failed(&error))?;
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(home) = Home::of(&self.dir, &name) else { continue };
            let Some(label) = self.label(&home) else { continue };
            if let Some(label) = &label {
                self.book().learn(&name, label);
            }
            found.push(self.found(home, name, label).await);
        }
        found.sort_by(|a, b| a.container.cmp(&b.container));
        let there = found.iter().map(|found| found.container.clone()).collect();
        self.book().retain(&there);
        Ok(found)
    }

    async fn found(self: &Arc<Self>, home: Home, container: String, label: Option<TaskLabel>) -> Found {
        let mut found = Found {
            label,
            container,
            running: false,
            started_at: None,
            exit: None,
            health: Health::None,
            image_digest: String::new(),
            last_lines: Vec::new(),
        };
        let Ok(running) = home.running() else { return found };
        found.started_at = Some(WallTime(running.at));
        if watch::runs(&home, &running) {
            found.running = true;
            if let Some(label) = &found.label {
                self.watch(home, found.container.clone(), label.clone(), running);
            }
        } else {
            let ended = watch::conclude(&home, &running).await;
            found.exit = Some(exit(ended));
            if ended.code != 0 {
                found.last_lines = log::last_lines(&home);
            }
        }
        found
    }

    /// Waits for the end of a task, once, and tells it.
    fn watch(self: &Arc<Self>, home: Home, container: String, label: TaskLabel, running: Running) {
        let news = self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone());
        if !news {
            return;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            watch::ended(running.shim).await;
            let ended = watch::conclude(&home, &running).await;
            inner.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&container);
            let verdict = inner.book().died(&container, Died::from(ended));
            if verdict == Verdict::Tell {
                let last_lines = if ended.code == 0 { Vec::new() } else { log::last_lines(&home) };
                let (task, exit, at) = (label.task, exit(ended), ended.at());
                inner.tell(EngineReport::Exited { task, container, exit, at, deaf: false, last_lines }).await;
            }
        });
    }
}

const fn exit(ended: Ended) -> Exit {
    Exit { code: ended.code, out_of_memory: false }
}

/// Makes a directory that only its owner may read: a spec holds environments.
fn make_private(dir: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    std::fs::read_dir(dir).map(drop)
}

/// Makes a directory that was not there.
fn make_new(dir: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(dir)
}

/// What the operating system said.
fn failed(error: &io::Error) -> EngineError {
    EngineError::Other { message: clean(error.to_string().as_bytes(), MESSAGE) }
}
