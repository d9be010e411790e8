//! Tasks as plain processes, each under a shim of its own.
//!
//! ```text
//! EngineAction ─▶ start ──spawns──▶ shim ─▶ task
//!                 stop ───signals its group───▲
//! EngineReport ◀─ watch (pidfd of the shim, then its `ended`)
//! ```
//! A task is adopted by the pid and the start time of its shim, which stand in its directory: see `store`.
//! Where that is damaged, the shim itself still tells: see `trace`.
//! Reservations and limits, ports, images and host names mean nothing here: a process has what its host has.
//!
//! # Invariants
//! - `hands_off`: only a process group that a `running` file names, of a live shim with the noted start time,
//!   is signalled; only a directory whose `spec` names this cluster and this task is removed. Where those
//!   files are damaged or missing, the shim's own command line and environment stand in for them, and where
//!   there is no shim either, the names of tasks: nobody else makes directories here that bear them. What a
//!   shim that was killed leaves behind is of its session, or says in its environment whose it is.
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
mod trace;
mod user;
mod watch;

/// What reads the files of tasks, for [`crate::foreign`].
pub(crate) mod files {
    pub(crate) use super::log::parse as log_line;
    pub(crate) use super::store::{Ended, Home, Running, Spec, read, write};
    pub(crate) use super::user::find_in as user;
}

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sleep_wire::engine::{EngineAction, EngineError, EngineReport, Found};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel};
use sleep_wire::{ClusterId, NodeId, RELEASE, WallTime, decode};
use tokio::sync::{Semaphore, mpsc};

