//! What the cluster has written down, and how every node comes to have all of it.
//!
//! ```text
//!  write ──▶ sign ─┐                        ┌─▶ Persist ── Durable ──▶ push to 3, answer the writer
//!                  ├─▶ judge ──▶ merge ─────┤
//!  push, sync ─────┘             (Store)    └─▶ views, changes ──▶ the composer
//!
//!  every 5 s, and on every connection: compare sums with a peer, exchange what differs (sync)
//! ```
//! A record is a fact under a key, signed by its author, ordered by its stamp. Nodes merge them in any order
//! and any number of times, and end up with the same: no log, no leader, no sequence numbers.
//!
//! # Invariants
//! - `merge_is_a_semilattice` and `equal_sets_equal_sums`: see [`store`].
//! - `authorship`: nothing is merged or passed on that the [`Judge`] has not called valid.
//! - `durable_before_it_leaves` and `acked_is_durable`: see [`disk`].
//! - `no_resurrection`: see [`horizon`].
//! - `keeps_the_unread`: a later release's record is kept, hashed and relayed as it came, see [`entry`].
//! - `nothing_lost_silently`: every record taken in has a [`Receipt`]; what is dropped is kept aside and
//!   shown.
//! - `idle_writes_nothing`: what merges nothing new writes nothing.
//!
//! # Not here
//! Who may write what: the trust room, behind [`Judge`]. What the time is, who is alive, who holds the lease:
//! told by the composer. What a view's reader decides: placement, rollout, reconcile.

mod acks;
mod budget;
pub mod commands;
mod disk;
pub mod entry;
mod horizon;
mod intake;
pub mod judge;
mod push;
mod services;
mod store;
mod sync;
mod tasks;
mod traffic;
mod trie;
mod unsaid;
mod views;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::durable::{Horizons, Write};
use sleep_wire::message::{Message, PushMessage};
use sleep_wire::node::Horizon;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::sync::SyncMessage;
use sleep_wire::{ClusterId, CommandId, Digest, Epoch, Key, NodeId, Record, Signature, Stamp, encode};

pub use acks::{ASK_OTHERS, CONFIRM_WITHIN};
pub use commands::Replay;
pub use entry::{BODY_VERSION, Entry, Fact, Place, TOMBSTONES_MS};
pub use horizon::HORIZON_STEP_MS;
pub use intake::{ASIDE, Aside, REFUSALS_PER_SECOND, WAITING_BYTES};
pub use judge::{Judge, Verdict};
pub use push::{BATCH_LIMIT, FANOUT, FEW, GATHER};
pub use services::{Name, RevisionView, Service, Unseen};
pub use store::{FOREIGN_QUOTA, REPORTS_QUOTA, Receipt};
pub use sync::{ANSWER_LIMIT, CONFIRMATIONS, PER_SECOND};
pub use views::{SlotView, TaskView};

use acks::Acks;
use disk::Disk;
use horizon::Progress;
use intake::{Intake, Patience, VOID, WaitingRoom};
use push::{Dice, Pushes};
use store::Store;
use sync::Exchanges;
use unsaid::Unsaid;

use crate::io::{Durability, Lane};
use crate::{Crypto, Instant};

/// Something this node is about to sign and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where.
    pub key: Key,
    /// When, by the clock of the key's family.
    pub stamp: Stamp,
    /// The format of the body: [`BODY_VERSION`].
    pub version: u16,
    /// What, encoded.
    pub body: Vec<u8>,
}

