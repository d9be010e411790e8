//! How two nodes find out what the other lacks: see [`sleep_wire::sync`] for the exchange.
//!
//! Answers are functions of the message and of what stands here. All that is remembered is the exchange that
//! this node itself began, one at a time, so that it can go on with the next round or the next peer.
//!
//! # Invariants
//! - `bounded_answer`: no message draws an answer of more than [`ANSWER_LIMIT`] bytes of records and 64 KiB
//!   of hashes, and no peer more than [`PER_SECOND`] bytes a second for long.
//! - `foundation_first`: while the foundations differ nothing else is compared, until a round has shown that
//!   two nodes will not agree on it.
//! - `horizon_known`: to a peer whose horizon is further on, nothing but the foundation is given.
//! - `rounds_end`: a round follows another only if that one brought something new, or for [`CONFIRMATIONS`]
//!   times.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::record::Batch;
use sleep_wire::sync::{Branch, BucketLists, Prefix, Standing, SyncMessage, TriePath};

use super::budget::{Budget, Rate};
use super::disk::Disk;
use super::entry::Entry;
use super::horizon::Progress;
use super::push::{BATCH_LIMIT, Dice};
use super::store::Store;
use super::trie::Sum;
use crate::Instant;
use crate::mutant::{Mutant, is_sown};

/// The most bytes of records that one message is answered with.
pub const ANSWER_LIMIT: usize = 4 * BATCH_LIMIT;

/// How many bytes a second a peer may be sent in answers, for long.
pub const PER_SECOND: u32 = 4 * 1024 * 1024;

/// How many rounds of an exchange may bring nothing new.
pub const CONFIRMATIONS: u8 = 3;

const ANSWERS: Rate = Rate { per_second: PER_SECOND, bound: 2 * PER_SECOND };

/// The most sums of one message's branches: 32 KiB.
const SUMS: usize = 1_024;

/// The most hashes of one message's buckets, or wants: 64 KiB.
const HASHES: usize = 4_096;

/// An exchange is given up when the peer says nothing for so long.
const SILENCE: Duration = Duration::from_secs(2);

/// Two questions that were on their way at one moment are there after so long.
const CROSSING: Duration = Duration::from_millis(500);

/// An exchange gives way to the next after so long, however well it goes.
const TURN: Duration = Duration::from_secs(60);

/// How many peers may wait for their turn.
const WAITING: usize = 8;

/// What this node's answers rest on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a Store,
    pub(crate) disk: &'a Disk,
    pub(crate) progress: &'a Progress,
}

/// What a message is answered with.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) messages: Vec<SyncMessage>,
    /// What a stale node drops: a whole peer has shown that it lacks it.
    pub(crate) dropped: Vec<Arc<Entry>>,
}

