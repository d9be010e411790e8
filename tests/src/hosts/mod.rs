//! Hosts for tests: whole machines with an engine each, made of namespaces, and gone when the test is.
//!
//! ```text
//! ┌ node1 ───────────┐  ┌ node2 ───────────┐   processes, mounts, network and name of its own;
//! │ containerd       │  │ containerd       │   /run and /etc in memory, /var/lib its disk
//! │ dockerd    agent │  │ dockerd    agent │
//! └ eth0 10.77.0.1 ──┘  └ eth0 10.77.0.2 ──┘
//!        │                     │
//! ┌ switch ────────────────────────────────┐   a bridge in a network namespace of its own:
//! └────────────────────────────────────────┘   here cables are pulled and packets lost
//! ```
//! # Invariants
//! - A lab ends with its test, in whatever way that ends. A host's first process and the undertaker read from
//!   pipes whose other ends only the test holds. When the kernel closes them the first takes its host along,
//!   and the second removes files and control groups. Nobody searches for processes by name.
//! - The machine's own network, mounts, names and engine are not touched.
//! - If the undertaker was killed too, the next lab removes what is left: a lab's folder is locked by its
//!   test, so one that can be locked is dead.
//!
//! # Not here
//! Agents and clusters: a test starts them with [`Host::spawn`].

mod cgroup;
mod engine;
mod host;
mod image;
mod switch;
mod traces;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use self::switch::Switch;
use crate::error::{Error, Result};

pub use self::engine::{Container, Engine};
pub use self::host::Host;
pub use self::image::{IMAGE, IMAGE_2};
pub use self::traces::Traces;

/// How folders and control groups of labs begin.
const PREFIX: &str = "sleep-lab-";

/// Hosts on one network. Dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    switch: Arc<Switch>,
    dir: PathBuf,
    cgroup: String,
    ended: bool,
    /// Locked for as long as the test lives.
    _lock: File,
}

impl Lab {
    /// `count` hosts, `node1` and so on, with their engines up and [`IMAGE`] and [`IMAGE_2`] in them.
    pub fn start(count: u8) -> Result<Self> {
        let lab = Self::without_engines(count)?;
        let archive = image::archive(&lab.dir)?;
        lab.on_each(|host| {
            host.engine().start()?;
            host.engine().load(&archive)
        })?;
        Ok(lab)
    }

    /// As [`Lab::start`], with hosts whose engines have never run.
    pub fn without_engines(count: u8) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::new("hosts are made of namespaces, which only root can make"));
        }
        let (dir, lock) = claim()?;
        let cgroup = file_name(&dir);
        let switch = Arc::new(Switch::start(&dir, &cgroup)?);
        let mut lab = Self { hosts: Vec::new(), switch, dir, cgroup, ended: false, _lock: lock };
        let line = |number| format!("{} {}\n", host::address_of(number), host::name_of(number));
        let names: String = (1..=count).map(line).collect();
        for number in 1..=count {
            lab.hosts.push(Host::new(&lab.dir, &lab.cgroup, number, &names, &lab.switch)?);
        }
        lab.on_each(Host::power_on)?;
        Ok(lab)
    }

    /// All of them, in their order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host `node{number}`.
    ///
    /// # Panics
    /// If there is none.
    pub fn host(&self, number: u8) -> &Host {
        &self.hosts[usize::from(number) - 1]
    }

    /// Does the same on every host at once.
    pub fn on_each(&self, act: impl Fn(&Host) -> Result<()> + Sync) -> Result<()> {
        thread::scope(|scope| {
            let started: Vec<_> = self.hosts.iter().map(|host| scope.spawn(|| act(host))).collect();
            let ended = started.into_iter().map(ScopedJoinHandle::join);
            let panicked = |_| Err(Error::new("a host's thread has panicked"));
            ended.map(|result| result.unwrap_or_else(panicked)).fold(Ok(()), Result::and)
        })
    }

    /// Nothing passes between the hosts of one side and those of the other.
    pub fn split(&self, one: &[&Host], other: &[&Host]) -> Result<()> {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.lose(a, b, 1.0)?;
            self.lose(b, a, 1.0)?;
        }
        Ok(())
    }

    /// Loses a share of the packets that one host sends to another, and none the other way; 1 is all of them.
    pub fn lose(&self, from: &Host, to: &Host, share: f64) -> Result<()> {
        self.switch.lose(from.name(), to.name(), share)
    }

    /// Ends every split and loss. Cables that were pulled stay so.
    pub fn heal(&self) -> Result<()> {
        self.switch.heal()
    }

    /// By what it can be found: to see that nothing is left, once it has ended.
    pub fn traces(&self) -> Traces {
        let holders = self.hosts.iter().filter_map(Host::init).chain(std::iter::once(self.switch.pid()));
        Traces::new(&self.dir, &self.cgroup, holders)
    }

    /// Removes it, as dropping it does, and says what could not be removed.
    pub fn end(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        self.ended = true;
        let on: Vec<&Host> = self.hosts.iter().filter(|host| host.is_on()).collect();
        let off: Result<Vec<()>> = on.into_iter().map(Host::power_off).collect();
        self.switch.end().and(off.map(drop))
    }

    fn show_logs(&self) {
        for host in &self.hosts {
            for name in host.logs() {
                eprintln!("── {} {name}\n{}", host.name(), host.tail(&name));
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if thread::panicking() {
            self.show_logs();
        }
        if let Err(error) = self.remove() {
            eprintln!("the lab is not gone: {error}");
        }
    }
}

/// Makes a folder of this run and locks it, after removing what dead runs have left.
fn claim() -> Result<(PathBuf, File)> {
    let base = env::temp_dir();
    // Between the making of a folder and its locking no other test may take it for a dead one's.
    let order = lock(&base)?;
    sweep(&base)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let dir = base.join(format!("{PREFIX}{}-{now:x}", process::id()));
    fs::create_dir(&dir).map_err(Error::on(&dir))?;
    let lock = lock(&dir)?;
    drop(order);
    Ok((dir, lock))
}

fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base).map_err(Error::on(base))?.flatten() {
        let dir = entry.path();
        if file_name(&dir).starts_with(PREFIX) && File::open(&dir).is_ok_and(|file| file.try_lock().is_ok()) {
            switch::bury_remains(&dir, &file_name(&dir))?;
        }
    }
    Ok(())
}

/// Locks a folder until the file is dropped, or the process ends.
fn lock(dir: &Path) -> Result<File> {
    let file = File::open(dir).map_err(Error::on(dir))?;
    file.lock().map_err(Error::on(dir))?;
    Ok(file)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
