//! Programs that a test starts: to their end with what they printed, or for a while under a handle.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::wait::{try_until, until};

/// How long the kernel may take to start a program, or to end one that was killed.
const MOMENT: Duration = Duration::from_secs(10);

/// One of our own programs, as it was built beside the program that asks: `sleepd`, `sleepctl`, `sleep-sim`.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().map_err(|error| Error::new(format!("this program's path: {error}")))?;
    let folder = own.parent().unwrap_or(&own);
    // Tests lie in `deps`, one below the programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::new(format!("{} is missing: `cargo build --workspace`, in the same profile", path.display())))
}

/// Runs `command` to its end, and gives what it printed, without the last line's end.
///
/// An exit code other than 0 is an error that carries what it wrote to its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().map_err(|error| Error::new(format!("{shown}: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("{shown}: {}: {}", output.status, stderr.trim_end())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// A program that runs on a host. Dropping the handle kills it.
///
/// `nsenter` stands between the test and the program, as its parent; signals go to the program itself.
#[derive(Debug)]
pub struct Process {
    name: String,
    parent: Child,
    /// None if it ended before it was found.
    program: Option<(Pid, OwnedFd)>,
}

impl Process {
    /// Starts what `command` runs by way of one parent process.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let shown = shown(command);
        let mut parent = command.spawn().map_err(|error| Error::new(format!("{shown}: {error}")))?;
        let program = try_until(&format!("{name} has started"), MOMENT, || {
            if let Some(program) = only_child(parent.id()) {
                return Ok(Some(Some(program)));
            }
            let over = parent.try_wait().map_err(|error| Error::new(format!("{shown}: {error}")))?;
            Ok(over.map(|_| None))
        })?;
        Ok(Self { name: name.to_owned(), parent, program })
    }

    /// What the test calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number on the machine that runs the tests, such as for `/proc/PID/status`; inside its host it has
    /// another.
    pub fn pid(&self) -> Option<u32> {
        let (pid, _) = self.program.as_ref()?;
        u32::try_from(pid.as_raw_nonzero().get()).ok()
    }

    /// Whether it has not ended yet. A paused one runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.parent.try_wait(), Ok(None))
    }

    /// Sends it a signal; an error if it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let ended = || Error::new(format!("{} has ended already", self.name));
        let (_, handle) = self.program.as_ref().ok_or_else(ended)?;
        pidfd_send_signal(handle, signal).map_err(|_| ended())
    }

    /// `SIGSTOP`: it stays, and does nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        // `nsenter` stops itself when the program does, and continues the program when it is continued.
        let stat = format!("/proc/{}/stat", self.parent.id());
        until(&format!("{} and its parent have stopped", self.name), MOMENT, || {
            fs::read_to_string(&stat).ok()?.rsplit_once(") ")?.1.starts_with('T').then_some(())
        })
    }

    /// `SIGCONT`, after [`Process::pause`].
    pub fn resume(&self) -> Result<()> {
        let parent = Pid::from_child(&self.parent);
        kill_process(parent, Signal::CONT).map_err(|error| Error::new(format!("{}: {error}", self.name)))
    }

    /// Waits for its end, for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let (name, parent) = (&self.name, &mut self.parent);
        try_until(&format!("{name} has ended"), limit, || {
            parent.try_wait().map_err(|error| Error::new(format!("{name}: {error}")))
        })
    }

    /// `SIGTERM`, and its end within `limit`.
    pub fn terminate(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// `SIGKILL`, and its end.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.end_by_force()
    }

    fn end_by_force(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        // If it was paused, so is its parent, which must see the end.
        self.resume()?;
        self.wait(MOMENT)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running()
            && let Err(error) = self.end_by_force()
        {
            eprintln!("{} was to be killed: {error}", self.name);
        }
    }
}

/// What the process driver runs, by the task's name: it keeps a folder for each of them in `tasks`, and their
/// numbers are those of this `proc`.
pub(crate) fn of_tasks(tasks: &Path, proc: &Path) -> BTreeMap<String, i32> {
    let homes = fs::read_dir(tasks).into_iter().flatten().flatten();
    let found = homes.filter_map(|home| {
        let running = fs::read(home.path().join("running")).ok()?;
        let running: Value = serde_json::from_slice(&running).ok()?;
        let pid = i32::try_from(running["main"]["pid"].as_i64()?).ok()?;
        lives(proc, pid).then(|| (home.file_name().to_string_lossy().into_owned(), pid))
    });
    found.collect()
}

/// Whether there is such a process, and it is more than a remainder that nobody has waited for.
fn lives(proc: &Path, pid: i32) -> bool {
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next()));
    state.flatten().is_some_and(|state| state != 'Z' && state != 'X')
}

/// The one child of a process, with a handle that stays true when its number is given to another.
fn only_child(parent: u32) -> Option<(Pid, OwnedFd)> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let pid = Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)?;
    Some((pid, handle(pid).ok()?))
}

/// A handle on a process, to signal it and no other.
pub(crate) fn handle(pid: Pid) -> io::Result<OwnedFd> {
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits until a child of this process has ended.
pub(crate) fn ended(name: &str, child: &mut Child) -> Result<ExitStatus> {
    until(&format!("{name} has ended"), MOMENT, || child.try_wait().ok().flatten())
}

/// The command as it was typed; a script among its words would hide the rest.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned()).filter(|word| !word.contains('\n'));
    words.collect::<Vec<_>>().join(" ")
}
