//! A few members whose network is bad, and many whose network is well: 80 % loss, and links that come and go
//! in one direction, as in Rapid's experiments (Suresh et al.: "Stable and consistent membership at scale
//! with Rapid", 2018, section 7).
//!
//! # Not here
//! Tasks that move: `moves`.

use super::agent::System;
use super::field::{Field, Trouble, draw};
use super::report::{Figure, Report, Row, Times};
use super::{Options, downs};
use crate::random::Stream;
use crate::world::{SECOND, Time};

/// What is wrong, at a time since it began.
type Course = fn(Time) -> Trouble;

/// A kind of trouble.
struct Case {
    name: &'static str,
    course: Course,
}

const LOSS: u32 = 800;
const TURN: Time = 20 * SECOND;

/// Who must be known by then.
const BY: Time = 30 * SECOND;

/// Measures 80 % loss on one member of a hundred.
pub(super) fn loss(options: Options) -> Report {
    let inward = |_| Trouble { inward: LOSS, outward: 0 };
    let outward = |_| Trouble { inward: 0, outward: LOSS };
    let both = |_| Trouble { inward: LOSS, outward: LOSS };
    let cases = [
        Case { name: "80 % of what comes in", course: inward },
        Case { name: "80 % of what goes out", course: outward },
        Case { name: "80 % each way", course: both },
    ];
    measure("loss", options, &cases, 120 * SECOND)
}

/// Measures links that carry nothing in one direction for 20 s, and then all for 20 s.
pub(super) fn flip_flop(options: Options) -> Report {
    let deaf = |since| Trouble { inward: turns(since), outward: 0 };
    let mute = |since| Trouble { inward: 0, outward: turns(since) };
    let cases = [Case { name: "deaf by turns", course: deaf }, Case { name: "mute by turns", course: mute }];
    measure("flip-flop", options, &cases, 600 * SECOND)
}

const fn turns(since: Time) -> u32 {
    if (since / TURN).is_multiple_of(2) { 1000 } else { 0 }
}

fn measure(experiment: &'static str, options: Options, cases: &[Case], lasts: Time) -> Report {
    let nodes = options.nodes.unwrap_or(1000).max(3);
    let seeds = options.seeds.unwrap_or(1);
    let faulty = (nodes / 100).max(1);
    let mut rows = Vec::new();
    for case in cases {
        for system in System::ALL {
            let mut sum = Sum::default();
            (1..=seeds).for_each(|seed| sum.add(system, nodes, faulty, seed, case.course, lasts));
            rows.push(Row { case: case.name.to_owned(), system: system.name(), figures: sum.figures() });
        }
    }
    let setup = format!(
        "n = {nodes}, {faulty} of them faulty, for {} s; beliefs are those of the healthy",
        lasts / SECOND
    );
    Report { experiment, setup, seeds, rows }
}

/// What came of some worlds.
#[derive(Default)]
struct Sum {
    exact: Times,
    believed: u64,
    looked: u64,
    changes: u64,
    most_changes: u64,
    pairs: u64,
    wrong: u64,
    wrong_by_faulty: u64,
    sent: u64,
    node_seconds: u64,
}

impl Sum {
    fn add(&mut self, system: System, nodes: usize, faulty: usize, seed: u64, course: Course, lasts: Time) {
        let mut field = Field::settled(system, nodes, seed);
        let faulty = draw(&mut Stream::new(seed, "who is faulty", 0), faulty, nodes);
        let is_faulty = |node: usize| faulty.binary_search(&node).is_ok();
        let well: Vec<usize> = (0..nodes).filter(|node| !is_faulty(*node)).collect();
        let (began, mut exact) = (field.now, None);
        while field.now < began + lasts {
            let trouble = course(field.now - began);
            faulty.iter().for_each(|node| field.trouble(*node, trouble));
            field.run(SECOND);
            let pairs = well.iter().flat_map(|by| faulty.iter().map(move |about| (*by, *about)));
            let believed = pairs.filter(|(by, about)| field.sees(*by, *about)).count() as u64;
            if believed == 0 {
                exact = exact.or(Some(field.now - began));
            }
            if field.now - began > BY {
                self.believed += believed;
                self.looked += (well.len() * faulty.len()) as u64;
            }
        }
        self.exact.add(exact);
        let mut changes = std::collections::BTreeMap::new();
        for told in field.told.iter().filter(|told| !is_faulty(told.by) && is_faulty(told.about)) {
            *changes.entry((told.by, told.about)).or_insert(0) += 1;
        }
        self.changes += changes.values().sum::<u64>();
        self.most_changes = self.most_changes.max(changes.into_values().max().unwrap_or(0));
        self.pairs += (well.len() * faulty.len()) as u64;
        self.wrong += downs(&field, |by, about| !is_faulty(by) && !is_faulty(about));
        self.wrong_by_faulty += downs(&field, |by, about| is_faulty(by) && !is_faulty(about));
        self.sent += field.sent;
        self.node_seconds += nodes as u64 * lasts / SECOND;
    }

    fn figures(&mut self) -> Vec<Figure> {
        vec![
            Figure::seconds("all faulty down after s", self.exact.median()),
            Figure::percent("faulty believed up, % of the time after 30 s", self.believed, self.looked),
            Figure::number("changes a faulty member", self.changes as f64 / self.pairs as f64),
            Figure::number("at most", self.most_changes as f64),
            Figure::number("false downs by the healthy", self.wrong as f64),
            Figure::number("by the faulty", self.wrong_by_faulty as f64),
            Figure::number("messages a node and second", self.sent as f64 / self.node_seconds as f64),
        ]
    }
}
