//! Whether this node's disk is old: others know of it what it does not know itself.
//!
//! Somebody put an earlier image back, or the card of a host was copied. Either way the number of this boot
//! may have been used before: whatever this node says under it is taken for older than what it said then. So
//! the next number above all that is known is made durable, and the agent starts again under it.
//!
//! # Not here
//! Who asks others for the number that they know: `membership`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sleep_wire::durable::{Boots, Cell, Write};
use sleep_wire::key::{ObservedKey, SlotKey};
use sleep_wire::{Digest, Key, NodeId, Stamp, encode};

use super::context::{Context, Purpose};
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Alarm, Event};
use crate::mutant::{Mutant, is_sown};
use crate::state::Entry;

/// Of so many slots it is noted what an earlier life said.
const MOST: usize = 256;

/// What is known of earlier lives that the disk does not know.
#[derive(Default)]
pub(super) struct Earlier {
    /// Of which slots (or, under none, of itself) a record of its own came that it had not, and the greatest
    /// boot that wrote one.
    told: BTreeMap<Option<SlotKey>, u32>,
    /// What this life said last under each key. If anything else comes under this boot's number, an earlier
    /// life had that, too.
    said: BTreeMap<ObservedKey, Digest>,
    /// The boot from which the next start counts on, if it is on its way.
    counted_on: Option<u32>,
}

impl Earlier {
    /// This life says something under a key.
    pub(super) fn says(&mut self, key: ObservedKey, record: &Entry) {
        self.said.insert(key, record.hash());
    }
}

impl Member {
    /// Records of what this node observed may have come from elsewhere. All that it writes is on its disk
    /// before it leaves: if one is signed by this very key and news here, an earlier life wrote it of which
    /// the disk knows nothing. What was done with which task is among it, so this agent is to start again on
    /// it, once all of it has come.
    pub(super) fn own_words<C: Crypto>(&mut self, cx: &Context<'_, C>, changes: &[Key]) {
        for key in changes {
            let Key::Observed(observed) = key else { continue };
            if observed.node() != cx.me {
                continue;
            }
            let Some(record) = self.state.record(key) else { continue };
            let Stamp::Boot { boot, .. } = record.stamp() else { continue };
            let said = self.earlier.said.get(observed) == Some(&record.hash());
            let (slot, matters) = match observed {
                ObservedKey::Task { slot, .. } => (Some(*slot), !said),
                // What it is it says anew in every boot.
                ObservedKey::Facts { .. } | ObservedKey::Images { .. } => {
                    let stands = is_sown(Mutant::EarlierFactsStand) && boot == u64::from(cx.boot);
                    (None, !said && boot >= u64::from(cx.boot) && !stands)
                }
            };
            let known = u32::try_from(boot).ok().filter(|_| matters && self.earlier.told.len() < MOST);
            if let Some(boot) = known {
                self.earlier.told.entry(slot).and_modify(|known| *known = boot.max(*known)).or_insert(boot);
            }
        }
    }

    /// What an earlier life said may have come back to this disk, and its agent have ended before it heeded
    /// that: it is no news any more.
    pub(super) fn recall_earlier_words<C: Crypto>(&mut self, cx: &Context<'_, C>) {
        let highest = self.state.highest_boot(cx.me).and_then(|boot| u32::try_from(boot).ok());
        if let Some(known) = highest.filter(|known| *known >= cx.boot) {
            self.earlier.told.insert(None, known);
        }
    }

    /// Whether this agent is to start again by its own word; then it is on its way. What is told of slots
    /// that there are not is no matter.
    pub(super) fn heed_own_word<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if self.synced && !self.earlier.told.is_empty() {
            let there_is = |slot: &Option<SlotKey>| slot.is_none_or(|slot| self.state.slot(slot).is_some());
            let told = self.earlier.told.iter().filter(|(slot, _)| there_is(slot)).map(|(_, boot)| *boot);
            if let Some(boot) = told.max() {
                self.earlier.told.clear();
                self.disk_is_old(cx, boot);
            }
        }
    }

    /// The next start counts on from what others have seen.
    pub(super) fn disk_is_old<C: Crypto>(&mut self, cx: &mut Context<'_, C>, known: u32) {
        let from = known.max(cx.boot);
        if self.earlier.counted_on.is_none_or(|counted_on| counted_on < from) {
            cx.out.event(Event::Alarm(Alarm::OldDisk { here: cx.boot, known }));
            self.start_after(cx, from);
        }
    }

    /// Two agents run with one key, or this one has the number of an earlier life of its own.
    pub(super) fn told_of_a_clone<C: Crypto>(&mut self, cx: &mut Context<'_, C>, node: NodeId) {
        cx.out.event(Event::Alarm(Alarm::Clone { node }));
        if node == cx.me && self.earlier.counted_on.is_none() {
            self.start_after(cx, cx.boot);
        }
    }

    fn start_after<C: Crypto>(&mut self, cx: &mut Context<'_, C>, boot: u32) {
        self.earlier.counted_on = Some(boot);
        let value = encode(&Boots { boot });
        cx.out.persist(Purpose::OldDisk, Vec::from([Write::PutCell { cell: Cell::Boots, value }]));
    }
}