use crate::book::{Book, Died, Verdict};
use crate::logs::{LogOptions, Logs};
use crate::process_stat::ProcessId;
use crate::text::{MESSAGE, clean};
use crate::{Deadlines, Options, label};
use store::{Ended, Home, Running, is_damage};
use trace::Shim;

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
    /// Whether somebody has looked for tasks that run and whose directories are gone.
    searched: AtomicBool,
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
            searched: AtomicBool::new(false),
            starts: Semaphore::new(STARTS),
            well: Mutex::new(false),
        });
        // Now: nothing is being started yet.
        if let Err(error) = Home::clear_begun(&inner.dir) {
            tracing::warn!(%error, dir = %inner.dir.display(), "what was begun there cannot be cleared");
        }
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

    fn watched(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this driver saw it run, and not yet end.
    fn is_watched(&self, container: &str) -> bool {
        self.watched().contains(container)
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

    /// A task's directory, and its label, if its spec names this cluster and this task. No label if there is
    /// no spec that could be read, and the directory has this task's name.
    fn owned(&self, task: TaskId, container: &str) -> Result<(Home, Option<TaskLabel>), EngineError> {
        let home = Home::of(&self.dir, container).ok_or(EngineError::NoSuchContainer)?;
        self.mend(&home)?;
        if !home.path().exists() {
            return Err(EngineError::NoSuchContainer);
        }
        let is_lost = home.spec().is_err_and(|error| is_damage(&error));
        match self.label(&home) {
            Some(Some(label)) if label.task == task => Ok((home, Some(label))),
            None if is_lost && home.task() == Some(&*task.short()) => Ok((home, None)),
            Some(_) | None => {
                let message = "its spec does not name this task: left alone".to_owned();
                Err(EngineError::Other { message })
            }
        }
    }

    /// Writes anew what of a task's files is damaged, if its shim lives.
    fn mend(&self, home: &Home) -> Result<(), EngineError> {
        if home.is_whole() {
            return Ok(());
        }
        let shims = trace::shims(&self.dir).map_err(|error| failed(&error))?;
        match shims.get(home.name()) {
            Some(shim) => shim.mend(home).map(drop).map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }

    /// Writes anew what of all tasks' files is damaged whose shims live, if there is a reason to look.
    fn mend_all(&self) -> io::Result<BTreeMap<String, Shim>> {
        let mut missing = self.watched().clone();
        let mut damaged = !self.searched.load(Ordering::Relaxed);
        for home in self.homes()? {
            missing.remove(home.name());
            damaged |= !home.is_whole();
        }
        if !damaged && missing.is_empty() {
            return Ok(BTreeMap::new());
        }
        let shims = trace::shims(&self.dir)?;
        for (name, shim) in &shims {
            if let Some(home) = Home::of(&self.dir, name).filter(|home| !home.is_whole()) {
                shim.mend(&home)?;
            }
        }
        self.searched.store(true, Ordering::Relaxed);
        Ok(shims)
    }

    /// What runs of a task whose shim is gone and did not leave behind, in a file that can be read, which
    /// processes it was.
    fn strays(&self, home: &Home) -> Result<Vec<ProcessId>, EngineError> {
        let unknown = |error: io::Error| failed(&error);
        if let Some(shim) = trace::shims(&self.dir).map_err(unknown)?.get(home.name()) {
            let message = format!("its shim, process {}, has not said yet what it runs", shim.id.pid);
            return Err(EngineError::Other { message });
        }
        match home.task() {
            Some(task) => trace::processes(task, &self.node_name).map_err(unknown),
            None => Ok(Vec::new()),
        }
    }

    /// Removes the directory of a task that never ran, or of which nobody can tell whether it did; not if
    /// anything of it runs.
    async fn clear(&self, home: &Home) -> Result<(), EngineError> {
        if let Ok(running) = home.running()
            && !watch::runs(home, &running)
        {
            watch::conclude(home, &running, &self.node_name).await;
        }
        if let Some(stray) = self.strays(home)?.first() {
            let (pid, path) = (stray.pid, home.path().display());
            let message = format!("an earlier start may still run as process {pid}: {path} is damaged");
            return Err(EngineError::Other { message });
        }
        home.remove().map_err(|error| failed(&error))
    }

    /// The directories that may be tasks'.
    fn homes(&self) -> io::Result<Vec<Home>> {
        let mut homes = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            homes.extend(entry?.file_name().to_str().and_then(|name| Home::of(&self.dir, name)));
        }
        Ok(homes)
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
        let shims = self.mend_all().map_err(|error| failed(&error))?;
        let mut found = Vec::new();
        for home in self.homes().map_err(|error| failed(&error))? {
            let name = home.name().to_owned();
            let label = match self.label(&home) {
                Some(label) => Some(label),
                None => self.lost(&home).await,
            };
            let Some(label) = label else { continue };
            if let Some(label) = &label {
                self.book().learn(&name, label);
            }
            let shim = shims.get(&name);
            found.push(self.found(home, name, label, shim).await);
        }
        found.sort_by(|a, b| a.container.cmp(&b.container));
        let there = found.iter().map(|found| found.container.clone()).collect();
        self.book().retain(&there);
        Ok(found)
    }

    /// A directory named as tasks are, without a spec that could be read: what was left of a start, or
    /// damaged later. If nothing of it runs, it goes; if something may, it is named, though nobody knows
    /// whose it is.
    async fn lost(&self, home: &Home) -> Option<Option<TaskLabel>> {
        let is_lost = home.task().is_some() && home.spec().is_err_and(|error| is_damage(&error));
        if !is_lost || self.clear(home).await.is_ok() { None } else { Some(None) }
    }

    async fn found(
        self: &Arc<Self>,
        home: Home,
        container: String,
        label: Option<TaskLabel>,
        shim: Option<&Shim>,
    ) -> Found {
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
        let Some(running) = home.running().ok().or_else(|| shim.map(Shim::nascent)) else { return found };
        found.started_at = Some(WallTime(running.at));
        if watch::runs(&home, &running) {
            found.running = true;
            if let Some(label) = &found.label {
                self.watch(home, found.container.clone(), label.clone(), running);
            }
        } else {
            let ended = watch::conclude(&home, &running, &self.node_name).await;
            found.exit = Some(exit(ended));
            if ended.code != 0 {
                found.last_lines = log::last_lines(&home);
            }
        }
        found
    }

    /// Waits for the end of a task, once, and tells it.
    fn watch(self: &Arc<Self>, home: Home, container: String, label: TaskLabel, running: Running) {
        let news = self.watched().insert(container.clone());
        if !news {
            return;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            watch::ended(running.shim).await;
            let ended = watch::conclude(&home, &running, &inner.node_name).await;
            inner.watched().remove(&container);
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
