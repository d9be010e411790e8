//! Keys that have no business here, and bytes that mean nothing.

use quinn::ConnectionError;
use sleep_wire::codec::MAX_LEN;
use tokio::net::UdpSocket;

use super::*;
use crate::error::Code;

async fn closed(connection: &quinn::Connection) -> Option<Code> {
    let why = timeout(PATIENCE, connection.closed()).await.expect("closed in time");
    Code::of(&why)
}

/// (ALPN, key) decides, and nothing that the other side wrote.
#[tokio::test]
async fn a_key_is_refused_where_it_has_no_business() {
    let (a, member, operator) = (host(1), key_of(2), key_of(3));
    a.net.introduce(member.0, member.1, Vec::new());
    a.net.operator(operator.1, true);
    let mut verdicts = Vec::new();
    for seed in [2, 3, 4] {
        for purpose in [Purpose::Cluster, Purpose::Join, Purpose::Api] {
            let (endpoint, connection) = dial(seed, a.address(), purpose).await;
            let stream = async {
                match purpose {
                    Purpose::Cluster => connection.open_uni().await.map(drop),
                    Purpose::Join | Purpose::Api => connection.open_bi().await.map(drop),
                }
            };
            let verdict = timeout(PATIENCE, stream).await.expect("a verdict in time");
            verdicts.push((seed, purpose, verdict.map_err(|why| Code::of(&why))));
            drop(endpoint);
        }
    }
    let (no_member, no_operator) = (Err(Some(Code::NotAMember)), Err(Some(Code::NotAnOperator)));
    assert_eq!(
        verdicts,
        [
            (2, Purpose::Cluster, Ok(())),
            (2, Purpose::Join, Ok(())),
            (2, Purpose::Api, no_operator),
            (3, Purpose::Cluster, no_member),
            (3, Purpose::Join, Ok(())),
            (3, Purpose::Api, Ok(())),
            (4, Purpose::Cluster, no_member),
            (4, Purpose::Join, Ok(())),
            (4, Purpose::Api, no_operator),
        ]
    );
}

