//! What a process has used, as the kernel counts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::process::ended;
use crate::wait::{interval, until};

/// In `/proc/PID/stat` a second of a core is so many ticks, whatever the kernel's own are.
const TICKS: f64 = 100.0;
/// How long `strace` may take to lay hold of a process.
const MOMENT: Duration = Duration::from_secs(10);

/// What a process has and has used, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Bytes of it that are in memory.
    pub resident: u64,
    /// The same, with what several share divided between them.
    pub proportional: u64,
    /// Seconds on a core.
    pub cpu: f64,
    /// Bytes that went, or must go, to a disk.
    pub written: u64,
    /// Bytes that came by its network's interfaces other than loopback.
    pub received: u64,
    /// Bytes that left by them.
    pub sent: u64,
}

impl Usage {
    /// Of a process, now.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = Path::new("/proc").join(pid.to_string()).join(name);
            fs::read_to_string(&path).map_err(Error::on(&path))
        };
        let unreadable = |name: &str| Error::new(format!("/proc/{pid}/{name} cannot be read"));
        let kilobytes = |text: &str, name: &str| Some(1024 * field(text, name)?);
        let rollup = read("smaps_rollup")?;
        let (received, sent) = traffic(&read("net/dev")?).ok_or_else(|| unreadable("net/dev"))?;
        Ok(Self {
            resident: kilobytes(&read("status")?, "VmRSS:").ok_or_else(|| unreadable("status"))?,
            proportional: kilobytes(&rollup, "Pss:").ok_or_else(|| unreadable("smaps_rollup"))?,
            cpu: ticks(&read("stat")?).ok_or_else(|| unreadable("stat"))? / TICKS,
            written: field(&read("io")?, "write_bytes:").ok_or_else(|| unreadable("io"))?,
            received,
            sent,
        })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Its own time and the kernel's for it, those of its threads that are gone too.
fn ticks(stat: &str) -> Option<f64> {
    // A program's name may hold anything, brackets too. The state is then the first word.
    let words: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let (user, system): (f64, f64) = (words.get(11)?.parse().ok()?, words.get(12)?.parse().ok()?);
    Some(user + system)
}

fn traffic(dev: &str) -> Option<(u64, u64)> {
    let mut sum = (0, 0);
    for line in dev.lines().skip(2) {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<&str> = counts.split_whitespace().collect();
        // Only cables: what goes to containers of the same host stays on it.
        if name.trim().starts_with("eth") {
            sum.0 += counts.first()?.parse::<u64>().ok()?;
            sum.1 += counts.get(8)?.parse::<u64>().ok()?;
        }
    }
    Some(sum)
}

/// How often each of these processes told the kernel to write to the disk, while so much time went by.
///
/// Every system call of theirs is slower meanwhile.
pub fn syncs(pids: &[u32], folder: &Path, time: Duration) -> Result<Vec<usize>> {
    let traced: Vec<Trace> = pids.iter().map(|pid| Trace::start(*pid, folder)).collect::<Result<_>>()?;
    interval(time);
    traced.into_iter().map(Trace::end).collect()
}

/// Whether a line of `strace` begins a call, and does not end one that another thread's line cut in two.
fn is_sync(line: &str) -> bool {
    let call = line.trim_start_matches(|sign: char| sign.is_ascii_digit()).trim_start();
    call.split_once('(').is_some_and(|(name, _)| name.contains("sync") && !name.contains(' '))
}

/// An `strace` of one process.
struct Trace {
    strace: Child,
    calls: PathBuf,
}

impl Trace {
    fn start(pid: u32, folder: &Path) -> Result<Self> {
        let calls = folder.join(format!("calls-{pid}"));
        let strace = Command::new("strace")
            .args(["-f", "-q", "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync,syncfs", "-p"])
            .arg(pid.to_string())
            .arg("-o")
            .arg(&calls)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::new(format!("strace: {error}")))?;
        let trace = Self { strace, calls };
        let status = PathBuf::from(format!("/proc/{pid}/status"));
        until("strace has it", MOMENT, || {
            let status = fs::read_to_string(&status).ok()?;
            (field(&status, "TracerPid:") == Some(u64::from(trace.strace.id()))).then_some(())
        })?;
        Ok(trace)
    }

    fn end(mut self) -> Result<usize> {
        self.stop()?;
        let calls = fs::read_to_string(&self.calls).map_err(Error::on(&self.calls))?;
        let calls: Vec<&str> = calls.lines().filter(|line| is_sync(line)).collect();
        calls.iter().for_each(|call| eprintln!("{call}"));
        Ok(calls.len())
    }

    /// Politely: it lets go of the process, which goes on.
    fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.strace);
        kill_process(pid, Signal::INT).map_err(|error| Error::new(format!("strace: {error}")))?;
        ended("strace", &mut self.strace).map(drop)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Ok(None) = self.strace.try_wait()
            && let Err(error) = self.stop()
        {
            eprintln!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_where_the_kernel_writes_them() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 130 20 0 0 20 0 3 0 99";
        assert_eq!(ticks(stat), Some(150.0));
        let dev = "Inter-|   Receive    |  Transmit\n face |bytes\n    lo: 5 5 0 0 0 0 0 0 5 5 0 0 0 0 0 0\n\
            \x20 eth0: 11 1 0 0 0 0 0 0 22 2 0 0 0 0 0 0\ndocker0: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(dev), Some((11, 22)));
        assert_eq!(field("VmPeak: 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
    }

    #[test]
    fn a_call_that_is_cut_in_two_counts_once() {
        let calls = "7 fsync(3 <unfinished ...>\n8 fdatasync(4) = 0\n7 <... fsync resumed>) = 0\n\
            7 --- SIGCHLD {si_signo=SIGCHLD} ---\n9 restart_syscall(<... resuming read ...>) = 1\n";
        assert_eq!(calls.lines().filter(|line| is_sync(line)).count(), 2);
    }

    /// The measure itself is measured: work, memory and writing must show.
    #[test]
    fn what_this_process_uses_is_counted() -> Result<()> {
        let own = std::process::id();
        let before = Usage::of(own)?;
        assert!(before.resident >= before.proportional && before.proportional > 0);
        let fill = vec![1_u8; 64 << 20];
        let mut spent = 0_u64;
        until("a tenth of a second on a core", MOMENT, || {
            spent = fill.iter().fold(spent, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            Usage::of(own).is_ok_and(|now| now.cpu - before.cpu >= 0.1).then_some(())
        })?;
        let after = Usage::of(own)?;
        assert!(after.resident >= before.resident + (fill.len() as u64) / 2, "{before:?} {after:?} {spent}");
        Ok(())
    }
}
