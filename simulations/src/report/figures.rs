//! A run in a few numbers: how soon the dead were missed, how long nobody led, what did not run, what it cost
//! the network.
//!
//! # Not here
//! What must be: `liveness`.

use std::collections::BTreeMap;

use sleep_core::io::Event;

use super::faults::Happened;
use super::timeline::Timeline;
use crate::world::{SECOND, Time};

/// After a fault is over its victim may still be found to be missing for so long.
const AFTERWARDS: Time = 10 * SECOND;

/// How a victim's silence was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// Who fell silent.
    pub victim: usize,
    /// Who first suspected it, and how long after the fault.
    pub suspected: Option<(usize, Time)>,
    /// Who first took it for down, and how long after the fault.
    pub down: Option<(usize, Time)>,
    /// How long until all did who could tell.
    pub by_all: Option<Time>,
}

/// Numbers of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How long after its fault each silent node was taken for down, shortest first.
    pub detection: Vec<Time>,
    /// Faults that silenced a node and were over before anybody took it for down.
    pub unnoticed: usize,
    /// How long nobody held the lease, each time that its holder changed, shortest first.
    pub failover: Vec<Time>,
    /// Task-microseconds that were wanted and not run, since things began to go wrong.
    pub deficit: u64,
    /// The most tasks that were missing at once.
    pub most_missing: u32,
    /// Bytes a node a second: the mean of all, and the busiest node's with its number.
    pub bytes: (u64, u64, usize),
}

/// Counts.
pub fn figures(timeline: &Timeline<'_>) -> Figures {
    let mut figures = Figures::default();
    for fault in timeline.faults.iter().filter(|fault| fault.silences) {
        let found = noticed(timeline, fault);
        let downs: Vec<Time> = found.iter().filter_map(|it| Some(it.down?.1)).collect();
        if downs.is_empty() {
            figures.unnoticed += 1;
        }
        figures.detection.extend(downs);
    }
    figures.detection.sort_unstable();
    figures.failover = failovers(timeline).into_iter().map(|(_, gap)| gap).collect();
    figures.failover.sort_unstable();
    let from = timeline.faults_from.unwrap_or(timeline.end);
    for (since, until, missing) in timeline.missing().spans(timeline.end) {
        let time = until.saturating_sub(since.max(from));
        if time > 0 {
            figures.deficit += time * u64::from(*missing);
            figures.most_missing = figures.most_missing.max(*missing);
        }
    }
    let rate = |bytes: u64| bytes * SECOND / timeline.end.max(1);
    let rates: Vec<u64> = timeline.world.sent.iter().map(|bytes| rate(*bytes)).collect();
    let busiest = rates.iter().enumerate().max_by_key(|(_, rate)| **rate);
    let mean = rates.iter().sum::<u64>() / rates.len().max(1) as u64;
    figures.bytes = (mean, busiest.map_or(0, |(_, rate)| *rate), busiest.map_or(0, |(host, _)| host));
    figures
}

/// When each new holder began since things go wrong, and how long nobody had held the lease before.
pub fn failovers(timeline: &Timeline<'_>) -> Vec<(usize, Time)> {
    let from = timeline.faults_from.unwrap_or(timeline.end);
    let mut gaps = Vec::new();
    let mut held_until = None;
    for (number, tenure) in timeline.tenures.iter().enumerate() {
        if let Some(until) = held_until
            && tenure.from > from
        {
            gaps.push((number, tenure.from.saturating_sub(until)));
        }
        held_until = Some(held_until.map_or(tenure.to, |until: Time| until.max(tenure.to)));
    }
    gaps
}

/// How those who could tell noticed each of whom a fault silenced.
pub fn noticed(timeline: &Timeline<'_>, fault: &Happened) -> Vec<Noticed> {
    let until = fault.until + AFTERWARDS;
    let mut found = Vec::new();
    for victim in &fault.hosts {
        // Of those who are on the same side of a cut nobody misses the other.
        let tells = |host: usize| match fault.hosts.len() {
            1 => host != *victim,
            _ => !fault.hosts.contains(&host) || fault.hosts.len() == timeline.names.len(),
        };
        let observers: Vec<usize> = (0..timeline.names.len())
            .filter(|host| host != victim && tells(*host) && timeline.runs(*host, fault.at))
            .collect();
        let mut suspected = None;
        let mut downs: BTreeMap<usize, Time> = BTreeMap::new();
        let events = &timeline.world.events;
        let first = events.partition_point(|(at, ..)| *at < fault.at);
        for (at, host, event) in events[first..].iter().take_while(|(at, ..)| *at <= until) {
            let about = |node| timeline.recorder.hosts.get(node) == Some(victim) && observers.contains(host);
            match event {
                Event::NodeSuspect { node, .. } if about(node) => {
                    suspected.get_or_insert((*host, *at - fault.at));
                }
                Event::NodeDown { node, .. } if about(node) => {
                    downs.entry(*host).or_insert(*at - fault.at);
                }
                _ => {}
            }
        }
        let first = downs.iter().min_by_key(|(_, after)| **after).map(|(host, after)| (*host, *after));
        let by_all = (downs.len() == observers.len()).then(|| downs.values().copied().max()).flatten();
        found.push(Noticed { victim: *victim, suspected, down: first, by_all });
    }
    found
}
