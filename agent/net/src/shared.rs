//! What all tasks of a node's network share, and the few things that several of them do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint, SendStream};
use sleep_wire::message::MAX_DATAGRAM;
use sleep_wire::{NodeId, PublicKey};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use crate::book::{Added, Book};
use crate::counters::{Tally, add, count};
use crate::dial;
use crate::error::Code;
use crate::event::Outbox;
use crate::lanes;
use crate::limits::{ACKNOWLEDGED, LANES, Limits, MAX_FRAME};
use crate::link::{self, Link};
use crate::socket::Ports;
use crate::tls::Identity;

/// One node's network.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Ports,
    pub(crate) runtime: Handle,
    pub(crate) tally: Arc<Tally>,
    pub(crate) outbox: Outbox,
    /// The book has something for the agent.
    pub(crate) changed: Notify,
    pub(crate) closing: watch::Sender<bool>,
    /// How many connections of peers are open, retired ones included.
    pub(crate) open: watch::Sender<usize>,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) doors: Arc<Semaphore>,
    pub(crate) book: Mutex<Book>,
    pub(crate) links: AtomicU64,
}

impl Shared {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding the book")
    }

    /// Sends a datagram, waits for a connection with it, or throws it away.
    pub(crate) fn datagram(self: &Arc<Self>, to: NodeId, bytes: Bytes) {
        let mut book = self.book();
        let sent = match book.peers.get_mut(&to) {
            Some(peer) if bytes.len() <= MAX_DATAGRAM => match peer.link() {
                Some(link) => link.connection.send_datagram(bytes).is_ok(),
                None if peer.has_a_chance() => {
                    peer.wait_for_link(bytes);
                    self.dial(&mut book, to);
                    true
                }
                None => false,
            },
            Some(_) | None => false,
        };
        if !sent {
            count(&self.tally.datagrams_unsent);
        }
    }

    /// Queues a frame, or throws it away.
    pub(crate) fn message(self: &Arc<Self>, to: NodeId, lane: usize, bytes: Bytes) {
        let mut book = self.book();
        let queued = book.peers.get_mut(&to).is_some_and(|peer| {
            bytes.len() <= MAX_FRAME && peer.has_a_chance() && peer.lanes.push(lane.min(LANES - 1), bytes)
        });
        if queued {
            if book.peers.get(&to).is_some_and(|peer| peer.links.is_empty()) {
                self.dial(&mut book, to);
            }
        } else {
            count(&self.tally.messages_unsent);
        }
    }

    /// Comes true once all that waits has been written and those have acknowledged it who are connected; what
    /// an operator is being answered has that long to be written too.
    pub(crate) async fn last_words(&self) {
        let mut words = JoinSet::new();
        {
            let book = self.book();
            for peer in book.peers.values().filter(|peer| !peer.links.is_empty() || !peer.lanes.is_empty()) {
                let (lanes, current) = (peer.lanes.clone(), peer.current.subscribe());
                let told = async move {
                    lanes.are_written().await;
                    let link = current.borrow().clone();
                    if let Some(link) = link {
                        link.proves_alive(ACKNOWLEDGED).await;
                    }
                };
                words.spawn_on(told, &self.runtime);
            }
            for connection in book.visitors() {
                words.spawn_on(
                    async move {
                        link::proves_alive(&connection, ACKNOWLEDGED).await;
                    },
                    &self.runtime,
                );
            }
        }
        while words.join_next().await.is_some() {}
    }

    /// Starts to dial a peer, unless somebody does or it is too early.
    pub(crate) fn dial(self: &Arc<Self>, book: &mut Book, peer: NodeId) {
        if *self.closing.borrow() {
            return;
        }
        if let Some(entry) = book.peers.get_mut(&peer).filter(|entry| entry.may_dial()) {
            entry.dialling.running = true;
            self.runtime.spawn(dial::run(self.clone(), peer));
        }
    }

    /// A connection to a member stands, by either side's dialling. Whether it is taken.
    pub(crate) fn add_link(
        self: &Arc<Self>,
        peer: (NodeId, PublicKey),
        dialler: NodeId,
        connection: Connection,
        stream: Option<SendStream>,
    ) -> bool {
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let link = Link::new(number, peer, dialler, connection, stream);
        let mut book = self.book();
        let added = match book.add(&link) {
            Ok(added) => added,
            Err(code) => {
                drop(book);
                link.close(code);
                return false;
            }
        };
        if let Some(entry) = book.peers.get_mut(&link.peer)
            && entry.writers.is_none()
        {
            let writing =
                lanes::write_all(entry.lanes.clone(), entry.current.subscribe(), self.tally.clone());
            entry.writers = Some(self.runtime.spawn(writing).abort_handle());
        }
        drop(book);
        self.open.send_modify(|open| *open += 1);
        self.changed.notify_one();
        match added {
            Added::First => {}
            Added::Stays(others) => others.into_iter().for_each(|other| self.retire(other)),
            Added::Rivals(old) => {
                self.runtime.spawn(self.clone().settle(old, link.clone()));
            }
        }
        self.runtime.spawn(link.run(self.clone()));
        true
    }

    /// Two connections, of which the older stays if it still answers.
    async fn settle(self: Arc<Self>, old: Arc<Link>, new: Arc<Link>) {
        let answers = old.proves_alive(self.limits.suspect_after).await;
        let goes = self.book().settle(&old, &new, answers);
        self.changed.notify_one();
        if let Some(goes) = goes {
            self.retire(goes);
        }
    }

    /// Reads a connection for a little longer, then closes it, unless it is the one that is used by then.
    fn retire(self: &Arc<Self>, link: Arc<Link>) {
        let shared = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(shared.limits.linger).await;
            if shared.book().parts_with(&link) {
                link.close(Code::Superseded);
            }
        });
    }

    /// A connection ended.
    pub(crate) fn lost(self: &Arc<Self>, link: &Arc<Link>, why: &ConnectionError) {
        tracing::debug!(peer = %link.peer, address = %link.address(), %why, "connection ended");
        count(&self.tally.ended);
        let mut book = self.book();
        let last = book.lost(link, Code::of(why) == Some(Code::Superseded));
        if last && book.peers.get(&link.peer).is_some_and(|peer| peer.keep || !peer.lanes.is_empty()) {
            self.dial(&mut book, link.peer);
        }
        drop(book);
        self.open.send_modify(|open| *open -= 1);
        self.changed.notify_one();
    }

    /// Something came over a connection: its other end may have moved.
    pub(crate) fn heard(&self, link: &Link) {
        if let Some(address) = link.moved() {
            self.book().moved(link, address);
            self.changed.notify_one();
        }
    }

    pub(crate) fn dial_failed(&self, peer: NodeId) -> Option<std::time::Duration> {
        count(&self.tally.dials_failed);
        let (dropped, wait) = self.book().dial_failed(peer);
        add(&self.tally.messages_unsent, dropped);
        wait
    }
}
