//! What is written of a process: one directory a task.
//!
//! ```text
//! <process_dir>/<service.slot.task>/spec      what runs, and whose it is: by the driver, before the shim
//!                                  running   which processes it is, and since when: by the shim
//!                                  ended     its exit code, and when: by the shim, or whoever finds it gone
//!                                  log       its output, and log.1, what was written before
//! ```
//! Each but the log is written aside and renamed: it is there whole or not at all. So is the directory, with
//! its `spec`: what was begun and cut off bears a name that no task has, and goes when the agent starts.
//! Whatever else cannot be read was damaged by somebody else, or with the disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sleep_wire::WallTime;

use crate::process_stat::ProcessId;

/// What a directory is called before it is whole: no task's name begins with a dot.
const ASIDE: &str = ".new-";

/// What a shim is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// In hexadecimal.
    pub(crate) cluster: String,
    /// The bytes of the task's label, in hexadecimal.
    pub(crate) label: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) user: String,
    pub(crate) workdir: String,
}

/// What a shim says once the task runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The kernel's name for this run of the host.
    pub(crate) boot: String,
    /// The shim: its pid is also its session.
    pub(crate) shim: ProcessId,
    /// The task's first process: its pid is also its process group.
    pub(crate) main: ProcessId,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// 128 + signal if a signal ended it; −1 if nobody knows.
    pub(crate) code: i32,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

impl Ended {
    pub(crate) const fn at(&self) -> WallTime {
        WallTime(self.at)
    }
}

/// A task's directory.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Of a task by its name; `None` if a name like that may not stand in a path.
    pub(crate) fn of(dir: &Path, name: &str) -> Option<Self> {
        let fits = (1..=200).contains(&name.len())
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        fits.then(|| Self(dir.join(name)))
    }

    /// Makes it, with its spec: whole, and on disk, or not at all.
    pub(crate) fn make(&self, spec: &Spec) -> io::Result<()> {
        let mut aside = OsString::from(ASIDE);
        aside.push(self.0.file_name().unwrap_or_default());
        let (aside, parent) = (Self(self.0.with_file_name(aside)), self.0.parent().unwrap_or(Path::new("/")));
        // Of an earlier try that could not even clear up after itself.
        aside.remove()?;
        let made = super::make_new(&aside.0)
            .and_then(|()| aside.write_spec(spec))
            .and_then(|()| File::open(aside.0.join("spec"))?.sync_all())
            .and_then(|()| File::open(&aside.0)?.sync_all())
            .and_then(|()| fs::rename(&aside.0, &self.0))
            .and_then(|()| File::open(parent)?.sync_all());
        if made.is_err() {
            // What stays is cleared by the next try, or the next start of the agent.
            let _stays = aside.remove();
        }
        made
    }

    /// Removes what starts of tasks in `dir` began and could not end.
    pub(crate) fn clear_begun(dir: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.as_bytes().starts_with(ASIDE.as_bytes())) {
                Self(path).remove()?;
            }
        }
        Ok(())
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The short name of the task, if this is named as tasks are: `service.slot.task`.
    pub(crate) fn task(&self) -> Option<&str> {
        let mut parts = self.0.file_name()?.to_str()?.rsplitn(3, '.');
        let (task, slot, service) = (parts.next()?, parts.next()?, parts.next()?);
        let is_task = task.len() == 12 && task.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        (is_task && !slot.is_empty() && !service.is_empty()).then_some(task)
    }

    /// Whether what it says of the task can be read: whose it is, and which processes it is.
    pub(crate) fn is_whole(&self) -> bool {
        self.spec().is_ok() && self.running().is_ok()
    }

    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The name of its task.
    pub(crate) fn name(&self) -> &str {
        self.0.file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn older_log(&self) -> PathBuf {
        self.0.join("log.1")
    }

    pub(crate) fn spec(&self) -> io::Result<Spec> {
        self.read("spec")
    }

    pub(crate) fn running(&self) -> io::Result<Running> {
        self.read("running")
    }

    pub(crate) fn ended(&self) -> io::Result<Ended> {
        self.read("ended")
    }

    pub(crate) fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        self.write("spec", spec)
    }

    pub(crate) fn write_running(&self, running: &Running) -> io::Result<()> {
        self.write("running", running)
    }

    pub(crate) fn write_ended(&self, ended: &Ended) -> io::Result<()> {
        self.write("ended", ended)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> io::Result<T> {
        read(&fs::read(self.0.join(file))?)
    }

    fn write<T: Serialize>(&self, file: &str, value: &T) -> io::Result<()> {
        let aside = self.0.join(format!("{file}.new"));
        fs::write(&aside, write(value)?)?;
        fs::rename(aside, self.0.join(file))
    }
}

/// What a file's bytes say.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The bytes of a file.
pub(crate) fn write<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

/// Whether a file could not be read because of what it is, not because of what the host lacks just now.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
}

/// The kernel's name for this run of the host: what was written under another has ended with it.
pub(crate) fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let dir = Path::new("/state");
        for name in ["", ".", "..", ".a", "a/b", "a\0", "a b", &"a".repeat(201)] {
            assert!(Home::of(dir, name).is_none(), "{name}");
        }
        let home = Home::of(dir, "web.1.abc").expect("it is plain");
        assert_eq!(home.path(), Path::new("/state/web.1.abc"));
    }

    #[test]
    fn a_directory_is_a_tasks_by_its_name() {
        let task = |name| Home::of(Path::new("/state"), name).and_then(|home| home.task().map(str::to_owned));
        assert_eq!(task("my.web.1.0123456789ab"), Some("0123456789ab".to_owned()));
        for name in ["notes", "web.1.short", "web.1.0123456789AB", "1.0123456789ab", "web..0123456789ab"] {
            assert_eq!(task(name), None, "{name}");
        }
    }

    #[test]
    fn a_directory_is_there_with_its_spec_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let home = Home::of(dir.path(), "web.1.0123456789ab").expect("it is plain");
        let word = |word: &str| word.to_owned();
        let (argv, env) = (vec![word("sleep")], Vec::new());
        let spec =
            Spec { cluster: word("c"), label: word("1"), argv, env, user: word(""), workdir: word("") };
        let count = || fs::read_dir(dir.path()).expect("it is there").count();
        // As a kill in the middle leaves it: neither in the way of the next try nor there for ever.
        let begun = dir.path().join(".new-web.1.0123456789ab");
        fs::create_dir_all(begun.join("spec.new")).expect("it can be made");
        home.make(&spec).expect("it can be made");
        assert_eq!((home.spec().expect("it was made"), count()), (spec.clone(), 1));
        fs::create_dir(&begun).expect("it can be made");
        Home::clear_begun(dir.path()).expect("it can be cleared");
        assert_eq!(count(), 1);
        home.make(&spec).expect_err("it is there");
        assert_eq!(count(), 1, "it clears up after itself");
        Home::clear_begun(&dir.path().join("nosuch")).expect("there is nothing to clear");
    }

    #[test]
    fn what_is_written_reads_back_and_half_of_it_does_not() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let home = Home::at(dir.path());
        assert!(home.ended().is_err());
        home.write_ended(&Ended { code: -1, at: 5 }).expect("it can be written");
        assert_eq!(home.ended().expect("it was written"), Ended { code: -1, at: 5 });
        fs::write(dir.path().join("ended"), "{\"code\":").expect("it can be written");
        assert!(home.ended().is_err());
    }
}
