//! The agent's loop: wait for one input, hand it to the core, carry out what comes of it.

mod session;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sleep_core::node::Node;
use sleep_drivers::Wanted;
use sleep_wire::spec::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::api::doors::{self, UnixDoor};
use crate::api::{self, Guard, Handle, Shared, TokenError};
use crate::config::{Config, Driver};
use crate::crypto::{KeyError, Keys};
use crate::lock::{self, LockError};
use crate::logs::TaskLogs;
use crate::storage::StorageError;
use crate::{host, told};
use session::{Ended, Session, Ways};

/// The core, with the agent's own keys.
pub type Core = Node<Keys>;

/// How many requests may wait for the loop.
const ASKS: usize = 256;

/// How long what was said last may take to leave, when the agent stops.
const GOODBYE: Duration = Duration::from_millis(1_500);

/// How long the kernel may take to give a port back, when the agent goes on as a new node.
const RELEASE: Duration = Duration::from_secs(5);

/// Why an agent ended that was not told to.
#[derive(Debug)]
pub enum AgentError {
    /// Its state is another agent's.
    Lock(LockError),
    /// Its key cannot be used.
    Key(KeyError),
    /// Its store cannot be used.
    Storage(StorageError),
    /// Its store failed while it ran: what is on the disk decides.
    StorageFailed(String),
    /// An address or socket cannot be had.
    Door {
        /// Which.
        what: String,
        /// In the operating system's words.
        source: io::Error,
    },
    /// The token of its API cannot be used.
    Token(TokenError),
    /// Its QUIC port cannot be had.
    Net(sleep_net::NetError),
    /// Something of the host's.
    Host(io::Error),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => write!(f, "{error}"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Storage(error) => write!(f, "{error}"),
            Self::StorageFailed(message) => write!(f, "the store failed: {message}"),
            Self::Door { what, source } => write!(f, "cannot listen on {what}: {source}"),
            Self::Token(error) => write!(f, "{error}"),
            Self::Net(error) => write!(f, "{error}"),
            Self::Host(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AgentError {}

/// Runs an agent until it is told to stop.
///
/// # Errors
/// [`AgentError`]: it could not begin, or its store failed.
pub async fn run(config: Config) -> Result<(), AgentError> {
    let _lock = lock::state(&config.data_dir).map_err(AgentError::Lock)?;
    let alarms = told::Alarms::default();
    let journal = told::Journal::default();
    let logs = TaskLogs::default();
    let (asks, mut asked) = mpsc::channel(ASKS);
    let (change, changes) = watch::channel(0);
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // A second agent in one process, as in tests, shares the first one's recorder.
    drop(metrics::set_global_recorder(recorder));
    api::describe();
    let (addresses, listening) = watch::channel(Vec::<String>::new());
    let shared = Shared {
        addresses: Box::new(move || listening.borrow().clone()),
        alarms: {
            let alarms = alarms.clone();
            Box::new(move || alarms.list())
        },
        journal: {
            let journal = journal.clone();
            Box::new(move |node| journal.of(node))
        },
        metrics: Box::new(move || metrics.render()),
        logs: std::sync::Arc::new(logs.clone()),
    };
    let handle = Handle::new(asks, changes, shared);
    open_doors(&config, &handle).await?;
    let ways = Ways { change, alarms, journal, handle, addresses, logs };
    let mut stop = Stop::new().map_err(AgentError::Host)?;
    let rebooted = host_rebooted(&config.data_dir).map_err(AgentError::Host)?;
    loop {
        let runtimes = runtimes(&config).await?;
        let mut session = Session::begin(&config, runtimes, ways.clone(), rebooted)?;
        sd_notify::notify(&[sd_notify::NotifyState::Ready])
            .unwrap_or_else(|error| warn!(%error, "sd_notify"));
        info!(node = %session.me(), name = config.name, "the agent runs");
        match session.serve(&mut asked, &mut stop).await {
            Ended::Stopped => {
                session.say_goodbye(GOODBYE).await;
                return Ok(());
            }
            Ended::Restarts => {
                close(session).await;
                info!("the agent starts again, under a boot counter that others have not seen yet");
            }
            Ended::Left => {
                close(session).await;
                Keys::replace(&config.data_dir).map_err(AgentError::Key)?;
                info!("left the cluster; the agent goes on as a new node");
            }
            Ended::StorageFailed(message) => return Err(AgentError::StorageFailed(message)),
        }
    }
}

/// Ends a session; the next one listens where this one did.
async fn close(mut session: Session) {
    session.say_goodbye(GOODBYE).await;
    let released = session.release();
    drop(session);
    if tokio::time::timeout(RELEASE, released).await.is_err() {
        warn!("the port is not free yet");
    }
}

async fn open_doors(config: &Config, handle: &Handle) -> Result<(), AgentError> {
    let trouble = |what: String| move |source| AgentError::Door { what, source };
    let socket =
        UnixDoor::open(&config.socket).await.map_err(trouble(config.socket.display().to_string()))?;
    tokio::spawn(socket.serve(api::router(handle.clone())));
    if let Some(address) = config.api {
        let listener = doors::open_tcp(address).await.map_err(trouble(address.to_string()))?;
        let address = listener.local_addr().map_err(trouble(address.to_string()))?;
        let guard = Guard::new(address, config.api_token_file.as_deref()).map_err(AgentError::Token)?;
        tokio::spawn(doors::serve_tcp(listener, api::guarded_router(handle.clone(), guard)));
    }
    Ok(())
}

/// What runs tasks here: as told, or as found at the first start and recorded then.
async fn runtimes(config: &Config) -> Result<Vec<Runtime>, AgentError> {
    let wanted = match config.driver {
        Driver::Docker => Wanted::Docker,
        Driver::Process => Wanted::Process,
        Driver::Auto => recorded(&config.data_dir).unwrap_or(Wanted::Auto),
    };
    let runtimes = sleep_drivers::detect(wanted, config.docker_host.as_deref()).await;
    let before = recorded(&config.data_dir);
    if let Some(warning) = no_containers(config, &runtimes, before) {
        warn!("{warning}");
    }
    if config.driver == Driver::Auto {
        let choice = if runtimes.contains(&Runtime::Docker) { "docker\n" } else { "process\n" };
        // Written once: on a full disk another write would only empty the file.
        if before.is_none() {
            fs::write(config.data_dir.join(CHOICE), choice).map_err(AgentError::Host)?;
        }
        if choice == "docker\n" {
            return Ok(vec![Runtime::Docker, Runtime::Process]);
        }
    }
    Ok(runtimes)
}

/// What a person should know of an agent that runs no containers, and was not told to be one.
fn no_containers(config: &Config, runtimes: &[Runtime], before: Option<Wanted>) -> Option<String> {
    if runtimes.contains(&Runtime::Docker) {
        return None;
    }
    let host = sleep_drivers::docker::host(config.docker_host.as_deref());
    let record = config.data_dir.join(CHOICE);
    match (config.driver, before) {
        (Driver::Process, _) => config.docker_host.as_ref().map(|_| {
            format!("plain processes only, as told by --driver process: the engine at {host} is not used")
        }),
        (Driver::Auto | Driver::Docker, None) => Some(format!(
            "plain processes only: there is no container engine at {host}, and this is recorded for good in \
             {}; with an engine, start the agent with --driver docker, or remove that file and start \
             it again",
            record.display()
        )),
        (Driver::Auto | Driver::Docker, Some(_)) => Some(format!(
            "plain processes only, as was decided at the first start and is recorded in {}: the engine at \
             {host} is not used; to have it used, start the agent with --driver docker, or remove that file \
             and start it again",
            record.display()
        )),
    }
}

/// Where the choice of `--driver auto` is recorded.
const CHOICE: &str = "driver";

fn recorded(dir: &Path) -> Option<Wanted> {
    match fs::read_to_string(dir.join(CHOICE)).ok()?.trim() {
        "docker" => Some(Wanted::Docker),
        "process" => Some(Wanted::Process),
        _ => None,
    }
}

/// Whether the host, not only the agent, was restarted since the agent was last started on this directory. To
/// be asked once: asking is remembered.
fn host_rebooted(dir: &Path) -> io::Result<bool> {
    let path = dir.join("boot-id");
    let now = host::boot_id()?;
    let before = fs::read_to_string(&path).ok();
    if before.as_deref() != Some(now.as_str()) {
        fs::write(&path, &now)?;
    }
    Ok(before.is_some_and(|before| before != now))
}

/// Signals that end the agent.
pub(crate) struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for one. Cancel safe.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_no_containers_says_why_and_what_to_type() {
        let config = |driver: Driver, docker_host: Option<&str>| Config {
            name: "here".to_owned(),
            data_dir: "/data".into(),
            listen: Vec::new(),
            advertise: Vec::new(),
            socket: "/s".into(),
            api: None,
            api_token_file: None,
            driver,
            docker_host: docker_host.map(str::to_owned),
            labels: Vec::new(),
            log_format: crate::config::LogFormat::Text,
        };
        let said = |driver, host, before| {
            no_containers(&config(driver, host), &[Runtime::Process], before).unwrap_or_default()
        };
        let engine = Some("unix:///e.sock");
        let first = said(Driver::Auto, engine, None);
        assert!(first.contains("no container engine at unix:///e.sock") && first.contains("/data/driver"));
        let later = said(Driver::Auto, engine, Some(Wanted::Process));
        assert!(later.contains("decided at the first start") && later.contains("--driver docker"), "{later}");
        assert!(said(Driver::Process, engine, None).contains("is not used"));
        assert_eq!(said(Driver::Process, None, None), "", "that is what was asked for");
        let both = [Runtime::Docker, Runtime::Process];
        assert_eq!(no_containers(&config(Driver::Auto, None), &both, None), None);
    }
}
