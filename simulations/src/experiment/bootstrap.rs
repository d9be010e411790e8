//! Many nodes join one at once: when do all believe in all?
//!
//! Ours is measured twice: the membership alone, whose nodes have been admitted, and the whole agent, whose
//! nodes are admitted at the first one's door and have its records to read first.

use sleep_core::node::Tuning;

use super::Options;
use super::agent::{Start, System};
use super::field::Field;
use super::report::{Figure, Report, Row, Times};
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// After so long nobody is waited for.
const GIVEN_UP: Time = 300 * SECOND;

/// Measures it.
pub(super) fn run(options: Options) -> Report {
    let nodes = options.nodes.unwrap_or(1000).max(2);
    let seeds = options.seeds.unwrap_or(1);
    let row = |case: &str, system, mut times: Times| {
        let figures =
            vec![Figure::seconds("all agree p50 s", times.median()), Figure::seconds("max s", times.most())];
        Row { case: case.to_owned(), system, figures }
    };
    let mut rows = Vec::new();
    for system in System::ALL {
        let mut times = Times::default();
        (1..=seeds).for_each(|seed| times.add(alone(system, nodes, seed)));
        rows.push(row("membership alone", system.name(), times));
    }
    let mut times = Times::default();
    (1..=seeds).for_each(|seed| times.add(whole(nodes, seed)));
    rows.push(row("the whole agent", System::Ours.name(), times));
    let setup =
        format!("{} nodes join the first at one moment; given up after {} s", nodes - 1, GIVEN_UP / SECOND);
    Report { experiment: "bootstrap", setup, seeds, rows }
}

fn alone(system: System, nodes: usize, seed: u64) -> Option<Time> {
    let mut field = Field::empty(nodes, seed);
    field.start(system, 0, Start::Joining);
    field.run(SECOND);
    let began = field.now;
    (1..nodes).for_each(|node| field.start(system, node, Start::Joining));
    field.run_until(began + GIVEN_UP, SECOND / 10, Field::agrees).map(|at| at - began)
}

fn whole(nodes: usize, seed: u64) -> Option<Time> {
    let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
    let began = world.now;
    story::form(&mut world).ok().map(|()| world.now - began)
}
