//! What every part of a node is handed: the time, the key, and where outputs go.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::message::{Carried, Frame, Message};
use sleep_wire::{Epoch, NodeId};

use crate::crypto::Crypto;
use crate::io::{Event, Lane, Output, Refusal, Reply, Ticket, WriteToken};
use crate::time::Now;

/// One call's surroundings.
pub(crate) struct Context<'a, C> {
    pub(crate) now: Now,
    pub(crate) crypto: &'a C,
    pub(crate) out: &'a mut Outbox,
    pub(crate) boot: u32,
    pub(crate) me: NodeId,
}

/// For whom a write is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The boot's number.
    Boots,
    /// The state room's.
    State(u64),
    /// The lease room's.
    Lease(u64),
    /// The reconcile room's.
    Fence(Epoch),
    /// A cluster was founded or joined: this node's answer rests on it.
    Joined,
    /// This node has left its cluster.
    Wiped,
    /// This node's disk was older than what others know of it; its boots count on from there.
    OldDisk,
    /// Nobody waits for it.
    Nobody,
}

/// Outputs in order, and writes under way.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    writes: BTreeMap<WriteToken, Purpose>,
    last_write: u64,
}

impl Outbox {
    pub(crate) fn next(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.push(Output::Reply { ticket, reply: Ok(reply) });
    }

    pub(crate) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.push(Output::Reply { ticket, reply: Err(refusal) });
    }

    pub(crate) fn persist(&mut self, purpose: Purpose, writes: Vec<Write>) {
        self.last_write += 1;
        let token = WriteToken(self.last_write);
        self.writes.insert(token, purpose);
        self.push(Output::Persist { token, writes });
    }

    /// For whom a write was that has come back.
    pub(crate) fn written(&mut self, token: WriteToken) -> Option<Purpose> {
        self.writes.remove(&token)
    }
}

impl<C: Crypto> Context<'_, C> {
    /// Sends one message, with what rides along.
    pub(crate) fn send(&mut self, to: NodeId, lane: Lane, carried: Carried, message: Message) {
        if to == self.me {
            return;
        }
        let datagram = message.is_datagram();
        let bytes = Frame { carried, message }.to_bytes();
        self.out.push(if datagram {
            Output::Datagram { to, bytes }
        } else {
            Output::Message { to, lane, bytes }
        });
    }
}
