//! The few events that decided a run, in plain words and in order.
//!
//! Everything that might be told has a weight; what recurs weighs less each time. The heaviest are told.
//!
//! # Not here
//! Why a law was broken: `causes`.

use std::collections::BTreeMap;

use super::faults::Happened;
use super::figures::{failovers, noticed};
use super::timeline::Timeline;
use super::words::{count, length, list};
use crate::run::{Failure, Outcome};
use crate::scenario::{Scenario, ServicePlan};
use crate::world::{SECOND, Time};

/// The most events that are told.
const MOST: usize = 15;
/// How many of them may be faults.
const FAULTS: usize = 6;

/// What kind of event it is: what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something went wrong.
    Fault,
    /// It was noticed, or acted upon.
    Notice,
    /// Something is well, or well again.
    Well,
    /// A law was broken, or something did not come about.
    Broken,
}

/// One event of the story.
#[derive(Clone, Debug)]
pub struct Telling {
    /// When.
    pub at: Time,
    /// What it looks like.
    pub tone: Tone,
    /// A sentence.
    pub words: String,
}

struct Draft {
    told: Vec<(u32, Telling)>,
}

impl Draft {
    fn add(&mut self, weight: u32, at: Time, tone: Tone, words: String) {
        self.told.push((weight, Telling { at, tone, words }));
    }
}

/// The story of a run.
pub fn tale(timeline: &Timeline<'_>, scenario: &Scenario, outcome: &Outcome) -> Vec<Telling> {
    let mut draft = Draft { told: Vec::new() };
    beginning(timeline, scenario, &mut draft);
    let mut before: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in &timeline.faults {
        let again = before.entry(fault.kind).or_default();
        let weight = match (fault.silences, fault.until - fault.at) {
            (true, 3_000_000..) => 100,
            (true, _) => 75,
            (false, _) => 60,
        };
        reactions(timeline, fault, weight - (*again * 12).min(40), &mut draft);
        *again += 1;
    }
    leaders(timeline, &mut draft);
    gaps(timeline, &mut draft);
    wishes(timeline, &mut draft);
    ending(timeline, outcome, &mut draft);
    let mut told = draft.told;
    told.sort_by_key(|(weight, telling)| (std::cmp::Reverse(*weight), telling.at));
    let mut faults = 0;
    told.retain(|(_, telling)| {
        faults += usize::from(telling.tone == Tone::Fault);
        telling.tone != Tone::Fault || faults <= FAULTS
    });
    told.truncate(MOST);
    told.sort_by_key(|(weight, telling)| (telling.at, std::cmp::Reverse(*weight)));
    told.into_iter().map(|(_, telling)| telling).collect()
}

fn beginning(timeline: &Timeline<'_>, scenario: &Scenario, draft: &mut Draft) {
    let Some(from) = timeline.faults_from else { return };
    let nodes = count(timeline.names.len(), "node");
    let leads = timeline
        .holder(from)
        .map_or_else(String::new, |host| format!(", and {} leads", timeline.names[host]));
    let wanted = |plan: &ServicePlan| format!("{} of {}", plan.replicas, plan.name);
    let wanted: Vec<String> = scenario.services.iter().map(wanted).collect();
    let run = match wanted.as_slice() {
        [] => String::new(),
        some => format!(" They are to run {}.", list(&some.iter().map(String::as_str).collect::<Vec<_>>())),
    };
    draft.add(150, from, Tone::Well, format!("{nodes} have formed a cluster{leads}.{run}"));
}

/// A fault, who noticed it, and its end.
fn reactions(timeline: &Timeline<'_>, fault: &Happened, weight: u32, draft: &mut Draft) {
    draft.add(weight, fault.at, Tone::Fault, sentence(timeline, &fault.words));
    if !fault.silences {
        return;
    }
    let found = noticed(timeline, fault);
    if let Some((who, victim, after)) = found
        .iter()
        .filter_map(|it| it.suspected.map(|(who, after)| (who, it.victim, after)))
        .min_by_key(|it| it.2)
    {
        let (who, victim) = (timeline.names[who], timeline.names[victim]);
        let words = format!("{who} suspects {victim}, {} after.", length(after));
        draft.add(weight.saturating_sub(26), fault.at + after, Tone::Notice, words);
    }
    let first =
        found.iter().filter_map(|it| it.down.map(|(who, after)| (who, it, after))).min_by_key(|it| it.2);
    if let Some((who, it, after)) = first {
        let all = match it.by_all {
            Some(all) if length(all) != length(after) => format!(", and by all others {} after", length(all)),
            Some(_) | None => String::new(),
        };
        let (who, victim) = (timeline.names[who], timeline.names[it.victim]);
        let words = format!("{victim} is taken for down by {who}, {} after{all}.", length(after));
        draft.add(weight.saturating_sub(16), fault.at + after, Tone::Notice, words);
        let back = timeline.seen[it.victim]
            .changes()
            .iter()
            .find(|(at, sight)| *at >= fault.until && *sight == (super::recorder::Belief::Alive, false));
        if let Some((at, _)) = back {
            let words = format!("All see {victim} again, {} after that was over.", length(at - fault.until));
            draft.add(weight.saturating_sub(20), *at, Tone::Well, words);
        }
    }
}

