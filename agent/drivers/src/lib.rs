//! What runs tasks: a container engine, or plain processes.
//!
//! A driver carries out each [`EngineAction`] once and tells what came of it in [`EngineReport`]s. It also
//! watches: a task that ends by itself is reported without being asked for.
//!
//! ```text
//! core ── EngineAction ──▶ Drivers ─┬─▶ docker:  an engine's API over its socket
//!   ▲                               └─▶ process: a shim a task, in a session of its own
//!   └────────── EngineReport ◀──────────┘
//! ```
//! # Invariants
//! - `hands_off`: nothing is changed, stopped or removed whose labels were not read and found to name this
//!   cluster and the very task that the action names.
//! - Every action is answered, whatever the engine does: each call has a deadline.
//! - A task's reports come in the order in which things happened: nothing follows its `Exited` but what a
//!   further action brings.
//! - A driver keeps nothing that a list could not bring back.
//!
//! # Not here
//! Decisions. A failed call is reported, never repeated: when to try again is for `core::reconcile` to say.
#![forbid(unsafe_code)]

mod book;
pub mod docker;
mod environment;
pub mod foreign;
mod label;
pub mod logs;
pub mod process;
mod process_stat;
mod signal;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use sleep_wire::engine::{EngineAction, EngineError, EngineReport};
use sleep_wire::spec::Runtime;
use sleep_wire::task::TaskId;
use sleep_wire::{ClusterId, NodeId};
use tokio::sync::mpsc;

pub use docker::Docker;
pub use logs::{LogLine, LogOptions, LogStream, Logs};
pub use process::Process;

/// How many reports may wait for their reader before drivers wait for it.
const REPORTS_WAITING: usize = 1024;

/// What drivers are told once, when they start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose tasks these are; `None` before this node is in a cluster. See [`Drivers::belong_to`].
    pub cluster: Option<ClusterId>,
    /// This node.
    pub node: NodeId,
    /// What people call this node: becomes `SLEEPD_NODE`.
    pub node_name: String,
    /// Where the engine listens, as in `DOCKER_HOST`; `None` for that variable, else the usual socket.
    pub docker_host: Option<String>,
    /// Where the process driver keeps state and logs: nobody else writes there.
    pub process_dir: PathBuf,
    /// The program that becomes a shim when called with the argument `shim`.
    pub shim: PathBuf,
    /// How long calls may take.
    pub deadlines: Deadlines,
}

/// How long the calls to an engine may take. Past its deadline a call's outcome is unknown.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// Calls that only look: ping, inspect, list; and kill.
    pub look: Duration,
    /// Creating a container.
    pub create: Duration,
    /// Starting one.
    pub start: Duration,
    /// Removing one.
    pub remove: Duration,
    /// Between two signs of life of a pull. A pull may take for ever, as long as it moves.
    pub pull_stall: Duration,
    /// Between the kill and the end of a task.
    pub kill: Duration,
    /// Between two pings of an engine that is well; each may take as long as a look.
    pub pulse: Duration,
    /// Between two attempts to reach an engine that is ill.
    pub reconnect: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(10),
            create: Duration::from_secs(60),
            start: Duration::from_secs(60),
            remove: Duration::from_secs(60),
            pull_stall: Duration::from_secs(60),
            kill: Duration::from_secs(10),
            pulse: Duration::from_secs(15),
            reconnect: Duration::from_secs(1),
        }
    }
}

/// Which runtimes a node is to offer, as typed: `--driver auto|docker|process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Processes, and an engine if there is one.
    Auto,
    /// An engine, whether or not it is there yet.
    Docker,
    /// Processes only.
    Process,
}

/// Which runtimes exist here. An engine exists if somebody listens on its socket, or the socket is there: a
/// stopped engine is ill, not absent.
pub async fn detect(wanted: Wanted, docker_host: Option<&str>) -> Vec<Runtime> {
    match wanted {
        Wanted::Docker => vec![Runtime::Docker],
        Wanted::Process => vec![Runtime::Process],
        Wanted::Auto if docker::present(docker_host).await => vec![Runtime::Docker, Runtime::Process],
        Wanted::Auto => vec![Runtime::Process],
    }
}

/// The runtimes of a node.
#[derive(Debug)]
pub struct Drivers {
    docker: Option<Docker>,
    process: Option<Process>,
    reports: mpsc::Sender<EngineReport>,
}

impl Drivers {
    /// Begins to watch these runtimes; reports come from the receiver. Must be called within a tokio runtime.
    pub fn new(runtimes: &[Runtime], options: &Options) -> (Self, mpsc::Receiver<EngineReport>) {
        let (reports, receiver) = mpsc::channel(REPORTS_WAITING);
        let drivers = Self {
            docker: runtimes.contains(&Runtime::Docker).then(|| Docker::new(options, reports.clone())),
            process: runtimes.contains(&Runtime::Process).then(|| Process::new(options, reports.clone())),
            reports,
        };
        (drivers, receiver)
    }

    /// Whose tasks count from now on: this node is in another cluster, or in none.
    pub fn belong_to(&self, cluster: Option<ClusterId>) {
        self.docker.iter().for_each(|docker| docker.belong_to(cluster));
        self.process.iter().for_each(|process| process.belong_to(cluster));
    }

    /// Begins to carry out an action. Must be called within a tokio runtime.
    pub fn act(&self, action: EngineAction) {
        let runtime = match &action {
            EngineAction::Start(launch) => launch.template.runtime,
            EngineAction::Cancel { runtime, .. }
            | EngineAction::Stop { runtime, .. }
            | EngineAction::Remove { runtime, .. }
            | EngineAction::List { runtime } => *runtime,
        };
        match (runtime, &self.docker, &self.process) {
            (Runtime::Docker, Some(docker), _) => docker.act(action),
            (Runtime::Process, _, Some(process)) => process.act(action),
            (Runtime::Docker, None, _) | (Runtime::Process, _, None) => {
                let Some(report) = absent(action) else { return };
                let reports = self.reports.clone();
                tokio::spawn(async move {
                    // Nobody listens any more: the agent is going.
                    let _closed = reports.send(report).await;
                });
            }
        }
    }

    /// The output of a task.
    ///
    /// # Errors
    /// The runtime's, or that the container is not this task's.
    pub async fn logs(
        &self,
        runtime: Runtime,
        task: TaskId,
        container: &str,
        options: LogOptions,
    ) -> Result<Logs, EngineError> {
        match (runtime, &self.docker, &self.process) {
            (Runtime::Docker, Some(docker), _) => docker.logs(task, container, options).await,
            (Runtime::Process, _, Some(process)) => process.logs(task, container, options),
            (Runtime::Docker, None, _) | (Runtime::Process, _, None) => Err(no_such_runtime()),
        }
    }
}

fn no_such_runtime() -> EngineError {
    EngineError::Unreachable { message: "this node does not offer that runtime".to_owned() }
}

/// The answer to an action for a runtime that is not here, if it is one that is answered.
fn absent(action: EngineAction) -> Option<EngineReport> {
    let error = no_such_runtime();
    Some(match action {
        EngineAction::Cancel { .. } => return None,
        EngineAction::Start(launch) => EngineReport::StartFailed { task: launch.label.task, error },
        EngineAction::Stop { task, .. } => EngineReport::StopFailed { task, error },
        EngineAction::Remove { task, .. } => EngineReport::RemoveFailed { task, error },
        EngineAction::List { runtime } => EngineReport::ListFailed { runtime, error },
    })
}
