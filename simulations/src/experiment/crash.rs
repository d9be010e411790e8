//! One node of several dies: when does each of the others know?
//!
//! # Not here
//! What becomes of its work: `leader`.

use super::agent::System;
use super::field::Field;
use super::report::{Figure, Report, Row, Times};
use super::{Options, downs};
use crate::random::Stream;
use crate::world::SECOND;

/// After so long nobody is waited for.
const GIVEN_UP: u64 = 60 * SECOND;

/// Measures it for the table's 32 nodes, and for those that Serf was measured with.
pub(super) fn run(options: Options) -> Report {
    let sizes = options.nodes.map_or(vec![3, 32, 50, 100], |nodes| vec![nodes.max(2)]);
    let seeds = options.seeds.unwrap_or(50);
    let rows = sizes.into_iter().flat_map(|nodes| System::ALL.map(|system| row(system, nodes, seeds)));
    let setup = String::from("one node is killed; each other's belief is timed from then");
    Report { experiment: "crash", setup, seeds, rows: rows.collect() }
}

fn row(system: System, nodes: usize, seeds: u64) -> Row {
    let (mut each, mut all, mut wrong) = (Times::default(), Times::default(), 0);
    for seed in 1..=seeds {
        let mut field = Field::settled(system, nodes, seed);
        let mut stream = Stream::new(seed, "crash", 0);
        field.run(stream.below(SECOND));
        let victim = usize::try_from(stream.below(nodes as u64)).unwrap_or(0);
        let died = field.now;
        field.kill(victim);
        let known =
            |field: &Field| (0..nodes).filter(|node| *node != victim).all(|node| !field.sees(node, victim));
        let known = field.run_until(died + GIVEN_UP, SECOND / 100, known);
        all.add(known.map(|at| at - died));
        for node in (0..nodes).filter(|node| *node != victim) {
            let told = field.told.iter().find(|told| (told.by, told.about, told.up) == (node, victim, false));
            each.add(told.map(|told| told.at - died));
        }
        wrong += downs(&field, |_, about| about != victim);
    }
    let figures = vec![
        Figure::seconds("p50 s", each.median()),
        Figure::seconds("p99 s", each.permille(990)),
        Figure::seconds("max s", each.most()),
        Figure::seconds("known by all p50 s", all.median()),
        Figure::seconds("known by all max s", all.most()),
        Figure::number("false downs", wrong as f64),
    ];
    Row { case: format!("n = {nodes}"), system: system.name(), figures }
}
