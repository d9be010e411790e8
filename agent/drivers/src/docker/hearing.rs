//! Whether the first process of a container can ever receive a signal.
//!
//! The kernel drops a signal sent to the first process of a pid namespace, from outside too, unless that
//! process catches it or blocks it (`SIGNAL_UNKILLABLE` and `sig_ignored` in `kernel/signal.c`,
//! pid_namespaces(7)). It is dropped when it is sent, so no later handler sees it: waiting out a grace is
//! then pointless.
//!
//! Three things make a process look deaf that is not:
//! - It waits in `rt_sigtimedwait`, as `tini` does: the kernel then shows the awaited signals as *not*
//!   blocked. The system call it is in tells.
//! - It is young, and will install its handler in a moment: it gets [`GROWING_UP`] for that.
//! - It is not the first process of its namespace (the host's was shared), or not the container's at all (the
//!   engine's processes are another host's): `NSpid` and its cgroup tell.
//!
//! Whatever cannot be read means that it may hear. The masks of the leading thread decide, as they do in the
//! kernel.

use std::time::Duration;

use sleep_wire::WallTime;
use tokio::time::{Instant, sleep};

use crate::signal::number;
use crate::text;

/// How long a container must have run before it is judged: programs install handlers when they start. Its
/// first process is older than that: it waits for its network first, as the runtime's own program.
pub(crate) const GROWING_UP: Duration = Duration::from_millis(500);
/// So many looks in a row must agree.
const LOOKS: u32 = 3;
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(5);
/// No judgement takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

const KILL: u32 = 9;
const STOP: u32 = 19;
/// The numbers of `rt_sigtimedwait` under the ABIs of the architectures known; elsewhere nobody is called
/// deaf.
const SIGTIMEDWAIT: Option<&[u32]> = if cfg!(target_arch = "x86_64") {
    Some(&[128, 177, 421, 1_073_742_347]) // native, 32-bit, 32-bit with 64-bit time, x32
} else if cfg!(target_arch = "aarch64") {
    Some(&[137, 177, 421])
} else {
    None
};

/// A container to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspect<'a> {
    pub(crate) container: &'a str,
    /// Its first process, as this host counts.
    pub(crate) pid: u32,
    /// When the engine says that it started.
    pub(crate) started_at: WallTime,
}

/// Whether waiting is pointless after sending `signal` to it.
pub(crate) async fn is_deaf(suspect: Suspect<'_>, signal: &str) -> bool {
    // These two reach everybody.
    let Some(signal) = number(signal).filter(|number| ![KILL, STOP].contains(number)) else {
        return false;
    };
    let began = Instant::now();
    let (mut deaf, mut may_hear) = (0, 0);
    while began.elapsed() < PATIENCE {
        match look(suspect, signal) {
            Some(Look::Catches) | None => return false,
            Some(Look::Blocks) => (deaf, may_hear) = (0, may_hear + 1),
            Some(Look::Young) => (deaf, may_hear) = (0, 0),
            Some(Look::Deaf) => (deaf, may_hear) = (deaf + 1, 0),
        }
        if deaf == LOOKS || may_hear == LOOKS {
            return deaf == LOOKS;
        }
        sleep(BETWEEN).await;
    }
    false
}

/// Whether the container's first process can be looked at from here at all: not from another host, nor from a
/// pid namespace beside the engine's.
pub(crate) fn is_in_sight(suspect: Suspect<'_>) -> bool {
    let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", suspect.pid));
    cgroup.is_ok_and(|cgroup| is_member(&cgroup, suspect.container))
}

/// What one look at a process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It has a handler.
    Catches,
    /// It blocks the signal, or waits for it. Many programs block all signals for the moment of a fork: one
    /// look does not tell.
    Blocks,
    /// It would drop it, but it has only just begun.
    Young,
    /// It would drop it.
    Deaf,
}

