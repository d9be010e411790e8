//! Who may connect, who is connected, and which of two connections stays.
//!
//! ```text
//!            dialled or accepted             the other one stays
//! no link ───────────────────────▶ current ───────────────────────▶ retired ──▶ closed
//!    ▲                                │ ▲                          (still read) │
//!    └───────────── lost ─────────────┘ └── used again, if no other is left ─────┘
//! ```
//! # Invariants
//! - `smaller_dials`: of two connections that both answer, the one dialled by the smaller id stays, on both
//!   sides.
//! - `newest_until_proven`: an older connection is preferred only after it answered: its peer may have
//!   restarted.
//! - `told_in_order`: the agent hears of connections what is so, never what was; a slow agent costs no
//!   memory.
//!
//! # Not here
//! Sockets, tasks, time-outs: the book is changed under a lock, and never waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use sleep_wire::{NodeId, PublicKey};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::Code;
use crate::event::NetEvent;
use crate::lanes::Lanes;
use crate::limits::{LINKS_A_PEER, Limits, MET, OPERATOR_CONNECTIONS, WAITING_DATAGRAMS};
use crate::link::Link;
use crate::socket::canonical;

/// A datagram that has waited for longer than this for a connection is not worth sending.
const STALE: Duration = Duration::from_secs(1);

/// Dialling, as far as the book must know.
#[derive(Default)]
pub(crate) struct Dialling {
    /// A task does it.
    pub(crate) running: bool,
    /// And it is not waiting for its next chance.
    trying: bool,
    failures: u32,
    not_before: Option<Instant>,
}

/// One member.
pub(crate) struct Peer {
    pub(crate) key: PublicKey,
    addresses: Vec<SocketAddr>,
    /// Where it was last connected.
    seen: Option<SocketAddr>,
    pub(crate) keep: bool,
    pub(crate) links: Vec<Arc<Link>>,
    /// Others that are still open, and about to be closed.
    retired: Vec<Arc<Link>>,
    pub(crate) current: watch::Sender<Option<Arc<Link>>>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) writers: Option<AbortHandle>,
    waiting: VecDeque<(Instant, Bytes)>,
    pub(crate) dialling: Dialling,
    /// Ends a wait before the next dial.
    pub(crate) hurry: Arc<Notify>,
    /// The connection that the agent may rely on: the number of the first of an unbroken row, and its
    /// address.
    standing: Option<(u64, SocketAddr)>,
    /// What the agent was told of that.
    told: Option<(u64, SocketAddr)>,
}

/// What follows from a new connection.
pub(crate) enum Added {
    /// It is the only one.
    First,
    /// It stays, the others go.
    Stays(Vec<Arc<Link>>),
    /// The older one stays if it still answers.
    Rivals(Arc<Link>),
}

/// What a dial needs to know.
pub(crate) struct Plan {
    pub(crate) key: PublicKey,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) hurry: Arc<Notify>,
}

/// Who may connect, and who is connected.
pub(crate) struct Book {
    me: NodeId,
    limits: Limits,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    members: BTreeMap<PublicKey, NodeId>,
    /// What keys are told that were members'.
    farewells: BTreeMap<PublicKey, Bytes>,
    /// Where keys were met over the join exchange that are no members' yet, the latest last.
    met: VecDeque<(PublicKey, SocketAddr)>,
    /// Who is to be kept connected, known or not yet.
    kept: BTreeSet<NodeId>,
    operators: BTreeSet<PublicKey>,
    visits: Vec<(PublicKey, Connection)>,
    changed: BTreeSet<NodeId>,
    parted: BTreeSet<NodeId>,
}

impl Peer {
    fn new(key: PublicKey) -> Self {
        Self {
            key,
            addresses: Vec::new(),
            seen: None,
            keep: false,
            links: Vec::new(),
            retired: Vec::new(),
            current: watch::Sender::new(None),
            lanes: Arc::default(),
            writers: None,
            waiting: VecDeque::new(),
            dialling: Dialling::default(),
            hurry: Arc::default(),
            standing: None,
            told: None,
        }
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.current.borrow().clone()
    }

