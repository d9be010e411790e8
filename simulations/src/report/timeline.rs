//! A recording put in order: tenures, what is wanted, how others see each node, what went wrong when.
//!
//! # Not here
//! Words: `tale`, `causes`. Numbers: `figures`. How it is drawn: `page`.

use std::collections::BTreeMap;

use sleep_wire::{Epoch, ServiceId};

use super::faults::{Happened, happened};
use super::recorder::{Belief, Phase, Recorder, Told, Up};
use super::series::Series;
use super::words::list;
use crate::world::{Time, World};

/// How long a host was the holder of one epoch.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// Who.
    pub host: usize,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// Of what.
    pub epoch: Epoch,
}

/// A service over time.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which.
    pub id: ServiceId,
    /// What people call it.
    pub name: String,
    /// How many tasks it should have, as most agents tell.
    pub wanted: Series<u32>,
    /// How many containers run, wherever they do.
    pub running: Series<u32>,
}

/// How others see a node: what most of them believe, and whether some believe otherwise.
pub type Sight = (Belief, bool);

/// A recording, put in order.
pub struct Timeline<'a> {
    /// What was recorded.
    pub recorder: &'a Recorder,
    /// The world as it was in the end.
    pub world: &'a World,
    /// What hosts are called.
    pub names: Vec<&'a str>,
    /// When things began to go wrong.
    pub faults_from: Option<Time>,
    /// When they no longer did.
    pub calm_from: Option<Time>,
    /// When the run ended.
    pub end: Time,
    /// Who held the lease when, in order.
    pub tenures: Vec<Tenure>,
    /// What went wrong, in order.
    pub faults: Vec<Happened>,
    /// Services, in order of their names.
    pub services: Vec<Line>,
    /// How others see each host.
    pub seen: Vec<Series<Sight>>,
}

impl<'a> Timeline<'a> {
    /// Puts a recording in order.
    pub fn new(world: &'a World, recorder: &'a Recorder) -> Self {
        // Nothing happens after a law was broken.
        let end = world.broken.as_ref().map_or(world.now, |it| world.now.min(it.at + it.at / 20));
        let phase = |phase: Phase| {
            recorder.phases.iter().find(|(at, it)| *it == phase && *at <= end).map(|(at, _)| *at)
        };
        let mut timeline = Self {
            recorder,
            world,
            names: world.hosts.iter().map(crate::host::Host::name).collect(),
            faults_from: phase(Phase::Faults),
            calm_from: phase(Phase::Calm),
            end,
            tenures: tenures(recorder, end),
            faults: Vec::new(),
            services: recorder.services.iter().map(|(id, name)| line(recorder, *id, name)).collect(),
            seen: seen(recorder),
        };
        timeline.services.sort_by(|one, other| one.name.cmp(&other.name));
        timeline.faults = timeline.happened();
        timeline
    }

    /// Who held the lease at a moment.
    pub fn holder(&self, at: Time) -> Option<usize> {
        self.tenures.iter().rev().find(|tenure| tenure.from <= at && at < tenure.to).map(|it| it.host)
    }

    /// Whether a host's agent ran at a moment.
    pub fn runs(&self, host: usize, at: Time) -> bool {
        self.recorder.lanes[host].up.at(at) == Some(&Some(Up::Runs))
    }

    /// Names of hosts, as a list in words.
    pub fn called(&self, hosts: &[usize]) -> String {
        list(&hosts.iter().map(|host| self.names[*host]).collect::<Vec<_>>())
    }

    /// How many tasks are missing at each moment, over all services.
    pub fn missing(&self) -> Series<u32> {
        let mut moments: Vec<Time> = Vec::new();
        for line in &self.services {
            moments.extend(line.wanted.changes().iter().map(|(at, _)| *at));
            moments.extend(line.running.changes().iter().map(|(at, _)| *at));
        }
        moments.sort_unstable();
        moments.dedup();
        let mut missing = Series::default();
        for at in moments {
            let of = |series: &Series<u32>| series.at(at).copied().unwrap_or(0);
            let lacks = self.services.iter().map(|it| of(&it.wanted).saturating_sub(of(&it.running)));
            missing.set(at, lacks.sum());
        }
        missing
    }

