//! What an agent of the next release says beside what one of this release says.
//!
//! It is the same core, told that it speaks the next protocol. What a later release would add is made up:
//! messages of a kind that is unknown here, and records that nobody here can read, in every place where one
//! may come to stand.
//!
//! # Not here
//! When a host changes its release: `scenario`.

use sleep_core::Crypto;
use sleep_wire::key::{DesiredKey, Family};
use sleep_wire::message::{Carried, Frame, HEADER_LEN, Message, PROTOCOL, PushMessage};
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::{ClusterId, Key, NodeId, Record, Signature, Stamp, encode};

use crate::crypto::SimCrypto;
use crate::random::Stream;
use crate::world::{SECOND, Time};

/// The protocol that it speaks, and its predecessor's.
pub const PROTOCOL_OF_SUCCESSOR: u8 = PROTOCOL + 1;

/// A kind of message that no release knows yet.
const KIND: u16 = 900;

/// One frame of so many is followed by one of the new kind.
const RARE: u64 = 20;

/// A variant of keys that no release knows yet.
const VARIANT: u8 = 200;

/// Who writes.
pub struct Author {
    /// Its node.
    pub me: NodeId,
    /// Its boot.
    pub boot: u64,
    /// Its key.
    pub crypto: SimCrypto,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Cluster time as its agent has it.
    pub time: ClusterTime,
    /// Whether it may only speak of itself.
    pub worker: bool,
}

/// One agent of the next release, in all its lives.
pub struct Successor {
    stream: Stream,
    frames: u64,
    /// How many of its frames were in the protocol that only its like speak.
    pub spoken: u64,
    written: u64,
    /// Whether it writes no more.
    ceased: bool,
}

impl Successor {
    /// Its chance is its own.
    pub const fn new(stream: Stream) -> Self {
        Self { stream, frames: 0, spoken: 0, written: 0, ceased: false }
    }

    /// What follows a frame of its agent's: now and then one that only a later release would understand.
    pub fn follows(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.frames += 1;
        self.spoken += u64::from(frame.get(2) == Some(&PROTOCOL_OF_SUCCESSOR));
        if !self.frames.is_multiple_of(RARE) {
            return None;
        }
        let mut later = frame.to_vec();
        later.get_mut(4..6)?.copy_from_slice(&KIND.to_le_bytes());
        later.get_mut(HEADER_LEN..)?.reverse();
        Some(later)
    }

    /// It goes on speaking its protocol, but writes nothing more.
    pub const fn cease(&mut self) {
        self.ceased = true;
    }

    /// Whether it writes nothing more.
    pub const fn has_ceased(&self) -> bool {
        self.ceased
    }

    /// How long until it writes again, if it does.
    pub fn pause(&mut self) -> Option<Time> {
        (!self.ceased).then(|| self.stream.between(SECOND, 10 * SECOND))
    }

    /// A record that nobody here can read, of a new family, of a new key in a known one, or of a new version
    /// under a known key; and the message that brings it.
    pub fn writes(&mut self, author: &Author) -> (Record, Vec<u8>) {
        self.written += 1;
        let me = author.me.0.as_slice();
        let now = ClusterTime { hlc: author.time.hlc + 1, ..author.time };
        let time = Stamp::Time { time: now, node: author.me };
        let boot = Stamp::Boot { boot: author.boot, sequence: (1 << 40) | self.written };
        let place = self.stream.below(3) as u8;
        let own = ([&[Family::Observed as u8, VARIANT], me, &[place]].concat(), boot, 1);
        let secret = Key::from(DesiredKey::Secret { name: format!("of-the-next-release-{place}") });
        let (key, stamp, version) = match self.stream.below(4) {
            _ if author.worker => own,
            0 => (vec![VARIANT, place], time, 1),
            1 => ([&[Family::Membership as u8, VARIANT], me, &[place]].concat(), time, 1),
            2 => (secret.to_bytes(), time, 7),
            _ => own,
        };
        let body = self.stream.bytes::<24>().to_vec();
        let signature = Signature([0; 64]);
        let mut record = Record { key, stamp, author: author.me, version, body, signature };
        record.signature = author.crypto.sign(&record.signed_bytes(&author.cluster));
        let batch = Batch { records: vec![encode(&record)] };
        let carried = Carried { time: now, hint: None };
        let message = Message::Push(PushMessage::Records { ack: None, batch });
        (record, Frame { carried, message }.to_bytes())
    }
}

/// Whether a record is one of those that only a later release can read.
pub fn is_of_a_successor(record: &Record) -> bool {
    record.version > 1 || !matches!(Key::from_bytes(&record.key), Ok(Some(_)))
}
