//! Members among themselves.

use super::*;
use crate::limits::{LANE_BYTES, MAX_FRAME};

#[tokio::test]
async fn datagrams_and_frames_go_both_ways() {
    let (mut a, mut b) = pair().await;
    a.net.datagram(b.id, frame(1, 1_000));
    assert_eq!(number(&b.frame().await), 1);
    b.net.datagram(a.id, frame(2, 1_000));
    assert_eq!(number(&a.frame().await), 2);
    a.net.message(b.id, 0, frame(3, 10));
    assert_eq!(number(&b.frame().await), 3);
    b.net.message(a.id, 2, frame(4, MAX_FRAME - HEADER_LEN));
    assert_eq!(a.frame().await.len(), MAX_FRAME);
    assert_eq!((a.net.counters().accepted, a.net.counters().dialled), (0, 1));
    assert_eq!((b.net.counters().accepted, b.net.counters().dialled), (1, 0));
}

/// The largest datagram that the protocol allows fits the smallest path that QUIC accepts.
#[tokio::test]
async fn the_largest_datagram_fits_and_a_larger_one_is_counted() {
    let (a, mut b) = pair().await;
    let largest = sleep_wire::message::MAX_DATAGRAM - HEADER_LEN;
    a.net.datagram(b.id, frame(1, largest + 1));
    a.net.datagram(b.id, frame(2, largest));
    assert_eq!(number(&b.frame().await), 2);
    assert_eq!(a.net.counters().datagrams_unsent, 1);
}

#[tokio::test]
async fn frames_of_a_lane_come_in_order() {
    let (a, mut b) = pair().await;
    for n in 0..300 {
        for lane in 0..3 {
            a.net.message(b.id, lane, frame(n * 3 + u32::from(lane), 500));
        }
    }
    let mut lanes: [Vec<u32>; 3] = Default::default();
    for _ in 0..900 {
        let n = number(&b.frame().await);
        lanes[(n % 3) as usize].push(n / 3);
    }
    let in_order: Vec<u32> = (0..300).collect();
    assert_eq!(lanes, [in_order.clone(), in_order.clone(), in_order]);
}

/// Bulk that an agent does not take must not keep a lease waiting.
#[tokio::test]
async fn the_urgent_lane_overtakes_bulk() {
    let (a, mut b) = pair().await;
    for n in 0..4 {
        a.net.message(b.id, 2, frame(n, 512 * 1024 - HEADER_LEN));
    }
    a.net.message(b.id, 0, frame(99, 10));
    // Bulk was first, and waits untaken; what is urgent is handed out first once it is there.
    eventually(|| b.events.urgent_waits() > 0).await;
    assert_eq!(number(&b.frame().await), 99);
    for n in 0..4 {
        assert_eq!(number(&b.frame().await), n);
    }
}

#[tokio::test]
async fn a_queue_that_is_full_counts_what_it_refuses() {
    let (a, b) = pair().await;
    drop(b.events);
    let len = MAX_FRAME - HEADER_LEN;
    for n in 0..20 {
        a.net.message(b.id, 2, frame(n, len));
    }
    let fits = u64::try_from(LANE_BYTES[2] / MAX_FRAME).expect("two");
    assert_eq!(a.net.counters().messages_unsent, 20 - fits);
}

/// Of an answer in pieces the last says that it is whole: what has no room is missing at its end, not within.
#[tokio::test]
async fn a_full_queue_refuses_all_that_follows() {
    let (a, mut b) = pair().await;
    for n in 0..6 {
        a.net.message(b.id, 1, frame(n, MAX_FRAME / 4));
    }
    a.net.message(b.id, 1, frame(6, 100_000));
    let refused = u32::try_from(a.net.counters().messages_unsent).expect("a few");
    assert!(refused > 1, "{refused}");
    for n in 0..7 - refused {
        assert_eq!(number(&b.frame().await), n);
    }
    // Once it is empty it takes frames again.
    a.net.message(b.id, 1, frame(7, 10));
    assert_eq!(number(&b.frame().await), 7);
}

/// Whoever stops says so first, and the others hear it.
#[tokio::test]
async fn what_was_said_last_arrives() {
    let (a, mut b) = pair().await;
    a.net.message(b.id, 0, frame(9, 10));
    a.net.close().await;
    assert_eq!(number(&b.frame().await), 9);
}

/// Both addresses of a host answer at once: whichever the other keeps, neither closes it for the one that it
/// gave up.
#[tokio::test]
async fn two_addresses_that_answer_make_one_connection() {
    for round in 0..32 {
        let listen = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)].map(|ip| SocketAddr::from((ip, 0)));
        let options = Options { seed: [100 + 2 * round; 32], listen: listen.to_vec(), limits: quick() };
        let (net, events) = Net::bind(options).expect("loopback has free ports");
        let mut server = Host { id: net.node(), key: net.public_key(), net, events };
        let limits = Limits { stagger: Duration::ZERO, ..quick() };
        let mut client = host_with(101 + 2 * round, any_port(), limits);
        server.knows(&client);
        client.net.introduce(server.id, server.key, server.net.local_addrs());
        client.net.keep_connected(&[server.id]);
        assert_eq!(client.connected().await, server.id);
        assert_eq!(server.connected().await, client.id);
        let open = |host: &Host| *host.net.open_connections().borrow();
        eventually(|| open(&client) == 1 && open(&server) == 1).await;
        let links = |host: &Host| host.net.connected().len();
        assert_eq!((links(&client), links(&server), client.net.counters().ended), (1, 1, 0), "round {round}");
        client.net.message(server.id, 0, frame(1, 10));
        assert_eq!(number(&server.frame().await), 1);
        server.net.message(client.id, 0, frame(2, 10));
        assert_eq!(number(&client.frame().await), 2);
    }
}

