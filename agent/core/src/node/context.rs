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
    /// For whom each write under way is, in the order of asking.
    writes: BTreeMap<WriteToken, Vec<Purpose>>,
    last_write: u64,
    /// Where in the queue the write of the present input stands.
    open: Option<usize>,
}

impl Outbox {
    pub(crate) fn next(&mut self) -> Option<Output> {
        self.open = None;
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

    /// Asks for something to be made durable. What one input caused is one write, all or none of it: whoever
    /// dies on the way comes back to a disk on which the input has happened, or has not.
    pub(crate) fn persist(&mut self, purpose: Purpose, more: Vec<Write>) {
        let wipes = purpose == Purpose::Wiped;
        if let Some(Output::Persist { token, writes }) =
            self.open.filter(|_| !wipes).and_then(|at| self.queue.get_mut(at))
        {
            writes.extend(more);
            self.writes.entry(*token).or_default().push(purpose);
            return;
        }
        self.last_write += 1;
        let token = WriteToken(self.last_write);
        self.writes.insert(token, Vec::from([purpose]));
        // Nothing is written together with what empties the disk.
        self.open = (!wipes).then_some(self.queue.len());
        self.push(Output::Persist { token, writes: more });
    }

    /// For whom a write was that has come back.
    pub(crate) fn written(&mut self, token: WriteToken) -> Vec<Purpose> {
        self.writes.remove(&token).unwrap_or_default()
    }
}

impl<C: Crypto> Context<'_, C> {
    /// Sends one message in a protocol that the receiver speaks, and says the newest that this node does,
    /// with what rides along.
    pub(crate) fn send(
        &mut self,
        to: NodeId,
        lane: Lane,
        (protocol, newest): (u8, u8),
        carried: Carried,
        message: Message,
    ) {
        if to == self.me {
            return;
        }
        let datagram = message.is_datagram();
        let bytes = Frame { carried, message }.to_bytes_in(protocol, newest);
        self.out.push(if datagram {
            Output::Datagram { to, bytes }
        } else {
            Output::Message { to, lane, bytes }
        });
    }
}

#[cfg(test)]
mod tests {
    use sleep_wire::durable::Cell;

    use super::*;

    fn put(value: u8) -> Write {
        Write::PutCell { cell: Cell::Fence, value: Vec::from([value]) }
    }

    fn drained(out: &mut Outbox) -> Vec<(WriteToken, Vec<Write>)> {
        let persist = |output| match output {
            Output::Persist { token, writes } => Some((token, writes)),
            _other => None,
        };
        core::iter::from_fn(|| out.next()).filter_map(persist).collect()
    }

    #[test]
    fn what_one_input_caused_is_one_write_in_the_order_of_asking() {
        let mut out = Outbox::default();
        out.persist(Purpose::State(1), Vec::from([put(1)]));
        out.push(Output::Restart);
        out.persist(Purpose::Lease(2), Vec::from([put(2), put(3)]));
        assert_eq!(drained(&mut out), [(WriteToken(1), Vec::from([put(1), put(2), put(3)]))]);
        out.persist(Purpose::State(3), Vec::from([put(4)]));
        assert_eq!(drained(&mut out), [(WriteToken(2), Vec::from([put(4)]))]);
        assert_eq!(out.written(WriteToken(1)), [Purpose::State(1), Purpose::Lease(2)]);
        assert_eq!(out.written(WriteToken(2)), [Purpose::State(3)]);
        assert_eq!(out.written(WriteToken(2)), []);
    }

    #[test]
    fn nothing_is_written_together_with_what_empties_the_disk() {
        let mut out = Outbox::default();
        out.persist(Purpose::State(1), Vec::from([put(1)]));
        out.persist(Purpose::Wiped, Vec::from([Write::Wipe]));
        out.persist(Purpose::Nobody, Vec::from([put(2)]));
        let writes: Vec<_> = drained(&mut out).into_iter().map(|(_, writes)| writes).collect();
        assert_eq!(writes, [Vec::from([put(1)]), Vec::from([Write::Wipe]), Vec::from([put(2)])]);
    }
}
