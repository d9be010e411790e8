//! A write that had seen another beats it, whatever the clocks say.
//!
//! Whenever a node writes a record of its own in cluster time, its stamp is greater than every such stamp
//! that had been handed to that node's disk before: those are what it had seen. What it wrote before its disk
//! went back comes again from others, and is no write; nor is what was written a moment before it, which is
//! only said again, as its author had no word then: by another, or by its author, which has a word again.
//! Whoever had no word a moment after it says it again a moment after the change that gave it one. What an
//! agent of the next release wrote while it had no word is written when it was, and comes to its own disk
//! when it has one.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::{Family, NodeId, Record, Stamp, decode};

use super::{Law, Verdict};
use crate::crypto::short;
use crate::world::{Known, Observation, Seen, World};

/// Who wrote a record, when, and what stands for what it says.
type Word = (NodeId, ClusterTime, u128);

/// The greatest moment of cluster time that each node has seen.
#[derive(Default)]
pub struct CausalWins {
    greatest: BTreeMap<NodeId, ClusterTime>,
    written: BTreeSet<(NodeId, ClusterTime)>,
    /// What was ever said, when, and by whom.
    said: FxHashMap<u128, BTreeMap<ClusterTime, Vec<NodeId>>>,
    /// What is stamped in cluster time, by what stands for its bytes.
    words: FxHashMap<u128, Option<Word>>,
    /// When anything was said of members and their roles.
    changes: BTreeSet<ClusterTime>,
}

impl Law for CausalWins {
    fn name(&self) -> &'static str {
        "causal_wins"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let host = &world.hosts[seen.host];
        match &seen.what {
            Seen::Persist(writes) => {
                let before = self.greatest.get(&host.id).copied().unwrap_or(ClusterTime::ZERO);
                let mut greatest = before;
                let words = &mut self.words;
                let word = |(key, bytes, known): (_, _, &Known)| {
                    Some((key, (*words.entry(known.id).or_insert_with(|| time_of(bytes)))?))
                };
                let words: Vec<(&[u8], Word)> = writes.records().filter_map(word).collect();
                let of_members = |(key, _): &&(&[u8], Word)| Family::of(key) == Some(Family::Membership);
                self.changes.extend(words.iter().filter(of_members).map(|(_, (_, time, _))| *time));
                for (key, (author, time, word)) in words {
                    let authors = self.said.entry(word).or_default().entry(time).or_default();
                    if !authors.contains(&author) {
                        authors.push(author);
                    }
                    let is_new = author == host.id
                        && self.written.insert((author, time))
                        && !self.is_said_again(world, seen.host, key, (author, time, word));
                    if is_new && time <= before && self.greatest.contains_key(&host.id) {
                        return Err(format!("a write at {time:?} had seen one at {before:?}"));
                    }
                    greatest = greatest.max(time);
                }
                self.greatest.insert(host.id, greatest);
            }
            // What was on its way to the disk was seen by nobody who lives.
            Seen::Killed | Seen::OtherDisk { .. } => {
                let durable = host.disk.words().filter_map(time_of).map(|(_, time, _)| time);
                self.greatest.insert(host.id, durable.max().unwrap_or(ClusterTime::ZERO));
            }
            // It was handed to the agent before this.
            Seen::Foretold { stamp, .. } => {
                if let Stamp::Time { time, .. } = stamp {
                    self.written.insert((host.id, *time));
                }
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Synced
            | Seen::Launch(_)
            | Seen::Stop { .. }
            | Seen::Started => {}
        }
        Ok(())
    }
}

impl CausalWins {
    /// Whether the same was said a moment before, or before a change of roles of that moment: by another, or
    /// by one whose role has changed since; and nothing newer than that stands here.
    fn is_said_again(&self, world: &World, host: usize, key: &[u8], (author, time, word): Word) -> bool {
        let stands = world.hosts[host].disk.record(key).and_then(time_of).map(|(_, time, _)| time);
        let before = |time: ClusterTime| ClusterTime { hlc: time.hlc.saturating_sub(1), ..time };
        let moment = before(time);
        let Some(said) = self.said.get(&word) else { return false };
        // Several at once are said one moment after the other.
        let mut change = moment;
        while change.hlc > 0 && !self.changes.contains(&change) && self.written.contains(&(author, change)) {
            change = before(change);
        }
        let from = if self.changes.contains(&change) { ClusterTime::ZERO } else { moment };
        let from = from.max(stands.unwrap_or(ClusterTime::ZERO));
        let mut authors = said.iter().filter(|(at, _)| (from..=moment).contains(at)).flat_map(|(_, by)| by);
        authors.any(|first| *first != author || world.given_roles.contains(&author))
    }
}

fn time_of(bytes: &[u8]) -> Option<Word> {
    let record: Record = decode(bytes).ok()?;
    match record.stamp {
        Stamp::Time { time, .. } => {
            // Whom somebody let in has a key of its own in each admission, and is named in the body.
            let key =
                if Family::of(&record.key) == Some(Family::Membership) { 0 } else { short(&record.key) };
            Some((record.author, time, key ^ short(&record.body)))
        }
        Stamp::Lease { .. } | Stamp::Boot { .. } => None,
    }
}
