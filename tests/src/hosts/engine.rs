//! A host's own container engine: a containerd and a dockerd, with all of their folders on the host's disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::host::Host;
use crate::error::{Error, Result};
use crate::process::{Process, output};
use crate::wait::try_until;

/// From its start until the engine answers; half a second on an idle machine.
const START: Duration = Duration::from_secs(60);
/// A polite stop: the engine first stops its containers, with ten seconds of grace each.
const STOP: Duration = Duration::from_secs(60);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(30);

const CONTAINERD: &str = "/run/containerd/containerd.sock";
const DOCKER: &str = "/run/docker.sock";

/// The engine of one host.
#[derive(Debug, Clone, Copy)]
pub struct Engine<'a> {
    host: &'a Host,
}

/// The engine's processes. The first to be dropped is the first to end.
#[derive(Debug)]
pub(super) struct Daemons {
    dockerd: Process,
    containerd: Process,
}

/// A container, as its engine tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// All 64 digits.
    pub id: String,
    /// Without the engine's leading slash.
    pub name: String,
    /// As it was asked for.
    pub image: String,
    /// `running`, `exited`, …
    pub state: String,
    /// Since when, as the engine writes it: another start gives another text.
    pub started_at: String,
    /// Of its last end; 0 while it runs.
    pub exit_code: i64,
    /// Of its first process, as the host counts; 0 if it does not run.
    pub pid: i64,
    /// All of them.
    pub labels: BTreeMap<String, String>,
}

