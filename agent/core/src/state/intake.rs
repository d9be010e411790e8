//! How records come in: read, compared, judged, merged, and noted on disk, a batch at a time.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::{Key, NodeId};

use super::budget::{Budget, Rate};
use super::entry::{Entry, Fact};
use super::horizon::{is_collectable, is_mark, slots_of};
use super::judge::{Judge, Verdict};
use super::store::{Merge, Receipt};
use super::unsaid::{Unsaid, is_past, is_word};
use super::{Crypto, State, StateOutput};
use crate::Instant;
use crate::mutant::{Mutant, is_sown};

/// How many records of a peer may be refused a second, for long: each costs a check of a signature. Above
/// that the peer's records are not looked at.
pub const REFUSALS_PER_SECOND: u32 = 100;

const REFUSALS: Rate = Rate { per_second: REFUSALS_PER_SECOND, bound: 10 * REFUSALS_PER_SECOND };

/// How many bytes of records may wait for their authors' admission. They are neither stored nor hashed. What
/// does not fit comes again with the next comparison, and what stood here before from its author.
pub const WAITING_BYTES: usize = 256 * 1024;

/// How many records are kept aside. Those before them are no longer shown, those after them not kept on disk.
pub const ASIDE: usize = 1_024;

/// The first byte of a stored value that is a record kept aside: no record begins with it.
const ASIDE_MARK: u8 = 0xff;

/// The first byte of the keys of what is only kept: no family has it.
pub(crate) const ASIDE_FAMILY: u8 = 0;

/// A record that takes no part any more, or never did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Why it is here.
    pub why: &'static str,
}

/// What a batch has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) merged: Vec<Arc<Entry>>,
    writes: Vec<Write>,
}

/// Records whose authors are not known yet.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl WaitingRoom {
    fn add(&mut self, entry: Arc<Entry>) {
        if self.entries.iter().any(|waits| waits.hash() == entry.hash()) {
            return;
        }
        self.bytes += entry.bytes().len();
        self.entries.push_back(entry);
        while self.bytes > WAITING_BYTES
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes().len();
        }
    }

    fn take(&mut self) -> VecDeque<Arc<Entry>> {
        self.bytes = 0;
        core::mem::take(&mut self.entries)
    }
}

/// What each peer may still cost.
#[derive(Debug, Default)]
pub(crate) struct Patience(BTreeMap<NodeId, Budget>);

impl Patience {
    fn has(&mut self, peer: NodeId, now: Instant) -> bool {
        self.0.get_mut(&peer).is_none_or(|budget| budget.is_open(REFUSALS, now))
    }

    fn lose(&mut self, peer: NodeId, now: Instant) {
        self.0.retain(|_, budget| !(budget.is_open(REFUSALS, now) && budget.is_full(REFUSALS)));
        self.0.entry(peer).or_insert_with(|| Budget::full(REFUSALS, now)).draw(1);
    }
}

impl State {
    /// Takes records in. Those of membership go first, since the others' judgement rests on them. Of what
    /// people wanted before `since_ms` nothing comes to stand.
    pub(crate) fn take_in(
        &mut self,
        now: Instant,
        from: NodeId,
        records: &[Vec<u8>],
        since_ms: u64,
        judge: &impl Judge,
        crypto: &impl Crypto,
    ) -> (Intake, Vec<Receipt>) {
        let mut intake = Intake::default();
        let mut receipts =
            alloc::vec![Receipt::Refused("the sender has sent too much that was refused"); records.len()];
        let mut read = Vec::with_capacity(records.len());
        for (at, bytes) in records.iter().enumerate() {
            if !self.patience.has(from, now) {
                break;
            }
            match crypto.read_record(bytes) {
                Ok(entry) => read.push((at, entry)),
                Err(why) => receipts[at] = self.refuse(now, from, from, why),
            }
        }
        read.sort_by_key(|(_, entry)| !entry.is_membership());
        for (at, entry) in read {
            if !self.patience.has(from, now) {
                break;
            }
            if self.is_too_late(&entry, since_ms) {
                receipts[at] = Receipt::Refused(TOO_LATE);
                continue;
            }
            let author = entry.author();
            receipts[at] = match self.offer(&mut intake, Arc::clone(&entry), judge) {
                // No fault of the sender's, who may know the family.
                Receipt::Refused(NO_ROOM) => Receipt::Refused(NO_ROOM),
                Receipt::Refused(why) => self.refuse(now, from, author, why),
                Receipt::Unknown => {
                    self.waiting.add(entry);
                    Receipt::Unknown
                }
                receipt @ (Receipt::Merged | Receipt::Older | Receipt::Same) => receipt,
            };
        }
        (intake, receipts)
    }