/// Both dial at once: one connection is left, on both sides the one that the smaller id dialled.
#[tokio::test]
async fn simultaneous_dials_end_with_one_connection() {
    for round in 0..10 {
        let (mut a, mut b) = (host(10 + 2 * round), host(11 + 2 * round));
        a.knows(&b);
        b.knows(&a);
        a.net.datagram(b.id, frame(1, 10));
        b.net.datagram(a.id, frame(2, 10));
        assert_eq!(number(&a.frame().await), 2);
        assert_eq!(number(&b.frame().await), 1);
        let smaller = a.id.min(b.id);
        let settled = |host: &Host| {
            let diallers: Vec<_> = host.net.connected().iter().map(|link| link.dialler).collect();
            *host.net.open_connections().borrow() == 1 && diallers == [smaller]
        };
        eventually(|| settled(&a) && settled(&b)).await;
        // And it carries.
        a.net.message(b.id, 0, frame(3, 10));
        assert_eq!(number(&b.frame().await), 3);
        b.net.message(a.id, 0, frame(4, 10));
        assert_eq!(number(&a.frame().await), 4);
    }
}

#[tokio::test]
async fn an_expelled_peer_is_cut_at_once_and_refused_after() {
    let (mut a, mut b) = pair().await;
    b.net.keep_connected(&[a.id]);
    for n in 0..100 {
        b.net.message(a.id, 1, frame(n, 100));
    }
    assert_eq!(number(&a.frame().await), 0);
    a.net.expel(b.id, b.key, Bytes::from_static(b"removed"));
    // Ninety-nine frames may have arrived: none of them is handed out.
    assert!(matches!(a.next().await, NetEvent::Disconnected { peer } if peer == b.id));
    assert!(matches!(b.next().await, NetEvent::Disconnected { peer } if peer == a.id));
    // Its next dial is answered with the farewell.
    let told = b.next().await;
    assert!(
        matches!(&told, NetEvent::Dismissed { peer, farewell } if *peer == a.id && farewell == "removed"),
        "{told:?}"
    );
    eventually(|| a.net.counters().keys_refused > 0 && b.net.counters().dials_failed > 0).await;
    assert_eq!(a.net.connected(), []);
}

#[tokio::test]
async fn what_is_sent_to_nobody_is_counted() {
    let a = host(1);
    let (stranger, _) = key_of(9);
    a.net.datagram(stranger, frame(1, 10));
    a.net.message(stranger, 0, frame(1, 10));
    let counters = a.net.counters();
    assert_eq!((counters.datagrams_unsent, counters.messages_unsent), (1, 1));
}

#[tokio::test]
async fn closing_tells_peers_and_ends_the_events() {
    let (mut a, mut b) = pair().await;
    a.net.close().await;
    assert!(a.events.next().await.is_none());
    assert!(matches!(b.next().await, NetEvent::Disconnected { peer } if peer == a.id));
}

/// A node that leaves its cluster goes on under a new key, at the same port. What is said to a peer that does
/// not answer is said for seconds, and whoever waits for that holds the network.
#[tokio::test]
async fn a_port_is_free_again_once_its_network_is_released() {
    let (a, b) = pair().await;
    let deaf = std::net::UdpSocket::bind(any_port()).expect("loopback has a free port");
    let (id, key) = key_of(3);
    a.net.introduce(id, key, vec![deaf.local_addr().expect("it is bound")]);
    a.net.keep_connected(&[b.id, id]);
    b.net.message(a.id, 1, frame(1, 100));
    deaf.set_nonblocking(true).expect("a socket");
    eventually(|| deaf.recv_from(&mut [0]).is_ok()).await;
    let (address, holds) = (a.address(), a.net.clone());
    assert!(std::net::UdpSocket::bind(address).is_err());
    a.net.close().await;
    timeout(PATIENCE, a.net.release()).await.expect("it is released, whoever holds the network");
    std::net::UdpSocket::bind(address).expect("nobody has it any more");
    assert!(holds.rebind(any_port()).is_err());
}

/// An address must prove that it receives before it costs a handshake, once there are many.
#[tokio::test]
async fn under_load_addresses_are_validated() {
    let mut a = host(1);
    let mut b = host_with(2, any_port(), Limits { retry_above: 0, ..quick() });
    a.knows(&b);
    b.knows(&a);
    a.net.keep_connected(&[b.id]);
    assert_eq!(a.connected().await, b.id);
    assert_eq!(b.connected().await, a.id);
    assert_eq!(b.net.counters().handshakes_retried, 1);
}

/// Whom to keep and where it is are told in any order.
#[tokio::test]
async fn a_peer_to_keep_is_dialled_once_it_is_introduced() {
    let (mut a, b) = (host(1), host(2));
    a.net.keep_connected(&[b.id]);
    b.knows(&a);
    a.knows(&b);
    assert_eq!(a.connected().await, b.id);
}

/// What a release does not speak is for the agent to judge: a connection is none the worse for it, and what
/// comes after is heard.
#[tokio::test]
async fn frames_of_another_protocol_cost_nothing() {
    let (mut a, mut b) = pair().await;
    for n in 0..10u32 {
        let mut later = frame(n, 10).to_vec();
        later[2..4].copy_from_slice(&[PROTOCOL + 7; 2]);
        if n.is_multiple_of(2) {
            a.net.datagram(b.id, later.clone().into());
        } else {
            a.net.message(b.id, 0, later.clone().into());
        }
        assert_eq!(b.frame().await.as_ref(), later);
    }
    b.net.message(a.id, 0, frame(11, 10));
    assert_eq!(number(&a.frame().await), 11);
    assert_eq!(b.net.counters().frames_bad, 0);
}