impl View<'_> {
    pub(crate) fn standing(&self) -> Standing {
        Standing { gc_before_ms: self.progress.gc_before_ms(), whole: self.progress.is_whole() }
    }

    /// Answers the sum of all that a peer has.
    pub(crate) fn root(&self, round: u32, sum: Sum) -> SyncMessage {
        let trie = self.store.trie();
        if sum == trie.root() {
            return SyncMessage::Equal { round, sum: sum.digest() };
        }
        SyncMessage::Branches { round, branches: Vec::from([trie.branch(TriePath::ROOT)]) }
    }

    /// Answers the sums below some nodes with this node's, one level deeper, where they differ. `further` if
    /// a round has dealt with the foundation already.
    pub(crate) fn compare(&self, round: u32, branches: &[Branch], further: bool) -> Option<SyncMessage> {
        let trie = self.store.trie();
        let (mut deeper, mut sums) = (Vec::new(), 0);
        let mut lists = BucketLists::default();
        for path in branches.iter().take(SUMS).flat_map(|branch| self.differing(branch, further)) {
            if path.depth < TriePath::BUCKET_DEPTH {
                let branch = trie.branch(path);
                sums += branch.sums.len();
                if deeper.len() == SUMS || (sums > SUMS && !deeper.is_empty()) {
                    break;
                }
                deeper.push(branch);
            } else if lists.buckets.last().is_none_or(|(last, _)| *last < path.index) {
                let here = trie.bucket(path.index);
                if lists.records.len() + here.len() > HASHES && !lists.is_empty() {
                    break;
                }
                lists.push(path.index, here.iter().map(|entry| entry.prefix()));
            }
        }
        if !deeper.is_empty() {
            Some(SyncMessage::Branches { round, branches: deeper })
        } else if !lists.is_empty() {
            Some(SyncMessage::Buckets { round, standing: self.standing(), buckets: lists })
        } else {
            None
        }
    }

    /// The children of a node whose sums are not the same here.
    fn differing(&self, branch: &Branch, further: bool) -> Vec<TriePath> {
        let Some(theirs) = branch.children() else { return Vec::new() };
        let children = (0..16).filter_map(|nibble| branch.path.child(nibble)).zip(theirs);
        let mut differing: Vec<TriePath> = children
            .filter(|(path, theirs)| self.store.trie().sum(*path) != Sum::of(theirs))
            .map(|(path, _)| path)
            .collect();
        if !further && differing.first() == Some(&TriePath::FOUNDATION) {
            differing.truncate(1);
        }
        differing
    }

    /// Answers what a peer has in some buckets with what it lacks, and what this node does.
    pub(crate) fn buckets(&self, round: u32, theirs: Standing, lists: &BucketLists) -> Answer {
        let (mut surplus, mut want) = (Vec::new(), BucketLists::default());
        for (index, records) in self.comparable(theirs, lists) {
            let have: BTreeSet<&Prefix> = records.iter().collect();
            let here = self.store.trie().bucket(index);
            surplus.extend(here.iter().filter(|entry| !have.contains(&entry.prefix())).map(Arc::clone));
            let missing = have.into_iter().filter(|prefix| self.store.trie().find(index, prefix).is_none());
            let missing: Vec<Prefix> = missing.take(HASHES - want.records.len()).copied().collect();
            if !missing.is_empty() {
                want.push(index, missing);
            }
        }
        self.pack(round, theirs, surplus, want)
    }

    /// Answers what a peer wants.
    pub(crate) fn wanted(&self, round: u32, theirs: Standing, want: &BucketLists) -> Answer {
        let mut entries = Vec::new();
        for (index, records) in self.comparable(theirs, want) {
            let prefixes: BTreeSet<&Prefix> = records.iter().collect();
            entries.extend(prefixes.into_iter().filter_map(|prefix| self.store.trie().find(index, prefix)));
        }
        self.pack(round, theirs, entries.into_iter().map(Arc::clone).collect(), BucketLists::default())
    }

    /// The buckets of a message that may be talked about: the foundation's alone with a peer whose horizon
    /// this node has not heard of.
    fn comparable<'a>(
        &self,
        theirs: Standing,
        lists: &'a BucketLists,
    ) -> impl Iterator<Item = (u16, &'a [Prefix])> {
        let knows = theirs.gc_before_ms <= self.progress.gc_before_ms();
        let end = if knows { TriePath::BUCKETS } else { TriePath::FOUNDATION_BUCKETS };
        lists.iter().take_while(move |(index, _)| usize::from(*index) < end)
    }

    /// Says that there is nothing more to say in a round.
    pub(crate) fn over(&self, round: u32) -> SyncMessage {
        let (batch, want) = (Batch::default(), BucketLists::default());
        SyncMessage::Records { round, standing: self.standing(), batch, want, end: true, more: false }
    }

    /// Packs records that the peer lacks.
    fn pack(&self, round: u32, theirs: Standing, entries: Vec<Arc<Entry>>, mut want: BucketLists) -> Answer {
        let mut answer = Answer::default();
        let (mut batches, mut total, mut filled, mut more) = (Vec::from([Batch::default()]), 0, 0, false);
        for entry in entries {
            if self.progress.is_suspect(self.store, &entry) {
                if theirs.whole && theirs.gc_before_ms == self.progress.gc_before_ms() {
                    answer.dropped.push(entry);
                }
                continue;
            }
            if self.disk.holds_back(&entry) {
                continue;
            }
            let len = entry.bytes().len();
            if total + len > ANSWER_LIMIT {
                more = true;
                break;
            }
            if filled + len > BATCH_LIMIT {
                batches.push(Batch::default());
                filled = 0;
            }
            (total, filled) = (total + len, filled + len);
            if let Some(batch) = batches.last_mut() {
                batch.records.push(entry.bytes().to_vec());
            }
        }
        let (standing, last) = (self.standing(), batches.len() - 1);
        for (at, batch) in batches.into_iter().enumerate() {
            let end = at == last;
            let want = if end { core::mem::take(&mut want) } else { BucketLists::default() };
            answer.messages.push(SyncMessage::Records {
                round,
                standing,
                batch,
                want,
                end,
                more: end && more,
            });
        }
        answer
    }
}

