//! Many runs as one table, the worst first.
//!
//! # Not here
//! One run in all its detail: `page`.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::page::{BASE, fill, thousands};
use super::words::{count, html, length};
use crate::chaos;
use crate::liveness::Times;
use crate::run::{Failure, Outcome};
use crate::scenario::{Scenario, stories};
use crate::sweep::{judged, nodes_of};
use crate::world::{SECOND, Time};

const PAGE: &str = include_str!("suite.html");
const STYLE: &str = include_str!("suite.css");

/// One run of the suite.
pub struct Row {
    /// What was run.
    pub what: String,
    /// How it is run again.
    pub command: String,
    /// How many nodes it had.
    pub nodes: usize,
    /// What came of it.
    pub result: Result<Outcome, Failure>,
}

impl Row {
    /// Failures first, the gravest of them before others; then the slowest to be well.
    fn order(&self) -> (Reverse<u8>, Reverse<Time>, &str) {
        let (code, slow) = match &self.result {
            Ok(outcome) => (0, outcome.verdict.as_ref().map_or(0, |times| times.equal)),
            Err(failure) => (failure.code(), 0),
        };
        (Reverse(code), Reverse(slow), &self.what)
    }
}

/// Runs the short stories, and seeds from the first to before the last.
///
/// # Errors
/// A story that cannot be read.
pub fn suite((from, to): (u64, u64), mut ran: impl FnMut(&Row)) -> Result<Vec<Row>, String> {
    let stories = stories::short()?
        .into_iter()
        .map(|(name, scenario)| (name.to_owned(), format!("sleep-sim run --scenario {name} -v"), scenario));
    let seeds = (from..to).map(|seed| {
        let nodes = nodes_of(seed);
        let command = format!("sleep-sim run --nodes {nodes} --seed {seed} -v");
        (format!("seed {seed}"), command, chaos::draw(seed, nodes))
    });
    let row = |(what, command, scenario): (String, String, Scenario)| {
        let row = Row { what, command, nodes: scenario.hosts.len(), result: judged(&scenario, false) };
        ran(&row);
        row
    };
    let mut rows: Vec<Row> = stories.chain(seeds).map(row).collect();
    rows.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(rows)
}

/// The table.
pub fn page(rows: &[Row], seeds: (u64, u64)) -> String {
    let failed = rows.iter().filter(|row| row.result.is_err()).count();
    let verdict = match failed {
        0 => "<b class=\"badge well\">All are well</b>".to_owned(),
        some => format!("<b class=\"badge broken\">{some} of {} failed</b>", rows.len()),
    };
    let outcomes = || rows.iter().filter_map(|row| row.result.as_ref().ok());
    let world: Time = outcomes().map(|outcome| outcome.world).sum();
    let real: f64 = outcomes().map(|outcome| outcome.real.as_secs_f64()).sum();
    let speed = seconds(world) / real.max(f64::EPSILON);
    let about = [
        count(rows.len(), "run"),
        format!("seeds {}..{}", seeds.0, seeds.1),
        format!("{} of virtual time", length(world)),
        format!("{speed:.0} times as fast as it would have taken"),
    ];
    let most = outcomes().filter_map(|it| Some(it.verdict.as_ref().ok()?.equal)).max().unwrap_or(1);
    let mut table = String::new();
    for row in rows {
        // Writing to a string does not fail.
        writeln!(table, "{}", line(row, most)).expect("memory is there");
    }
    fill(
        PAGE,
        &[
            ("style", &format!("{BASE}{STYLE}")),
            ("about", &about.map(|part| format!("<span>{}</span>", html(&part))).concat()),
            ("verdict", &verdict),
            ("rows", &table),
        ],
    )
}

fn line(row: &Row, most: Time) -> String {
    let head = format!("<th scope=\"row\">{}</th><td class=\"number\">{}</td>", html(&row.what), row.nodes);
    let command = format!("<td class=\"command\"><code>{}</code></td>", html(&row.command));
    match &row.result {
        Ok(outcome) => {
            let times = outcome.verdict.as_ref().copied().unwrap_or_default();
            let Times { leader, seen, running, equal } = times;
            let steps = [leader, seen, running];
            let cells: String = steps.map(|time| number(&format!("{:.1}", seconds(time)))).concat();
            let part = equal as f64 / most.max(1) as f64 * 100.0;
            let bar = format!("<i style=\"width:{:.0}px\"></i>", part * 0.8);
            let equal = format!("<td class=\"number bar\">{bar}<span>{:.1}</span></td>", seconds(equal));
            let speed = seconds(outcome.world) / outcome.real.as_secs_f64().max(f64::EPSILON);
            let length = number(&length(outcome.world));
            let speed = number(&format!("{}×", thousands(speed as u64)));
            let badge = "<td><b class=\"badge well\">well</b></td>";
            format!("<tr>{head}{badge}{cells}{equal}{length}{speed}{command}</tr>")
        }
        Err(failure) => {
            let (class, word, how) = match failure {
                Failure::Safety(violation) => ("broken", violation.law, violation.to_string()),
                Failure::Liveness(missing) => ("late", missing.what, missing.how.clone()),
                Failure::Crash(what) => ("broken", "crash", what.clone()),
            };
            let badge = format!("<td><b class=\"badge {class}\">{}</b></td>", html(word));
            format!(
                "<tr class=\"failed\">{head}{badge}<td colspan=\"6\" class=\"how\">{}</td>{command}</tr>",
                html(&how)
            )
        }
    }
}

fn number(text: &str) -> String {
    format!("<td class=\"number\">{}</td>", html(text))
}

fn seconds(time: Time) -> f64 {
    time as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::invariants::Violation;
    use crate::liveness::Missing;

    fn row(what: &str, result: Result<Time, Failure>) -> Row {
        let outcome = |equal| Outcome {
            trace: 0,
            events: 0,
            world: SECOND,
            real: Duration::from_millis(1),
            verdict: Ok(Times { equal, ..Times::default() }),
        };
        Row { what: what.to_owned(), command: format!("run {what}"), nodes: 3, result: result.map(outcome) }
    }

    #[test]
    fn the_worst_comes_first() {
        let missing = Missing { what: "equal", how: "2 <sets>".to_owned() };
        let violation = Violation { law: "one_holder", at: 0, host: 0, how: "two".to_owned() };
        let mut rows = vec![
            row("quick", Ok(5 * SECOND)),
            row("slow", Ok(9 * SECOND)),
            row("late", Err(Failure::Liveness(missing))),
            row("broken", Err(Failure::Safety(violation))),
        ];
        rows.sort_by(|one, other| one.order().cmp(&other.order()));
        let order: Vec<&str> = rows.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(order, ["broken", "late", "slow", "quick"]);
        let page = page(&rows, (1, 2));
        assert!(page.contains("2 of 4 failed") && page.contains("2 &lt;sets&gt;"), "{page}");
    }
}
