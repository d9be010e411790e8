//! Addresses that change, and agents that come back.

use super::*;

/// The side that dialled moves: the connection goes on, and the other side says where it is now.
#[tokio::test]
async fn a_connection_survives_its_diallers_new_address() {
    let (mut a, mut b) = pair().await;
    let address = a.net.rebind(any_port()).expect("loopback has another free port");
    a.net.datagram(b.id, frame(1, 10));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match b.next().await {
            NetEvent::Moved { peer, address } => seen.push(format!("{peer} {address}")),
            NetEvent::Datagram { bytes, .. } => seen.push(number(&bytes).to_string()),
            other => panic!("{other:?}"),
        }
    }
    seen.sort_by_key(String::len);
    assert_eq!(seen, ["1".to_owned(), format!("{} {address}", a.id)]);
    b.net.message(a.id, 1, frame(2, 10));
    assert_eq!(number(&a.frame().await), 2);
    assert_eq!(b.net.counters().accepted, 1);
}

/// The side that was dialled moves: QUIC does not follow that, so its silence brings a new connection.
#[tokio::test]
async fn the_dialled_sides_new_address_brings_a_new_connection() {
    let (mut a, mut b) = pair().await;
    b.net.rebind(any_port()).expect("loopback has another free port");
    b.net.datagram(a.id, frame(1, 10));
    // What the old connection took is lost with it: only from here on is everything delivered.
    let uses_the_new = |host: &Host| host.net.connected().iter().any(|link| link.dialler == b.id);
    eventually(|| uses_the_new(&a) && uses_the_new(&b)).await;
    b.net.message(a.id, 0, frame(2, 10));
    assert_eq!(number(&a.frame().await), 2);
    a.net.message(b.id, 0, frame(3, 10));
    assert_eq!(number(&b.frame().await), 3);
    eventually(|| *a.net.open_connections().borrow() == 1 && *b.net.open_connections().borrow() == 1).await;
}

/// An agent that was killed says nothing. Its next life answers the first packet of the old connection.
#[test]
fn a_peer_that_was_killed_is_noticed_at_its_first_packet() {
    let alive = tokio::runtime::Runtime::new().expect("threads");
    let killed = tokio::runtime::Runtime::new().expect("threads");
    // Neither idle time nor suspicion can be what notices it.
    let never = Duration::from_secs(3_600);
    let patient = Limits { idle_timeout: never, suspect_after: never, ..quick() };
    let mut a = alive.block_on(async { host_with(1, any_port(), patient) });
    let mut b = killed.block_on(async { host(2) });
    a.knows(&b);
    b.knows(&a);
    a.net.keep_connected(&[b.id]);
    assert_eq!(alive.block_on(a.connected()), b.id);
    assert_eq!(killed.block_on(b.connected()), a.id);
    let address = b.address();
    // Whole, without a word: its tasks are dropped, and so is its socket.
    let Host { net, events, .. } = b;
    drop(killed);
    drop((net, events));
    alive.block_on(async {
        let mut b = host_with(2, address, quick());
        b.knows(&a);
        a.net.datagram(b.id, frame(1, 10));
        // Whether it hears of the end or, in one, of the new beginning depends on how soon it listens.
        while !matches!(a.next().await, NetEvent::Connected { peer, .. } if peer == b.id) {}
        a.net.message(b.id, 0, frame(2, 10));
        assert_eq!(number(&b.frame().await), 2);
    });
}

#[tokio::test]
async fn stale_addresses_are_given_up_for_new_ones() {
    let (mut a, mut b) = (host(1), host(2));
    b.knows(&a);
    let gone = std::net::UdpSocket::bind(any_port()).expect("loopback has a free port");
    let stale = gone.local_addr().expect("a bound socket has an address");
    drop(gone);
    let limits = Limits { handshake: Duration::from_millis(300), ..quick() };
    let mut c = host_with(3, any_port(), limits);
    b.knows(&c);
    c.net.introduce(b.id, b.key, vec![stale]);
    c.net.keep_connected(&[b.id]);
    eventually(|| c.net.counters().dials_failed > 0).await;
    c.net.message(b.id, 0, frame(1, 10));
    c.knows(&b);
    assert_eq!(c.connected().await, b.id);
    assert_eq!(b.connected().await, c.id);
    // One stale address beside a good one costs a moment, not a time-out.
    a.net.introduce(b.id, b.key, vec![stale, b.address()]);
    a.net.keep_connected(&[b.id]);
    assert_eq!(a.connected().await, b.id);
}

/// Somebody else lives at the peer's old address.
#[tokio::test]
async fn another_key_at_a_peers_address_is_not_the_peer() {
    let (a, b) = (host(1), host(2));
    let (absent, key) = key_of(3);
    b.knows(&a);
    a.knows(&b);
    a.net.introduce(absent, key, vec![b.address()]);
    a.net.keep_connected(&[absent]);
    eventually(|| a.net.counters().dials_failed > 0).await;
    assert_eq!(a.net.connected(), []);
}