    /// Whether what is sent now has a chance: a connection stands, is being made, or may be tried.
    pub(crate) fn has_a_chance(&self) -> bool {
        self.current.borrow().is_some() || self.dialling.trying || self.may_dial()
    }

    pub(crate) fn may_dial(&self) -> bool {
        let over = |until: Instant| until <= Instant::now();
        !self.dialling.running && self.dialling.not_before.is_none_or(over)
    }

    /// The last connection is gone. Whether one that it replaced a moment ago is still open, and used again:
    /// of two that somebody dialled at two of this host's addresses, it keeps the one that answered first,
    /// which may have come here before the other.
    fn recall(&mut self) -> bool {
        let is_open = |link: &Arc<Link>| link.connection.close_reason().is_none();
        let Some(at) = self.retired.iter().rposition(is_open) else { return false };
        let link = self.retired.remove(at);
        self.use_link(&link, true);
        self.links.push(link);
        true
    }

    pub(crate) fn wait_for_link(&mut self, datagram: Bytes) {
        if self.waiting.len() == WAITING_DATAGRAMS {
            self.waiting.pop_front();
        }
        self.waiting.push_back((Instant::now(), datagram));
    }

    fn use_link(&mut self, link: &Arc<Link>, unbroken: bool) {
        self.seen = Some(link.address());
        let number = self.standing.filter(|_| unbroken).map_or(link.number, |(number, _)| number);
        self.standing = Some((number, link.address()));
        for (since, datagram) in self.waiting.drain(..) {
            if since.elapsed() < STALE {
                drop(link.connection.send_datagram(datagram));
            }
        }
        self.current.send_replace(Some(link.clone()));
    }
}

