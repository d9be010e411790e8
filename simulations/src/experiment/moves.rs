//! What membership's troubles do to work: how many tasks move that nobody asked to move?
//!
//! Whole agents, for foca alone moves nothing: lifeguard's stops, a node that is deaf by turns, a cut link.
//!
//! # Not here
//! What the membership believes meanwhile, and plain foca: `lifeguard`, `faulty`, `link`.

use std::collections::{BTreeMap, BTreeSet};

use sleep_core::node::Tuning;
use sleep_wire::key::SlotKey;
use sleep_wire::task::TaskId;

use super::Options;
use super::agent::System;
use super::field::draw;
use super::lifeguard::{DURATIONS, LASTS, WELL};
use super::report::{Figure, Report, Row};
use crate::random::Stream;
use crate::span;
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// What goes wrong.
#[derive(Clone, Copy)]
enum Wrong {
    /// A quarter of the agents stop for so long, again and again.
    Stops(Time),
    /// One node does not hear the others for 20 s, hears them for 20 s, and so on.
    Deaf,
    /// Two nodes do not hear each other.
    Link,
}

const TURN: Time = 20 * SECOND;

/// Measures it.
pub(super) fn run(options: Options) -> Report {
    let nodes = options.nodes.unwrap_or(16).max(4);
    let seeds = options.seeds.unwrap_or(5);
    let stops = DURATIONS.map(|time| (format!("stops of {}", span::show(time)), Wrong::Stops(time)));
    let cases = stops
        .into_iter()
        .chain([("deaf by turns".to_owned(), Wrong::Deaf), ("one link".to_owned(), Wrong::Link)]);
    let rows = cases.map(|(case, wrong)| {
        let (mut all, mut healthy, mut most, mut unformed) = (0, 0, 0, 0);
        for seed in 1..=seeds {
            let Ok(moved) = play(nodes, seed, wrong) else {
                unformed += 1;
                continue;
            };
            all += moved.all;
            healthy += moved.healthy;
            most = most.max(moved.most);
        }
        let figures = vec![
            Figure::number("tasks moved", all as f64),
            Figure::number("of these off healthy nodes", healthy as f64),
            Figure::number("most moves of one slot", most as f64),
            Figure::number("clusters that did not form", f64::from(unformed)),
        ];
        Row { case, system: System::Ours.name(), figures }
    });
    let rows = rows.collect();
    let setup = format!("n = {nodes}, two tasks a node; stops for 2 min, links for 10 min");
    Report { experiment: "moves", setup, seeds, rows }
}

#[derive(Default)]
struct Moved {
    all: usize,
    healthy: usize,
    most: usize,
}

fn play(nodes: usize, seed: u64, wrong: Wrong) -> Result<Moved, story::Failure> {
    let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
    story::form(&mut world)?;
    let replicas = u32::try_from(2 * nodes).unwrap_or(u32::MAX);
    let service = story::create(&mut world, 0, "app", replicas)?;
    story::running(&mut world, 60 * SECOND, service, replicas as usize)?;
    story::three_vote(&mut world, 120 * SECOND)?;
    let calm = world.now + 10 * SECOND;
    world.until(calm, |_| false);
    let mut stream = Stream::new(seed, "who is faulty", 0);
    let (faulty, lasts) = match wrong {
        Wrong::Stops(_) => (draw(&mut stream, nodes / 4, nodes), LASTS),
        Wrong::Deaf => (draw(&mut stream, 1, nodes), 600 * SECOND),
        Wrong::Link => (draw(&mut stream, 2, nodes), 600 * SECOND),
    };
    let mut watch = Watch::default();
    let (began, mut next) = (world.now, world.now);
    if let (Wrong::Link, [one, other]) = (wrong, faulty.as_slice()) {
        world.cut(*one, *other);
        world.cut(*other, *one);
    }
    let mut deaf = false;
    while world.now < began + lasts {
        if world.now >= next {
            match wrong {
                Wrong::Stops(time) => {
                    faulty.iter().for_each(|host| world.pause(*host, time));
                    next += time + WELL;
                }
                Wrong::Deaf => {
                    deaf = !deaf;
                    for (from, to) in (0..nodes).flat_map(|from| faulty.iter().map(move |to| (from, *to))) {
                        if deaf { world.cut(from, to) } else { world.mend(from, to) }
                    }
                    next += TURN;
                }
                Wrong::Link => next = began + lasts,
            }
        }
        watch.look(&world);
        let end = (world.now + SECOND / 10).min(next.max(world.now + 1));
        world.until(end, |_| false);
    }
    Ok(watch.moved(&faulty, matches!(wrong, Wrong::Link)))
}

/// Which tasks ran in each slot, and where.
#[derive(Default)]
struct Watch(BTreeMap<SlotKey, BTreeMap<TaskId, usize>>);

impl Watch {
    fn look(&mut self, world: &World) {
        for (number, host) in world.hosts.iter().enumerate() {
            for label in host.engine.running().filter_map(|container| container.label()) {
                self.0.entry(label.slot).or_default().insert(label.task, number);
            }
        }
    }

    /// Each task but the first of a slot has moved there. With a cut link every node is healthy.
    fn moved(&self, faulty: &[usize], all_healthy: bool) -> Moved {
        let mut moved = Moved::default();
        for tasks in self.0.values() {
            let moves = tasks.len() - 1;
            let homes: BTreeSet<usize> = tasks.values().copied().collect();
            let healthy = all_healthy || !homes.iter().any(|home| faulty.contains(home));
            moved.all += moves;
            moved.healthy += if healthy { moves } else { 0 };
            moved.most = moved.most.max(moves);
        }
        moved
    }
}