    fn is_too_late(&self, entry: &Entry, since_ms: u64) -> bool {
        matches!(entry.key(), Some(Key::Desired(_)))
            && entry.time().is_some_and(|time| time.ms() < since_ms)
            && self.store.at(entry.place()).is_none()
    }

    fn refuse(&mut self, now: Instant, from: NodeId, author: NodeId, why: &'static str) -> Receipt {
        self.patience.lose(from, now);
        self.outputs.push_back(StateOutput::Refused { from, author, why });
        Receipt::Refused(why)
    }

    /// Merges one record, if it is news and valid.
    pub(crate) fn offer(&mut self, intake: &mut Intake, entry: Arc<Entry>, judge: &impl Judge) -> Receipt {
        if let Some(receipt) = self.store.compare(&entry) {
            return receipt;
        }
        if !self.store.has_room_for(&entry) {
            return Receipt::Refused(NO_ROOM);
        }
        match judge.judge(&entry.record()) {
            Verdict::Valid => self.put(intake, entry),
            Verdict::Void => {
                self.note_void(entry);
                Receipt::Refused(VOID)
            }
            Verdict::Invalid(why) => Receipt::Refused(why),
            Verdict::UnknownAuthor => Receipt::Unknown,
        }
    }

    /// Merges a valid record that is news.
    pub(crate) fn put(&mut self, intake: &mut Intake, entry: Arc<Entry>) -> Receipt {
        match self.store.put(Arc::clone(&entry)) {
            Merge::NoRoom => Receipt::Refused(NO_ROOM),
            Merge::Stands(gave_way) => {
                if let Some(gave_way) = gave_way {
                    intake.writes.push(Write::DeleteRecord { key: gave_way.key_bytes() });
                }
                intake
                    .writes
                    .push(Write::PutRecord { key: entry.key_bytes(), record: entry.bytes().to_vec() });
                intake.merged.push(entry);
                Receipt::Merged
            }
        }
    }

    /// Takes away a record that stands.
    pub(crate) fn take_away(&mut self, intake: &mut Intake, entry: &Entry) {
        if self.store.take_away(entry) {
            intake.writes.push(Write::DeleteRecord { key: entry.key_bytes() });
        }
    }

    /// Takes away what a stale node may have missed the deletion of, with all that hangs on it, and keeps it
    /// aside.
    pub(crate) fn drop_stale(&mut self, intake: &mut Intake, dropped: Vec<Arc<Entry>>) {
        for entry in dropped {
            let hanging = match entry.fact() {
                Fact::Birth(_) => service_of(&entry).map(|service| slots_of(&self.store, service)),
                _other => None,
            };
            for entry in hanging.into_iter().flatten().chain([entry]) {
                if self.store.at(entry.place()).is_some_and(|held| held.hash() == entry.hash()) {
                    self.take_away(intake, &entry);
                    self.set_aside(intake, &entry, STALE);
                }
            }
        }
    }

    /// Others are to say it again, if it is not before the horizon.
    fn note_void(&mut self, entry: Arc<Entry>) {
        if is_sown(Mutant::VoidWordsAreLost) {
            return;
        }
        if is_word(&entry) && !is_past(&self.store, self.progress.gc_before_ms(), &entry) {
            self.void.push(entry);
        }
    }

    fn set_aside(&mut self, intake: &mut Intake, entry: &Entry, why: &'static str) {
        if self.aside.len() == ASIDE {
            return self.note_aside(Aside { bytes: entry.bytes().to_vec(), why });
        }
        let key = [&[ASIDE_FAMILY], entry.key_bytes().as_slice()].concat();
        let record = [&[ASIDE_MARK], entry.bytes()].concat();
        intake.writes.push(Write::PutRecord { key, record });
        self.note_aside(Aside { bytes: entry.bytes().to_vec(), why });
    }

    fn note_aside(&mut self, aside: Aside) {
        if self.aside.len() == ASIDE {
            self.aside.remove(0);
        }
        self.aside.push(aside);
    }

    /// Reads one value of the local store.
    pub(crate) fn restore(&mut self, bytes: &[u8], crypto: &impl Crypto) {
        if let Some(bytes) = bytes.strip_prefix(&[ASIDE_MARK]) {
            return self.note_aside(Aside { bytes: bytes.to_vec(), why: STALE });
        }
        if let Some(word) = Unsaid::stored(bytes) {
            return match crypto.read_record(word) {
                Ok(entry) => self.unsaid.restore(entry),
                Err(why) => self.note_aside(Aside { bytes: word.to_vec(), why }),
            };
        }
        match crypto.read_record(bytes) {
            Ok(entry) if self.store.compare(&entry).is_none() => drop(self.store.put(entry)),
            Ok(_twice) => {}
            Err(why) => self.note_aside(Aside { bytes: bytes.to_vec(), why }),
        }
    }

