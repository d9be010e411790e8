//! What the agent is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sleep_wire::{NodeId, PublicKey};
use tokio::sync::{mpsc, oneshot};

use crate::api::ApiStream;
use crate::counters::count;
use crate::frames::Room;
use crate::limits::EVENTS;
use crate::link::Link;
use crate::shared::Shared;

/// Something happened.
#[derive(Debug)]
pub enum NetEvent {
    /// A datagram of a member: one frame by its envelope, of at most 1,100 bytes.
    Datagram {
        /// Whose key the connection proved.
        from: NodeId,
        /// The frame.
        bytes: Bytes,
    },
    /// A frame of a member's stream. Those of one lane come in the order in which they were sent, as long
    /// as the connection stands.
    Message {
        /// Whose key the connection proved.
        from: NodeId,
        /// The frame.
        bytes: Bytes,
    },
    /// A connection to a peer stands. Twice in a row if the first was lost and another stood by: what was
    /// under way may be lost then too.
    Connected {
        /// To whom.
        peer: NodeId,
        /// Where it is.
        address: SocketAddr,
    },
    /// The last connection to a peer is gone: lost, closed, or idle for long.
    Disconnected {
        /// To whom.
        peer: NodeId,
    },
    /// A peer closed its door on this key, and says why.
    Dismissed {
        /// Who.
        peer: NodeId,
        /// As it was told to say by [`crate::Net::expel`].
        farewell: Bytes,
    },
    /// A peer's address changed, and its connection went on.
    Moved {
        /// Who.
        peer: NodeId,
        /// Where it is now.
        address: SocketAddr,
    },
    /// A newcomer asks at the door.
    JoinAsked {
        /// The key that the connection proved.
        key: PublicKey,
        /// One frame of at most [`crate::MAX_JOIN_FRAME`] bytes.
        bytes: Bytes,
        /// For the answer. Dropped, the newcomer is told that it is unwanted.
        answer: JoinReply,
    },
    /// An operator opened a stream, over which HTTP is spoken.
    ApiStream {
        /// The key that the connection proved.
        operator: PublicKey,
        /// The stream.
        stream: ApiStream,
    },
}

/// The way back to a newcomer.
#[derive(Debug)]
pub struct JoinReply(pub(crate) oneshot::Sender<Bytes>);

impl JoinReply {
    /// Answers with one frame of at most [`crate::MAX_JOIN_FRAME`] bytes. A newcomer that is gone is not an
    /// error.
    pub fn send(self, frame: Bytes) {
        drop(self.0.send(frame));
    }
}

/// An event, and what it holds until it is taken.
pub(crate) struct Item {
    pub(crate) event: NetEvent,
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) room: Room,
}

/// The sending side: what waits is bounded, in number here and in bytes by each connection's inbox.
pub(crate) struct Outbox {
    /// Datagrams, and frames of the first lane.
    urgent: mpsc::Sender<Item>,
    rest: mpsc::Sender<Item>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Item>, mpsc::Receiver<Item>) {
        let (urgent, first) = mpsc::channel(EVENTS);
        let (rest, then) = mpsc::channel(EVENTS);
        (Self { urgent, rest }, first, then)
    }

    /// Hands over a datagram, or throws it away if the agent is behind.
    pub(crate) fn datagram(&self, shared: &Shared, link: &Arc<Link>, bytes: Bytes) {
        let event = NetEvent::Datagram { from: link.peer, bytes };
        let item = Item { event, link: Some(link.clone()), room: None };
        if self.urgent.try_send(item).is_err() {
            count(&shared.tally.datagrams_untaken);
        }
    }

    /// Hands over a frame. Waits while the agent is behind: the peer's stream stops then, and its queue
    /// fills.
    pub(crate) async fn message(&self, link: &Arc<Link>, lane: u8, bytes: Bytes, room: Room) {
        let event = NetEvent::Message { from: link.peer, bytes };
        let item = Item { event, link: Some(link.clone()), room };
        let to = if lane == 0 { &self.urgent } else { &self.rest };
        // Nobody takes events any more: the agent is about to end.
        drop(to.send(item).await);
    }

    /// Hands over what a stranger or an operator wants, unless too much of it waits.
    pub(crate) fn visitor(&self, event: NetEvent) -> bool {
        self.rest.try_send(Item { event, link: None, room: None }).is_ok()
    }
}

/// What the agent takes events from.
pub struct Events {
    pub(crate) shared: Arc<Shared>,
    pub(crate) urgent: mpsc::Receiver<Item>,
    pub(crate) rest: mpsc::Receiver<Item>,
}

impl Events {
    /// The next event, or `None` once the network was closed. Connections first, then datagrams and the
    /// urgent lane, then the rest. Cancel safe.
    pub async fn next(&mut self) -> Option<NetEvent> {
        let mut closing = self.shared.closing.subscribe();
        loop {
            if *closing.borrow() {
                return None;
            }
            if let Some(change) = self.shared.book().take_change() {
                return Some(change);
            }
            let item = tokio::select! {
                biased;
                _ = closing.changed() => continue,
                () = self.shared.changed.notified() => continue,
                Some(item) = self.urgent.recv() => item,
                Some(item) = self.rest.recv() => item,
            };
            drop(item.room);
            let cut = |link: &Arc<Link>| link.cut.load(Ordering::Acquire);
            if !item.link.as_ref().is_some_and(cut) {
                return Some(item.event);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn urgent_waits(&self) -> usize {
        self.urgent.len()
    }
}