    /// What went wrong; what is alike and happens at one moment is one.
    fn happened(&self) -> Vec<Happened> {
        let over = self.calm_from.unwrap_or(self.end);
        let mut all: Vec<Happened> = Vec::new();
        for (at, fault) in &self.world.suffered {
            let mut one = happened(*at, fault, self.holder(*at), &self.names, over);
            // When things are mended these alone are waited for.
            let outlasts = matches!(one.kind, "pause" | "disk stalls" | "engine hangs" | "engine restarts");
            one.until = one.until.min(if outlasts { self.end } else { over.max(one.at) });
            match all.last_mut() {
                Some(last) if (last.at, last.kind, last.until) == (one.at, one.kind, one.until) => {
                    last.words = format!("{}; {}", last.words, one.words);
                    last.hosts.append(&mut one.hosts);
                    last.hosts.sort_unstable();
                    last.hosts.dedup();
                    if self.alone(*at) {
                        last.words = "no node hears any other".to_owned();
                    }
                }
                Some(_) | None => all.push(one),
            }
        }
        all
    }

    /// Whether everybody is cut off from everybody.
    fn alone(&self, at: Time) -> bool {
        let others = u32::try_from(self.names.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.recorder.lanes.iter().all(|lane| lane.apart.at(at).copied().unwrap_or(0) == others)
    }
}

fn tenures(recorder: &Recorder, end: Time) -> Vec<Tenure> {
    let mut tenures = Vec::new();
    for (host, lane) in recorder.lanes.iter().enumerate() {
        for (from, to, epoch) in lane.holds.spans(end) {
            tenures.extend(epoch.map(|epoch| Tenure { host, from, to, epoch }));
        }
    }
    tenures.sort_by_key(|tenure| (tenure.from, tenure.host));
    tenures
}

fn line(recorder: &Recorder, id: ServiceId, name: &str) -> Line {
    let mut told: Vec<(Time, usize, Option<u32>)> = Vec::new();
    let mut run: Vec<(Time, usize, u32)> = Vec::new();
    for (host, lane) in recorder.lanes.iter().enumerate() {
        for (at, rows) in lane.services.changes() {
            let desired =
                |rows: &Vec<Told>| rows.iter().find(|row| row.service == id).map_or(0, |it| it.desired);
            told.push((*at, host, rows.as_ref().map(desired)));
        }
        for (at, tasks) in lane.tasks.changes() {
            run.push((*at, host, tasks.get(&id).copied().unwrap_or(0)));
        }
    }
    told.sort_by_key(|(at, host, _)| (*at, *host));
    run.sort_by_key(|(at, host, _)| (*at, *host));
    let hosts = recorder.lanes.len();
    let (mut wanted, mut running) = (Series::default(), Series::default());
    let (mut votes, mut counts): (Vec<Option<u32>>, Vec<u32>) = (vec![None; hosts], vec![0; hosts]);
    let (mut tally, mut sum) = (BTreeMap::<u32, u32>::new(), 0);
    for (at, host, desired) in told {
        if let Some(old) = std::mem::replace(&mut votes[host], desired) {
            tally.entry(old).and_modify(|count| *count -= 1);
        }
        if let Some(new) = desired {
            *tally.entry(new).or_default() += 1;
        }
        let most = tally.iter().filter(|(_, count)| **count > 0).max_by_key(|(_, count)| **count);
        wanted.set(at, most.map_or(0, |(desired, _)| *desired));
    }
    for (at, host, count) in run {
        sum = sum - counts[host] + count;
        counts[host] = count;
        running.set(at, sum);
    }
    Line { id, name: name.to_owned(), wanted, running }
}

fn seen(recorder: &Recorder) -> Vec<Series<Sight>> {
    let hosts = recorder.lanes.len();
    let mut changes: Vec<(Time, usize, usize, Belief)> = Vec::new();
    for (observer, lane) in recorder.lanes.iter().enumerate() {
        let others = lane.beliefs.iter().filter(|(_, of, _)| *of != observer);
        changes.extend(others.map(|(at, of, belief)| (*at, observer, *of, *belief)));
    }
    changes.sort_by_key(|(at, observer, ..)| (*at, *observer));
    let mut now: BTreeMap<(usize, usize), Belief> = BTreeMap::new();
    let mut tallies = vec![[0_u32; 5]; hosts];
    let mut seen = vec![Series::default(); hosts];
    for (at, observer, of, belief) in changes {
        if let Some(old) = now.insert((observer, of), belief) {
            tallies[of][old as usize] -= 1;
        }
        tallies[of][belief as usize] += 1;
        let known = [Belief::Alive, Belief::Suspect, Belief::Restarting, Belief::Down];
        let held = || known.into_iter().filter(|belief| tallies[of][*belief as usize] > 0);
        let most = held().max_by_key(|belief| tallies[of][*belief as usize]);
        seen[of].set(at, (most.unwrap_or(Belief::Unknown), held().count() > 1));
    }
    seen
}
