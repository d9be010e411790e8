//! Nodes on loopback, and strangers who do not keep to the rules.

mod members;
mod moving;
mod strangers;
mod visitors;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use quinn::Endpoint;
use sleep_wire::message::{HEADER_LEN, PROTOCOL};
use sleep_wire::{NodeId, PublicKey};
use tokio::time::{interval, timeout};

use crate::event::{Events, NetEvent};
use crate::limits::Limits;
use crate::net::{Net, Options};
use crate::tls::{Identity, Purpose, node_id};
use crate::transport;

/// Longer than anything here takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);

struct Host {
    net: Net,
    events: Events,
    id: NodeId,
    key: PublicKey,
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn quick() -> Limits {
    Limits {
        suspect_after: Duration::from_millis(300),
        linger: Duration::from_millis(50),
        backoff: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        join: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn host_with(seed: u8, listen: SocketAddr, limits: Limits) -> Host {
    let options = Options { seed: [seed; 32], listen: vec![listen], limits };
    let (net, events) = Net::bind(options).expect("loopback has a free port");
    Host { id: net.node(), key: net.public_key(), net, events }
}

fn host(seed: u8) -> Host {
    host_with(seed, any_port(), quick())
}

impl Host {
    fn address(&self) -> SocketAddr {
        self.net.local_addrs()[0]
    }

    fn knows(&self, other: &Self) {
        self.net.introduce(other.id, other.key, vec![other.address()]);
    }

    async fn next(&mut self) -> NetEvent {
        timeout(PATIENCE, self.events.next()).await.expect("an event in time").expect("the network is open")
    }

    async fn connected(&mut self) -> NodeId {
        match self.next().await {
            NetEvent::Connected { peer, .. } => peer,
            other => panic!("{other:?}"),
        }
    }

    /// The next frame, whatever connections do meanwhile.
    async fn frame(&mut self) -> Bytes {
        loop {
            match self.next().await {
                NetEvent::Datagram { bytes, .. } | NetEvent::Message { bytes, .. } => return bytes,
                NetEvent::Connected { .. }
                | NetEvent::Disconnected { .. }
                | NetEvent::Moved { .. }
                | NetEvent::JoinAsked { .. }
                | NetEvent::Dismissed { .. }
                | NetEvent::ApiStream { .. } => {}
            }
        }
    }
}

/// Two hosts that know each other, connected by a dial of the first.
async fn pair() -> (Host, Host) {
    let (mut a, mut b) = (host(1), host(2));
    a.knows(&b);
    b.knows(&a);
    a.net.keep_connected(&[b.id]);
    assert_eq!(a.connected().await, b.id);
    assert_eq!(b.connected().await, a.id);
    (a, b)
}

/// Envelope, a number, and as many zeros as make `len` bytes of content.
fn frame(number: u32, len: usize) -> Bytes {
    let mut bytes = announced(len);
    bytes.extend(number.to_le_bytes());
    bytes.resize(HEADER_LEN + len, 0);
    bytes.into()
}

fn number(frame: &Bytes) -> u32 {
    let bytes = frame[HEADER_LEN..HEADER_LEN + 4].try_into();
    u32::from_le_bytes(bytes.expect("four bytes are four bytes"))
}

/// An envelope that promises `len` bytes.
fn announced(len: usize) -> Vec<u8> {
    let len = u32::try_from(len).expect("a length of this test");
    [b"sd".as_slice(), &[PROTOCOL; 2], &4u16.to_le_bytes(), &len.to_le_bytes()].concat()
}

/// Looks again and again for something that no event tells.
async fn eventually(so: impl Fn() -> bool) {
    let mut looks = interval(Duration::from_millis(5));
    let turned = async {
        while !so() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, turned).await.expect("it becomes so in time");
}

/// A connection of a key's own making, which need not keep to any rule.
async fn dial(seed: u8, to: SocketAddr, purpose: Purpose) -> (Endpoint, quinn::Connection) {
    let identity = Identity::from_seed(&[seed; 32]).expect("any seed is a key");
    let config = transport::client(&identity, &quick(), purpose, None).expect("settings that TLS takes");
    let endpoint = Endpoint::client(any_port()).expect("loopback has a free port");
    let connecting = endpoint.connect_with(config, to, "sleepd").expect("a loopback address");
    let connection = timeout(PATIENCE, connecting).await.expect("an answer in time");
    (endpoint, connection.expect("TLS takes any key"))
}

fn key_of(seed: u8) -> (NodeId, PublicKey) {
    let key = Identity::from_seed(&[seed; 32]).expect("any seed is a key").public;
    (node_id(&key), key)
}