/// Something happened that concerns records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateInput {
    /// New records, or word that ours are durable.
    Push {
        /// From whom.
        from: NodeId,
        /// What it says.
        message: PushMessage,
    },
    /// A step of a comparison.
    Sync {
        /// With whom.
        from: NodeId,
        /// What it says.
        message: SyncMessage,
        /// Cluster time now.
        time: ClusterTime,
        /// Whether the quorum's holder gives fresh signs of life here: being equal with a peer then counts as
        /// a full sync with the holder's side.
        holder_side: bool,
    },
    /// A connection to a member stands.
    Connected {
        /// To whom.
        peer: NodeId,
    },
    /// A write is durable.
    Durable {
        /// As named by [`StateOutput::Persist`].
        token: u64,
    },
    /// A write failed; what is on the disk decides what happened.
    DurableFailed {
        /// As named by [`StateOutput::Persist`].
        token: u64,
    },
    /// Who is alive, as SWIM sees it; this node itself does not matter.
    Peers {
        /// The members.
        live: Vec<NodeId>,
    },
    /// It is later.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateOutput {
    /// Say something.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
        /// What it may overtake.
        lane: Lane,
    },
    /// Make these writes durable, all or none, after those before.
    Persist {
        /// Comes back when it is done.
        token: u64,
        /// The writes.
        writes: Vec<Write>,
    },
    /// What was written is safe.
    Acknowledged {
        /// As given to [`State::write`].
        waiter: u64,
        /// Where it is safe.
        durability: Durability,
    },
    /// What was written may not have reached the disk.
    Failed {
        /// As given to [`State::write`].
        waiter: u64,
    },
    /// A record was refused, or taken away because its author may not have written it.
    Refused {
        /// Who sent it; this node itself if it had it.
        from: NodeId,
        /// Who is said to have written it.
        author: NodeId,
        /// Why.
        why: &'static str,
    },
}

/// Every record that this node has, and its part in spreading them.
#[derive(Debug)]
pub struct State {
    cluster: ClusterId,
    me: NodeId,
    store: Store,
    disk: Disk,
    acks: Acks,
    pushes: Pushes,
    exchanges: Exchanges,
    progress: Progress,
    waiting: WaitingRoom,
    patience: Patience,
    aside: Vec<Aside>,
    unsaid: Unsaid,
    void: Vec<Arc<Entry>>,
    live: BTreeSet<NodeId>,
    dice: Dice,
    outputs: VecDeque<StateOutput>,
}

