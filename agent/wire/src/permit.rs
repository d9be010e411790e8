//! Reserved: what a node and the holder say about a service that must never run twice.
//!
//! The kinds are fixed here so that a later release finds their numbers free; this release answers none of
//! them.

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::key::SlotKey;
use crate::stamp::Epoch;

/// One message about a permit.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PermitMessage {
    /// May this slot's task run here?
    Ask {
        /// Which slot.
        slot: SlotKey,
        /// The node's boot.
        boot: u64,
        /// Counts the questions of that boot.
        question: u64,
        /// Whether a task runs under a live permit.
        running: bool,
    },
    /// It may.
    Answer {
        /// Which slot.
        slot: SlotKey,
        /// The boot of the question.
        boot: u64,
        /// The question answered.
        question: u64,
        /// The holder's tenure.
        epoch: Epoch,
        /// How long, from the asking, in milliseconds.
        permit_ms: u32,
    },
    /// It has stopped.
    GiveBack {
        /// Which slot.
        slot: SlotKey,
        /// The boot of the question.
        boot: u64,
        /// The permit given back.
        question: u64,
    },
}

impl Wire for PermitMessage {
    const LIMIT: usize = 512;
}
