//! Agents on this machine, each with a directory and a port of its own: real sockets, real keys, and plain
//! processes for tasks. No root is needed.
//!
//! # Invariants
//! - Tasks outlive their agents, so dropping [`Agents`] ends both: first the agents, then what they started.
//!
//! # Not here
//! Hosts that can be cut off or lose power: see [`crate::hosts`].

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::ctl::Ctl;
use crate::error::{Error, Result};
use crate::process::{self, binary, ended};
use crate::wait::{try_until, until};

/// From an agent's start until it answers, or until it has ended with an error.
const START: Duration = Duration::from_secs(30);

/// Agents by number, from 1.
#[derive(Debug)]
pub struct Agents {
    dir: TempDir,
    agents: Vec<Agent>,
}

#[derive(Debug)]
struct Agent {
    address: SocketAddr,
    child: Option<Child>,
}

impl Agents {
    /// As many that are in no cluster.
    pub fn start(count: u8) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|error| Error::new(error.to_string()))?;
        // All at once, so that no port is given twice.
        let sockets: Vec<UdpSocket> = (0..count).map(|_| free_port()).collect::<Result<_>>()?;
        let address = |socket: &UdpSocket| socket.local_addr().map_err(|e| Error::new(e.to_string()));
        let agents = sockets.iter().map(|socket| Ok(Agent { address: address(socket)?, child: None }));
        let mut agents = Self { agents: agents.collect::<Result<_>>()?, dir };
        drop(sockets);
        for number in 1..=count {
            agents.start_agent(number)?;
        }
        Ok(agents)
    }

    /// As many in one cluster, that the first founded.
    pub fn formed(count: u8) -> Result<Self> {
        let agents = Self::start(count)?;
        agents.ctl(1).run("cluster init")?;
        let token = agents.ctl(1).run("cluster token create -q")?.stdout;
        for number in 2..=count {
            agents.ctl(number).run(&format!("cluster join --token {token} {}", agents.address(1)))?;
        }
        for number in 1..=count {
            until(&format!("node{number} sees all nodes ready"), START, || {
                let nodes = agents.ctl(number).nodes().ok()?;
                let ready = nodes.iter().filter(|node| node.status == "ready").count();
                (ready == usize::from(count)).then_some(())
            })?;
        }
        Ok(agents)
    }

    /// The command that starts an agent, with other values for some of its flags.
    pub fn command(&self, number: u8, instead: &[(&str, &Path)]) -> Result<Command> {
        let name = format!("node{number}");
        let address = self.address(number).to_string();
        let (data, socket) = (self.data_dir(number), self.socket(number));
        let mut flags: BTreeMap<&str, &Path> = BTreeMap::from([
            ("--name", Path::new(&name)),
            ("--data-dir", &data),
            ("--listen", Path::new(&address)),
            ("--advertise", Path::new(&address)),
            ("--socket", &socket),
            ("--api", Path::new("off")),
            ("--driver", Path::new("process")),
        ]);
        flags.extend(instead.iter().copied());
        let mut command = Command::new(binary("sleepd")?);
        for (variable, _) in env::vars_os() {
            if variable.to_string_lossy().starts_with("SLEEPD_") {
                command.env_remove(variable);
            }
        }
        for (flag, value) in flags {
            command.arg(flag).arg(value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Starts an agent, and waits until it answers.
    pub fn start_agent(&mut self, number: u8) -> Result<()> {
        self.start_agent_with(number, &[])
    }

    /// As [`Agents::start_agent`], with other values for some of its flags.
    pub fn start_agent_with(&mut self, number: u8, instead: &[(&str, &Path)]) -> Result<()> {
        let log = self.log(number);
        let log = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::on(&log))?;
        let child = self.command(number, instead)?.stderr(log).spawn();
        let mut child = child.map_err(|error| Error::new(format!("node{number}: {error}")))?;
        let answered = try_until(&format!("node{number} answers"), START, || match child.try_wait() {
            Ok(None) => Ok(self.ctl(number).answers().then_some(())),
            over => Err(Error::new(format!("node{number} has ended: {over:?}"))),
        });
        self.agents[usize::from(number) - 1].child = Some(child);
        answered
    }

    /// Starts what must not start, and gives its exit code and what it said.
    pub fn fails(&self, command: &mut Command) -> Result<(i32, String)> {
        let log = self.dir.path().join("failure");
        let file = File::create(&log).map_err(Error::on(&log))?;
        let mut child = command.stderr(file).spawn().map_err(|error| Error::new(error.to_string()))?;
        let status = until("it has ended", START, || child.try_wait().ok().flatten());
        if status.is_err() {
            child.kill().map_err(|error| Error::new(error.to_string()))?;
        }
        let said = fs::read_to_string(&log).map_err(Error::on(&log))?;
        Ok((status?.code().unwrap_or(-1), said.trim_end().to_owned()))
    }

    /// `kill -9`.
    pub fn kill_agent(&mut self, number: u8) -> Result<()> {
        self.signal(number, Signal::KILL).map(drop)
    }

    /// `kill`, as a service manager does; gives how it ended.
    pub fn terminate_agent(&mut self, number: u8) -> Result<ExitStatus> {
        self.signal(number, Signal::TERM)
    }

    /// Commands to an agent.
    pub fn ctl(&self, number: u8) -> Ctl {
        Ctl::new(self.socket(number))
    }

    /// Where an agent listens for others.
    pub fn address(&self, number: u8) -> SocketAddr {
        self.agents[usize::from(number) - 1].address
    }

    /// What an agent keeps.
    pub fn data_dir(&self, number: u8) -> PathBuf {
        self.dir.path().join(format!("node{number}"))
    }

    /// Where an agent takes commands.
    pub fn socket(&self, number: u8) -> PathBuf {
        self.dir.path().join(format!("node{number}.sock"))
    }

    /// The processes that run for a node's tasks, by the task's name.
    pub fn processes(&self, number: u8) -> BTreeMap<String, i32> {
        process::of_tasks(&self.data_dir(number).join("tasks"), Path::new("/proc"))
    }

    /// How many processes run for each node.
    pub fn spread(&self) -> Vec<usize> {
        (1..).take(self.agents.len()).map(|number| self.processes(number).len()).collect()
    }

    /// What an agent holds in memory, in KiB; an error if it has ended.
    pub fn resident(&self, number: u8) -> Result<u64> {
        let child = self.agents[usize::from(number) - 1].child.as_ref().map(Child::id);
        let status = Path::new("/proc").join(child.unwrap_or_default().to_string()).join("status");
        let text = fs::read_to_string(&status).map_err(Error::on(&status))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|size| size.split_whitespace().next()?.parse().ok());
        size.ok_or_else(|| Error::new(format!("node{number} has ended")))
    }

    /// What an agent has logged since its first start.
    pub fn logged(&self, number: u8) -> Result<String> {
        let log = self.log(number);
        fs::read_to_string(&log).map_err(Error::on(&log))
    }

    fn log(&self, number: u8) -> PathBuf {
        self.dir.path().join(format!("node{number}.log"))
    }

    fn signal(&mut self, number: u8, signal: Signal) -> Result<ExitStatus> {
        let child = self.agents[usize::from(number) - 1].child.take();
        let mut child = child.ok_or_else(|| Error::new(format!("node{number} does not run")))?;
        kill_process(Pid::from_child(&child), signal).map_err(|error| Error::new(error.to_string()))?;
        ended(&format!("node{number}"), &mut child)
    }

    fn show_logs(&self) {
        for number in (1..).take(self.agents.len()) {
            let log = fs::read_to_string(self.log(number)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("── node{number}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_logs();
        }
        for number in (1..).take(self.agents.len()) {
            if self.agents[usize::from(number) - 1].child.is_some()
                && let Err(error) = self.kill_agent(number)
            {
                eprintln!("node{number} was to be killed: {error}");
            }
        }
        for number in (1..).take(self.agents.len()) {
            for pid in self.processes(number).into_values().filter_map(Pid::from_raw) {
                // It may have ended by itself. Its shim ends after it.
                let _ended_already = kill_process_group(pid, Signal::KILL);
            }
        }
    }
}

/// A port that nobody has, for as long as the socket lives.
fn free_port() -> Result<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0").map_err(|error| Error::new(format!("a port on loopback: {error}")))
}
