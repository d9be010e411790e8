//! One host: processes, mounts, network and name of its own, on the files of the machine that runs the tests.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::cgroup::Cgroup;
use super::engine::{Daemons, Engine};
use super::image::IMAGE;
use super::switch::Switch;
use crate::error::{Error, Result};
use crate::process::{self, Process, output};

/// How long a command of the engine may take, in seconds.
const PATIENCE: &str = "120";

/// A machine of the lab.
#[derive(Debug)]
pub struct Host {
    name: String,
    number: u8,
    dir: PathBuf,
    cgroup: Cgroup,
    switch: Arc<Switch>,
    /// What makes every host know every other by name.
    names: String,
    power: Mutex<Option<Power>>,
    daemons: Mutex<Option<Daemons>>,
}

/// What runs while a host is on.
#[derive(Debug)]
struct Power {
    /// The parent of the host's first process. Its standard input keeps the host alive: see `init.sh`.
    unshare: Child,
    init: u32,
    handle: OwnedFd,
}

impl Host {
    /// A host that is off.
    pub(super) fn new(
        lab: &Path,
        cgroup: &str,
        number: u8,
        names: &str,
        switch: &Arc<Switch>,
    ) -> Result<Self> {
        let name = name_of(number);
        let dir = lab.join(&name);
        for folder in ["var-lib", "log"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).map_err(Error::on(&folder))?;
        }
        Ok(Self {
            cgroup: Cgroup::create(cgroup, &name)?,
            name,
            number,
            dir,
            switch: Arc::clone(switch),
            names: names.to_owned(),
            power: Mutex::default(),
            daemons: Mutex::default(),
        })
    }

    /// `node1` and so on: its host name, and how other hosts find it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// On the network that joins the hosts.
    pub fn address(&self) -> Ipv4Addr {
        address_of(self.number)
    }

    /// Starts it, without its engine. Its disk, which is `/var/lib`, is as it was left; all else is new.
    pub fn power_on(&self) -> Result<()> {
        let mut power = lock(&self.power);
        if power.is_some() {
            return Err(Error::new(format!("{} is on already", self.name)));
        }
        let log = self.log_file("init")?;
        let namespaces = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--net"];
        let script = concat!("exec 3<&0\n", include_str!("init.sh"));
        let mut unshare = Command::new("unshare")
            .args(namespaces)
            .args(["--", "sh", "-c", script, "init", &self.name])
            .arg(self.dir.join("var-lib"))
            .arg(self.cgroup.entrance())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| Error::new(format!("unshare: {error}")))?;
        let stdout = unshare.stdout.take().expect("it was asked for as a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(Error::on(&self.dir))?;
        let no_start = || Error::new(format!("{} does not start:\n{}", self.name, self.tail("init")));
        let init = line.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(no_start)?;
        let handle = process::handle(init).map_err(Error::on(&self.dir))?;
        let init = init.as_raw_nonzero().get().unsigned_abs();
        *power = Some(Power { unshare, init, handle });
        drop(power);

        self.switch.connect(&self.name, init, self.number)?;
        output(self.command("ip").args([
            "address",
            "add",
            &format!("{}/24", self.address()),
            "dev",
            "eth0",
        ]))?;
        output(self.command("ip").args(["link", "set", "eth0", "up"]))?;
        let hosts = self.path("/etc/hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{}", self.names)).map_err(Error::on(&hosts))
    }

    /// Takes its power away: everything on it ends at once, and only its disk stays.
    pub fn power_off(&self) -> Result<()> {
        let Some(mut power) = lock(&self.power).take() else {
            return Err(Error::new(format!("{} is off already", self.name)));
        };
        // First the cable: nothing that still runs may say good-bye to other hosts.
        self.switch.disconnect(&self.name)?;
        // What is frozen cannot be killed.
        self.cgroup.freeze(false)?;
        // It may have ended by itself; what counts is that it has.
        let _ended_already = pidfd_send_signal(&power.handle, Signal::KILL);
        // The parent of a paused engine is paused too, and the host has not ended before it has seen the end.
        let _not_paused = self.engine().resume();
        process::ended(&self.name, &mut power.unshare)?;
        *self.daemons() = None;
        Ok(())
    }

    /// Whether it has power.
    pub fn is_on(&self) -> bool {
        lock(&self.power).is_some()
    }

    /// Stops every process on it, containers too, as a laptop's lid does; only that its clocks go on.
    pub fn suspend(&self) -> Result<()> {
        self.cgroup.freeze(true)
    }

    /// Continues after [`Host::suspend`].
    pub fn resume(&self) -> Result<()> {
        self.cgroup.freeze(false)
    }

    /// Pulls its cable: it sees that its carrier is gone.
    pub fn unplug(&self) -> Result<()> {
        self.switch.set_plugged(&self.name, false)
    }

    /// Puts its cable back.
    pub fn plug_in(&self) -> Result<()> {
        self.switch.set_plugged(&self.name, true)
    }

    /// A command that runs on this host, in its root folder: add arguments, environment and files as to any.
    ///
    /// It fails on a host that is off. It starts a child of `nsenter`: what is to be signalled or killed is
    /// started by [`Host::spawn`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let init = lock(&self.power).as_ref().map_or(0, |power| power.init);
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.to_string(), "--pid", "--mount", "--uts", "--ipc", "--net", "--"]);
        command.args(["sh", "-c", r#"echo 0 >"$0"; exec "$@""#]).arg(self.cgroup.entrance()).arg(program);
        // The machine's own engine and the settings of who runs the tests are not this host's.
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "SLEEPD_HOST", "SLEEPD_CONTEXT"] {
            command.env_remove(variable);
        }
        command
    }

    /// Starts a program made by [`Host::command`]; what it prints goes to the end of [`Host::log`].
    pub fn spawn(&self, name: &str, command: &mut Command) -> Result<Process> {
        let log = self.log_file(name)?;
        let both = log.try_clone().map_err(Error::on(&self.log(name)))?;
        Process::start(name, command.process_group(0).stdin(Stdio::null()).stdout(both).stderr(log))
    }

    /// Where a path of this host is found from outside, such as for a socket or a file of its `/run`.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let init = lock(&self.power).as_ref().map_or(0, |power| power.init);
        let inside = inside.as_ref();
        Path::new("/proc")
            .join(init.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// What the program that was spawned under this name has printed.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(name)
    }

    /// Its container engine.
    pub fn engine(&self) -> Engine<'_> {
        Engine::of(self)
    }

    /// Runs `docker …` on it, and gives what it prints.
    pub fn docker<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        output(self.docker_command().args(arguments))
    }

    /// A container that no cluster knows of: `docker run -dt IMAGE sleep infinity`, by hand. Gives its id.
    pub fn unmanaged_container(&self) -> Result<String> {
        self.docker(["run", "-dt", IMAGE, "sleep", "infinity"])
    }

    pub(super) fn docker_command(&self) -> Command {
        let mut command = self.command("timeout");
        // Debian's client is as old as its engine; a newer one on the machine may not speak to it.
        let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        command.args(["--signal=KILL", PATIENCE, client]);
        command
    }

    pub(super) fn daemons(&self) -> MutexGuard<'_, Option<Daemons>> {
        lock(&self.daemons)
    }

    pub(super) fn cgroup_parent(&self) -> &str {
        &self.cgroup.parent
    }

    /// Its first process, while it is on.
    pub(super) fn init(&self) -> Option<u32> {
        lock(&self.power).as_ref().map(|power| power.init)
    }

    /// The last lines of a log.
    pub(super) fn tail(&self, name: &str) -> String {
        let text = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// The names under which something was logged.
    pub(super) fn logs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("log")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn log_file(&self, name: &str) -> Result<File> {
        let path = self.log(name);
        OpenOptions::new().create(true).append(true).open(&path).map_err(Error::on(&path))
    }
}

/// How the host of this number is called.
pub(super) fn name_of(number: u8) -> String {
    format!("node{number}")
}

/// Where the host of this number is. Labs do not see each other, so every lab has the same addresses.
pub(super) fn address_of(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
