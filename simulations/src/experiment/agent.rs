//! What an experiment asks of a node's way to know who is alive, and the ways that are compared.
//!
//! # Not here
//! How each does it: `ours`, `plain`. What lies between nodes: `field`.

use sleep_wire::NodeId;
use sleep_wire::message::Message;
use sleep_wire::swim::Peer;

use super::ours::Ours;
use super::plain::{Pace, Plain};
use crate::world::Time;

/// One node's view of all others.
pub(super) trait Agent {
    /// A message came from a node.
    fn hear(&mut self, now: Time, from: usize, message: Message, effects: &mut Effects);
    /// It is later.
    fn tick(&mut self, now: Time, effects: &mut Effects);
    /// When it is to be told that it is later.
    fn next_wake(&self) -> Option<Time>;
}

/// What comes of it.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) sends: Vec<(usize, Message)>,
    /// Whom it believes up from now on, or down.
    pub(super) told: Vec<(usize, bool)>,
}

/// How a node begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It knows everybody and believes everybody up, as after a long calm.
    Settled,
    /// It knows only where to ask.
    Joining,
}

/// Who a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Being {
    pub(super) node: usize,
    /// How many nodes there are.
    pub(super) count: usize,
    pub(super) seed: u64,
}

/// A way to know who is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// This project's membership.
    Ours,
    /// foca alone, with the numbers that it recommends for a LAN.
    Plain,
    /// foca alone, with this project's probe period and its shortest suspicion.
    PlainAtOurPace,
}

impl System {
    /// All of them, ours last.
    pub const ALL: [Self; 3] = [Self::Plain, Self::PlainAtOurPace, Self::Ours];

    /// What a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "sleepd",
            Self::Plain => "plain foca",
            Self::PlainAtOurPace => "plain foca at our pace",
        }
    }

    pub(super) fn start(
        self,
        being: Being,
        start: Start,
        now: Time,
        effects: &mut Effects,
    ) -> Box<dyn Agent> {
        match self {
            Self::Ours => Box::new(Ours::new(being, start, now, effects)),
            Self::Plain => Box::new(Plain::new(being, Pace::lan(being.count), start, now, effects)),
            Self::PlainAtOurPace => Box::new(Plain::new(being, Pace::ours(being.count), start, now, effects)),
        }
    }
}

/// The name of a node by its number.
pub(super) fn id(node: usize) -> NodeId {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&(node as u64).to_be_bytes());
    NodeId(id)
}

/// The number of a node by its name.
pub(super) fn index(node: NodeId) -> usize {
    let bytes = node.0.first_chunk::<8>().expect("an id has 16 bytes");
    usize::try_from(u64::from_be_bytes(*bytes)).expect("ids are made of numbers of nodes")
}

/// A node as SWIM knows it at first.
pub(super) fn peer(node: usize) -> Peer {
    Peer { node: id(node), boot: 1, renewal: 0 }
}
