//! One host: a service created and removed, beside Docker Swarm and beside nothing but the engine's API.
//!
//! Each has a host with an engine of its own. They take turns, so that a busy machine is as busy for all.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::peer::{Act, Ours, Peer, Swarm, time};
use super::table::{Table, Times};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::hosts::{Host, IMAGE, Lab};

/// As many calls at once as our driver allows itself.
const THREADS: u32 = 4;
const SIZES: [u32; 3] = [1, 7, 50];

/// What an orchestrator takes for a service.
#[derive(Default)]
struct Service {
    running: Times,
    returned: Times,
    gone: Times,
}

/// Measures, and gives the table.
pub fn measure(rounds: u32) -> Result<String> {
    let [bare, theirs, own] = [Lab::start(1)?, Lab::start(1)?, Lab::start(1)?];
    let (mut swarm, mut ours) = (Swarm::on(&theirs), Ours::on(&own)?);
    let (watch_swarm, watch_ours) = (Watch::on(theirs.hosts())?, Watch::on(own.hosts())?);
    swarm.found()?;
    ours.found()?;
    let mut table = Table::new(&[
        "replicas",
        "engine's API, 4 threads",
        "Swarm: all run",
        "sleepd: all run",
        "to API (goal 1.3)",
        "to Swarm",
        "Swarm: command returns",
        "sleepd: returns",
        "rm, Swarm",
        "rm, sleepd",
        "to Swarm",
    ]);
    for size in SIZES {
        let (mut api, mut swarms, mut own) = (Times::default(), Service::default(), Service::default());
        for round in 1..=rounds {
            eprintln!("create: {size} replicas, round {round} of {rounds}");
            api.add(bare_api(bare.host(1), size)?);
            swarms.measure(&swarm, &watch_swarm, size)?;
            own.measure(&ours, &watch_ours, size)?;
        }
        table.row([
            size.to_string(),
            api.to_string(),
            swarms.running.to_string(),
            own.running.to_string(),
            own.running.over(&api),
            own.running.over(&swarms.running),
            swarms.returned.to_string(),
            own.returned.to_string(),
            swarms.gone.to_string(),
            own.gone.to_string(),
            own.gone.over(&swarms.gone),
        ]);
    }
    drop((watch_swarm, watch_ours, swarm, ours));
    [bare, theirs, own].into_iter().try_for_each(Lab::end)?;
    Ok(table.to_string())
}

impl Service {
    fn measure(&mut self, peer: &dyn Peer, watch: &Watch, size: u32) -> Result<()> {
        let name = peer.name();
        let all = usize::try_from(size).unwrap_or_default();
        let what = format!("{name}: {size} replicas run");
        let took = time(&what, &mut peer.command(1, Act::Create(size))?, || watch.running() == all)?;
        self.running.add(took.came);
        self.returned.add(took.returned);
        let what = format!("{name}: {size} replicas are gone");
        self.gone.add(time(&what, &mut peer.command(1, Act::Remove)?, || watch.known() == 0)?.came);
        Ok(())
    }
}

/// Creates and starts so many containers with nothing but the engine's API; then removes them, untimed.
fn bare_api(host: &Host, count: u32) -> Result<Duration> {
    let body = json!({ "Image": IMAGE, "Cmd": ["sleep", "infinity"] });
    let began = Instant::now();
    in_threads(count, |number| {
        let path = format!("/containers/create?name=bare-{number}");
        let made = host.engine().ask("POST", &path, Some(&body))?;
        let id = made["Id"].as_str().ok_or_else(|| Error::new(format!("no id: {made}")))?;
        host.engine().ask("POST", &format!("/containers/{id}/start"), Some(&json!({}))).map(drop)
    })?;
    let took = began.elapsed();
    in_threads(count, |number| {
        host.engine().ask("DELETE", &format!("/containers/bare-{number}?force=1&v=1"), None).map(drop)
    })?;
    Ok(took)
}

/// Does something for each number below `count`, with a few threads.
fn in_threads(count: u32, act: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                act(number)?;
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let panicked = |_| Err(Error::new("a thread has panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).fold(Ok(()), Result::and)
    })
}