impl State {
    /// An empty state. The seed decides which peers are drawn, and nothing else.
    pub fn new(cluster: ClusterId, me: NodeId, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            cluster,
            me,
            store: Store::new(),
            disk: Disk::default(),
            acks: Acks::default(),
            pushes: Pushes::default(),
            exchanges: Exchanges::new(&mut dice),
            progress: Progress::new(),
            waiting: WaitingRoom::default(),
            patience: Patience::default(),
            aside: Vec::new(),
            unsaid: Unsaid::default(),
            void: Vec::new(),
            live: BTreeSet::new(),
            dice,
            outputs: VecDeque::new(),
        }
    }

    /// Tells this agent's questions from those of its earlier lives: a late answer to one of those confirms
    /// nothing now.
    pub fn begin_boot(&mut self, boot: u32) {
        self.acks.count_from(u64::from(boot) << 32);
    }

    /// Takes over what the local store holds. What cannot be read is kept aside: see [`State::aside`].
    /// Nothing is judged yet, as the judge rests on [`State::membership_records`]: see
    /// [`State::rejudge_all`].
    pub fn load<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
        horizons: Option<Horizons>,
        crypto: &impl Crypto,
    ) {
        for bytes in records {
            self.restore(bytes, crypto);
        }
        if let Some(horizons) = horizons {
            self.progress.restore(horizons);
        }
        self.progress.look(&self.store);
    }

    /// Takes over records that were read elsewhere.
    #[cfg(test)]
    pub(crate) fn hold(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.store.put(Arc::clone(entry));
        }
    }

    /// Signs these, merges them, writes them to disk, and pushes them once they are durable. With a waiter,
    /// [`StateOutput::Acknowledged`] follows.
    ///
    /// # Errors
    /// If one of them is malformed, or this node may not write it: then none is written.
    pub fn write(
        &mut self,
        now: Instant,
        drafts: Vec<Draft>,
        judge: &impl Judge,
        crypto: &impl Crypto,
        waiter: Option<u64>,
    ) -> Result<Vec<Receipt>, &'static str> {
        let records = drafts.into_iter().map(|draft| self.sign(draft, crypto)).collect();
        self.submit(now, records, judge, crypto, waiter)
    }

    /// The same for records that are signed already, by an operator.
    ///
    /// # Errors
    /// If one of them is malformed or not valid: then none is written.
    pub fn submit(
        &mut self,
        now: Instant,
        records: Vec<Vec<u8>>,
        judge: &impl Judge,
        crypto: &impl Crypto,
        waiter: Option<u64>,
    ) -> Result<Vec<Receipt>, &'static str> {
        let mut entries = Vec::with_capacity(records.len());
        for bytes in &records {
            let entry = crypto.read_record(bytes)?;
            match judge.judge(&entry.record()) {
                Verdict::Valid => entries.push(entry),
                Verdict::Void => return Err(VOID),
                Verdict::Invalid(why) => return Err(why),
                Verdict::UnknownAuthor => return Err("its author is not a member"),
            }
        }
        let mut intake = Intake::default();
        let receipts = entries
            .iter()
            .map(|entry| match self.store.compare(entry) {
                Some(receipt) => receipt,
                None => self.put(&mut intake, Arc::clone(entry)),
            })
            .collect();
        let leaving = intake.merged.clone();
        let (_, token) = self.close(intake, leaving, waiter.is_some());
        if let Some(waiter) = waiter {
            self.wait(now, waiter, entries, token);
        }
        self.pump(now);
        Ok(receipts)
    }

    /// Tells a waiter when what stands under these keys is safe: for a command that was carried out before.
    pub fn confirm(&mut self, now: Instant, keys: &[Key], waiter: u64) {
        let entries: Vec<_> = keys.iter().filter_map(|key| self.store.get(key)).map(Arc::clone).collect();
        let token = entries.iter().filter_map(|entry| self.disk.waits_for(entry)).max();
        self.wait(now, waiter, entries, token);
        self.pump(now);
    }

    /// Whether all that stands is durable.
    pub fn is_written(&self) -> bool {
        self.disk.is_idle()
    }

    /// Tells a waiter when all that this node has written is safe: for a command that has just been carried
    /// out.
    pub fn confirm_written(&mut self, now: Instant, waiter: u64) {
        self.wait(now, waiter, self.disk.leaving(), None);
        self.pump(now);
    }

    /// The write that makes what stands under a key durable, unless it is.
    pub fn write_under_way(&self, key: &Key) -> Option<u64> {
        self.disk.waits_for(self.store.get(key)?)
    }

    fn wait(&mut self, now: Instant, waiter: u64, entries: Vec<Arc<Entry>>, token: Option<u64>) {
        let earlier = entries.iter().filter_map(|entry| self.disk.waits_for(entry)).max();
        if entries.is_empty() {
            let durability = if self.live.is_empty() { Durability::Alone } else { Durability::Shared };
            return self.outputs.push_back(StateOutput::Acknowledged { waiter, durability });
        }
        self.acks.wait(now, waiter, entries, token.max(earlier));
    }

    fn sign(&self, draft: Draft, crypto: &impl Crypto) -> Vec<u8> {
        let Draft { key, stamp, version, body } = draft;
        let signature = Signature([0; 64]);
        let mut record = Record { key: key.to_bytes(), stamp, author: self.me, version, body, signature };
        record.signature = crypto.sign(&record.signed_bytes(&self.cluster));
        encode(&record)
    }

    /// Takes records in that came with a join or an answer to a roll call: as a push, but they are not passed
    /// on.
    pub fn receive_records(
        &mut self,
        now: Instant,
        from: NodeId,
        records: &[Vec<u8>],
        judge: &impl Judge,
        crypto: &impl Crypto,
    ) -> Vec<Receipt> {
        let (intake, receipts) = self.take_in(now, from, records, 0, judge, crypto);
        self.close(intake, Vec::new(), true);
        self.pump(now);
        receipts
    }

    /// The membership set is another: what these nodes and operators wrote is judged again, and so is what
    /// waits for its author.
    pub fn rejudge(&mut self, now: Instant, authors: &BTreeSet<NodeId>, judge: &impl Judge) {
        // A newcomer has written nothing yet that stands here: the common case is no scan.
        let of: BTreeSet<NodeId> =
            authors.iter().filter(|author| self.store.has_records_of(author)).copied().collect();
        let theirs = if of.is_empty() { Vec::new() } else { self.store.by(|author| of.contains(author)) };
        let intake = self.judge_again(theirs, judge);
        self.spread(now, intake);
    }

    /// Judges everything: after [`State::load`], in case the disk has changed what was written.
    pub fn rejudge_all(&mut self, now: Instant, judge: &impl Judge) {
        let intake = self.judge_again(self.store.by(|_| true), judge);
        self.spread(now, intake);
    }

    fn spread(&mut self, now: Instant, intake: Intake) {
        let (merged, _) = self.close(intake, Vec::new(), true);
        for entry in merged {
            self.pushes.add(entry);
        }
        self.pump(now);
    }

    /// What is to be done. Drained until `None` before the next call that changes anything.
    pub fn poll_output(&mut self) -> Option<StateOutput> {
        self.outputs.pop_front()
    }

    /// When [`StateInput::Tick`] is due, if nothing comes before.
    pub fn next_wake(&self) -> Option<Instant> {
        let wakes = [self.pushes.next_wake(), self.acks.next_wake(), self.exchanges.next_wake(&self.live)];
        wakes.into_iter().flatten().min()
    }

    /// Keys under which something changed since the last call, in order. Sealed records have no part in it if
    /// their family is unknown.
    pub fn take_changes(&mut self) -> Vec<Key> {
        self.store.take_changes().into_iter().collect()
    }

    /// What was found to be void since the last call, and is to be said again by whoever may.
    pub fn take_void(&mut self) -> Vec<Arc<Entry>> {
        core::mem::take(&mut self.void)
    }

    /// Whether what a void word said stands, or something newer in its place.
    pub fn is_said(&self, void: &Entry) -> bool {
        unsaid::is_said(&self.store, void)
    }

    /// What stood here, is void, and was not said again yet.
    #[cfg(test)]
    pub(crate) fn unsaid(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.unsaid.iter()
    }

    /// Whether anybody sent this command before. `said` is all that it may write: the parents of revisions,
    /// and when anything was, do not matter.
    pub fn replay<'a>(
        &self,
        command: &CommandId,
        said: impl IntoIterator<Item = (&'a Key, &'a [u8])>,
        crypto: &impl Crypto,
    ) -> Replay {
        let mut contents = Vec::new();
        for (key, body) in said {
            let Ok(fact) = entry::fact_of(key, body) else { return Replay::Other };
            let used = commands::used(&Place::Known(key.clone()), &fact, crypto);
            contents.extend(used.map(|used| used.content));
        }
        self.store.commands().replay(command, &contents)
    }

    /// The horizon that the lease holder should write now, if the one that stands is a day behind and there
    /// is anything that it would take away.
    pub fn horizon_due(&self, time: ClusterTime) -> Option<Horizon> {
        let gc_before_ms = time.ms().saturating_sub(TOMBSTONES_MS);
        let due = gc_before_ms >= self.progress.gc_before_ms().saturating_add(HORIZON_STEP_MS)
            && horizon::any_collectable(&self.store, gc_before_ms);
        due.then_some(Horizon { gc_before_ms })
    }

    /// The greatest cluster time that was ever seen here in a record that stood, be it void by now, or synced
    /// at: the clock stays above it.
    pub fn greatest_time(&self) -> ClusterTime {
        self.store.time().max(self.unsaid.time()).max(self.progress.full_sync())
    }

    /// The greatest epoch that was ever seen here in a record: a candidate goes above it.
    pub const fn greatest_epoch(&self) -> Epoch {
        self.store.epoch()
    }

    /// Whether everything that some peer had has come here since the start.
    pub const fn has_met(&self) -> bool {
        self.progress.has_met()
    }

    /// The sum of all records: equal on two nodes iff they have the same.
    pub fn digest(&self) -> Digest {
        self.store.trie().root().digest()
    }

    /// How many records stand.
    pub const fn len(&self) -> u64 {
        self.store.trie().records()
    }

    /// Whether none does.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records that take no part: what a stale node dropped, what could not be read from disk.
    pub fn aside(&self) -> &[Aside] {
        &self.aside
    }

    /// Whether the horizon has passed this node by: it drops what a whole peer shows that it lacks.
    pub const fn is_stale(&self) -> bool {
        self.progress.is_stale()
    }
}
