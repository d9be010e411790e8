//! One run: a cluster forms, everything goes wrong that was drawn, then nothing does.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sleep_core::io::{Alarm, Command, Event};
use sleep_core::node::Tuning;
use sleep_wire::{NodeId, ServiceId};

use crate::chaos::users::Users;
use crate::engine::Faults;
use crate::host::Host;
use crate::invariants::{Checks, Violation};
use crate::liveness::{self, Missing, Times};
use crate::random::Stream;
use crate::report::recorder::{Phase, Recorder};
use crate::scenario::{Fault, Scenario, Then};
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A law was broken.
    Safety(Violation),
    /// Something did not come about in time.
    Liveness(Missing),
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

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> (Outcome, World) {
    let began = Instant::now();
    let mut world = world_of(scenario);
    let verdict = play(&mut world, scenario);
    (outcome(&world, began, verdict), world)
}

/// Runs a scenario, and records it; a panic is a failure like others.
pub fn run_recorded(scenario: &Scenario) -> (Outcome, World, Recorder) {
    let began = Instant::now();
    let mut world = world_of(scenario);
    world.record(scenario.lasts);
    let verdict = catch_unwind(AssertUnwindSafe(|| play(&mut world, scenario)));
    let verdict = verdict.unwrap_or_else(|panic| Err(Failure::Crash(words(panic.as_ref()))));
    let outcome = outcome(&world, began, verdict);
    let recorder = world.recording().unwrap_or_default();
    (outcome, world, recorder)
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn world_of(scenario: &Scenario) -> World {
    let ages = scenario.faults.iter().any(|(_, fault)| fault.aged().is_some());
    let mut tuning = Tuning::default();
    tuning.lease.growth_wait = Duration::from_micros(scenario.growth_wait);
    tuning.lease.impatience = Duration::from_micros(scenario.impatience);
    let mut world = World::of(&scenario.hosts, scenario.seed, Network::default(), &tuning);
    if ages {
        world.remember_disks();
    }
    world
}

fn outcome(world: &World, began: Instant, verdict: Result<Times, Failure>) -> Outcome {
    Outcome {
        trace: world.trace.digest(),
        events: world.trace.events(),
        world: world.now,
        real: began.elapsed(),
        verdict,
    }
}

fn play(world: &mut World, scenario: &Scenario) -> Result<Times, Failure> {
    world.checks = Some(Checks::default());
    let formed = begin(world, scenario).map_err(Missing::formed);
    let mut told = formed.and_then(|services| {
        let users = Users::new(world.seed, services);
        suffer(world, scenario, users);
        calm(world, scenario).map_err(Missing::formed)?;
        liveness::judge(world)
    });
    if let Some(violation) = world.broken.clone() {
        return Err(Failure::Safety(violation));
    }
    let hosts = |of: fn(&Fault) -> Option<usize>| -> BTreeSet<usize> {
        scenario.faults.iter().filter_map(|(_, fault)| of(fault)).collect()
    };
    let (failing, lying, aged) = (hosts(Fault::failing), hosts(Fault::lying), hosts(Fault::aged));
    let is_of = |hosts: &BTreeSet<usize>, node: &NodeId| {
        world.host_of(*node).is_some_and(|host| hosts.contains(&host))
    };
    let mut alarms = world.events.iter().filter(|(_, host, event)| match event {
        Event::Alarm(Alarm::Storage(_)) => !failing.contains(host),
        // Whoever lies of itself is taken at its word.
        Event::Alarm(Alarm::OldDisk { .. }) => !lying.contains(host) && !aged.contains(host),
        Event::Alarm(Alarm::StampAhead { author: node, .. }) => !is_of(&lying, node),
        // An agent with the number of an earlier life looks like that one's clone.
        Event::Alarm(Alarm::Clone { node }) => !is_of(&lying, node) && !is_of(&aged, node),
        _ => true,
    });
    if let Some(alarm) = alarms.find_map(|(_, host, event)| alarming(*host, event)) {
        return Err(Failure::Crash(alarm));
    }
    if let Some(slander) = scenario.answering().and_then(|hosts| liveness::slandered(world, &hosts)) {
        return Err(Failure::Liveness(slander));
    }
    if let Err(missing) = &mut told {
        missing.how = format!("{}, at {:.1} s", missing.how, world.now as f64 / SECOND as f64);
    }
    told.map_err(Failure::Liveness)
}

/// The cluster forms and deploys, and nothing goes wrong yet.
fn begin(world: &mut World, scenario: &Scenario) -> Result<BTreeSet<ServiceId>, story::Failure> {
    story::form(world)?;
    let control = || world.hosts.iter().enumerate().filter(|(_, host)| !host.plan.worker);
    let voters = control().count();
    let last = control().next_back().map_or(0, |(number, _)| number);
    let mut services = BTreeSet::new();
    for plan in &scenario.services {
        let first = plan.replicas.min(1);
        let service = story::create(world, last, &plan.name, first)?;
        story::running(world, 30 * SECOND, service, first as usize)?;
        if plan.replicas > first {
            story::scale(world, 0, service, plan.replicas)?;
        }
        services.insert(service);
    }
    if scenario.growth_wait < 10 * SECOND && voters >= 3 {
        story::three_vote(world, 20 * SECOND)?;
    }
    Ok(services)
}

fn suffer(world: &mut World, scenario: &Scenario, mut users: Users) {
    world.mark(Phase::Faults);
    let began = world.now;
    let end = began + scenario.lasts;
    world.faults_from = began;
    world.network = scenario.network;
    for host in 0..world.hosts.len() {
        world.with_engine(host, |engine, _| engine.set_faults(scenario.engines));
    }
    let mut faults = scenario.faults.iter().peekable();
    let mut later: BTreeMap<(Time, usize), Then> = BTreeMap::new();
    let mut waiting: Vec<Fault> = Vec::new();
    let mut number = 0;
    let mut pauses = Stream::new(world.seed, "when users act", 0);
    let mut wait = |every: Time| pauses.between(every / 2, every + every / 2);
    let mut acts_at = scenario.users_every.map(|every| began + wait(every));
    while world.now < end && world.broken.is_none() {
        let fault_at = faults.peek().map(|(at, _)| began + at);
        let then_at = later.first_key_value().map(|((at, _), _)| *at);
        let mut next = [fault_at, then_at, acts_at].into_iter().flatten().min().unwrap_or(end).min(end);
        if world.until(next, |world| waiting.iter().any(|fault| fault.is_due(world))) {
            next = world.now;
        }
        if acts_at == Some(next) {
            users.act(world);
            acts_at = scenario.users_every.map(|every| next + wait(every));
        }
        while let Some(entry) = later.first_entry().filter(|entry| entry.key().0 <= next) {
            for (after, then) in entry.remove().happen(world) {
                number += 1;
                later.insert((world.now + after, number), then);
            }
        }
        let begun = std::iter::from_fn(|| faults.next_if(|(at, _)| began + at <= next));
        waiting.extend(begun.map(|(_, fault)| fault.clone()));
        // What one waits for may be gone when another has happened.
        while let Some(due) = waiting.iter().position(|fault| fault.is_due(world)) {
            let fault = waiting.remove(due);
            world.suffered.push((world.now, fault.clone()));
            for (after, then) in fault.happen(world) {
                number += 1;
                later.insert((world.now + after, number), then);
            }
        }
    }
}

/// Nothing goes wrong any more: everything is mended, and every agent runs that did not end for ever.
fn calm(world: &mut World, scenario: &Scenario) -> Result<(), story::Failure> {
    let mut graves = BTreeSet::new();
    for (_, fault) in &scenario.faults {
        graves.retain(|host| !fault.revives(*host));
        graves.extend(fault.grave());
    }
    world.mark(Phase::Calm);
    world.network = Network::default();
    world.heal();
    for host in 0..world.hosts.len() {
        world.with_engine(host, |engine, _| engine.set_faults(Faults::default()));
        world.hosts[host].each = 0;
        world.be_honest(host);
        if let Some(successor) = &mut world.hosts[host].successor {
            successor.cease();
        }
        world.hosts[host].disk.be_well();
        if !graves.contains(&host) {
            world.start(host);
        }
    }
    let awake = world.awake();
    world.until(awake, |_| false);
    // Without a majority of its voters, or a control node, a cluster waits for people, who bring back what
    // they have lost.
    for grave in graves {
        let speaks = world.hosts.iter().any(|host| host.is_control(world.now));
        if !speaks || !story::majority_lives(world) {
            world.start(grave);
            let awake = world.awake();
            world.until(awake, |_| false);
        }
    }
    let starting = |host: &Host| host.node.as_ref().is_some_and(|node| !node.has_started());
    story::expect(world, 60 * SECOND, "all have started", |world| !world.hosts.iter().any(starting))?;
    // Disks that are lost do not come back: somebody who knows says so.
    let helped = |(_, fault): &(Time, Fault)| matches!(fault, Fault::EmptyDisk { recover: true, .. });
    if scenario.faults.iter().any(helped) && !story::majority_lives(world) {
        story::recover(world)?;
    }
    admit_newcomers(world, scenario)
}

/// Whoever lost its disk and has not been let in again is now; so is whoever only itself knows to be in.
fn admit_newcomers(world: &mut World, scenario: &Scenario) -> Result<(), story::Failure> {
    world.find_the_lost();
    if !scenario.faults.iter().any(|(_, fault)| matches!(fault, Fault::EmptyDisk { .. })) {
        return Ok(());
    }
    // Whoever was admitted a moment ago is known to all by then.
    let soon = world.now + 5 * SECOND;
    world.until(soon, |_| false);
    let forgotten = (0..world.hosts.len()).filter(|host| story::is_forgotten(world, *host));
    for host in forgotten.collect::<Vec<_>>() {
        let ticket = world.command(host, Command::Leave { force: true });
        story::answer(world, ticket, "leave")?;
    }
    let is_new = |host: &Host| host.node.is_some() && host.cluster.is_none();
    while let Some(host) = world.hosts.iter().position(is_new).filter(|_| world.broken.is_none()) {
        story::join(world, host)?;
    }
    Ok(())
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