fn leaders(timeline: &Timeline<'_>, draft: &mut Draft) {
    for (again, (number, gap)) in failovers(timeline).into_iter().enumerate() {
        let tenure = &timeline.tenures[number];
        let (name, term) = (timeline.names[tenure.host], tenure.epoch.term);
        let alone = if gap == 0 { "at once".to_owned() } else { format!("nobody led for {}", length(gap)) };
        let words = format!("{name} leads now (term {term}); {alone}.");
        let less = u32::try_from(again).unwrap_or(u32::MAX).saturating_mul(10).min(60);
        draft.add(95 - less, tenure.from, Tone::Notice, words);
    }
}

/// When tasks were missing for a while, and ran again.
fn gaps(timeline: &Timeline<'_>, draft: &mut Draft) {
    let from = timeline.faults_from.unwrap_or(timeline.end);
    let mut began: Option<(Time, u32)> = None;
    let mut again = 0_u32;
    for (at, missing) in timeline.missing().changes() {
        match (began, *missing) {
            (None, missing) if missing > 0 && *at >= from => began = Some((*at, missing)),
            (Some((since, most)), 0) => {
                let (tasks, time) = (count(most as usize, "task"), at - since);
                let words = if since <= from + SECOND {
                    format!("All is started: {tasks}, in {}.", length(time))
                } else {
                    format!("All runs again: up to {tasks} were missing for {}.", length(time))
                };
                if time >= SECOND {
                    draft.add(84 - (again * 8).min(48), *at, Tone::Well, words);
                }
                again += 1;
                began = None;
            }
            (Some((since, most)), missing) => began = Some((since, most.max(missing))),
            (None, _) => {}
        }
    }
}

/// What people asked for meanwhile.
fn wishes(timeline: &Timeline<'_>, draft: &mut Draft) {
    let from = timeline.faults_from.unwrap_or(timeline.end);
    let mut again = 0_u32;
    for line in &timeline.services {
        let mut before = 0;
        for (at, wanted) in line.wanted.changes() {
            if *at > from + SECOND {
                let words = format!("People want {wanted} of {} now, {before} before.", line.name);
                draft.add(48_u32.saturating_sub(again * 4), *at, Tone::Notice, words);
                again += 1;
            }
            before = *wanted;
        }
    }
}

fn ending(timeline: &Timeline<'_>, outcome: &Outcome, draft: &mut Draft) {
    if let Some(calm) = timeline.calm_from {
        draft.add(150, calm, Tone::Well, "Nothing goes wrong any more: all is mended.".to_owned());
    }
    match &outcome.verdict {
        Ok(times) => {
            let at = timeline.calm_from.unwrap_or(timeline.end) + times.running;
            let words = format!("All is well, {} after the faults.", length(times.running));
            draft.add(150, at, Tone::Well, words);
        }
        Err(Failure::Safety(violation)) => {
            let (law, how) = (violation.law, &violation.how);
            draft.add(200, violation.at, Tone::Broken, format!("{law} is broken: {how}."));
        }
        Err(Failure::Liveness(missing)) => {
            draft.add(200, timeline.end, Tone::Broken, format!("{} did not come about.", missing.what));
        }
        Err(Failure::Crash(what)) => {
            draft.add(200, timeline.end, Tone::Broken, format!("The core failed: {what}."));
        }
    }
}

/// A sentence; a name is not changed where it begins one.
fn sentence(timeline: &Timeline<'_>, words: &str) -> String {
    let named = timeline.names.iter().any(|name| words.starts_with(name));
    let mut letters = words.chars();
    match letters.next() {
        Some(first) if !named => first.to_uppercase().chain(letters).chain(['.']).collect(),
        Some(_) | None => format!("{words}."),
    }
}
