//! The agents of a cluster on this machine: their processes, and what belongs to them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use sleep_wire::api::{Changed, Progress, RemoveServices, ServiceView, Status};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::engine::{Engine, Whose};
use super::family;
use crate::args::{Dev, DevDriver, Global};
use crate::client::{self, Client, path};
use crate::error::Error;

/// How long an agent may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How long services may take to be gone at the end.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// How long an agent may take to end when it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How many lines of an agent's log are told when something failed.
const LAST_LINES: usize = 4;

/// All of them.
pub(super) struct Agents {
    folder: Folder,
    /// What they share, if their tasks are containers.
    engine: Option<Engine>,
    /// The cluster that they are, once it is founded.
    pub(super) cluster: String,
    /// One by one, in the order of their names.
    pub(super) all: Vec<Agent>,
}

/// One agent.
pub(super) struct Agent {
    /// What its node is called.
    pub(super) name: String,
    /// Its control socket.
    pub(super) socket: PathBuf,
    arguments: Vec<String>,
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever could not remove it cannot be told either: this runs when all else is over.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Agents {
    /// Makes room for them, and starts none.
    ///
    /// # Errors
    /// [`Error`] if there is no agent's program, no engine, or no room.
    pub(super) async fn prepare(dev: &Dev) -> Result<Self, Error> {
        let program = program(dev)?;
        let engine = match dev.driver {
            DevDriver::Process => None,
            DevDriver::Docker => Some(Engine::find().await?),
        };
        let room = |error: io::Error| Error::internal("room for the agents", &error);
        family::gather().map_err(room)?;
        let folder = folder().map_err(room)?;
        let ports = ports(dev.nodes.into()).map_err(room)?;
        let all = (1..).zip(ports).map(|(number, port)| {
            let name = format!("node{number}");
            let at = |suffix: &str| folder.0.join(format!("{name}{suffix}"));
            let (data, socket, log) = (at(""), at(".sock"), at(".log"));
            let listen = format!("127.0.0.1:{port}");
            let driver = match dev.driver {
                DevDriver::Process => "process",
                DevDriver::Docker => "docker",
            };
            let arguments = [
                // Settings of this machine's own agent are not theirs.
                ("--config", folder.0.join("sleepd.toml").display().to_string()),
                ("--name", name.clone()),
                ("--data-dir", data.display().to_string()),
                ("--listen", listen.clone()),
                ("--advertise", listen),
                ("--socket", socket.display().to_string()),
                ("--api", "off".to_owned()),
                ("--driver", driver.to_owned()),
                ("--log-format", "text".to_owned()),
            ];
            let shared = engine.as_ref().map(|engine| ("--docker-host", engine.host().to_owned()));
            let arguments = arguments
                .into_iter()
                .chain(shared)
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect();
            Agent { name, socket, arguments, program: program.clone(), data, log, child: None }
        });
        let all = all.collect();
        Ok(Self { folder, engine, cluster: String::new(), all })
    }

    /// Where they keep what they know.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Every socket, as a list of hosts to try.
    pub(super) fn hosts(&self) -> String {
        let sockets: Vec<String> = self.all.iter().map(|agent| agent.socket.display().to_string()).collect();
        sockets.join(",")
    }

    /// What each said last.
    pub(super) fn last_words(&self) -> Vec<String> {
        self.all.iter().flat_map(Agent::last_words).collect()
    }

    /// Kills one with all its tasks, as if its plug were pulled. Returns the id that its process had.
    ///
    /// # Errors
    /// [`Error`] if its containers could not be killed.
    pub(super) async fn pull_plug(&mut self, name: &str, node: &str) -> Result<Option<u32>, Error> {
        let Some(agent) = self.all.iter_mut().find(|agent| agent.name == name) else { return Ok(None) };
        let pid = agent.kill().await;
        if let Some(engine) = &self.engine {
            engine.kill(&Whose { cluster: &self.cluster, node: Some(node) }).await?;
        }
        Ok(pid)
    }

    /// Removes every service, stops every agent, and ends what is still there.
    ///
    /// # Errors
    /// [`Error`] if something could not be removed.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        // What cannot be removed in good order is ended below.
        drop(timeout(GONE_WITHIN, self.remove_services()).await);
        for agent in &self.all {
            agent.signal(Signal::TERM);
        }
        for agent in &mut self.all {
            agent.ended().await;
        }
        family::end(None).await;
        let emptied = match self.engine.as_ref().filter(|_| !self.cluster.is_empty()) {
            Some(engine) => engine.remove(&Whose { cluster: &self.cluster, node: None }).await,
            None => Ok(()),
        };
        let removed = match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::internal(&format!("{} could not be removed", self.folder().display()), &error))
            }
            Ok(()) | Err(_) => Ok(()),
        };
        emptied.and(removed)
    }

    async fn remove_services(&self) -> Result<(), Error> {
        if self.all.iter().all(|agent| agent.child.is_none()) {
            return Ok(());
        }
        let client = Client::connect(&Global::at(self.hosts())).await?;
        let services: Vec<ServiceView> = client.get("/v1/services").await?;
        if services.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = services.into_iter().map(|service| service.id).collect();
        let watch = format!("{}?services={}", path(&["watch"]), client::list(ids.iter().map(String::as_str)));
        let remove = RemoveServices { services: ids };
        let _: Changed = client.change(Method::POST, "/v1/services/remove", &remove).await?;
        let mut events = client.lines(&watch).await?;
        while let Some(progress) = events.event::<Progress>().await? {
            if progress.services.iter().all(|service| service.removed && service.converged) {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Agent {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Failed`] if it ends, or does not answer in time.
    pub(super) async fn start(&mut self) -> Result<Client, Error> {
        let failed = |what: String| Error::Failed { what, lines: Vec::new(), hint: String::new() };
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| Error::internal("a log", &error))?;
        let mut command = Command::new(&self.program);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SLEEPD_"))
        {
            command.env_remove(name);
        }
        // These agents share one engine, told apart by their node labels: the one exception to one agent an
        // engine.
        command.env("SLEEPD_DEV_SHARED_ENGINE", "1");
        // A group of its own: Ctrl-C is for this program, which has tasks to stop before the agents go.
        command.args(&self.arguments).process_group(0).kill_on_drop(true);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child =
            child.map_err(|error| failed(format!("{} cannot be run: {error}", self.program.display())))?;
        self.child = Some(child);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Ok(client) = Client::connect(&self.global()).await
                && client.get::<Status>("/v1/status").await.is_ok()
            {
                return Ok(client);
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                return Err(failed(format!("the agent of {} ended at once: {status}", self.name)));
            }
            if Instant::now() > deadline {
                return Err(failed(format!("the agent of {} does not answer", self.name)));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it with all that it started. Returns the id that its process had.
    async fn kill(&mut self) -> Option<u32> {
        let pid = self.child.as_ref().and_then(Child::id);
        self.signal(Signal::KILL);
        self.ended().await;
        family::end(Some(&self.data)).await;
        pid
    }

    /// Options that ask this agent, and print nothing.
    pub(super) fn global(&self) -> Global {
        Global::at(self.socket.display().to_string())
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It is not waited for yet, so that its id is still its own.
            kill_process(pid, signal).unwrap_or_default();
        }
    }

    async fn ended(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if timeout(ENDS_WITHIN, child.wait()).await.is_err() {
            drop(child.kill().await);
        }
    }

    fn last_words(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines[from..].iter().map(|line| format!("  {} | {line}", self.name)).collect()
    }
}

/// The agent's program: as named, or beside this one.
fn program(dev: &Dev) -> Result<PathBuf, Error> {
    let beside = || std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("sleepd")));
    let program = dev.sleepd.clone().or_else(beside).unwrap_or_else(|| PathBuf::from("sleepd"));
    if program.is_file() {
        // It is started from here, wherever `here` is.
        return fs::canonicalize(&program).map_err(|error| Error::internal("the agent's program", &error));
    }
    Err(Error::Failed {
        what: format!("there is no agent at {}", program.display()),
        lines: vec![
            "it is built with `cargo build --release`; another place is named with --sleepd".to_owned(),
        ],
        hint: "sleepctl dev --sleepd PATH".to_owned(),
    })
}

/// Short, since the path of a socket has at most 107 bytes.
fn folder() -> io::Result<Folder> {
    let mut name = [0; 4];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let path = std::env::temp_dir().join(format!("sleep-dev-{:08x}", u32::from_ne_bytes(name)));
    DirBuilder::new().mode(0o700).create(&path)?;
    let folder = Folder(path);
    File::create_new(folder.0.join("sleepd.toml"))?;
    Ok(folder)
}

/// Ports of the loopback that nobody uses now: all are held until all are known.
fn ports(count: usize) -> io::Result<Vec<u16>> {
    let sockets: Vec<UdpSocket> =
        (0..count).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    sockets.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}
