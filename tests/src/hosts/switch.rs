//! What joins the hosts: a bridge in a network namespace of its own.
//!
//! A lab so leaves the machine's network as it is. Cables are pulled and packets lost here, not on the hosts:
//! a fault outlasts the restart of a host.
//!
//! The process that holds the namespace is also the lab's undertaker: see `undertaker.sh`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::output;
use crate::wait::until;

/// The longest that removing a lab may take: the undertaker's own patience, and some.
const BURIAL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Switch {
    undertaker: Mutex<Child>,
    pid: u32,
}

impl Switch {
    /// Starts the undertaker of the lab in `dir`, and makes the bridge.
    pub(super) fn start(dir: &Path, cgroup: &str) -> Result<Self> {
        let log = dir.join("undertaker.log");
        let log = File::create(&log).map_err(Error::on(&log))?;
        let mut undertaker = bury(dir, cgroup, Command::new("unshare").args(["--net", "--", "sh"]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| Error::new(format!("unshare: {error}")))?;
        let pid = undertaker.id();
        let mut ready = String::new();
        let stdout = undertaker.stdout.take().expect("it was asked for as a pipe");
        BufReader::new(stdout).read_line(&mut ready).map_err(Error::on(dir))?;
        let switch = Self { undertaker: Mutex::new(undertaker), pid };
        if ready.is_empty() {
            return Err(Error::new(
                "a network namespace cannot be made: is this root, outside of a container?",
            ));
        }
        switch.make_bridge()?;
        Ok(switch)
    }

    /// Lays a cable from a new interface `eth0` of the host whose first process is `init`.
    pub(super) fn connect(&self, port: &str, init: u32, number: u8) -> Result<()> {
        let mac = format!("02:00:0a:4d:00:{number:02x}");
        let ends = format!("netns {init} address {mac} type veth peer name {port} netns {}", self.pid);
        output(Command::new("ip").args(["link", "add", "eth0"]).args(ends.split(' ')))?;
        self.run("ip", &format!("link set {port} master br0 up"))
    }

    /// Takes a host's cable away, with both of its ends.
    pub(super) fn disconnect(&self, port: &str) -> Result<()> {
        self.run("ip", &format!("link delete {port}"))
    }

    /// Pulls a host's cable out of the switch, or puts it back: the host sees that its carrier is gone.
    pub(super) fn set_plugged(&self, port: &str, plugged: bool) -> Result<()> {
        self.run("ip", &format!("link set {port} {}", if plugged { "up" } else { "down" }))
    }

    /// From now on a share of the packets from one port to another is lost; 1 is all of them.
    pub(super) fn lose(&self, from: &str, to: &str, share: f64) -> Result<()> {
        let chance = if share < 1.0 {
            format!("-m statistic --mode random --probability {share}")
        } else {
            String::new()
        };
        let rule =
            format!("-w -A FORWARD -m physdev --physdev-in {from} --physdev-out {to} {chance} -j DROP");
        self.run("iptables", &rule)?;
        self.run("ip6tables", &rule)
    }

    /// Forgets every loss.
    pub(super) fn heal(&self) -> Result<()> {
        self.run("iptables", "-w -F FORWARD")?;
        self.run("ip6tables", "-w -F FORWARD")
    }

    /// Lets the undertaker do its work, and waits until it is done.
    pub(super) fn end(&self) -> Result<()> {
        let mut undertaker = self.undertaker.lock().unwrap_or_else(PoisonError::into_inner);
        drop(undertaker.stdin.take());
        let status = until("the lab is removed", BURIAL, || undertaker.try_wait().ok().flatten())?;
        if status.success() { Ok(()) } else { Err(Error::new("parts of the lab cannot be removed")) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn make_bridge(&self) -> Result<()> {
        self.run("ip", "link add br0 type bridge")?;
        self.run("ip", "link set br0 up")?;
        // Rules of iptables then see what crosses the bridge.
        let setting = "/proc/sys/net/bridge/bridge-nf-call-ip";
        if !Path::new("/proc/sys/net/bridge").exists() {
            output(Command::new("modprobe").arg("br_netfilter"))?;
        }
        let write = format!("echo 1 >{setting}tables; echo 1 >{setting}6tables");
        output(self.command("sh").args(["-ec", &write])).map(drop)
    }

    fn run(&self, program: &str, words: &str) -> Result<()> {
        output(self.command(program).args(words.split_whitespace())).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid)).args(["--", program]);
        command
    }
}

/// Removes what a dead run left in `dir`.
pub(super) fn bury_remains(dir: &Path, cgroup: &str) -> Result<()> {
    let buried = output(bury(dir, cgroup, &mut Command::new("sh")).stdin(Stdio::null()));
    buried.map(drop).map_err(|error| {
        Error::new(format!("what a dead run left in {} cannot be removed: {error}", dir.display()))
    })
}

/// The undertaker, in a process group of its own: what ends the test by its group must not end it too.
fn bury<'a>(dir: &Path, cgroup: &str, shell: &'a mut Command) -> &'a mut Command {
    shell.args(["-c", include_str!("undertaker.sh"), "undertaker"]).arg(dir).arg(cgroup).process_group(0)
}
