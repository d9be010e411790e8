//! The processes that this one brought about, also those whose parents are gone.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// From here on, what loses its parent becomes a child of this process, not of the first one: a task outlives
/// its agent, and shall not outlive this program.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn gather() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends every descendant whose command line names something below `folder`, and its own descendants; all of
/// them, if no folder is given.
pub(super) async fn end(folder: Option<&Path>) {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let left = members(folder);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in left {
            // It may have ended by itself meanwhile.
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn members(folder: Option<&Path>) -> Vec<Pid> {
    let children = children();
    let all = below(getpid(), &children);
    let Some(folder) = folder else { return all };
    let named = all.into_iter().filter(|pid| names(*pid, folder));
    named.flat_map(|pid| std::iter::once(pid).chain(below(pid, &children))).collect()
}

fn below(pid: Pid, children: &HashMap<Pid, Vec<Pid>>) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            found.push(*child);
            open.push(*child);
        }
    }
    found
}

/// Who has which children; those that have ended and only wait to be noticed are left out.
fn children() -> HashMap<Pid, Vec<Pid>> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return children };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let parent = fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parent(&stat));
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The parent of a process that has not ended, from its `stat`: the name in brackets may hold anything.
fn parent(stat: &str) -> Option<Pid> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    if matches!(state, "Z" | "X") { None } else { Pid::from_raw(parent) }
}

fn names(pid: Pid, folder: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else { return false };
    let folder = folder.as_os_str().as_encoded_bytes();
    line.split(|byte| *byte == 0)
        .any(|word| word.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_past_any_name() {
        let pid = |raw| Pid::from_raw(raw);
        assert_eq!(parent("7 (sh) S 3 7 7 0"), pid(3));
        assert_eq!(parent("7 (a) Z 9 (b) S 4 7 7 0"), pid(4));
        assert_eq!(parent("7 (sh) Z 3 7 7 0"), None);
        assert_eq!(parent("7 (sh"), None);
    }
}
