//! The handle that the agent holds.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Endpoint, TokioRuntime};
use sleep_wire::{NodeId, PublicKey};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use crate::accept;
use crate::book::{Book, Peer};
use crate::counters::{Counters, Tally};
use crate::door;
use crate::error::{Code, NetError};
use crate::event::{Events, Outbox};
use crate::limits::{DOORS, LAST_WORDS, Limits};
use crate::resolve::DEFAULT_PORT;
use crate::shared::Shared;
use crate::socket::{self, Ports, canonical};
use crate::tend;
use crate::tls::Identity;
use crate::transport;

/// How a node's network begins.
#[derive(Clone)]
pub struct Options {
    /// The node's ed25519 seed.
    pub seed: [u8; 32],
    /// Where it listens, and what it dials from. Empty means all addresses, at [`DEFAULT_PORT`]. Port 0
    /// means any.
    pub listen: Vec<SocketAddr>,
    /// Times and counts.
    pub limits: Limits,
}

/// One connection, as facts for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// To whom.
    pub peer: NodeId,
    /// Where it is.
    pub address: SocketAddr,
    /// Who dialled.
    pub dialler: NodeId,
    /// The round trip as measured.
    pub round_trip: Duration,
}

/// A node's network. Cheap to clone; every clone is the same network.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
}

