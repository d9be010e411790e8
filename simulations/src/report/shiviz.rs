//! A run as a log for ShiViz: what agents told, and the messages upon which they did.
//!
//! A message mattered if its receiver told something as it was handled. Each line has the clocks of all hosts
//! that it knows of; each host's own rises by one a line.
//!
//! # Not here
//! Messages that changed nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::causes::told;
use super::timeline::Timeline;
use crate::world::{SECOND, Time};

/// What ShiViz reads the log with.
const PARSER: &str = r"(?<event>.*)\n(?<host>\S+) (?<clock>{.*})";
/// The most events that are written, the newest.
const MOST: usize = 5_000;

/// One line of a host's.
struct Event {
    at: Time,
    /// At one moment what is received comes first, then what is told, then what is sent.
    class: u8,
    host: usize,
    words: String,
    /// The message that is sent or received, by number.
    message: Option<usize>,
}

/// The log.
pub fn log(timeline: &Timeline<'_>) -> String {
    let mut events = events(timeline);
    events.sort_by_key(|event| (event.at, event.class, event.host));
    let left_out = events.len().saturating_sub(MOST);
    let kept = events.split_off(left_out);
    let mut log = String::new();
    // Writing to a string does not fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        log.write_fmt(text).expect("memory is there");
        log.push('\n');
    };
    line(format_args!("{PARSER}"));
    line(format_args!(""));
    let mut clocks: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); timeline.names.len()];
    let mut sent: BTreeMap<usize, BTreeMap<usize, u64>> = BTreeMap::new();
    for event in kept {
        let clock = &mut clocks[event.host];
        *clock.entry(event.host).or_default() += 1;
        match (event.class, event.message) {
            (SENT, Some(message)) => drop(sent.insert(message, clock.clone())),
            (_, Some(message)) => {
                for (host, count) in sent.remove(&message).unwrap_or_default() {
                    let known = clock.entry(host).or_default();
                    *known = (*known).max(count);
                }
            }
            (_, None) => {}
        }
        let shown: BTreeMap<&str, u64> =
            clock.iter().map(|(host, count)| (timeline.names[*host], *count)).collect();
        let clock = serde_json::to_string(&shown).expect("names and numbers can be written");
        line(format_args!("{:.6} {}", event.at as f64 / SECOND as f64, event.words));
        line(format_args!("{} {clock}", timeline.names[event.host]));
    }
    log
}

const RECEIVED: u8 = 0;
const TOLD: u8 = 1;
const SENT: u8 = 2;

fn events(timeline: &Timeline<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    for (message, heard) in timeline.recorder.heard.iter().enumerate() {
        let (from, to, kind) = (timeline.names[heard.from], timeline.names[heard.to], kind(heard.kind));
        let message = Some(message);
        let words = format!("sends {kind} to {to}");
        events.push(Event { at: heard.sent, class: SENT, host: heard.from, words, message });
        let words = format!("receives {kind} from {from}");
        events.push(Event { at: heard.at, class: RECEIVED, host: heard.to, words, message });
    }
    for (at, host, event) in &timeline.world.events {
        if let Some(words) = told(timeline, event) {
            let words = words.replace('\n', " ");
            events.push(Event { at: *at, class: TOLD, host: *host, words, message: None });
        }
    }
    events
}

/// What a kind of message is called.
const fn kind(number: u16) -> &'static str {
    match number {
        1 => "a probe",
        2 => "news of members",
        3 => "words about the lease",
        4 => "new records",
        5 => "a comparison of records",
        6 => "a roll call",
        7 => "a request to admit somebody",
        8 => "a request to join",
        9 => "an answer to a newcomer",
        10 => "a permit",
        _ => "something",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run_recorded;
    use crate::scenario::{Fault, Scenario};

    /// ShiViz refuses a log in which a host's own clock does not rise by one a line, or that knows of what
    /// has not happened yet.
    #[test]
    fn clocks_rise_by_one_and_know_only_the_past() {
        let mut scenario = Scenario::calm(3, 1);
        scenario.faults = vec![(5 * SECOND, Fault::Kill { node: 0, lasts: Some(20 * SECOND) })];
        let (_, world, recorder) = run_recorded(&scenario);
        let log = log(&Timeline::new(&world, &recorder));
        assert_eq!(log.lines().next(), Some(PARSER));
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut learnt = 0;
        for line in log.lines().skip(3).step_by(2) {
            let (host, clock) = line.split_once(' ').expect("a host and its clock");
            let clock: BTreeMap<String, u64> = serde_json::from_str(clock).expect("a clock is JSON");
            for (other, count) in clock {
                let known = last.entry(other.clone()).or_default();
                if other == host {
                    *known += 1;
                    assert_eq!(*known, count, "{line}");
                } else {
                    assert!(count <= *known, "{line}");
                    learnt += 1;
                }
            }
        }
        assert!(learnt > 100, "messages tell of others: {learnt}");
    }
}
