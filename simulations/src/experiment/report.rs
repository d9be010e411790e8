//! What an experiment measured, as a table for people and as JSON for programs.
//!
//! # Not here
//! Measuring.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::world::{SECOND, Time};

/// What an experiment measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which.
    pub experiment: &'static str,
    /// What was done.
    pub setup: String,
    /// How many worlds each row was measured in: the seeds from 1.
    pub seeds: u64,
    /// One for each case and system.
    pub rows: Vec<Row>,
}

/// What one system did in one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which case.
    pub case: String,
    /// Who was measured.
    pub system: &'static str,
    /// What came of it.
    #[serde(serialize_with = "as_a_map")]
    pub figures: Vec<Figure>,
}

/// A number with a name; `None` if it did not come about.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is, its unit included.
    pub name: &'static str,
    /// How much.
    pub value: Option<f64>,
}

impl Figure {
    /// A count, or a share.
    pub const fn number(name: &'static str, value: f64) -> Self {
        Self { name, value: Some(value) }
    }

    /// A time in seconds.
    pub fn seconds(name: &'static str, time: Option<Time>) -> Self {
        Self { name, value: time.map(|time| time as f64 / SECOND as f64) }
    }

    /// A share of something, in percent; nothing of nothing is nothing.
    pub fn percent(name: &'static str, of: u64, all: u64) -> Self {
        let value = if all == 0 { 0.0 } else { of as f64 * 100.0 / all as f64 };
        Self::number(name, value)
    }
}

fn as_a_map<S: serde::Serializer>(figures: &[Figure], to: S) -> Result<S::Ok, S::Error> {
    let map: BTreeMap<&str, Option<f64>> = figures.iter().map(|figure| (figure.name, figure.value)).collect();
    map.serialize(to)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}; {} seeds\n", self.experiment, self.setup, self.seeds)?;
        let mut head: Vec<&str> = Vec::new();
        for row in &self.rows {
            let names: Vec<&str> = row.figures.iter().map(|figure| figure.name).collect();
            if names != head {
                writeln!(
                    f,
                    "| case | who | {} |\n|---|---|{}",
                    names.join(" | "),
                    "--:|".repeat(names.len())
                )?;
                head = names;
            }
            write!(f, "| {} | {} |", row.case, row.system)?;
            for figure in &row.figures {
                match figure.value {
                    Some(value) if value.fract() == 0.0 => write!(f, " {value:.0} |")?,
                    Some(value) => write!(f, " {value:.2} |")?,
                    None => write!(f, " never |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Times that were measured; a world in which one did not come about counts as later than all.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Time>);

impl Times {
    pub(super) fn add(&mut self, time: Option<Time>) {
        self.0.push(time.unwrap_or(Time::MAX));
    }

    /// The time that so many of a thousand do not exceed.
    pub(super) fn permille(&mut self, share: usize) -> Option<Time> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1)?;
        let place = (self.0.len() * share).div_ceil(1000).clamp(1, last + 1) - 1;
        self.0.get(place).copied().filter(|time| *time != Time::MAX)
    }

    pub(super) fn median(&mut self) -> Option<Time> {
        self.permille(500)
    }

    pub(super) fn most(&mut self) -> Option<Time> {
        self.permille(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What never came about is later than all that did.
    #[test]
    fn times_are_ranked() {
        let mut times = Times::default();
        assert_eq!(times.median(), None);
        (1..=200).for_each(|time| times.add(Some(time)));
        assert_eq!((times.median(), times.permille(990), times.most()), (Some(100), Some(198), Some(200)));
        times.add(None);
        assert_eq!((times.median(), times.permille(990), times.most()), (Some(101), Some(199), None));
    }
}
