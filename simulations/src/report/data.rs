//! What the page's script draws, as JSON that is as small as it need be.
//!
//! Moments are milliseconds, each counted from the one before; a value stands beside its moment. If all of it
//! is too much, changes that are close to each other become one, from ever further apart.
//!
//! # Not here
//! What the script does with it: `page.js`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::recorder::{Belief, Lane, Up};
use super::series::Series;
use super::timeline::Timeline;
use crate::world::{SECOND, Time};

/// The most bytes that the data may have.
pub const LIMIT: usize = 900_000;
/// Of how many agents, at most, the beliefs are shown.
const OBSERVERS: usize = 48;
/// How many faults are drawn, at most.
const FAULTS: usize = 500;
/// How many moments the network's line has, at most.
const RATES: Time = 400;
/// A millisecond.
const MILLI: Time = 1_000;

/// The data, in the finest grain that fits.
pub fn data(timeline: &Timeline<'_>, flags: &[(Time, Option<usize>, String)]) -> String {
    let mut grain = MILLI;
    loop {
        let text = in_grain(timeline, flags, grain).to_string();
        if text.len() <= LIMIT || grain > timeline.end {
            return text.replace('<', "\\u003c");
        }
        grain *= 4;
    }
}

fn in_grain(timeline: &Timeline<'_>, flags: &[(Time, Option<usize>, String)], grain: Time) -> Value {
    let mut epochs: Vec<_> = timeline.tenures.iter().map(|tenure| tenure.epoch).collect();
    let leaders = timeline.recorder.lanes.iter().flat_map(|lane| lane.leader.changes());
    epochs.extend(leaders.filter_map(|(_, leader)| Some((*leader)?.0)));
    epochs.sort_unstable();
    epochs.dedup();
    let number = |epoch| epochs.binary_search(&epoch).map_or(-1, signed);
    let host = |id| timeline.recorder.hosts.get(&id).map_or(-1, |host| signed(*host));
    let every = timeline.names.len().div_ceil(OBSERVERS);
    let lane = |(host, lane): (usize, &Lane)| {
        let mut pauses = Ticks::default();
        lane.pauses.iter().for_each(|(from, to)| pauses.add(*from, [signed_time((*to - *from) / MILLI)]));
        let each = |line: &super::timeline::Line| {
            let of = |(at, tasks): &(Time, BTreeMap<_, u32>)| {
                (*at, i64::from(tasks.get(&line.id).copied().unwrap_or(0)))
            };
            changes(lane.tasks.changes().iter().map(of), grain)
        };
        let mut drawn = json!({
            "up": changes(lane.up.changes().iter().map(|(at, up)| (*at, up_number(*up))), grain),
            "apart": changes(lane.apart.changes().iter().map(|(at, count)| (*at, i64::from(*count))), grain),
            "seen": changes(timeline.seen[host].changes().iter().map(|(at, (belief, mixed))| {
                (*at, *belief as i64 + if *mixed { 8 } else { 0 })
            }), grain),
            "pause": pauses.0,
            "tasks": timeline.services.iter().map(each).collect::<Vec<_>>(),
        });
        if host % every == 0 {
            drawn["view"] = json!({
                "sees": beliefs(lane, grain),
                "leads": changes(lane.leader.changes().iter().map(|(at, leader)| {
                    let shown = |(epoch, fresh)| number(epoch) * 2 + i64::from(fresh);
                    (*at, leader.map_or(-2, shown))
                }), grain),
                "tells": timeline.services.iter().map(|line| tells(lane, line.id, grain)).collect::<Vec<_>>(),
            });
        }
        drawn
    };
    let phases = [timeline.faults_from, timeline.calm_from].map(|at| at.map(|at| at / MILLI));
    let mut holds = Ticks::default();
    for it in &timeline.tenures {
        holds.add(it.from, [signed_time((it.to - it.from) / MILLI), signed(it.host), number(it.epoch)]);
    }
    let wanted = timeline
        .services
        .iter()
        .map(|line| changes(line.wanted.changes().iter().map(|(at, count)| (*at, i64::from(*count))), grain));
    json!({
        "names": timeline.names,
        "end": timeline.end / MILLI,
        "phases": phases,
        "services": timeline.services.iter().map(|line| &line.name).collect::<Vec<_>>(),
        "epochs": epochs.iter().map(|epoch| json!([epoch.term, host(epoch.candidate)])).collect::<Vec<_>>(),
        "lanes": timeline.recorder.lanes.iter().enumerate().map(lane).collect::<Vec<_>>(),
        "holds": holds.0,
        "wanted": wanted.collect::<Vec<_>>(),
        "rate": rates(timeline),
        "faults": faults(timeline),
        "flags": flags.iter().map(|(at, host, what)| json!([at / MILLI, host, what])).collect::<Vec<_>>(),
    })
}