    /// Judges these again, which stand, and then what waits for an author.
    pub(crate) fn judge_again(&mut self, theirs: Vec<Arc<Entry>>, judge: &impl Judge) -> Intake {
        let mut intake = Intake::default();
        let mut orphans = Vec::new();
        for entry in theirs {
            let verdict = judge.judge(&entry.record());
            let may_stand_again = matches!(verdict, Verdict::Void | Verdict::UnknownAuthor);
            let is_kept = entry.author() == self.me || !is_sown(Mutant::AuthorsAloneKeep);
            if may_stand_again && is_kept && !is_sown(Mutant::VoidWordsAreLost) {
                intake.writes.extend(self.unsaid.add(&entry, verdict));
            }
            let why = match verdict {
                Verdict::Valid => continue,
                Verdict::Void => {
                    // What is kept is judged below.
                    if !is_kept {
                        self.note_void(Arc::clone(&entry));
                    }
                    VOID
                }
                Verdict::Invalid(why) => why,
                // Who let it in had no word any more. Somebody else will, and then what people were told
                // stands as it did; what it saw it tells anew.
                Verdict::UnknownAuthor => {
                    orphans.extend(is_word(&entry).then(|| Arc::clone(&entry)));
                    "its author is not a member"
                }
            };
            self.take_away(&mut intake, &entry);
            self.outputs.push_back(StateOutput::Refused { from: self.me, author: entry.author(), why });
        }
        for entry in self.waiting.take() {
            match self.offer(&mut intake, Arc::clone(&entry), judge) {
                Receipt::Unknown => self.waiting.add(entry),
                Receipt::Refused(why) => {
                    self.outputs.push_back(StateOutput::Refused {
                        from: self.me,
                        author: entry.author(),
                        why,
                    });
                }
                Receipt::Merged | Receipt::Older | Receipt::Same => {}
            }
        }
        orphans.into_iter().for_each(|entry| self.waiting.add(entry));
        // What took a word away may have fallen itself; and it may be this node that can say it again now.
        let (valid, to_say) = self.unsaid.judge(self.me, judge);
        for entry in valid {
            if self.store.compare(&entry).is_none() {
                self.put(&mut intake, entry);
            }
        }
        to_say.into_iter().for_each(|entry| self.note_void(entry));
        intake
    }

    /// Ends a batch: what is gone for good goes, and the rest is written. `leaving` may leave this node then.
    /// Returns the write's token, if there is anything to write.
    pub(crate) fn close(
        &mut self,
        mut intake: Intake,
        leaving: Vec<Arc<Entry>>,
        quiet: bool,
    ) -> (Vec<Arc<Entry>>, Option<u64>) {
        self.progress.look(&self.store);
        // While the marks stand by which its words are gone for good.
        intake.writes.extend(self.unsaid.settle(&self.store, self.progress.gc_before_ms()));
        self.collect(&mut intake);
        let Intake { merged, writes } = intake;
        if writes.is_empty() {
            return (merged, None);
        }
        let token = self.disk.begin(&merged, leaving, quiet);
        self.outputs.push_back(StateOutput::Persist { token, writes });
        (merged, Some(token))
    }

    fn collect(&mut self, intake: &mut Intake) {
        let gc_before_ms = self.progress.gc_before_ms();
        if gc_before_ms == 0 {
            return;
        }
        let is_gone = |entry: &&Arc<Entry>| is_collectable(&self.store, gc_before_ms, entry);
        let gone: Vec<Arc<Entry>> = if intake.merged.iter().any(|entry| is_mark(entry)) {
            self.store.iter().filter(is_gone).map(Arc::clone).collect()
        } else {
            intake.merged.iter().filter(is_gone).map(Arc::clone).collect()
        };
        for entry in &gone {
            self.take_away(intake, entry);
        }
        let gone: BTreeSet<_> = gone.iter().map(|entry| entry.hash()).collect();
        intake.merged.retain(|entry| !gone.contains(&entry.hash()));
    }
}

/// Its author might have written it once.
pub(crate) const VOID: &str = "role";

const NO_ROOM: &str = "there is no room for more records of unknown families";

const TOO_LATE: &str = "it may have been deleted, and that forgotten";

const STALE: &str = "deleted elsewhere, as far as can be told, while this node was away";

fn service_of(entry: &Entry) -> Option<sleep_wire::ServiceId> {
    match entry.key() {
        Some(Key::Desired(sleep_wire::key::DesiredKey::ServiceBirth { service })) => Some(*service),
        _other => None,
    }
}
