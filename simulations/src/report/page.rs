//! One run as one page: HTML that needs nothing from elsewhere, and reads well without its script.
//!
//! # Not here
//! Lanes and views: `page.js` draws them from `data`.

use std::fmt::Write as _;

use super::causes::chain;
use super::data::data;
use super::figures::{Figures, figures};
use super::recorder::Recorder;
use super::tale::{Tone, tale};
use super::timeline::Timeline;
use super::words::{count, html, length, moment};
use crate::run::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::world::{SECOND, Time, World};

const PAGE: &str = include_str!("page.html");
pub(super) const BASE: &str = include_str!("base.css");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of a run, with the command that runs it again.
pub fn page(
    scenario: &Scenario,
    command: &str,
    outcome: &Outcome,
    world: &World,
    recorder: &Recorder,
) -> String {
    let timeline = Timeline::new(world, recorder);
    let flags: Vec<_> =
        outcome.verdict.as_ref().err().map(|failure| flag(failure, world)).into_iter().collect();
    let about = [
        count(scenario.hosts.len(), "node"),
        format!("seed {}", scenario.seed),
        format!("{} of virtual time", length(outcome.world)),
        format!("{} events", thousands(outcome.events)),
        format!("trace {:016x}", outcome.trace),
    ];
    fill(
        PAGE,
        &[
            ("title", &html(&scenario.name)),
            ("style", &format!("{BASE}{STYLE}")),
            ("about", &about.map(|part| format!("<span>{}</span>", html(&part))).concat()),
            ("story", &html(&scenario.story)),
            ("verdict", &verdict(outcome, world)),
            ("command", &html(command)),
            ("figures", &cards(&figures(&timeline), outcome, &timeline.names)),
            ("causes", &causes(&timeline, outcome)),
            ("tale", &told(&timeline, scenario, outcome)),
            ("data", &data(&timeline, &flags)),
            ("script", SCRIPT),
        ],
    )
}