/// Numbers, each row begun with the milliseconds since the row before.
#[derive(Default)]
struct Ticks(Vec<i64>, Time);

impl Ticks {
    fn add<const N: usize>(&mut self, at: Time, values: [i64; N]) {
        let at = at / MILLI;
        self.0.push(signed_time(at) - signed_time(self.1));
        self.0.extend(values);
        self.1 = at;
    }
}

fn changes(all: impl Iterator<Item = (Time, i64)>, grain: Time) -> Vec<i64> {
    let mut series = Series::default();
    all.for_each(|(at, value)| series.set(at, value));
    let mut ticks = Ticks::default();
    series.thinned(grain).changes().iter().for_each(|(at, value)| ticks.add(*at, [*value]));
    ticks.0
}

fn beliefs(lane: &Lane, grain: Time) -> Vec<i64> {
    let mut of: BTreeMap<usize, Series<Belief>> = BTreeMap::new();
    for (at, whom, belief) in &lane.beliefs {
        of.entry(*whom).or_default().set(*at, *belief);
    }
    let thin = |(whom, series): (&usize, &Series<Belief>)| {
        let changes = series.thinned(grain);
        changes.changes().iter().map(|(at, belief)| (*at, *whom, *belief)).collect::<Vec<_>>()
    };
    let mut all: Vec<(Time, usize, Belief)> = of.iter().flat_map(thin).collect();
    all.sort_unstable();
    let mut ticks = Ticks::default();
    all.iter().for_each(|(at, whom, belief)| ticks.add(*at, [signed(*whom), *belief as i64]));
    ticks.0
}

/// What an agent tells of a service: how many run, how many should; −1 if it does not know of it.
fn tells(lane: &Lane, service: sleep_wire::ServiceId, grain: Time) -> Vec<i64> {
    let mut series = Series::default();
    for (at, rows) in lane.services.changes() {
        let row = rows.iter().flatten().find(|row| row.service == service);
        series.set(*at, row.map_or((-1, -1), |row| (i64::from(row.running), i64::from(row.desired))));
    }
    let mut ticks = Ticks::default();
    for (at, (running, desired)) in series.thinned(grain).changes() {
        ticks.add(*at, [*running, *desired]);
    }
    ticks.0
}

/// Bytes a node a second, the mean of all nodes.
fn rates(timeline: &Timeline<'_>) -> Vec<i64> {
    let lanes = &timeline.recorder.lanes;
    let mut sums: BTreeMap<Time, u64> = BTreeMap::new();
    for (at, sent) in lanes.iter().flat_map(|lane| &lane.sent) {
        *sums.entry(*at).or_default() += sent;
    }
    let least = (timeline.end / RATES).max(SECOND / 2);
    let mut ticks = Ticks::default();
    let mut last = (0, 0);
    for (at, sum) in sums {
        let time = at - last.0;
        if time >= least {
            let rate = (sum - last.1) * SECOND / time / lanes.len().max(1) as u64;
            ticks.add(last.0, [signed_time(rate)]);
            last = (at, sum);
        }
    }
    ticks.0
}

fn faults(timeline: &Timeline<'_>) -> Vec<Value> {
    let mut longest: Vec<_> = timeline.faults.iter().collect();
    longest.sort_by_key(|fault| std::cmp::Reverse(fault.until - fault.at));
    longest.truncate(FAULTS);
    longest.sort_by_key(|fault| fault.at);
    let drawn = longest.into_iter().map(|fault| {
        let words: String = fault.words.chars().take(240).collect();
        json!([fault.at / MILLI, fault.until / MILLI, fault.hosts, fault.kind, words])
    });
    drawn.collect()
}

const fn up_number(up: Option<Up>) -> i64 {
    match up {
        None | Some(Up::Off) => 2,
        Some(Up::Runs) => 0,
        Some(Up::AgentDown) => 1,
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn signed_time(time: Time) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_the_one_before() {
        let all = [(1_000_000, 1), (1_500_000, 2), (61_500_000, 1)];
        assert_eq!(changes(all.into_iter(), MILLI), [1_000, 1, 500, 2, 60_000, 1]);
        assert_eq!(changes(all.into_iter(), 10 * SECOND), [1_000, 2, 60_500, 1]);
    }
}
