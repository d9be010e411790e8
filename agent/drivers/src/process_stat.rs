//! Processes of this host, as `/proc` shows them.

use serde::{Deserialize, Serialize};

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// When it started, in clock ticks since the host did.
    pub(crate) started: u64,
}

impl Stat {
    /// Reads the line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        // The name stands in parentheses and may itself hold any character; what follows it begins at field
        // 3.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Reads it of a process; `None` if there is none.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it is more than an exit code that nobody has fetched.
    pub(crate) const fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// A process, for as long as its host runs: pids are used again, moments are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    pub(crate) started: u64,
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Whether it lives.
    pub(crate) fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.lives())
    }
}

/// Every live process of which `wanted` holds.
pub(crate) fn all(wanted: impl Fn(&Stat) -> bool) -> Vec<ProcessId> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let stats = pids.filter_map(|pid| Some((pid, Stat::of(pid)?)));
    let found = stats.filter(|(_, stat)| stat.lives() && wanted(stat));
    found.map(|(pid, stat)| ProcessId { pid, started: stat.started }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let rest = "S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2";
        let expected = Stat { state: 'S', parent: 1, group: 2, session: 3, started: 987_654 };
        for name in ["sleep", "a) S 1 (b", "x y)"] {
            assert_eq!(Stat::parse(&format!("42 ({name}) {rest}")), Some(expected), "{name}");
        }
        assert_eq!(Stat::parse("42 (sleep) S 1"), None);
    }

    #[test]
    fn a_pid_used_again_is_another_process() {
        let own = i32::try_from(std::process::id()).expect("pids are small");
        let this = ProcessId::of(own).expect("this process lives");
        assert!(this.lives());
        assert!(!ProcessId { started: this.started + 1, ..this }.lives());
        assert!(all(|_| true).contains(&this));
    }
}
