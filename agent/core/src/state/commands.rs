//! Which commands were carried out already, so that one sent twice is carried out once.
//!
//! A command's id fixes the ids of what it makes, so that retries anywhere give the same keys. What a command
//! said is remembered for 24 hours of cluster time, since a register forgets its command at the next write;
//! after a restart only what still stands in a record is.
//!
//! # Not here
//! Which records a command becomes, and what a client is told: the composer.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::{CommandId, Digest, RevisionId, ServiceId, WallTime, encode};

use super::entry::{Fact, Place};
use crate::Crypto;

/// For how long a command is remembered, in milliseconds of cluster time.
pub const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1000;

/// How many commands are remembered at most; the oldest go first.
pub const REMEMBERED: usize = 65_536;

/// The service that a command creates.
pub fn service_id(command: &CommandId, crypto: &impl Crypto) -> ServiceId {
    ServiceId::from_digest(&claim(b"sleepd service 1", command, crypto))
}

/// The revision that a command creates.
pub fn revision_id(command: &CommandId, crypto: &impl Crypto) -> RevisionId {
    RevisionId::from_digest(&claim(b"sleepd revision ", command, crypto))
}

fn claim(purpose: &[u8; 16], command: &CommandId, crypto: &impl Crypto) -> Digest {
    crypto.hash(&[purpose.as_slice(), &command.0].concat())
}

/// What came of looking a command up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Nobody knows it: carry it out.
    New,
    /// It was carried out: answer as if it were now, with nothing changed.
    Done,
    /// Its id was used for something else: refuse it.
    Other,
}

/// A command, and what one of its records says apart from when: place and content, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) command: CommandId,
    pub(crate) content: [u8; 16],
}

/// The command that a record carries out.
pub(crate) fn used(place: &Place, fact: &Fact, crypto: &(impl Crypto + ?Sized)) -> Option<Used> {
    let Place::Known(key) = place else { return None };
    let (command, said) = said(fact)?;
    let content = crypto.hash(&[key.to_bytes(), said].concat());
    Some(Used { command, content: *content.0.first_chunk().expect("a hash is longer than its first half") })
}

/// What a fact says apart from when it was written and what its author had seen: a retry knows neither.
fn said(fact: &Fact) -> Option<(CommandId, Vec<u8>)> {
    const NEVER: WallTime = WallTime(0);
    Some(match fact {
        Fact::Birth(birth) => {
            let mut birth = birth.clone();
            (birth.created_at, Arc::make_mut(&mut birth.spec).at) = (NEVER, NEVER);
            (birth.command, encode(&*birth))
        }
        Fact::Revision(revision) => {
            let mut revision = revision.clone();
            let spec = Arc::make_mut(&mut revision.spec);
            spec.at = NEVER;
            spec.parents.clear();
            (revision.command, encode(&*revision))
        }
        Fact::Scale(scale) => {
            let mut scale = *scale;
            scale.at = NEVER;
            (scale.command, encode(&scale))
        }
        Fact::Gone(removal) => {
            let mut removal = removal.clone();
            removal.at = NEVER;
            removal.seen.clear();
            (removal.command, encode(&*removal))
        }
        Fact::Intent(intent) => {
            let mut intent = intent.clone();
            intent.at = NEVER;
            (intent.command, encode(&intent))
        }
        Fact::Label(label) => (label.command, encode(label)),
        Fact::Admission(_)
        | Fact::Role(_)
        | Fact::Removal(_)
        | Fact::Operator(_)
        | Fact::OperatorRemoval(_)
        | Fact::Token(_)
        | Fact::Horizon(_)
        | Fact::Slot(_)
        | Fact::Facts(_)
        | Fact::Task(_)
        | Fact::Images(_)
        | Fact::Sealed => return None,
    })
}

/// The commands of the last day.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    known: BTreeMap<CommandId, Remembered>,
    oldest: BTreeSet<(u64, CommandId)>,
}

#[derive(Debug)]
struct Remembered {
    at_ms: u64,
    contents: Vec<[u8; 16]>,
}

impl Commands {
    /// Remembers what a record says that was written at `at_ms`; forgets what is older than a day before
    /// `now_ms`.
    pub(crate) fn remember(&mut self, used: &Used, at_ms: u64, now_ms: u64) {
        let known =
            self.known.entry(used.command).or_insert_with(|| Remembered { at_ms, contents: Vec::new() });
        if !known.contents.contains(&used.content) {
            known.contents.push(used.content);
        }
        self.oldest.remove(&(known.at_ms, used.command));
        known.at_ms = known.at_ms.max(at_ms);
        self.oldest.insert((known.at_ms, used.command));
        while let Some((at_ms, command)) = self.oldest.first().copied()
            && (at_ms + REMEMBERED_MS < now_ms || self.oldest.len() > REMEMBERED)
        {
            self.oldest.pop_first();
            self.known.remove(&command);
        }
    }

    /// Whether a command that says this was carried out, or one that said something else. What made no
    /// difference then was not written, and what others overwrote may be forgotten: part of it is enough.
    pub(crate) fn replay(&self, command: &CommandId, contents: &[[u8; 16]]) -> Replay {
        match self.known.get(command) {
            None => Replay::New,
            Some(known) if known.contents.iter().all(|content| contents.contains(content)) => Replay::Done,
            Some(_) => Replay::Other,
        }
    }
}
