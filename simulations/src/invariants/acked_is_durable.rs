//! An acknowledged command survives what its answer promised.
//!
//! The oracle keeps what clients were told. Records that a command wrote are on its node's disk when it is
//! answered, and on another's if the answer says so; from then on each of these disks has them, or greater
//! ones, for ever. Where a disk goes back or is lost, what was promised to be elsewhere too is still on
//! another; if a second one does, nobody promised that. The disk of one that confirmed may be lost before the
//! answer leaves: then it is the first of two. What a member wrote after it was removed or demoted is void,
//! also if neither it nor who confirmed it could know: it stands nowhere, but each of these disks keeps it
//! until it is said again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sleep_core::io::{Durability, Reply, Ticket};
use sleep_wire::durable::Write;
use sleep_wire::{Family, Key, NodeId, Record, Stamp, decode};

use super::{Law, Verdict};
use crate::disk::Disk;
use crate::world::{Answer, Known, Observation, SECOND, Seen, Time, World};

/// How long a confirmation may be on its way, until the answer rests on what is here only.
const CONFIRMS_WITHIN: Time = 2 * SECOND;

/// Keys, and the least stamp that must stand there.
type Written = Vec<(Vec<u8>, Stamp)>;

/// What was promised to whom.
#[derive(Default)]
pub struct Acked {
    /// The command that a host is handling.
    handling: BTreeMap<usize, Ticket>,
    written: BTreeMap<Ticket, (usize, Written)>,
    /// By node: what must stay on its disk.
    kept: BTreeMap<NodeId, BTreeMap<Vec<u8>, Stamp>>,
    /// By host: what each write that is on its way changes, oldest first.
    on_the_way: BTreeMap<usize, VecDeque<Changed>>,
    /// By host: what changed on its disk since the last look.
    changed: BTreeMap<usize, Changed>,
    /// What was promised to be on two disks, and how many were lost or went back before.
    shared: Vec<(Written, u32)>,
    /// How many did.
    gone: u32,
    /// When the last ones did, and what was on them.
    lost: Vec<(Time, BTreeMap<Vec<u8>, Stamp>)>,
}

/// What of a disk is to be looked at.
enum Changed {
    /// These keys.
    Keys(BTreeSet<Vec<u8>>),
    /// Any of them: it was wiped, or its agent ended, and what was on its way then may have arrived or not.
    Anything,
}

impl Default for Changed {
    fn default() -> Self {
        Self::Keys(BTreeSet::new())
    }
}

impl Changed {
    fn by(writes: &[Write]) -> Self {
        let mut keys = BTreeSet::new();
        for write in writes {
            match write {
                Write::PutRecord { key, .. } | Write::DeleteRecord { key } => {
                    let key = Disk::word_of(key);
                    if is_asked_for(key) {
                        keys.insert(key.to_vec());
                    }
                }
                Write::PutCell { .. } => {}
                Write::Wipe => return Self::Anything,
            }
        }
        Self::Keys(keys)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keys(mut one), Self::Keys(other)) => {
                one.extend(other);
                Self::Keys(one)
            }
            (Self::Anything, _) | (_, Self::Anything) => Self::Anything,
        }
    }
}

impl Law for Acked {
    fn name(&self) -> &'static str {
        "acked_is_durable"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        match &seen.what {
            Seen::Command { ticket } => {
                self.handling.insert(seen.host, *ticket);
                self.written.insert(*ticket, (seen.host, Vec::new()));
            }
            Seen::CommandTaken { .. } => drop(self.handling.remove(&seen.host)),
            Seen::Persist(writes) => {
                self.on_the_way.entry(seen.host).or_default().push_back(Changed::by(writes.writes()));
                let me = world.hosts[seen.host].id;
                if let Some((_, written)) =
                    self.handling.get(&seen.host).and_then(|ticket| self.written.get_mut(ticket))
                {
                    written.extend(writes.records().filter_map(|written| asked_for(written, me)));
                }
            }
            Seen::Reply { ticket, reply } => return self.answered(world, *ticket, reply),
            Seen::Synced => self.synced(seen.host),
            Seen::Killed => {
                self.on_the_way.remove(&seen.host);
                self.changed.insert(seen.host, Changed::Anything);
            }
            Seen::OtherDisk { had } => {
                self.on_the_way.remove(&seen.host);
                self.lost.retain(|(at, _)| world.now < at + CONFIRMS_WITHIN);
                let records = had.iter().filter_map(|bytes| decode::<Record>(bytes).ok());
                let records = records.map(|record| (record.key, record.stamp)).collect();
                self.lost.push((world.now, records));
                return self.another(world, seen.host);
            }
            Seen::Launch(_) | Seen::Stop { .. } | Seen::Foretold { .. } | Seen::Started => {}
        }
        Ok(())
    }

    fn look(&mut self, world: &World) -> Verdict {
        for (number, changed) in std::mem::take(&mut self.changed) {
            let Some(kept) = self.kept.get(&world.hosts[number].id) else { continue };
            let lost = |(key, least): &(&Vec<u8>, &Stamp)| !keeps(world, number, key, least);
            let lost = match changed {
                Changed::Keys(keys) => keys.iter().filter_map(|key| kept.get_key_value(key)).find(lost),
                Changed::Anything => kept.iter().find(lost),
            };
            if let Some((key, _)) = lost {
                return Err(format!("node{} lost {:?}", number + 1, Key::from_bytes(key)));
            }
        }
        Ok(())
    }
}

