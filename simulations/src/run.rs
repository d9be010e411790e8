//! One run: a cluster forms, everything goes wrong that was drawn, then nothing does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use sleep_core::io::{Alarm, Event};
use sleep_core::node::Tuning;

use crate::chaos::users::Users;
use crate::chaos::{Chaos, Fault};
use crate::engine::Faults;
use crate::invariants::{Checks, Violation};
use crate::liveness::{self, Times};
use crate::random::Stream;
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A law was broken.
    Safety(Violation),
    /// Something did not come about in time.
    Liveness(String),
    /// The core panicked, or raised an alarm over itself.
    Crash(String),
}

impl Failure {
    /// The process's exit code for it: crashes, safety and liveness are told apart.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Liveness(_) => 3,
            Self::Safety(_) => 4,
            Self::Crash(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safety(violation) => write!(f, "safety: {violation}"),
            Self::Liveness(what) => write!(f, "liveness: {what}"),
            Self::Crash(what) => write!(f, "crash: {what}"),
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The hash of all that happened.
    pub trace: u64,
    /// How much did.
    pub events: u64,
    /// How long it took in the world.
    pub world: Time,
    /// How long it took here.
    pub real: Duration,
    /// How long the cluster took once nothing went wrong any more, or why the run failed.
    pub verdict: Result<Times, Failure>,
}

/// Runs a seed.
pub fn run(nodes: usize, seed: u64) -> (Outcome, World) {
    let began = Instant::now();
    let chaos = Chaos::draw(seed, nodes);
    let mut tuning = Tuning::default();
    tuning.lease.growth_wait = chaos.growth_wait;
    let mut world = World::new(nodes, seed, Network::default(), &tuning);
    let verdict = play(&mut world, &chaos);
    let outcome = Outcome {
        trace: world.trace.digest(),
        events: world.trace.events(),
        world: world.now,
        real: began.elapsed(),
        verdict,
    };
    (outcome, world)
}

fn play(world: &mut World, chaos: &Chaos) -> Result<Times, Failure> {
    world.checks = Some(Checks::default());
    for (host, rate) in world.hosts.iter_mut().zip(&chaos.rates_ppm) {
        host.rate_ppm = *rate;
    }
    let mut told = begin(world, chaos.growth_wait).and_then(|service| {
        let users = Users::new(world.seed, service);
        suffer(world, chaos, users);
        calm(world);
        liveness::judge(world)
    });
    if let Some(violation) = world.broken.clone() {
        return Err(Failure::Safety(violation));
    }
    if let Some(alarm) = world.events.iter().find_map(|(_, host, event)| alarming(*host, event)) {
        return Err(Failure::Crash(alarm));
    }
    told = told.map_err(|what| format!("{what}, at {:.1} s", world.now as f64 / SECOND as f64));
    told.map_err(Failure::Liveness)
}

fn begin(world: &mut World, growth_wait: Duration) -> Result<sleep_wire::ServiceId, story::Failure> {
    story::form(world)?;
    let last = world.hosts.len() - 1;
    let service = story::create(world, last, "sleep-app", 1)?;
    story::running(world, 30 * SECOND, service, 1)?;
    story::scale(world, 0, service, 5)?;
    if growth_wait < Duration::from_secs(10) {
        story::three_vote(world, 20 * SECOND)?;
    }
    Ok(service)
}

fn suffer(world: &mut World, chaos: &Chaos, mut users: Users) {
    let began = world.now;
    let end = began + chaos.lasts;
    world.network = chaos.network;
    for host in 0..world.hosts.len() {
        world.with_engine(host, |engine, _| engine.set_faults(chaos.engines));
    }
    let mut queue: BTreeMap<(Time, usize), Fault> = BTreeMap::new();
    let mut number = 0;
    for (at, fault) in &chaos.faults {
        number += 1;
        queue.insert((began + at, number), fault.clone());
    }
    let mut pauses = Stream::new(world.seed, "when users act", 0);
    let mut wait = |every: Time| pauses.between(every / 2, every + every / 2);
    let mut acts_at = chaos.users_every.map(|every| began + wait(every));
    while world.now < end && world.broken.is_none() {
        let fault_at = queue.first_key_value().map(|((at, _), _)| *at);
        let next = [fault_at, acts_at].into_iter().flatten().min().unwrap_or(end).min(end);
        world.until(next, |_| false);
        if acts_at == Some(next) {
            users.act(world);
            acts_at = chaos.users_every.map(|every| next + wait(every));
        }
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= next) {
            for (at, fault) in entry.remove().happen(world) {
                number += 1;
                queue.insert((at, number), fault);
            }
        }
    }
}

/// Nothing goes wrong any more: everything is mended, every agent runs, and none is paused.
fn calm(world: &mut World) {
    world.network = Network::default();
    world.heal();
    for host in 0..world.hosts.len() {
        world.with_engine(host, |engine, _| engine.set_faults(Faults::default()));
        world.start(host);
    }
    let awake = world.awake();
    world.until(awake, |_| false);
}

fn alarming(host: usize, event: &Event) -> Option<String> {
    let Event::Alarm(alarm) = event else { return None };
    match alarm {
        Alarm::Internal(_) | Alarm::Clone { .. } | Alarm::OldDisk { .. } | Alarm::Storage(_) => {
            Some(format!("node{}: {alarm:?}", host + 1))
        }
        Alarm::StampAhead { .. } => Some(format!("node{}: {alarm:?}", host + 1)),
    }
}