/// The exchange that this node began.
#[derive(Debug)]
struct Exchange {
    peer: NodeId,
    round: u32,
    began: Instant,
    heard: Instant,
    fresh: usize,
    confirmations: u8,
    /// Whether a round of it brought something new.
    bulk: bool,
}

#[derive(Debug)]
pub(crate) struct Exchanges {
    current: Option<Exchange>,
    waiting: VecDeque<NodeId>,
    next: Instant,
    /// Who was asked last and said nothing at all.
    silent: Option<NodeId>,
    round: u32,
    settled: bool,
    budgets: BTreeMap<NodeId, Budget>,
}

impl Exchanges {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            current: None,
            waiting: VecDeque::new(),
            next: Instant(0),
            silent: None,
            // So that two nodes' rounds are unlikely to have equal numbers.
            round: u32::try_from(dice.below(1 << 31)).unwrap_or(0),
            settled: false,
            budgets: BTreeMap::new(),
        }
    }

    /// Whether this node was once equal to another since it started: what it then learns by comparison is
    /// news.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// A connection to a peer stands: it is the next to be compared with.
    pub(crate) fn connected(&mut self, peer: NodeId) {
        if self.waiting.len() < WAITING && !self.waiting.contains(&peer) {
            self.waiting.push_back(peer);
        }
    }

    /// Begins the next exchange, if it is time for one.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        live: &BTreeSet<NodeId>,
        dice: &mut Dice,
    ) -> Option<(NodeId, u32)> {
        if let Some(over) = self.current.take_if(|exchange| exchange.is_over(now)) {
            // SWIM may reach by way of others whom this node itself does not: another is asked at once.
            self.silent = over.is_silent().then_some(over.peer);
            if self.silent.is_some() {
                self.next = now;
            }
        }
        if self.current.is_some() {
            return None;
        }
        let mut peer = self.waiting.pop_front();
        if peer.is_none() && now >= self.next {
            let others = live.iter().copied().filter(|peer| Some(*peer) != self.silent || live.len() == 1);
            peer = dice.choose(others.collect(), 1).pop();
        }
        let peer = peer.filter(|_| !is_sown(Mutant::NoComparison))?;
        self.next = now + pause(live.len(), dice);
        self.round = self.round.wrapping_add(1);
        self.current = Some(Exchange {
            peer,
            round: self.round,
            began: now,
            heard: now,
            fresh: 0,
            confirmations: 0,
            bulk: false,
        });
        Some((peer, self.round))
    }

    /// When something is due by itself.
    pub(crate) fn next_wake(&self, live: &BTreeSet<NodeId>) -> Option<Instant> {
        match &self.current {
            Some(exchange) => Some(exchange.over_at()),
            None if !self.waiting.is_empty() => Some(Instant(0)),
            None => (!live.is_empty()).then_some(self.next),
        }
    }

    /// Whether a peer that differs is answered. Of two that ask each other the one that has much less goes
    /// on, or else the one with the smaller id, unless its question was passed over: then nobody would; a
    /// node that has much less asks by itself, one peer after the other, lest all bring it the same; and
    /// while one brings much, no other is answered.
    pub(crate) fn yields_to(
        &mut self,
        now: Instant,
        me: NodeId,
        peer: NodeId,
        mine: u64,
        theirs: u64,
    ) -> bool {
        let is_much_less = |a: u64, b: u64| a.saturating_mul(2).saturating_add(64) < b;
        let current = self.current.as_ref().filter(|exchange| !exchange.is_over(now));
        let with_it = current.is_some_and(|exchange| exchange.peer == peer);
        if is_much_less(mine, theirs) {
            if !with_it {
                self.connected(peer);
            }
            return false;
        }
        let yields = match current {
            Some(exchange) if with_it => {
                is_much_less(theirs, mine) || peer < me || exchange.is_unanswered(now)
            }
            Some(exchange) => !exchange.bulk,
            None => true,
        };
        if yields && with_it {
            self.current = None;
        }
        yields
    }

    /// A message of the exchange that this node began came in.
    pub(crate) fn heard(&mut self, now: Instant, peer: NodeId, round: u32, fresh: usize) {
        if let Some(exchange) = self.of(peer, round) {
            exchange.heard = now;
            exchange.fresh += fresh;
            exchange.bulk |= fresh > 0;
        }
    }

    /// Whether a round of this exchange has brought nothing new: what differs in the foundation will go on
    /// to.
    pub(crate) fn is_further(&self, peer: NodeId, round: u32) -> bool {
        self.is_mine(peer, round) && self.current.as_ref().is_some_and(|exchange| exchange.confirmations > 0)
    }

    /// Both have the same, as far as the exchange goes.
    pub(crate) fn equal(&mut self, peer: NodeId, round: u32) {
        if self.of(peer, round).is_some() {
            self.current = None;
        }
        self.settled = true;
    }

    /// An answer of the exchange has come in whole. Returns the number of the next round if there is to be
    /// one.
    pub(crate) fn ended(&mut self, now: Instant, peer: NodeId, round: u32) -> Option<u32> {
        let next = self.round.wrapping_add(1);
        let exchange = self.of(peer, round)?;
        if exchange.fresh == 0 {
            exchange.confirmations += 1;
        }
        if exchange.confirmations > CONFIRMATIONS || now.since(exchange.began) > TURN {
            self.current = None;
            return None;
        }
        (exchange.round, exchange.heard, exchange.fresh) = (next, now, 0);
        self.round = next;
        Some(next)
    }

    /// Whether a peer may have another answer.
    pub(crate) fn may_answer(&mut self, now: Instant, peer: NodeId) -> bool {
        self.budgets.entry(peer).or_insert_with(|| Budget::full(ANSWERS, now)).is_open(ANSWERS, now)
    }

    /// An answer of so many bytes went out.
    pub(crate) fn answered(&mut self, peer: NodeId, bytes: usize) {
        if let Some(budget) = self.budgets.get_mut(&peer) {
            budget.draw(bytes);
        }
    }

    /// Peers that are gone start anew when they are back.
    pub(crate) fn keep_budgets_of(&mut self, live: &BTreeSet<NodeId>) {
        self.budgets.retain(|peer, budget| live.contains(peer) || !budget.is_full(ANSWERS));
    }

    /// Whether this node began this exchange.
    pub(crate) fn is_mine(&self, peer: NodeId, round: u32) -> bool {
        self.current.as_ref().is_some_and(|exchange| exchange.peer == peer && exchange.round == round)
    }

    fn of(&mut self, peer: NodeId, round: u32) -> Option<&mut Exchange> {
        self.current.as_mut().filter(|exchange| exchange.peer == peer && exchange.round == round)
    }
}