impl Book {
    pub(crate) fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            limits,
            peers: BTreeMap::new(),
            members: BTreeMap::new(),
            farewells: BTreeMap::new(),
            met: VecDeque::new(),
            kept: BTreeSet::new(),
            operators: BTreeSet::new(),
            visits: Vec::new(),
            changed: BTreeSet::new(),
            parted: BTreeSet::new(),
        }
    }

    /// A member may connect, and be dialled there. New addresses are worth a dial at once.
    pub(crate) fn introduce(&mut self, id: NodeId, key: PublicKey, addresses: Vec<SocketAddr>) {
        if id == self.me {
            return;
        }
        self.members.insert(key, id);
        let met = self.met.iter().rev().find(|(other, _)| *other == key).map(|(_, address)| *address);
        let peer = self.peers.entry(id).or_insert_with(|| Peer { seen: met, ..Peer::new(key) });
        let addresses: Vec<_> = addresses.into_iter().map(canonical).collect();
        if addresses.iter().any(|address| !peer.addresses.contains(address)) {
            peer.dialling.failures = 0;
            peer.dialling.not_before = None;
            peer.hurry.notify_one();
        }
        peer.addresses = addresses;
        peer.keep = self.kept.contains(&id);
    }

    /// A key that asked at this door, or answered at its own, is there. Should it be a member soon, that is
    /// where it is dialled first: what it tells of itself may be out of date, or mean nothing from here.
    pub(crate) fn meet(&mut self, key: PublicKey, address: SocketAddr) {
        if self.met.len() == MET {
            self.met.pop_front();
        }
        self.met.push_back((key, address));
    }

    /// Exactly these peers are kept connected, from now on or from when they are introduced.
    pub(crate) fn keep(&mut self, peers: &[NodeId]) {
        self.kept = peers.iter().copied().collect();
        for (id, peer) in &mut self.peers {
            peer.keep = self.kept.contains(id);
        }
    }

    /// Whether a peer is to be connected, and is not.
    pub(crate) fn misses(&self, id: NodeId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.keep && peer.links.is_empty())
    }

    /// A key is no longer a member's. The connections are the caller's to close.
    pub(crate) fn expel(&mut self, id: NodeId, key: PublicKey, farewell: Bytes) -> Vec<Arc<Link>> {
        self.farewells.insert(key, farewell);
        let Some(peer) = self.peers.remove(&id) else { return Vec::new() };
        self.members.remove(&peer.key);
        self.changed.remove(&id);
        if peer.told.is_some() {
            self.parted.insert(id);
        }
        if let Some(writers) = peer.writers {
            writers.abort();
        }
        peer.hurry.notify_one();
        let links = [peer.links, peer.retired].concat();
        for link in &links {
            link.cut.store(true, Ordering::Release);
        }
        links
    }

    /// An operator's key may be used, or no longer. Its connections are the caller's to close then.
    pub(crate) fn operator(&mut self, key: PublicKey, allowed: bool) -> Vec<Connection> {
        if allowed {
            self.operators.insert(key);
            return Vec::new();
        }
        self.operators.remove(&key);
        let (gone, stay) = self.visits.drain(..).partition(|(operator, _)| *operator == key);
        self.visits = stay;
        let gone: Vec<(PublicKey, Connection)> = gone;
        gone.into_iter().map(|(_, connection)| connection).collect()
    }

    /// An operator is here.
    pub(crate) fn visit(&mut self, key: PublicKey, connection: &Connection) -> Result<(), Code> {
        if !self.operators.contains(&key) {
            return Err(Code::NotAnOperator);
        }
        self.visits.retain(|(_, connection)| connection.close_reason().is_none());
        if self.visits.len() >= OPERATOR_CONNECTIONS {
            return Err(Code::TooMany);
        }
        self.visits.push((key, connection.clone()));
        Ok(())
    }

    /// The connections of operators.
    pub(crate) fn visitors(&self) -> Vec<Connection> {
        self.visits.iter().map(|(_, connection)| connection.clone()).collect()
    }

    /// The member whose key this is.
    pub(crate) fn member(&self, key: &PublicKey) -> Option<NodeId> {
        self.members.get(key).copied()
    }

    /// What a key is told that was a member's.
    pub(crate) fn farewell(&self, key: &PublicKey) -> Option<Bytes> {
        self.farewells.get(key).cloned()
    }

    /// A connection stands.
    pub(crate) fn add(&mut self, link: &Arc<Link>) -> Result<Added, Code> {
        let smaller = self.me.min(link.peer);
        let peer = self.peers.get_mut(&link.peer).filter(|peer| peer.key == link.key);
        let peer = peer.ok_or(Code::NotAMember)?;
        peer.retired.retain(|link| link.connection.close_reason().is_none());
        if peer.links.len() + peer.retired.len() >= LINKS_A_PEER {
            return Err(Code::TooMany);
        }
        let before = std::mem::take(&mut peer.links);
        peer.links.push(link.clone());
        self.changed.insert(link.peer);
        peer.dialling.failures = 0;
        peer.dialling.not_before = None;
        let Some(other) = before.last().cloned() else {
            peer.use_link(link, false);
            return Ok(Added::First);
        };
        // Two that dial each other do so within a moment. Whoever dials later has lost what was before.
        let together = other.since.elapsed() < self.limits.handshake;
        peer.use_link(link, together);
        if link.dialler == other.dialler || link.dialler == smaller {
            peer.retired.extend_from_slice(&before);
            return Ok(Added::Stays(before));
        }
        peer.links.splice(0..0, before);
        Ok(Added::Rivals(other))
    }

    /// The older of two answers, or not: the one that goes, if both are still there.
    pub(crate) fn settle(
        &mut self,
        old: &Arc<Link>,
        new: &Arc<Link>,
        old_answers: bool,
    ) -> Option<Arc<Link>> {
        let peer = self.peers.get_mut(&old.peer)?;
        let place = |link: &Arc<Link>| peer.links.iter().position(|other| other.number == link.number);
        let (old_at, new_at) = (place(old)?, place(new)?);
        self.changed.insert(old.peer);
        let (goes, stays) = if old_answers { (new_at, old) } else { (old_at, new) };
        let goes = peer.links.remove(goes);
        peer.retired.push(goes.clone());
        peer.use_link(stays, old_answers);
        Some(goes)
    }

    /// A connection ended. Whether it was the last.
    pub(crate) fn lost(&mut self, link: &Arc<Link>, superseded: bool) -> bool {
        let Some(peer) = self.peers.get_mut(&link.peer) else { return false };
        peer.retired.retain(|other| other.number != link.number);
        let Some(at) = peer.links.iter().position(|other| other.number == link.number) else { return false };
        peer.links.remove(at);
        self.changed.insert(link.peer);
        if peer.links.is_empty() && peer.recall() {
            return false;
        }
        if let Some(other) = peer.links.last().cloned() {
            if peer.link().is_some_and(|current| current.number == link.number) {
                peer.use_link(&other, superseded);
            }
            return false;
        }
        peer.current.send_replace(None);
        peer.standing = None;
        if let Some(writers) = peer.writers.take() {
            writers.abort();
        }
        true
    }

    /// A retired connection is to be closed. Not so if it is used again.
    pub(crate) fn parts_with(&mut self, link: &Link) -> bool {
        let Some(peer) = self.peers.get_mut(&link.peer) else { return true };
        peer.retired.retain(|other| other.number != link.number);
        peer.links.iter().all(|other| other.number != link.number)
    }

    /// A connection's other end is elsewhere now.
    pub(crate) fn moved(&mut self, link: &Link, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&link.peer) else { return };
        peer.seen = Some(address);
        if let Some((_, standing)) = &mut peer.standing
            && peer.current.borrow().as_ref().is_some_and(|current| current.number == link.number)
        {
            *standing = address;
            self.changed.insert(link.peer);
        }
    }

    /// The next thing that the agent has not heard of.
    pub(crate) fn take_change(&mut self) -> Option<NetEvent> {
        if let Some(peer) = self.parted.pop_first() {
            return Some(NetEvent::Disconnected { peer });
        }
        loop {
            let id = self.changed.pop_first()?;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let told = std::mem::replace(&mut peer.told, peer.standing);
            match (told, peer.standing) {
                (None, None) => {}
                (Some(_), None) => return Some(NetEvent::Disconnected { peer: id }),
                (Some((before, was)), Some((now, address))) if before == now => {
                    if was != address {
                        return Some(NetEvent::Moved { peer: id, address });
                    }
                }
                (_, Some((_, address))) => return Some(NetEvent::Connected { peer: id, address }),
            }
        }
    }

    /// What to dial, if a dial is still wanted.
    pub(crate) fn plan(&mut self, id: NodeId) -> Option<Plan> {
        let peer = self.peers.get_mut(&id)?;
        peer.dialling.trying = true;
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(peer.addresses.len() + 1);
        for address in peer.seen.iter().chain(&peer.addresses) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        Some(Plan { key: peer.key, addresses, hurry: peer.hurry.clone() })
    }

    /// A dial led to a connection, or is not wanted any more.
    pub(crate) fn dialled(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.dialling.running = false;
            peer.dialling.trying = false;
        }
    }

    /// Whether the peer dialled in turn, before the next dial of ours. If so, that one is not made.
    pub(crate) fn came_by_itself(&mut self, id: NodeId) -> bool {
        let came = self.peers.get(&id).is_none_or(|peer| !peer.links.is_empty());
        if came {
            self.dialled(id);
        }
        came
    }

    /// No address answered: what waits has waited in vain. How many frames that was, and how long to wait
    /// before the next dial, if one is wanted.
    pub(crate) fn dial_failed(&mut self, id: NodeId) -> (usize, Option<Duration>) {
        let Some(peer) = self.peers.get_mut(&id) else { return (0, None) };
        let doubled = self.limits.backoff.saturating_mul(1 << peer.dialling.failures.min(16));
        let wait = spread(doubled.min(self.limits.backoff_cap), self.me, id, peer.dialling.failures);
        peer.dialling.failures += 1;
        peer.dialling.not_before = Some(Instant::now() + wait);
        peer.dialling.trying = false;
        peer.waiting.clear();
        let alone = peer.links.is_empty();
        let dropped = if alone { peer.lanes.clear() } else { 0 };
        // A connection that stands but is silent is looked at again later.
        peer.dialling.running = peer.keep && alone;
        (dropped, peer.dialling.running.then_some(wait))
    }
}

/// Three to five quarters of a wait, another for every pair and every turn: nobody dials in step.
fn spread(wait: Duration, me: NodeId, peer: NodeId, turn: u32) -> Duration {
    let sum = me.0.iter().chain(&peer.0).fold(turn, |sum, byte| sum.wrapping_mul(31) ^ u32::from(*byte));
    wait * (96 + sum % 64) / 128
}
