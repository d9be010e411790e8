//! What is known to have led to a broken law: faults before it, changes of the lease, what was told where it
//! was noticed.
//!
//! # Not here
//! Proof: what came before need not be why.

use sleep_core::io::Event;

use super::timeline::Timeline;
use super::words::length;
use crate::run::Failure;
use crate::world::{SECOND, Time};

/// How far back is looked.
const BEFORE: Time = 60 * SECOND;
/// What is close.
const CLOSE: Time = 3 * SECOND;
/// How many are told, the newest.
const MOST: usize = 14;

/// What came before, oldest first: when, and what.
pub fn chain(timeline: &Timeline<'_>, failure: &Failure) -> Vec<(Time, String)> {
    let (at, host) = match failure {
        Failure::Safety(violation) => (violation.at, Some(violation.host)),
        Failure::Liveness(_) | Failure::Crash(_) => (timeline.end, None),
    };
    let since = at.saturating_sub(BEFORE);
    let mut found: Vec<(Time, String)> = Vec::new();
    for fault in timeline.faults.iter().filter(|fault| fault.at <= at && fault.until >= since) {
        let state = if fault.until >= at { "still so" } else { "over by then" };
        found.push((fault.at, format!("fault: {} ({state})", fault.words)));
    }
    for tenure in timeline.tenures.iter().filter(|tenure| tenure.from <= at && tenure.to >= since) {
        let name = timeline.names[tenure.host];
        found.push((tenure.from, format!("{name} holds the lease, term {}", tenure.epoch.term)));
        if tenure.to < at {
            found.push((tenure.to, format!("{name} no longer holds it")));
        }
    }
    let events = &timeline.world.events;
    let first = events.partition_point(|(when, ..)| *when < since);
    for (when, who, event) in events[first..].iter().take_while(|(when, ..)| *when <= at) {
        // What is told all the time explains little, unless it was told just then.
        let close = at - when <= CLOSE;
        let news = match event {
            Event::Task { .. } => close,
            Event::NodeUp { .. } => close || timeline.faults_from.is_some_and(|from| *when > from),
            _ => true,
        };
        if !news {
            continue;
        }
        if host.is_none_or(|host| host == *who)
            && let Some(what) = told(timeline, event)
        {
            found.push((*when, format!("{}: {what}", timeline.names[*who])));
        }
    }
    found.sort_by_key(|(when, _)| *when);
    let many = found.len();
    let mut chain = found.split_off(many.saturating_sub(MOST));
    for (when, what) in &mut chain {
        let before = at.saturating_sub(*when);
        *what = match before {
            0 => format!("{what}, at that moment"),
            _ => format!("{what}, {} before", length(before)),
        };
    }
    chain
}

/// What an agent told, in words; `None` for what is no news here.
pub fn told(timeline: &Timeline<'_>, event: &Event) -> Option<String> {
    let name = |node| match timeline.recorder.hosts.get(node) {
        Some(host) => timeline.names[*host].to_owned(),
        None => node.to_string(),
    };
    let service = |id: &sleep_wire::ServiceId| match timeline.recorder.services.get(id) {
        Some(name) => name.clone(),
        None => id.to_string(),
    };
    Some(match event {
        Event::NodeUp { node } => format!("{} answers", name(node)),
        Event::NodeSuspect { node, by } => format!("{} is suspected by {}", name(node), name(by)),
        Event::NodeDown { node, confirmed: (some, all) } => {
            format!("{} is taken for down, {some} of {all} confirm", name(node))
        }
        Event::NodeGone { node } => format!("{} is gone", name(node)),
        Event::LeaseAcquired { epoch } => format!("has the lease, term {}", epoch.term),
        Event::LeaseLost { epoch, why } => format!("lost the lease of term {}: {why}", epoch.term),
        Event::HolderChanged { epoch } => {
            format!("sees {} hold the lease, term {}", name(&epoch.candidate), epoch.term)
        }
        Event::Recovered { generation, by } => {
            format!("hears of generation {generation}, led by {}", name(by))
        }
        Event::Task { service: id, state, message, .. } => {
            let because = if message.is_empty() { String::new() } else { format!(" ({message})") };
            format!("a task of {} is {state}{because}", service(id))
        }
        Event::RecordRefused { from, why, .. } => format!("a record from {} is refused: {why}", name(from)),
        Event::BadFrame { from } => format!("bytes from {} mean nothing", name(from)),
        Event::NodeDoubted { node, hold_ms } => {
            format!("{} answers, and is believed if it stays for {} s", name(node), hold_ms / 1000)
        }
        Event::UnspokenProtocol { from, protocol } => {
            format!("{} wrote in protocol {protocol}, which is not spoken here", name(from))
        }
        Event::Alarm(alarm) => format!("alarm: {alarm:?}"),
    })
}
