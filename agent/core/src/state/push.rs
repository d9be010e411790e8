//! How new records spread unasked.
//!
//! Where few live, who writes a record tells everybody, and who hears of it tells one more, for the sake of
//! those to whom there is no way just then. Where many do, each node passes each record on once, to three
//! peers. Who was admitted, and what it is at first (where few live: whenever that changes), everybody is
//! told. The first leaves at once; what follows within 50 ms leaves in one batch. What is lost on the way, or
//! reaches nobody, is found by the next comparison ([`super::sync`]).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use sleep_wire::key::ObservedKey;
use sleep_wire::record::Batch;
use sleep_wire::{Key, NodeId};

use super::entry::Entry;
use crate::Instant;

/// To how many peers a record is pushed where many live.
pub const FANOUT: usize = 3;

/// Up to how many live peers are all told of what is written here.
pub const FEW: usize = 16;

/// How long records are gathered after a push.
pub const GATHER: Duration = Duration::from_millis(50);

/// The most bytes of records in one message.
pub const BATCH_LIMIT: usize = 256 * 1024;

/// The most records that wait to be pushed. What is above is left to comparison.
const QUEUE: usize = 8_192;

/// Draws peers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product is even enough where nothing but load depends on it (Lemire, 2019).
        let drawn = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(drawn >> 64).unwrap_or(0)
    }

    /// Up to `count` of these, each at most once.
    pub(crate) fn choose(&mut self, mut from: Vec<NodeId>, count: usize) -> Vec<NodeId> {
        let count = count.min(from.len());
        for at in 0..count {
            let with = at + usize::try_from(self.below((from.len() - at) as u64)).unwrap_or(0);
            from.swap(at, with);
        }
        from.truncate(count);
        from
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pushes {
    queue: Vec<Parcel>,
    closed_until: Instant,
}

#[derive(Debug)]
struct Parcel {
    entry: Arc<Entry>,
    source: Option<NodeId>,
    /// Whether its author introduces itself with it: nothing had been heard of what it is.
    introduces: bool,
}

impl Parcel {
    /// Whether everybody is told. Where many live, too, of who belongs to the cluster, by whoever writes
    /// that, and of what a new member is, by whoever hears it first from itself: until others know both they
    /// do not let it in, it can tell nobody but its door, and all who hear of it find it silent. Where few
    /// live whoever hears what a node is tells all, whenever that changes: if it has moved, those who do not
    /// know where it is now are the ones whom it cannot tell.
    fn is_for_all(&self, few: bool) -> bool {
        match self.source {
            None => few || self.entry.is_membership(),
            Some(_) => self.introduces || few && is_facts(&self.entry, None),
        }
    }
}

impl Pushes {
    /// Queues a record that was written here.
    pub(crate) fn add(&mut self, entry: Arc<Entry>) {
        self.queue(Parcel { entry, source: None, introduces: false });
    }

    /// Queues a record that came from a peer, if it is news to others, too, or if the peer is a `stranger`
    /// who tells with it what it is.
    pub(crate) fn pass_on(&mut self, entry: Arc<Entry>, source: NodeId, stranger: bool, is_news: bool) {
        let introduces = stranger && is_facts(&entry, Some(source));
        if is_news || introduces {
            self.queue(Parcel { entry, source: Some(source), introduces });
        }
    }

    fn queue(&mut self, parcel: Parcel) {
        if self.queue.len() < QUEUE {
            self.queue.push(parcel);
        }
    }

    /// When something is to leave.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        (!self.queue.is_empty()).then_some(self.closed_until)
    }

    /// What leaves now, for whom. Nobody is told what it told us or wrote itself.
    pub(crate) fn flush(
        &mut self,
        now: Instant,
        live: &BTreeSet<NodeId>,
        dice: &mut Dice,
    ) -> Vec<(NodeId, Batch)> {
        if self.queue.is_empty() || now < self.closed_until {
            return Vec::new();
        }
        self.closed_until = now + GATHER;
        let queue = core::mem::take(&mut self.queue);
        let few = live.len() <= FEW;
        let is_for_all = |parcel: &Parcel| parcel.is_for_all(few);
        let is_news =
            |parcel: &Parcel, peer: NodeId| parcel.source != Some(peer) && parcel.entry.author() != peer;
        let goes_on = |parcel: &Parcel, peer: NodeId| !is_for_all(parcel) && is_news(parcel, peer);
        let hear = live.iter().copied().filter(|peer| queue.iter().any(|parcel| goes_on(parcel, *peer)));
        let onward = dice.choose(hear.collect(), if few { 1 } else { FANOUT });
        let mut leaving = Vec::new();
        for peer in live.iter().copied() {
            let hears = onward.contains(&peer);
            let told = |parcel: &&Parcel| is_news(parcel, peer) && (is_for_all(parcel) || hears);
            let news = queue.iter().filter(told).map(|parcel| &parcel.entry);
            leaving.extend(batches(news).into_iter().map(|batch| (peer, batch)));
        }
        leaving
    }
}

/// Whether a record says what a node is: this one, if one is named.
fn is_facts(entry: &Entry, of: Option<NodeId>) -> bool {
    matches!(entry.key(), Some(Key::Observed(ObservedKey::Facts { node })) if of.is_none_or(|of| *node == of))
}

/// Packs records into as few messages as fit.
pub(crate) fn batches<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<Batch> {
    let (mut batches, mut filled) = (Vec::<Batch>::new(), BATCH_LIMIT);
    for entry in entries {
        let len = entry.bytes().len();
        if filled + len > BATCH_LIMIT {
            batches.push(Batch::default());
            filled = 0;
        }
        filled += len;
        if let Some(batch) = batches.last_mut() {
            batch.records.push(entry.bytes().to_vec());
        }
    }
    batches
}
