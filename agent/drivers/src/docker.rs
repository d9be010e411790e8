//! Tasks as containers of an engine that speaks Docker's API, 1.41 (engine 20.10) or later.
//!
//! ```text
//! EngineAction ─▶ start · stop · list ─▶ engine (deadline, turns, breaker) ─▶ API
//! EngineReport ◀─────────┴───────────◀── watch (events, pulse)           ◀──┘
//! ```
//! # Invariants
//! - `hands_off`: see `label`, `copy` and `stop::owned`: whatever is stopped or removed was created by
//!   this process, or its labels were read first.
//! - An end is reported once, and after the start that it ends: see `book`.
//! - The engine restarts nothing by itself.
//!
//! # Not here
//! Which containers are to be there: `core::reconcile`. Which of another node's containers on this engine may
//! be taken over: the core knows who was removed; it names the task, and this room checks only that the
//! labels do too.

mod breaker;
mod copy;
mod create;
mod engine;
mod error;
mod facts;
pub(crate) mod foreign;
mod hearing;

mod list;
mod output;
mod start;
mod stop;
mod watch;

/// What reads an engine's answers, for [`crate::foreign`].
pub(crate) mod reading {
    pub(crate) use super::error::read as refusal;
    pub(crate) use super::facts::{at, exit, health, health_of_text, started_at};
    pub(crate) use super::hearing::hears;
    pub(crate) use super::output::line;
}

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sleep_wire::engine::{EngineAction, EngineError, EngineReport};
use sleep_wire::task::{Exit, TaskId, TaskLabel};
use sleep_wire::{ClusterId, NodeId};
use tokio::sync::mpsc;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use crate::Options;
use crate::book::{Book, Died};
use crate::logs::{LogOptions, Logs};
use engine::Engine;

pub use engine::host;
pub(crate) use engine::present;

/// An engine and the tasks on it. Dropping it ends the watch; what runs goes on.
#[derive(Debug)]
pub struct Docker {
    inner: Arc<Inner>,
    watch: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    cluster: RwLock<Option<ClusterId>>,
    node: NodeId,
    node_name: String,
    reports: mpsc::Sender<EngineReport>,
    book: Mutex<Book>,
    pulling: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Starts under way, and how to give each of them up.
    starting: Mutex<BTreeMap<TaskId, Sender<bool>>>,
    /// The images of the last list that had them.
    images: Mutex<Vec<String>>,
}

impl Docker {
    /// Begins to watch the engine, which need not be there yet: reports say when it is well, and when it is
    /// ill. Must be called within a tokio runtime.
    pub fn new(options: &Options, reports: mpsc::Sender<EngineReport>) -> Self {
        let inner = Arc::new(Inner {
            engine: Engine::new(options.docker_host.as_deref(), options.deadlines.clone()),
            cluster: RwLock::new(options.cluster),
            node: options.node,
            node_name: options.node_name.clone(),
            reports,
            book: Mutex::default(),
            pulling: Mutex::default(),
            starting: Mutex::default(),
            images: Mutex::default(),
        });
        let watch = tokio::spawn(watch::watch(inner.clone())).abort_handle();
        Self { inner, watch }
    }

    /// Whose containers count from now on; `None` for nobody's.
    pub fn belong_to(&self, cluster: Option<ClusterId>) {
        *self.inner.cluster.write().unwrap_or_else(PoisonError::into_inner) = cluster;
    }

    /// Begins to carry out an action. Must be called within a tokio runtime.
    pub fn act(&self, action: EngineAction) {
        let inner = self.inner.clone();
        match action {
            EngineAction::Start(launch) => {
                // Noted before anything of it is done: whoever gives it up right after finds it.
                let Some(given_up) = inner.begin(launch.label.task) else { return };
                drop(tokio::spawn(async move { start::start(&inner, *launch, given_up).await }));
            }
            EngineAction::Cancel { runtime: _, task } => inner.give_up(task),
            EngineAction::Stop { runtime: _, task, container, signal, grace_ms } => {
                let grace = Duration::from_millis(grace_ms);
                let order = stop::Order { task, container, signal, grace };
                drop(tokio::spawn(async move { stop::stop(&inner, order).await }));
            }
            EngineAction::Remove { runtime: _, task, container } => {
                drop(tokio::spawn(async move { stop::remove(&inner, task, container).await }));
            }
            EngineAction::List { runtime: _ } => {
                drop(tokio::spawn(async move { list::list(&inner).await }));
            }
        }
    }

    /// The output of a task's container.
    ///
    /// # Errors
    /// The engine's, or that the container is not this task's.
    pub async fn logs(
        &self,
        task: TaskId,
        container: &str,
        options: LogOptions,
    ) -> Result<Logs, EngineError> {
        output::logs(&self.inner, task, container, options).await
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn starts(&self) -> MutexGuard<'_, BTreeMap<TaskId, Sender<bool>>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A start begins; what it gets says when it is to be given up. `None` if one of the same task is under
    /// way: that one answers.
    fn begin(&self, task: TaskId) -> Option<Receiver<bool>> {
        match self.starts().entry(task) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                let (sender, receiver) = channel(false);
                free.insert(sender);
                Some(receiver)
            }
        }
    }

    fn give_up(&self, task: TaskId) {
        if let Some(start) = self.starts().get(&task) {
            start.send_replace(true);
        }
    }

    /// What those who want the same image wait for, while one of them fetches it.
    fn pull_lock(&self, image: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulling = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        pulling.retain(|_, lock| Arc::strong_count(lock) > 1);
        pulling.entry(image.to_owned()).or_default().clone()
    }

    async fn tell(&self, report: EngineReport) {
        // Nobody listens any more: the agent is going.
        let _closed = self.reports.send(report).await;
    }

    /// Reports an end that nobody asked for: if it was a bad one, with what can be learnt of it.
    fn tell_end(self: &Arc<Self>, container: String, label: TaskLabel, died: Died) {
        let inner = self.clone();
        tokio::spawn(async move {
            let mut exit = Exit { code: died.code, out_of_memory: false };
            let mut last_lines = Vec::new();
            if died.code != 0 {
                let id = container.as_str();
                let look = |client: bollard::Docker| async move { client.inspect_container(id, None).await };
                let state = inner.engine.look("inspect", look).await.ok().and_then(|seen| seen.state);
                exit.out_of_memory = state.is_some_and(|state| state.oom_killed == Some(true));
                last_lines = list::last_lines(&inner, id).await;
            }
            let (task, at) = (label.task, died.at);
            inner.tell(EngineReport::Exited { task, container, exit, at, deaf: false, last_lines }).await;
        });
    }
}
