//! Nothing passes between two nodes, and everything between all others: whose death is that?
//!
//! # Not here
//! Tasks that move: `moves`.

use super::agent::System;
use super::field::{Field, draw};
use super::report::{Figure, Report, Row};
use super::{Options, downs};
use crate::random::Stream;
use crate::world::{SECOND, Time};

/// How long this lasts.
const LASTS: Time = 600 * SECOND;

/// Measures it.
pub(super) fn run(options: Options) -> Report {
    let sizes = options.nodes.map_or(vec![3, 5, 32], |nodes| vec![nodes.max(2)]);
    let seeds = options.seeds.unwrap_or(10);
    let mut rows = Vec::new();
    for nodes in sizes {
        for system in System::ALL {
            let (mut wrong, mut changes) = (0, 0);
            for seed in 1..=seeds {
                let mut field = Field::settled(system, nodes, seed);
                let pair = draw(&mut Stream::new(seed, "which link", 0), 2, nodes);
                field.cut(pair[0], pair[1]);
                field.run(LASTS);
                wrong += downs(&field, |_, _| true);
                changes += field.told.len();
            }
            let figures = vec![
                Figure::number("false downs", wrong as f64),
                Figure::number("membership changes", changes as f64),
            ];
            rows.push(Row { case: format!("n = {nodes}"), system: system.name(), figures });
        }
    }
    let setup = format!("one link of all is cut for {} s", LASTS / SECOND);
    Report { experiment: "link", setup, seeds, rows }
}