impl<'a> Engine<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        Self { host }
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> Result<()> {
        self.start_with(&[])
    }

    /// As [`Engine::start`], with more flags for dockerd, such as `--live-restore`.
    pub fn start_with(self, flags: &[&str]) -> Result<()> {
        let mut daemons = self.host.daemons();
        if daemons.is_some() {
            return Err(Error::new(format!("the engine of {} runs already", self.host.name())));
        }
        // The machine may have an engine of its own: its settings are not for this one.
        let settings = "version = 2\ndisabled_plugins = \
            [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
        self.write("/run/containerd.toml", settings)?;
        self.write("/run/daemon.json", "{}\n")?;

        let mut containerd = self.host.command("containerd");
        containerd.args(["--config", "/run/containerd.toml", "--address", CONTAINERD]);
        let mut containerd = self.host.spawn("containerd", &mut containerd)?;
        self.answers(&mut containerd, || UnixStream::connect(self.host.path(CONTAINERD)).is_ok())?;

        let mut dockerd = self.host.command("dockerd");
        dockerd.args(["--config-file", "/run/daemon.json", "--containerd", CONTAINERD]);
        dockerd.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
        dockerd.args(["--cgroup-parent", self.host.cgroup_parent()]).args(flags);
        let mut dockerd = self.host.spawn("dockerd", &mut dockerd)?;
        self.answers(&mut dockerd, || self.get("/_ping").is_ok())?;

        *daemons = Some(Daemons { dockerd, containerd });
        Ok(())
    }

    /// Stops it politely: its containers end, as they do with every engine that has no `--live-restore`.
    pub fn stop(self) -> Result<()> {
        let Daemons { dockerd, containerd } = self.take()?;
        dockerd.terminate(STOP)?;
        containerd.terminate(STOP)?;
        Ok(())
    }

    /// Kills dockerd and containerd; containers go on under their shims.
    pub fn kill(self) -> Result<()> {
        let Daemons { dockerd, containerd } = self.take()?;
        dockerd.kill()?;
        containerd.kill()?;
        Ok(())
    }

    /// It hangs: connections are taken, and nothing is ever answered.
    pub fn pause(self) -> Result<()> {
        self.with(|daemons| daemons.dockerd.pause())
    }

    /// It answers again, also what was asked while it hung.
    pub fn resume(self) -> Result<()> {
        self.with(|daemons| daemons.dockerd.resume())
    }

    /// The program `dockerd` itself, by its number on the machine that runs the tests.
    pub fn pid(self) -> Result<u32> {
        self.with(|daemons| daemons.dockerd.pid().ok_or_else(|| self.is_off()))
    }

    /// Loads the images of an archive.
    pub(super) fn load(self, archive: &Path) -> Result<()> {
        output(self.host.docker_command().args(["load", "--quiet", "--input"]).arg(archive)).map(drop)
    }

    /// Every container, running or not, in the order of their names.
    pub fn containers(self) -> Result<Vec<Container>> {
        let list = self.get("/containers/json?all=1")?;
        let mut found = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            let id = entry["Id"].as_str().unwrap_or_default();
            // It may be gone since the list was made.
            if let Ok(details) = self.get(&format!("/containers/{id}/json")) {
                found.push(Container::from(&details));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What the engine's API answers to a GET, with an error for every status but 200.
    pub fn get(self, path: &str) -> Result<Value> {
        self.ask("GET", path, None)
    }

    /// What the engine's API answers to any method, with an error for every status but 200 and its like.
    pub fn ask(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let socket = self.host.path(DOCKER);
        let mut stream = self.send(method, path, body)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(Error::on(&socket))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(Error::on(&socket))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            let head = head.lines().next().unwrap_or_default();
            return Err(Error::new(format!("{method} {path}: {head}: {body}")));
        }
        // `/_ping` answers in words.
        Ok(serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)))
    }

    /// What happens to its containers from now on: lines of JSON, after a head as of HTTP.
    pub fn events(self) -> Result<UnixStream> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Since now: not only since the engine has come to listen for them.
        let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        self.send("GET", &format!("/events?since={since}"), None)
    }

    fn send(self, method: &str, path: &str, body: Option<&Value>) -> Result<UnixStream> {
        let socket = self.host.path(DOCKER);
        let mut stream = UnixStream::connect(&socket).map_err(Error::on(&socket))?;
        let body = body.map_or_else(String::new, |body| {
            let body = body.to_string();
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        });
        let rest = if body.is_empty() { "\r\n" } else { &body };
        // Version 1.0 of HTTP: the answer is one piece, and its end is the end of the stream.
        write!(stream, "{method} {path} HTTP/1.0\r\n{rest}").map_err(Error::on(&socket))?;
        Ok(stream)
    }

    fn answers(self, daemon: &mut Process, ask: impl Fn() -> bool) -> Result<()> {
        let what = format!("{} of {} answers", daemon.name(), self.host.name());
        try_until(&what, START, || {
            if daemon.is_running() {
                return Ok(ask().then_some(()));
            }
            let log = self.host.tail(daemon.name());
            Err(Error::new(format!("{} of {} has ended:\n{log}", daemon.name(), self.host.name())))
        })
    }

    fn write(self, path: &str, text: &str) -> Result<()> {
        let path = self.host.path(path);
        fs::write(&path, text).map_err(Error::on(&path))
    }

    fn take(self) -> Result<Daemons> {
        self.host.daemons().take().ok_or_else(|| self.is_off())
    }

    fn with<T>(self, act: impl FnOnce(&Daemons) -> Result<T>) -> Result<T> {
        self.host.daemons().as_ref().map_or_else(|| Err(self.is_off()), act)
    }

    fn is_off(self) -> Error {
        Error::new(format!("the engine of {} does not run", self.host.name()))
    }
}

impl From<&Value> for Container {
    fn from(details: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = details["Config"]["Labels"].as_object().into_iter().flatten();
        Self {
            id: text(&details["Id"]),
            name: text(&details["Name"]).trim_start_matches('/').to_owned(),
            image: text(&details["Config"]["Image"]),
            state: text(&details["State"]["Status"]),
            started_at: text(&details["State"]["StartedAt"]),
            exit_code: details["State"]["ExitCode"].as_i64().unwrap_or_default(),
            pid: details["State"]["Pid"].as_i64().unwrap_or_default(),
            labels: labels.map(|(key, value)| (key.clone(), text(value))).collect(),
        }
    }
}