impl Acked {
    fn synced(&mut self, host: usize) {
        let next = self.on_the_way.get_mut(&host).and_then(VecDeque::pop_front);
        let changed = self.changed.remove(&host).unwrap_or_default();
        self.changed.insert(host, changed.and(next.unwrap_or_default()));
    }

    /// A disk is lost, or older.
    fn another(&mut self, world: &World, host: usize) -> Verdict {
        self.kept.remove(&world.hosts[host].id);
        self.gone += 1;
        for (written, _) in self.shared.iter().filter(|(_, before)| self.gone - before == 1) {
            for (key, least) in written {
                if !(0..world.hosts.len()).any(|number| keeps(world, number, key, least)) {
                    let key = Key::from_bytes(key);
                    return Err(format!("with the disk of node{} {key:?} is lost", host + 1));
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, world: &World, ticket: Ticket, reply: &Answer) -> Verdict {
        let Some((host, written)) = self.written.remove(&ticket) else { return Ok(()) };
        let durability = match reply {
            Ok(Reply::Done { durability, .. } | Reply::Service { durability, .. }) => *durability,
            Ok(Reply::Token { durability, .. }) => *durability,
            Ok(
                Reply::Initialised { .. }
                | Reply::Joined { .. }
                | Reply::Left { .. }
                | Reply::Recovered { .. },
            )
            | Err(_) => return Ok(()),
        };
        if written.is_empty() {
            return Ok(());
        }
        let stands = |(key, least): &(Vec<u8>, Stamp)| stamp_on(world, host, key) >= Some(*least);
        if !written.iter().all(stands) {
            return Err(format!("node{} answered before it was durable there", host + 1));
        }
        let has = |number: usize| written.iter().all(|(key, least)| keeps(world, number, key, least));
        let others: Vec<usize> =
            (0..world.hosts.len()).filter(|other| *other != host && has(*other)).collect();
        // One that confirmed it may have lost it since, before the answer left.
        let is_lost = |(at, had): &(Time, BTreeMap<_, _>)| {
            let held = |(key, least): &(Vec<u8>, Stamp)| had.get(key).is_some_and(|stamp| stamp >= least);
            world.now < at + CONFIRMS_WITHIN && written.iter().all(held)
        };
        // Whoever lies may have made others confirm what it had withheld from them.
        let excused = || self.lost.iter().any(is_lost) || world.lies_at(host);
        if durability == Durability::Shared && others.is_empty() && !excused() {
            let what: Vec<_> = written.iter().map(|(key, stamp)| (Key::from_bytes(key), stamp)).collect();
            return Err(format!("node{} promised a copy of {what:?} elsewhere, and there is none", host + 1));
        }
        // Where the copy was gone before the answer left, this disk is the second.
        if durability == Durability::Shared && !others.is_empty() {
            self.shared.push((written.clone(), self.gone));
        }
        for number in others.into_iter().chain([host]) {
            let kept = self.kept.entry(world.hosts[number].id).or_default();
            for (key, least) in &written {
                let known = kept.entry(key.clone()).or_insert(*least);
                *known = (*known).max(*least);
            }
        }
        Ok(())
    }
}

/// A record of what people want, by this node.
fn asked_for((key, _, known): (&[u8], &[u8], &Known), me: NodeId) -> Option<(Vec<u8>, Stamp)> {
    let entry = known.entry.as_ref().filter(|entry| is_asked_for(key) && entry.author() == me)?;
    Some((key.to_vec(), entry.stamp()))
}

/// Whether a key is one of what people want: no other is ever promised to be kept.
fn is_asked_for(key: &[u8]) -> bool {
    Family::of(key) == Some(Family::Desired)
}

/// Whether something is on a host's disk that is as new as a word: it stands, or is void and waits there
/// until others have said it again.
fn keeps(world: &World, number: usize, key: &[u8], least: &Stamp) -> bool {
    let waits = || Some(decode::<Record>(world.hosts[number].disk.unsaid(key)?).ok()?.stamp);
    stamp_on(world, number, key).max(waits()) >= Some(*least)
}

fn stamp_on(world: &World, number: usize, key: &[u8]) -> Option<Stamp> {
    let bytes = world.hosts[number].disk.record(key)?;
    decode::<Record>(bytes).ok().map(|record| record.stamp)
}
