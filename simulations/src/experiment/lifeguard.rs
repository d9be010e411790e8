//! Members that stop processing again and again, as in Lifeguard's own experiment (Dadgar, Phillips, Currey:
//! "Lifeguard: local health awareness for more accurate failure detection", 2018, section V): whom do they
//! take along?
//!
//! C of n members stop for D together, go on for [`WELL`], and so on for two minutes. They stop either as a
//! process does that is not scheduled, or as in the paper: timers go on, and only sending and receiving wait.
//!
//! # Not here
//! Tasks that move: `moves`.

use super::agent::System;
use super::field::{Field, Stop, draw};
use super::report::{Figure, Report, Row};
use super::{Options, downs};
use crate::random::Stream;
use crate::span;
use crate::world::{SECOND, Time};

/// How many stop.
pub(super) const CONCURRENT: [usize; 4] = [1, 4, 8, 32];
/// For how long.
pub(super) const DURATIONS: [Time; 5] = [128_000, 512_000, 2_048_000, 8_192_000, 32_768_000];
/// For how long they go on in between.
pub(super) const WELL: Time = 1_024_000;
/// How long this lasts.
pub(super) const LASTS: Time = 120 * SECOND;

/// Measures it, all numbers of members that stop taken together.
pub(super) fn run(options: Options) -> Report {
    let nodes = options.nodes.unwrap_or(128).max(2);
    let seeds = options.seeds.unwrap_or(2);
    let mut rows = Vec::new();
    for (stop, what) in [(Stop::Sockets, "sockets"), (Stop::Process, "process")] {
        let mut totals = System::ALL.map(|system| (system, Wrong::default()));
        for lasts in DURATIONS {
            for (system, total) in &mut totals {
                let mut wrong = Wrong::default();
                for (count, seed) in
                    CONCURRENT.iter().flat_map(|count| (1..=seeds).map(move |seed| (count, seed)))
                {
                    wrong.add(play(*system, nodes, seed, *count, lasts, stop));
                }
                total.add(wrong);
                rows.push(wrong.row(format!("{what}, {}", span::show(lasts)), *system));
            }
        }
        rows.extend(totals.map(|(system, total)| total.row(format!("{what}, all"), system)));
    }
    let setup = format!(
        "n = {nodes}; C of {CONCURRENT:?} together stop for D, go on for {}, for {}; \
         healthy is who never stops",
        span::show(WELL),
        span::show(LASTS),
    );
    Report { experiment: "lifeguard", setup, seeds, rows }
}

/// How often somebody was called dead.
#[derive(Clone, Copy, Default)]
struct Wrong {
    /// A healthy member, by anybody.
    healthy: u64,
    /// A healthy member, by a healthy one.
    by_healthy: u64,
    /// One that stops, by a healthy one.
    stopping: u64,
}

impl Wrong {
    const fn add(&mut self, other: Self) {
        self.healthy += other.healthy;
        self.by_healthy += other.by_healthy;
        self.stopping += other.stopping;
    }

    fn row(self, case: String, system: System) -> Row {
        let figures = vec![
            Figure::number("false downs of healthy members", self.healthy as f64),
            Figure::number("of these by healthy ones", self.by_healthy as f64),
            Figure::number("downs of those that stop", self.stopping as f64),
        ];
        Row { case, system: system.name(), figures }
    }
}

fn play(system: System, nodes: usize, seed: u64, count: usize, lasts: Time, stop: Stop) -> Wrong {
    let mut field = Field::settled(system, nodes, seed);
    let stopping = draw(&mut Stream::new(seed, "who stops", 0), count.min(nodes - 1), nodes);
    let stops = |node: usize| stopping.binary_search(&node).is_ok();
    let end = field.now + LASTS;
    while field.now < end {
        for node in &stopping {
            field.stop(*node, stop, lasts);
        }
        field.run(lasts + WELL);
    }
    Wrong {
        healthy: downs(&field, |_, about| !stops(about)),
        by_healthy: downs(&field, |by, about| !stops(by) && !stops(about)),
        stopping: downs(&field, |by, about| !stops(by) && stops(about)),
    }
}
