//! One engine, and calls to it: each with a deadline, so many at a time, none while nobody answers.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use bollard::query_parameters::ListContainersOptions;
use bollard::{API_DEFAULT_VERSION, ClientVersion};
use sleep_wire::engine::EngineError;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use super::breaker::Breaker;
use super::error;
use crate::Deadlines;

/// How many calls may be under way at a time.
const CALLS: usize = 16;
/// How many containers may be started at a time: more do not make an engine faster.
const STARTS: usize = 4;
/// How many images may be fetched at a time.
const PULLS: usize = 2;
/// The oldest API that this driver speaks: engine 20.10's.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// Where an engine listens if nobody says otherwise.
const USUAL_HOST: &str = "unix:///var/run/docker.sock";
/// bollard's own deadline, in seconds: never the first to pass, since ours depend on the call.
const LIBRARY_DEADLINE: u64 = 24 * 3600;

/// See the module.
#[derive(Debug)]
pub(crate) struct Engine {
    host: String,
    pub(crate) deadlines: Deadlines,
    link: RwLock<Option<Link>>,
    breaker: Mutex<Breaker>,
    pub(crate) tripped: Notify,
    out_of_sight: AtomicBool,
    /// Whether it was ever found to answer or not.
    looked: watch::Sender<bool>,
    calls: Semaphore,
    pub(crate) starts: Semaphore,
    pub(crate) pulls: Semaphore,
}

/// An engine that answered.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: bollard::Docker,
    /// The engine's own id.
    pub(crate) id: String,
    pub(crate) version: String,
    /// Its clock when it answered, in nanoseconds since 1970.
    pub(crate) now: Option<i64>,
}

/// The address of an engine: as given, as `DOCKER_HOST` says, or the usual one.
pub fn host(given: Option<&str>) -> String {
    let variable = || std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    given.map(str::to_owned).or_else(variable).unwrap_or_else(|| USUAL_HOST.to_owned())
}

/// Whether there is an engine, or its socket.
pub(crate) async fn present(given: Option<&str>) -> bool {
    let host = host(given);
    match host.strip_prefix("unix://") {
        Some(path) => Path::new(path).exists(),
        None => connect(&host).is_ok_and(|_| given.is_some() || std::env::var_os("DOCKER_HOST").is_some()),
    }
}

fn connect(host: &str) -> Result<bollard::Docker, EngineError> {
    let client = match host.split_once("://") {
        Some(("unix", path)) => {
            bollard::Docker::connect_with_unix(path, LIBRARY_DEADLINE, API_DEFAULT_VERSION)
        }
        Some(("tcp" | "http", _)) => {
            bollard::Docker::connect_with_http(host, LIBRARY_DEADLINE, API_DEFAULT_VERSION)
        }
        Some(_) | None => {
            return Err(error::other(&format!("{host}: an engine's address begins with unix:// or tcp://")));
        }
    };
    client.map_err(|error| error::read("connect", &error))
}

impl Engine {
    pub(crate) fn new(given: Option<&str>, deadlines: Deadlines) -> Self {
        Self {
            host: host(given),
            deadlines,
            link: RwLock::new(None),
            breaker: Mutex::new(Breaker::Open(error::unreachable("not connected yet"))),
            tripped: Notify::new(),
            out_of_sight: AtomicBool::new(false),
            looked: watch::Sender::new(false),
            calls: Semaphore::new(CALLS),
            starts: Semaphore::new(STARTS),
            pulls: Semaphore::new(PULLS),
        }
    }

    /// Whether its processes may be this host's.
    pub(crate) fn is_local(&self) -> bool {
        self.host.starts_with("unix://")
    }

    /// Connects, agrees on a version, and sees whether the engine does more than listen. Lets calls through
    /// if so.
    pub(crate) async fn open(&self) -> Result<Link, EngineError> {
        let client = connect(&self.host)?;
        let probe = async {
            let client = client.negotiate_version().await?;
            let info = client.info().await?;
            // An engine with a stuck lock still answers pings.
            client
                .list_containers(Some(ListContainersOptions { limit: Some(1), ..Default::default() }))
                .await?;
            Ok((client, info))
        };
        let call = "connect";
        let (client, info) = timeout(self.deadlines.look, probe)
            .await
            .map_err(|_| EngineError::TimedOut { call })?
            .map_err(|error| error::read(call, &error))?;
        if client.client_version() < OLDEST {
            let (major, minor) = (OLDEST.major_version, OLDEST.minor_version);
            return Err(error::other(&format!(
                "its API is older than {major}.{minor}: engine 20.10 or later is needed"
            )));
        }
        let now = info.system_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let link = Link {
            client,
            id: info.id.unwrap_or_default(),
            version: info.server_version.unwrap_or_default(),
            now: now.and_then(|at| i64::try_from(at.as_nanosecond()).ok()),
        };
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::Closed { unanswered: 0 };
        self.looked.send_replace(true);
        Ok(link)
    }

    /// Refuses calls until [`Self::open`] works again.
    pub(crate) fn close(&self, error: EngineError) {
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::Open(error);
        self.looked.send_replace(true);
    }

    /// Waits until it has answered once, or is known not to: before that a refused call says nothing of it.
    pub(crate) async fn looked_at(&self) {
        // An error means that its sender is gone, which is this very engine's.
        drop(self.looked.subscribe().wait_for(|looked| *looked).await);
    }

    /// The engine, if calls may be made.
    pub(crate) fn link(&self) -> Result<Link, EngineError> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).ready()?;
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        Ok(link.clone().expect("a closed breaker means that the engine was opened"))
    }

    /// Makes one call.
    pub(crate) async fn call<T, F>(
        &self,
        name: &'static str,
        deadline: Duration,
        make: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let _turn = self.calls.acquire().await.expect("nobody closes this semaphore");
        let client = self.link()?.client;
        let outcome = match timeout(deadline, make(client)).await {
            Ok(outcome) => outcome.map_err(|error| error::read(name, &error)),
            Err(_) => Err(EngineError::TimedOut { call: name }),
        };
        self.note(&outcome);
        outcome
    }

    /// Makes one call that only looks.
    pub(crate) async fn look<T, F>(
        &self,
        name: &'static str,
        make: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        self.call(name, self.deadlines.look, make).await
    }

    /// Takes note that its processes cannot be seen from here. Whether that is news.
    pub(crate) fn is_news_that_it_is_out_of_sight(&self) -> bool {
        !self.out_of_sight.swap(true, Ordering::Relaxed)
    }

    /// Counts an outcome for the breaker.
    pub(crate) fn note<T>(&self, outcome: &Result<T, EngineError>) {
        if self.breaker.lock().unwrap_or_else(PoisonError::into_inner).note(outcome) {
            self.tripped.notify_one();
        }
    }
}