/// `None` if it cannot be looked at, or is not what it seems.
fn look(suspect: Suspect<'_>, signal: u32) -> Option<Look> {
    let Suspect { container, pid, started_at } = suspect;
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    // The call before the masks and again after them: a wait that spans them cannot be missed.
    let before = read("syscall")?;
    let status = read("status")?;
    let after = read("syscall")?;
    if !is_member(&read("cgroup")?, container) || !is_first(&status)? {
        return None;
    }
    let waits = awaits_signals(&before)? || awaits_signals(&after)?;
    Some(if has(&status, "SigCgt", signal)? {
        Look::Catches
    } else if waits || has(&status, "SigBlk", signal)? {
        Look::Blocks
    } else if is_young(started_at, text::now()) {
        Look::Young
    } else {
        Look::Deaf
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Whether a process with this `/proc/PID/status` is the first of a pid namespace that is not the host's.
fn is_first(status: &str) -> Option<bool> {
    let ids: Vec<&str> = field(status, "NSpid")?.split_whitespace().collect();
    Some(ids.len() > 1 && ids.last() == Some(&"1"))
}

/// Whether a mask of `/proc/PID/status` holds a signal.
fn has(status: &str, mask: &str, signal: u32) -> Option<bool> {
    let mask = u64::from_str_radix(field(status, mask)?.trim(), 16).ok()?;
    Some(mask & 1_u64.checked_shl(signal.checked_sub(1)?)? != 0)
}

/// Whether a process with this `/proc/PID/syscall` waits for signals to be handed to it.
fn awaits_signals(syscall: &str) -> Option<bool> {
    let first = syscall.split_whitespace().next()?;
    if first == "running" {
        return Some(false);
    }
    // -1 is blocked outside any call.
    let number: i64 = first.parse().ok()?;
    Some(SIGTIMEDWAIT?.iter().any(|known| i64::from(*known) == number))
}

/// Whether a process with these files catches or blocks a signal, and whether it waits for any.
pub(crate) fn hears(status: &str, syscall: &str, signal: u32) -> (Option<bool>, Option<bool>) {
    let first = is_first(status);
    let masks = first.and_then(|_| Some(has(status, "SigCgt", signal)? || has(status, "SigBlk", signal)?));
    (masks, awaits_signals(syscall))
}

/// Whether `/proc/PID/cgroup` names the container.
fn is_member(cgroup: &str, container: &str) -> bool {
    !container.is_empty() && cgroup.lines().any(|line| line.contains(container))
}

/// Whether a container that started then has only just begun. A moment that is still to come says that the
/// clock was set back, and nothing else.
fn is_young(started_at: WallTime, now: WallTime) -> bool {
    u128::try_from(now.0 - started_at.0).is_ok_and(|age| age < GROWING_UP.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u32 = 15;

    /// `sleep` as the first process of a container, kernel 6.18.
    const SLEEP: &str = "Name:\tsleep\nUmask:\t0022\nNSpid:\t31397\t1\nThreads:\t1\nSigQ:\t0/96364\n\
        SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n\
        SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n";
    /// `sh` with a trap for TERM.
    const TRAP: &str = "Name:\tsh\nNSpid:\t31461\t1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000004\n\
        SigCgt:\t0000000000014002\n";

    #[test]
    fn masks_are_read_bit_by_bit() {
        let caught = |status, signal| has(status, "SigCgt", signal);
        assert_eq!([TERM, 2, 3].map(|signal| caught(TRAP, signal)), [Some(true), Some(true), Some(false)]);
        assert_eq!([1, TERM, 64].map(|signal| caught(SLEEP, signal)), [Some(false); 3]);
        assert_eq!(has(TRAP, "SigIgn", 3), Some(true));
        let last = SLEEP.replace("SigCgt:\t0000000000000000", "SigCgt:\t8000000000000000");
        assert_eq!([63, 64, 65].map(|signal| caught(&last, signal)), [Some(false), Some(true), None]);
    }

    #[test]
    fn only_the_first_process_of_a_namespace_of_its_own_drops() {
        let first = |ids: &str| is_first(&SLEEP.replace("31397\t1", ids));
        assert_eq!(["31397\t1", "31397", "31397\t7", "1"].map(first), [true, false, false, false].map(Some));
        assert_eq!(first("31397\t12\t1"), Some(true), "an engine in a container");
    }

    #[test]
    fn what_cannot_be_read_is_not_judged() {
        assert_eq!((is_first(""), has("", "SigCgt", TERM)), (None, None));
        assert_eq!(has("SigCgt:\tzz\n", "SigCgt", TERM), None);
        let nobody = Suspect { container: "ab", pid: u32::MAX, started_at: WallTime(0) };
        assert_eq!(look(nobody, TERM), None);
        assert!(!is_in_sight(nobody));
        // Its number is somebody else's here.
        assert!(!is_in_sight(Suspect { container: "74b6", pid: std::process::id(), ..nobody }));
    }

    /// `tini` as the first process: it looks deaf but for the call that it is in.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn who_waits_for_signals_hears_them() {
        let tini = "128 0x7ffc98a72980 0x7ffc98a728b0 0x4ab020 0x8 0x7 0x1b2dd6d0 0x7ffc98a72880 0x40a2bf\n";
        let sleep = "230 0x0 0x0 0x7fff3c7e6dd8 0x7fff3c7e6dd8 0xffffffff 0x0 0x7fff3c7e6db8 0x4bfde3\n";
        assert_eq!(awaits_signals(tini), Some(true));
        assert_eq!(awaits_signals(sleep), Some(false));
        assert_eq!(awaits_signals("running\n"), Some(false));
        assert_eq!(awaits_signals("-1 0x7ffc 0x40a2bf\n"), Some(false));
        assert_eq!(awaits_signals(""), None);
    }

    #[test]
    fn youth_is_short_and_does_not_lie_ahead() {
        let ages = [0, 499, 500, 10_000, -1].map(|age| is_young(WallTime(1_000), WallTime(1_000 + age)));
        assert_eq!(ages, [true, true, false, false, false]);
    }

    #[test]
    fn a_process_of_another_container_is_not_ours_to_judge() {
        assert!(is_member("9:pids:/docker/74b6\n", "74b6"));
        assert!(is_member("0::/system.slice/docker-74b6.scope\n", "74b6"));
        assert!(!is_member("0::/user.slice\n", "74b6"));
        assert!(!is_member("0::/user.slice\n", ""));
    }
}
