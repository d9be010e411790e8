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
        shared.into_iter().chain(address(target)).collect()
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

/// `HOST` or `HOST:PORT`, as ssh wants it.
fn address(target: &str) -> Vec<String> {
    let words = match target.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => vec!["-p", port, "--", host],
        Some(_) | None => vec!["--", target],
    };
    words.into_iter().map(str::to_owned).collect()
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