impl Net {
    /// Opens the sockets and begins to listen. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Bind`] for an address that is taken or is not this host's; [`NetError::Key`] for an
    /// unusable key.
    pub fn bind(options: Options) -> Result<(Self, Events), NetError> {
        let Options { seed, mut listen, limits } = options;
        if listen.is_empty() {
            listen.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT));
        }
        let identity = Identity::from_seed(&seed)?;
        let tally: Arc<Tally> = Arc::default();
        let server = transport::server(&identity, &limits)?;
        let mut endpoints = Vec::with_capacity(listen.len());
        let ports = Ports::new(tally.clone());
        for address in &listen {
            let v4 = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
            let socket = socket::open(*address, listen.iter().any(v4))?;
            let bind = |source| NetError::Bind { address: *address, source };
            let socket = ports.wrap(socket).map_err(bind)?;
            let config = transport::endpoint(&seed)?;
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new_with_abstract_socket(config, Some(server.clone()), socket, runtime);
            endpoints.push(endpoint.map_err(bind)?);
        }
        let (outbox, urgent, rest) = Outbox::new();
        let book = Book::new(identity.node, limits);
        let shared = Arc::new(Shared {
            identity,
            limits,
            endpoints,
            ports,
            runtime: Handle::current(),
            tally,
            outbox,
            changed: Notify::new(),
            closing: watch::Sender::new(false),
            open: watch::Sender::new(0),
            handshakes: Arc::new(Semaphore::new(limits.pending_handshakes)),
            doors: Arc::new(Semaphore::new(DOORS)),
            book: Mutex::new(book),
            links: AtomicU64::new(1),
        });
        for endpoint in &shared.endpoints {
            tokio::spawn(accept::run(shared.clone(), endpoint.clone()));
        }
        tokio::spawn(tend::run(shared.clone()));
        Ok((Self { shared: shared.clone() }, Events { shared, urgent, rest }))
    }

    /// This node's public key.
    pub fn public_key(&self) -> PublicKey {
        self.shared.identity.public
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.shared.identity.node
    }

    /// Where it listens, one address a socket.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared.endpoints.iter().filter_map(|endpoint| endpoint.local_addr().ok()).collect()
    }

    /// A member may connect with this key, and may be dialled at these addresses, best first. Said again
    /// with other addresses, they replace those before; one that is new is worth a dial at once.
    pub fn introduce(&self, peer: NodeId, key: PublicKey, addresses: Vec<SocketAddr>) {
        let mut book = self.shared.book();
        book.introduce(peer, key, addresses);
        if book.misses(peer) {
            self.shared.dial(&mut book, peer);
        }
    }

    /// A member's key is one no longer: its connections are closed at once, nothing that is still waiting
    /// of it is handed out, and new connections are closed with a farewell of at most 1,000 bytes.
    pub fn expel(&self, peer: NodeId, key: PublicKey, farewell: Bytes) {
        let links = self.shared.book().expel(peer, key, farewell);
        for link in links {
            link.close(Code::Expelled);
        }
        self.shared.changed.notify_one();
    }

    /// An operator's key may be used, or no longer: then its connections are closed at once.
    pub fn operator(&self, key: PublicKey, allowed: bool) {
        let connections = self.shared.book().operator(key, allowed);
        for connection in connections {
            connection.close(Code::NotAnOperator.var(), b"");
        }
    }

    /// Keeps a connection to exactly these peers, even when nothing is said: also to one that is introduced
    /// only later.
    pub fn keep_connected(&self, peers: &[NodeId]) {
        let mut book = self.shared.book();
        book.keep(peers);
        for id in peers {
            if book.misses(*id) {
                self.shared.dial(&mut book, *id);
            }
        }
    }

    /// Sends one frame of at most 1,100 bytes as a datagram. Never blocks; dials if needed; is thrown away
    /// and counted when it cannot be sent.
    pub fn datagram(&self, to: NodeId, bytes: Bytes) {
        self.shared.datagram(to, bytes);
    }

    /// Sends one frame over a stream: lane 0 before 1 before 2. Never blocks; dials if needed; is thrown
    /// away and counted when the peer cannot be reached, or when too much waits for it.
    pub fn message(&self, to: NodeId, lane: u8, bytes: Bytes) {
        self.shared.message(to, usize::from(lane), bytes);
    }

    /// Asks a cluster's door to let this node in, at the first address that answers: `HOST`, `HOST:PORT`,
    /// `[IPV6]:PORT`. The key that answers is any: the answer itself must prove where it comes from.
    ///
    /// # Errors
    /// [`NetError::TooLong`] for a frame beyond [`crate::MAX_JOIN_FRAME`], [`NetError::Resolve`], and
    /// [`NetError::NoAnswer`], which says of each address what came of it.
    pub async fn ask_door(&self, hosts: &[String], frame: Bytes) -> Result<Bytes, NetError> {
        door::ask(&self.shared, hosts, frame).await
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// Every connection that is used now.
    pub fn connected(&self) -> Vec<Connected> {
        let links: Vec<_> = self.shared.book().peers.values().filter_map(Peer::link).collect();
        let facts = |link: Arc<crate::link::Link>| Connected {
            peer: link.peer,
            address: link.address(),
            dialler: link.dialler,
            round_trip: link.connection.rtt(),
        };
        links.into_iter().map(facts).collect()
    }

    /// How many connections of peers are open, those included that another replaced and that are about to
    /// close.
    pub fn open_connections(&self) -> watch::Receiver<usize> {
        self.shared.open.subscribe()
    }

    /// Moves the first socket elsewhere; connections that were dialled from here go on, others are dialled
    /// anew.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the new address cannot be had: then nothing changed.
    pub fn rebind(&self, address: SocketAddr) -> Result<SocketAddr, NetError> {
        let bind = |source: io::Error| NetError::Bind { address, source };
        let socket = socket::open(address, false)?;
        let socket = self.shared.ports.wrap(socket).map_err(bind)?;
        let [endpoint, ..] = self.shared.endpoints.as_slice() else {
            return Err(bind(io::ErrorKind::NotConnected.into()));
        };
        endpoint.rebind_abstract(socket).map_err(bind)?;
        endpoint.local_addr().map(canonical).map_err(bind)
    }

    /// Lets what was said last arrive, as far as that takes no longer than a moment; then closes every
    /// connection and stops listening. Peers are told, within another moment.
    pub async fn close(&self) {
        drop(timeout(LAST_WORDS, self.shared.last_words()).await);
        self.shared.closing.send_replace(true);
        for endpoint in &self.shared.endpoints {
            endpoint.close(Code::Stopping.var(), b"");
        }
        for endpoint in &self.shared.endpoints {
            drop(timeout(Duration::from_millis(500), endpoint.wait_idle()).await);
        }
    }

    /// Gives the ports back, after [`Net::close`]: whatever a connection still waits for, such as the last
    /// word of a peer that nobody can reach, it waits for without its socket. Comes true when they are free.
    pub fn release(&self) -> impl Future<Output = ()> + use<> {
        self.shared.ports.release()
    }
}