/// A template with its gaps filled; what fills them is not looked at again.
pub(super) fn fill(template: &str, gaps: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("<!--") {
        let (name, after) = after.split_once("-->").unwrap_or((after, ""));
        let text = gaps.iter().find(|(gap, _)| *gap == name).map_or("", |(_, text)| *text);
        filled.push_str(before);
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// `12 345 678`, with narrow spaces.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn flag(failure: &Failure, world: &World) -> (Time, Option<usize>, String) {
    match failure {
        Failure::Safety(violation) => (violation.at, Some(violation.host), violation.law.to_owned()),
        Failure::Liveness(missing) => (world.now, None, missing.what.to_owned()),
        Failure::Crash(_) => (world.now, None, "crash".to_owned()),
    }
}

fn verdict(outcome: &Outcome, world: &World) -> String {
    let (class, word, how) = match &outcome.verdict {
        Ok(times) => {
            let steps = [
                ("leader", times.leader),
                ("all seen", times.seen),
                ("running", times.running),
                ("equal", times.equal),
            ];
            let steps = steps.map(|(what, time)| format!("{what} {}", length(time)));
            ("well", "Well".to_owned(), format!("After the faults: {}.", steps.join(", ")))
        }
        Err(Failure::Safety(violation)) => {
            let name = world.hosts[violation.host].name();
            let how = format!("At {}, {name}: {}.", moment(violation.at), violation.how);
            ("broken", violation.law.to_owned(), how)
        }
        Err(Failure::Liveness(missing)) => ("late", missing.what.to_owned(), format!("{}.", missing.how)),
        Err(Failure::Crash(what)) => ("broken", "The core failed".to_owned(), what.clone()),
    };
    format!("<b class=\"badge {class}\">{}</b> <span>{}</span>", html(&word), html(&how))
}

fn cards(figures: &Figures, outcome: &Outcome, names: &[&str]) -> String {
    let mut cards = String::new();
    let mut card = |what: &str, value: &str, more: &str| {
        // Writing to a string does not fail.
        let (value, more) = (html(value), html(more));
        write!(cards, "<div><dt>{what}</dt><dd>{value}</dd><dd class=\"more\">{more}</dd></div>")
            .expect("memory is there");
    };
    let missed = match figures.unnoticed {
        0 => String::new(),
        some => format!("; {} over before that", count(some, "fault")),
    };
    match figures.detection.as_slice() {
        [] => {
            card("Silent, then taken for down", "never", &format!("no node was silent for so long{missed}"));
        }
        [once] => {
            let more = format!("after it fell silent, the only time{missed}");
            card("Silent, then taken for down", &length(*once), &more);
        }
        all => {
            let (half, last) = (all[all.len() / 2], all[all.len() - 1]);
            let more = format!("half of {} within this; the last {}{missed}", all.len(), length(last));
            card("Silent, then taken for down", &length(half), &more);
        }
    }
    match figures.failover.as_slice() {
        [] => card("Without a leader", "never", "the leader never changed"),
        all => {
            let changes = count(all.len(), "change");
            let (most, more) = match all[all.len() - 1] {
                0 => ("never".to_owned(), format!("in {changes} of the leader")),
                most => (length(most), format!("at most, in {changes} of the leader")),
            };
            card("Without a leader", &most, &more);
        }
    }
    let missing = format!("{:.1}", figures.deficit as f64 / SECOND as f64);
    card(
        "Task-seconds missing",
        &missing,
        &format!("at most {} at once", count(figures.most_missing as usize, "task")),
    );
    let (mean, most, busiest) = figures.bytes;
    let more = format!("a node a second; {} sends most, {}", names[busiest], bytes(most));
    card("Network", &bytes(mean), &more);
    match &outcome.verdict {
        Ok(times) => card("Well again", &length(times.equal), "after the faults"),
        Err(_) => card("Well again", "no", "see the verdict"),
    }
    cards
}

fn bytes(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

fn causes(timeline: &Timeline<'_>, outcome: &Outcome) -> String {
    let Err(failure) = &outcome.verdict else { return String::new() };
    let step = |(at, what): &(Time, String)| item(*at, "notice", what);
    let steps: String = chain(timeline, failure).iter().map(step).collect();
    let empty = if steps.is_empty() { "<p>Nothing is known of what came before.</p>" } else { "" };
    format!(
        "<section class=\"causes\" id=\"causes\"><h2>What came before</h2>\
         <p class=\"note\">What is known; it need not be why.</p>{empty}\
         <ol class=\"tale\">{steps}</ol></section>"
    )
}

fn told(timeline: &Timeline<'_>, scenario: &Scenario, outcome: &Outcome) -> String {
    let item = |telling: &super::tale::Telling| {
        let tone = match telling.tone {
            Tone::Fault => "fault",
            Tone::Notice => "notice",
            Tone::Well => "well",
            Tone::Broken => "broken",
        };
        item(telling.at, tone, &telling.words)
    };
    tale(timeline, scenario, outcome).iter().map(item).collect()
}

fn item(at: Time, tone: &str, words: &str) -> String {
    let (ms, shown, words) = (at / 1_000, moment(at), html(words));
    format!(
        "<li class=\"{tone}\"><button type=\"button\" data-at=\"{ms}\">{shown}</button><p>{words}</p></li>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{run, run_recorded};
    use crate::scenario::{Fault, stories};

    #[test]
    fn what_fills_a_gap_is_not_looked_at_again() {
        assert_eq!(fill("<i><!--a--></i><!--b-->.", &[("a", "<!--b-->"), ("b", "c")]), "<i><!--b--></i>c.");
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([7, 1_234, 12_345_678].map(thousands), ["7", "1\u{202f}234", "12\u{202f}345\u{202f}678"]);
    }

    /// Whoever looks must not change what is seen.
    #[test]
    fn a_run_that_is_recorded_has_the_same_trace() {
        let drawn = crate::chaos::draw(7, 5);
        let (_, split) = stories::all()
            .expect("they can be read")
            .into_iter()
            .find(|it| it.0 == "split-2-1")
            .expect("it is there");
        for scenario in [drawn, split] {
            let (plain, _) = run(&scenario);
            let (recorded, ..) = run_recorded(&scenario);
            assert_eq!((recorded.trace, recorded.events), (plain.trace, plain.events), "{}", scenario.name);
        }
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_is_small() {
        let mut scenario = Scenario::calm(3, 1);
        scenario.name = "<script>alert(1)</script>".to_owned();
        scenario.faults = vec![(5 * SECOND, Fault::Kill { node: 0, lasts: Some(20 * SECOND) })];
        let (outcome, world, recorder) = run_recorded(&scenario);
        let page = page(&scenario, "sleep-sim run", &outcome, &world, &recorder);
        assert!(page.len() < 1_000_000, "{} bytes", page.len());
        assert!(!page.contains("<script>alert"), "names are text");
        for foreign in [" src=", "url(http", "@import", "fetch(", "//cdn"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for told in ["the agent of node1 dies", "is taken for down", "leads now", "All is well"] {
            assert!(page.to_lowercase().contains(&told.to_lowercase()), "{told} is not told");
        }
    }
}