impl Exchange {
    fn over_at(&self) -> Instant {
        self.heard + SILENCE
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.over_at()
    }

    /// Whether the peer has said nothing at all.
    fn is_silent(&self) -> bool {
        self.heard == self.began
    }

    /// Whether the peer has said nothing at all for longer than two questions that cross take.
    fn is_unanswered(&self, now: Instant) -> bool {
        self.is_silent() && now.since(self.began) >= CROSSING
    }
}

/// How long until the next comparison with a random peer: 5 s, in large clusters 10 to 30 s, up to a fifth
/// more or less so that nodes do not march in step.
fn pause(live: usize, dice: &mut Dice) -> Duration {
    let base = match live {
        0..64 => 5_000,
        64..512 => 10_000,
        _ => 30_000,
    };
    Duration::from_millis(base * 4 / 5 + dice.below(base * 2 / 5))
}

/// About how many bytes a message has.
pub(crate) fn size(message: &SyncMessage) -> usize {
    let hashes = |lists: &BucketLists| 5 * lists.buckets.len() + 16 * lists.records.len();
    64 + match message {
        SyncMessage::Root { .. } | SyncMessage::Equal { .. } => 0,
        SyncMessage::Branches { branches, .. } => {
            branches.iter().map(|branch| 6 + 32 * branch.sums.len()).sum::<usize>()
        }
        SyncMessage::Buckets { buckets, .. } => hashes(buckets),
        SyncMessage::Records { batch, want, .. } => {
            batch.records.iter().map(|record| 4 + record.len()).sum::<usize>() + hashes(want)
        }
    }
}
