//! What an agent costs while nothing happens: five hosts, seven tasks on each of them.

use std::time::Duration;

use serde_json::Value;

use super::peer::{Act, Ours, PATIENCE, Peer, numbers, time};
use super::table::Table;
use super::usage::{Usage, syncs};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::hosts::Lab;
use crate::wait::{interval, until};

const HOSTS: u8 = 5;
/// On each of them.
const TASKS: u32 = 7;
/// How many of them vote once all have been well for half a minute: until then there is something to write.
const VOTERS: usize = 3;
/// From the last change until it counts as idle: longer than any timer that follows a change.
const SETTLE: Duration = Duration::from_secs(15);
/// How long what it uses is counted.
const IDLE: Duration = Duration::from_secs(30);
/// How long its calls to write to the disk are counted.
const TRACED: Duration = Duration::from_secs(10);

/// Measures, and gives the table.
pub fn measure() -> Result<String> {
    let lab = Lab::start(HOSTS)?;
    let mut ours = Ours::on(&lab)?;
    let watch = Watch::on(lab.hosts())?;
    form(&lab, &mut ours, &watch)?;
    eprintln!("agent: idle for {IDLE:?}");
    interval(SETTLE);
    let pids: Vec<u32> =
        numbers(&lab).into_iter().map(|number| ours.cluster().agent_pid(number)).collect::<Result<_>>()?;
    let all = || pids.iter().map(|pid| Usage::of(*pid)).collect::<Result<Vec<_>>>();
    let before = all()?;
    let seconds = interval(IDLE).as_secs_f64();
    let after = all()?;
    let folder = tempfile::tempdir().map_err(|error| Error::new(error.to_string()))?;
    let syncs = syncs(&pids, folder.path(), TRACED)?;
    let leader = ours.leader(1)?.ok_or_else(|| Error::new("nobody leads"))?;

    let mut table = Table::new(&[
        "node",
        "tasks",
        "resident (goal 25 MB)",
        "Pss",
        "core (goal 0.5 %)",
        "written (goal 0)",
        "syncs (goal 0)",
        "receives (goal 2 KB/s)",
        "sends",
    ]);
    for (number, ((before, after), syncs)) in (1..).zip(before.iter().zip(&after).zip(syncs)) {
        let rate = |from: u64, to: u64| format!("{:.2} KB/s", (to - from) as f64 / seconds / 1e3);
        table.row([
            format!("node{number}{}", if number == leader { ", leads" } else { "" }),
            watch.running_on(lab.host(number)).to_string(),
            megabytes(after.resident),
            megabytes(after.proportional),
            format!("{:.2} %", (after.cpu - before.cpu) / seconds * 100.0),
            format!("{} B", after.written - before.written),
            syncs.to_string(),
            rate(before.received, after.received),
            rate(before.sent, after.sent),
        ]);
    }
    drop((watch, ours));
    lab.end()?;
    let traced = TRACED.as_secs();
    Ok(format!("{table}\nCounted over {seconds:.0} s without a change; syncs over {traced} s more.\n"))
}

fn form(lab: &Lab, ours: &mut Ours<'_>, watch: &Watch) -> Result<()> {
    ours.found()?;
    for number in 2..=HOSTS {
        time("it has joined", &mut ours.join(number)?, || true)?;
    }
    let all = TASKS * u32::from(HOSTS);
    let runs = || watch.running() == all as usize;
    time("all run", &mut ours.command(1, Act::Create(all))?, runs)?;
    let balanced = || lab.hosts().iter().all(|host| watch.running_on(host) == TASKS as usize);
    until("all nodes are ready and equally busy, and three of them vote", PATIENCE, || {
        let ready = ours.ready(1).ok()?.len();
        let status = ours.cluster().ctl(1).run("cluster status -o json").ok()?.stdout;
        let status: Value = serde_json::from_str(&status).ok()?;
        let vote = status["voters"].as_array()?.len();
        (ready == usize::from(HOSTS) && vote == VOTERS && balanced()).then_some(())
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
