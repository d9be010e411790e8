//! `sleepctl` as a person types it: one line, sent to one agent, and what came of it.
//!
//! # Not here
//! Whose agent it is: a [`Ctl`] is made by those who start agents.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::process::binary;

/// How long a command may wait for the cluster before it gives up, as `sleepctl` reads it.
const TIMEOUT: &str = "100s";

/// The commands of one agent.
#[derive(Debug, Clone)]
pub struct Ctl {
    socket: PathBuf,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Without the last line's end.
    pub stdout: String,
    /// Without the last line's end.
    pub stderr: String,
    /// From its start to its end.
    pub took: Duration,
    line: String,
}

/// A task, as `service ps -o json` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Task {
    /// `service.slot`.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The name of its node; empty while it has none.
    pub node: String,
    /// `running`, or `stopped` for one that is to end or has.
    pub desired: String,
    /// What it is doing.
    pub state: String,
    /// What is wrong with it; empty if nothing is.
    pub error: String,
    /// When it started.
    pub started_at: Option<String>,
    /// The name of its container or process.
    pub container: String,
}

/// A node, as `node ls -o json` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `ready`, `down`, …
    pub status: String,
    /// `active`, `paused`, `drained`.
    pub availability: String,
    /// Whether it holds the lease.
    pub leader: bool,
}

/// A service, as `service ls -o json` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How many tasks should run.
    pub desired: u32,
    /// How many do.
    pub running: u32,
}

impl Ctl {
    /// Of the agent that listens on this socket.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// A command, not run yet. The line is split at spaces.
    pub fn command(&self, line: &str) -> Result<Command> {
        let mut command = Command::new(binary("sleepctl")?);
        for variable in ["SLEEPD_HOST", "SLEEPD_TOKEN", "SLEEPD_OPERATOR_KEY"] {
            command.env_remove(variable);
        }
        command.arg("-H").arg(&self.socket).args(["--timeout", TIMEOUT]).args(line.split_whitespace());
        Ok(command)
    }

    /// Runs a command, whatever comes of it. The line is split at spaces.
    pub fn attempt(&self, line: &str) -> Result<Answer> {
        let start = Instant::now();
        let mut command = self.command(line)?;
        let output = command.output().map_err(|error| Error::new(format!("sleepctl {line}: {error}")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: start.elapsed(),
            line: line.to_owned(),
        })
    }

    /// Runs a command that must be done.
    pub fn run(&self, line: &str) -> Result<Answer> {
        let answer = self.attempt(line)?;
        if answer.code == 0 { Ok(answer) } else { Err(answer.unexpected()) }
    }

    /// Runs a command that must be refused with this exit code, and say these words.
    pub fn refused(&self, line: &str, code: i32, words: &str) -> Result<()> {
        let answer = self.attempt(line)?;
        let said = answer.stderr.starts_with("error: ") && answer.stderr.contains(words);
        if answer.code == code && said && answer.stdout.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!("wanted exit code {code} and `{words}`; {}", answer.unexpected())))
    }

    /// What a list prints for scripts.
    pub fn list<T: DeserializeOwned>(&self, line: &str) -> Result<Vec<T>> {
        let answer = self.run(&format!("{line} -o json"))?;
        serde_json::from_str(&answer.stdout)
            .map_err(|error| Error::new(format!("sleepctl {line}: {error}: {}", answer.stdout)))
    }

    /// The tasks of a service, those that are over too.
    pub fn tasks(&self, service: &str) -> Result<Vec<Task>> {
        self.list(&format!("service ps {service}"))
    }

    /// The tasks of a service that should run.
    pub fn wanted(&self, service: &str) -> Result<Vec<Task>> {
        let tasks = self.tasks(service)?;
        Ok(tasks.into_iter().filter(|task| task.desired == "running").collect())
    }

    /// The nodes that this one knows.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        self.list("node ls")
    }

    /// The services.
    pub fn services(&self) -> Result<Vec<Service>> {
        self.list("service ls")
    }

    /// Whether the agent answers.
    pub fn answers(&self) -> bool {
        self.attempt("cluster status -o json").is_ok_and(|answer| answer.code == 0)
    }
}

impl Answer {
    /// An error that tells all of it.
    pub fn unexpected(&self) -> Error {
        let Self { code, stdout, stderr, line, .. } = self;
        Error::new(format!("sleepctl {line}: exit code {code}\n{stdout}\n{stderr}"))
    }
}