#[tokio::test]
async fn no_alpn_or_a_foreign_one_is_no_connection() {
    let a = host(1);
    let identity = Identity::from_seed(&[2; 32]).expect("any seed is a key");
    let endpoint = Endpoint::client(any_port()).expect("loopback has a free port");
    for alpn in [Vec::new(), vec![b"h3".to_vec()], vec![b"sleepd/2".to_vec()]] {
        let crypto = identity.dialling_as(alpn).expect("settings that TLS takes");
        let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
        let connecting = endpoint.connect_with(config, a.address(), "sleepd").expect("a loopback address");
        match timeout(PATIENCE, connecting).await.expect("an answer in time") {
            Err(ConnectionError::ConnectionClosed(_) | ConnectionError::TransportError(_)) => {}
            Ok(connection) => assert_eq!(closed(&connection).await, Some(Code::Unwanted)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Nothing is resumed, so nothing can be sent before the key is proven.
#[tokio::test]
async fn there_is_no_early_data() {
    let (a, member) = (host(1), key_of(2));
    a.net.introduce(member.0, member.1, Vec::new());
    let identity = Identity::from_seed(&[2; 32]).expect("any seed is a key");
    let config = transport::client(&identity, &quick(), Purpose::Cluster, None).expect("settings");
    let endpoint = Endpoint::client(any_port()).expect("loopback has a free port");
    let dial = || endpoint.connect_with(config.clone(), a.address(), "sleepd").expect("a loopback address");
    let first = timeout(PATIENCE, dial()).await.expect("in time").expect("a member's key");
    timeout(PATIENCE, first.open_uni()).await.expect("in time").expect("judged");
    assert!(dial().into_0rtt().is_err());
}

#[tokio::test]
async fn random_bytes_are_counted_and_harm_nobody() {
    let (mut a, mut b) = pair().await;
    let socket = UdpSocket::bind(any_port()).await.expect("loopback has a free port");
    let mut state = 42u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for n in 0..2_000usize {
        let packet: Vec<u8> = (0..n * 7 % 1_500).map(|_| random()).collect();
        socket.send_to(&packet, b.address()).await.expect("loopback takes it");
        // Between two of them, so that the receiver's buffer is not all there is to overflow.
        if n % 50 == 0 {
            a.net.datagram(b.id, frame(1, 10));
            assert_eq!(number(&b.frame().await), 1);
        }
    }
    b.net.message(a.id, 0, frame(2, 10));
    assert_eq!(number(&a.frame().await), 2);
    eventually(|| b.net.counters().packets_foreign > 500).await;
}

/// A member's streams of nonsense cost it the connection at the third, and are counted.
#[tokio::test]
async fn frames_that_mean_nothing_cost_the_connection() {
    let (mut a, member) = (host(1), key_of(2));
    a.net.introduce(member.0, member.1, Vec::new());
    let (_endpoint, connection) = dial(2, a.address(), Purpose::Cluster).await;
    assert_eq!(a.connected().await, member.0);
    // Too long by one byte: refused by its envelope, before a byte is allocated for it.
    let too_long = [&[0], announced(MAX_LEN + 1).as_slice()].concat();
    let no_lane = [&[7], announced(10).as_slice()].concat();
    for (n, bytes) in [(1, too_long), (2, b"\0GET / HTTP/1.1\r\n\r\n".to_vec()), (3, no_lane)] {
        let mut stream = timeout(PATIENCE, connection.open_uni()).await.expect("in time").expect("open");
        stream.write_all(&bytes).await.expect("the window has room");
        eventually(|| a.net.counters().frames_bad == n).await;
    }
    assert_eq!(closed(&connection).await, Some(Code::BadFrames));
    assert!(matches!(a.next().await, NetEvent::Disconnected { peer } if peer == member.0));
}

/// Half a frame before the stream ends is what a sender leaves that goes on elsewhere.
#[tokio::test]
async fn a_cut_stream_is_no_fault_and_datagrams_of_nonsense_are() {
    let (mut a, member) = (host(1), key_of(2));
    a.net.introduce(member.0, member.1, Vec::new());
    let (_endpoint, connection) = dial(2, a.address(), Purpose::Cluster).await;
    assert_eq!(a.connected().await, member.0);
    for _ in 0..20 {
        let mut stream = timeout(PATIENCE, connection.open_uni()).await.expect("in time").expect("open");
        let half = [&[1], announced(100).as_slice(), &[0; 50]].concat();
        stream.write_all(&half).await.expect("the window has room");
        stream.finish().expect("it is open");
    }
    let mut stream = timeout(PATIENCE, connection.open_uni()).await.expect("in time").expect("open");
    stream.write_all(&[&[1], &frame(5, 10)[..]].concat()).await.expect("the window has room");
    assert_eq!(number(&a.frame().await), 5);
    assert_eq!(a.net.counters().frames_bad, 0);
    for bytes in [b"x".to_vec(), announced(10), frame(1, 10)[..13].to_vec()] {
        connection.send_datagram(bytes.into()).expect("a short datagram");
    }
    assert_eq!(closed(&connection).await, Some(Code::BadFrames));
    assert_eq!(a.net.counters().frames_bad, 3);
}

/// Whoever begins a handshake and does not go on takes a place for its deadline, and no longer.
#[tokio::test]
async fn a_handshake_that_is_not_finished_is_given_up() {
    let limits =
        Limits { pending_handshakes: 1, handshake: Duration::from_millis(300), retry_above: 1, ..quick() };
    let (mut a, mut b) = (host_with(1, any_port(), limits), host(2));
    // A first packet that was meant for somebody else: what answers it here is not heard.
    let socket = UdpSocket::bind(any_port()).await.expect("loopback has a free port");
    let identity = Identity::from_seed(&[9; 32]).expect("any seed is a key");
    let config = transport::client(&identity, &quick(), Purpose::Join, None).expect("settings");
    let endpoint = Endpoint::client(any_port()).expect("loopback has a free port");
    let to = socket.local_addr().expect("a bound socket has an address");
    let _connecting = endpoint.connect_with(config, to, "sleepd").expect("a loopback address");
    let mut packet = [0; 1_500];
    let len = timeout(PATIENCE, socket.recv(&mut packet)).await.expect("in time").expect("a packet");
    socket.send_to(&packet[..len], a.address()).await.expect("loopback takes it");
    eventually(|| a.net.counters().packets_received == 1).await;
    a.knows(&b);
    b.knows(&a);
    b.net.keep_connected(&[a.id]);
    assert_eq!(a.connected().await, b.id);
    assert_eq!(b.connected().await, a.id);
    let counters = a.net.counters();
    assert!(counters.handshakes_refused > 0 && counters.handshakes_failed == 1, "{counters:?}");
}
