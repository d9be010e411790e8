//! The small process between a task and its agent: it outlives the agent, so the task does too.
//!
//! ```text
//! agent ──spawns──▶ shim (own session, adopts orphans) ──spawns──▶ task (own process group)
//!                    └─ writes `running`, the log, and `ended` when nothing of the task is left
//! ```
//! It forwards nothing: who wants to signal the task signals its process group. When the task's first process
//! ends, whatever it left behind is killed, as in a container.
//!
//! # Not here
//! When to stop, and what an exit code means.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, setsid, wait};

use super::log::Writer;
use super::store::{Ended, Home, Running, Spec, boot};
use super::user;
use crate::logs::LogStream;
use crate::process_stat::{ProcessId, all};
use crate::text;

/// Where programs are looked for if the service does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the driver hears of a start, as the first word of a line.
pub(crate) mod word {
    /// It runs.
    pub(crate) const RUNNING: &str = "running";
    /// Its command cannot be run.
    pub(crate) const COMMAND: &str = "command";
    /// Something else is wrong.
    pub(crate) const FAILED: &str = "failed";
}

/// Runs the task whose directory is the last argument, until it has ended. The first line of standard output
/// says whether it runs.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(dir) = args.into_iter().last() else { return ExitCode::FAILURE };
    let home = Home::at(Path::new(&dir));
    match start(&home) {
        Ok((child, writer)) => {
            say(word::RUNNING, "");
            let ended = attend(child, writer);
            let written = home.write_ended(&ended);
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err((word, message)) => {
            say(word, &message);
            ExitCode::FAILURE
        }
    }
}

/// The driver may be gone: then nobody listens, and the files say the same.
fn say(word: &str, message: &str) {
    let line = format!("{word} {}\n", text::clean(message.as_bytes(), text::MESSAGE));
    let _unheard = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
}

type Failure = (&'static str, String);

fn start(home: &Home) -> Result<(Child, Writer), Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| (word::FAILED, format!("{what}: {error}"))
    };
    setsid().map_err(|errno| failed("a session of its own")(errno.into()))?;
    rustix::process::set_child_subreaper(Some(getpid()))
        .map_err(|errno| failed("adopting orphans")(errno.into()))?;
    let spec = home.spec().map_err(failed("its spec"))?;
    let writer = Writer::open(home.clone()).map_err(failed("its log"))?;
    let child = spawn(&spec)?;
    let running = || {
        let pid = |pid: u32| i32::try_from(pid).ok().and_then(ProcessId::of);
        Some(Running {
            boot: boot(),
            shim: pid(std::process::id())?,
            main: pid(child.id())?,
            at: text::now().0,
        })
    };
    let written = running()
        .ok_or_else(|| io::Error::other("/proc does not show it"))
        .and_then(|running| home.write_running(&running));
    if let Err(error) = written {
        end_everything();
        return Err(failed("noting that it runs")(error));
    }
    Ok((child, writer))
}

fn spawn(spec: &Spec) -> Result<Child, Failure> {
    let Some((program, args)) = spec.argv.split_first() else {
        return Err((word::COMMAND, "no command specified".to_owned()));
    };
    let workdir = if spec.workdir.is_empty() { "/" } else { &spec.workdir };
    if !Path::new(workdir).is_dir() {
        return Err((word::FAILED, format!("{workdir}: not a directory")));
    }
    let mut command = Command::new(program);
    command.args(args).current_dir(workdir).process_group(0).env_clear();
    let who = user::find(&spec.user).map_err(|message| (word::FAILED, message))?;
    let home = format!("HOME={}", who.home);
    for variable in [PATH, &home].into_iter().chain(spec.env.iter().map(String::as_str)) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    // Only who asks to be somebody else needs the right to.
    if let Some((uid, gid)) = who.ids {
        command.uid(uid).gid(gid);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| {
        let of_command =
            [io::ErrorKind::NotFound, io::ErrorKind::InvalidInput, io::ErrorKind::ExecutableFileBusy];
        // A right to become another user that is missing looks like a program that may not be run.
        let denied = error.kind() == io::ErrorKind::PermissionDenied && who.ids.is_none();
        let format = error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error());
        let word =
            if denied || format || of_command.contains(&error.kind()) { word::COMMAND } else { word::FAILED };
        (word, format!("{program}: {error}"))
    })
}

/// Copies the task's output, waits for its first process, ends what is left; how it ended.
fn attend(mut child: Child, writer: Writer) -> Ended {
    let writer = Arc::new(writer);
    let out = child.stdout.take().expect("it was piped");
    let err = child.stderr.take().expect("it was piped");
    let copies = [
        thread::spawn({
            let writer = writer.clone();
            move || writer.copy(out, LogStream::Out)
        }),
        thread::spawn(move || writer.copy(err, LogStream::Err)),
    ];
    let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let code = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid) == main => break code(status),
            // Somebody's orphan.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break -1,
        }
    };
    let at = text::now().0;
    end_everything();
    for copy in copies {
        // A copy that panicked has copied what it could.
        drop(copy.join());
    }
    Ended { code, at }
}

/// Kills and reaps every descendant: those of a child that died become ours, until there are none.
fn end_everything() {
    let own = getpid().as_raw_nonzero().get();
    loop {
        for child in all(|stat| stat.parent == own) {
            if let Some(pid) = Pid::from_raw(child.pid) {
                // It may be gone already; nobody else reaps it, so the pid cannot be another's.
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| Some(128 + status.terminating_signal()?)).unwrap_or(-1)
}
