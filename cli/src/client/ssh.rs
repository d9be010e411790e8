//! One connection of the system's ssh for all that a command asks: it is dear, and may ask for a password.
//!
//! The first ssh leaves a master behind that later ones go through (`ControlMaster`). It ends with the
//! command, or a minute after the last stream if the command cannot tell it any more.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// How many seconds ssh may take to connect: to log in is another matter, it may ask for a password.
const CONNECTS_WITHIN: u32 = 10;

/// How long a master stays after its last stream.
const LINGER: &str = "60";

/// The longest folder in which ssh can still name a socket of its own: a unix socket's path has 107 bytes.
const MAX_FOLDER: usize = 45;

/// What the streams of one command share.
#[derive(Default)]
pub struct Shared(Mutex<Masters>);

#[derive(Default)]
struct Masters {
    /// Where their sockets are, for nobody else's eyes; none if no folder can be had.
    folder: Option<PathBuf>,
    targets: BTreeSet<String>,
}

impl Shared {
    /// What to give to ssh before the command that it shall run there.
    pub fn options(&self, target: &str) -> Vec<String> {
        let mut masters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if masters.folder.is_none() {
            masters.folder = folder();
        }
        masters.targets.insert(target.to_owned());
        let within = ["-o".to_owned(), format!("ConnectTimeout={CONNECTS_WITHIN}")];
        let shared = match &masters.folder {
            Some(folder) => vec![
                "-o".to_owned(),
                "ControlMaster=auto".to_owned(),
                "-o".to_owned(),
                format!("ControlPersist={LINGER}"),
                "-o".to_owned(),
                control_path(folder),
            ],
            // Each stream is a connection of its own then.
            None => Vec::new(),
        };
        within.into_iter().chain(shared).chain(address(target)).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let masters = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = &masters.folder else { return };
        for target in &masters.targets {
            let mut exit = Command::new("ssh");
            exit.args(["-O", "exit", "-o", &control_path(folder)]).args(address(target));
            // It may have ended by itself, or never begun.
            drop(exit.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
        drop(fs::remove_dir_all(folder));
    }
}

fn control_path(folder: &std::path::Path) -> String {
    format!("ControlPath={}/%C", folder.display())
}

/// `[USER@]HOST[:PORT]`, as ssh wants it; the host may be `[an IPv6 address]`.
pub fn address(target: &str) -> Vec<String> {
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !is_bare_ipv6(host) => (host, Some(port)),
        Some(_) | None => (target, None),
    };
    let host = host.replacen('[', "", 1).replacen(']', "", 1);
    let port = port.map(|port| ["-p".to_owned(), port.to_owned()]);
    port.into_iter().flatten().chain(["--".to_owned(), host]).collect()
}

/// Whether what is before a colon has colons of its own, and no brackets to tell it from a port.
fn is_bare_ipv6(host: &str) -> bool {
    host.contains(':') && !host.ends_with(']')
}

/// A new folder that its owner alone may enter.
fn folder() -> Option<PathBuf> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).ok()?;
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("sleepctl-{name}"));
    let fits = folder.as_os_str().len() <= MAX_FOLDER;
    (fits && DirBuilder::new().mode(0o700).create(&folder).is_ok()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_goes_before_the_host() {
        let ssh = |target| address(target).join(" ");
        assert_eq!(ssh("ada@pi-1:2222"), "-p 2222 -- ada@pi-1");
        assert_eq!(ssh("pi-1"), "-- pi-1");
        assert_eq!(ssh("ada@[fd00::1]:2222"), "-p 2222 -- ada@fd00::1");
        assert_eq!([ssh("[::1]"), ssh("::1")], ["-- ::1", "-- ::1"]);
    }
}
