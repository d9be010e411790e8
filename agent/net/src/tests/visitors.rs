//! Newcomers and operators.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::api::{ApiClient, ApiStream};
use crate::error::{Code, NetError};
use crate::limits::MAX_JOIN_FRAME;

async fn asked(host: &mut Host) -> (PublicKey, Bytes, crate::event::JoinReply) {
    match host.next().await {
        NetEvent::JoinAsked { key, bytes, answer } => (key, bytes, answer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_newcomer_is_heard_and_answered() {
    let (mut door, newcomer) = (host(1), host(2));
    let largest = frame(8, MAX_JOIN_FRAME - HEADER_LEN);
    let hosts = [door.address().to_string()];
    let (answer, ()) = tokio::join!(newcomer.net.ask_door(&hosts, frame(7, 200)), async {
        let (key, bytes, answer) = asked(&mut door).await;
        assert_eq!((key, number(&bytes)), (newcomer.key, 7));
        answer.send(largest.clone());
    });
    assert_eq!(answer.expect("an answer"), largest);
}

/// Where the join exchange met is where both find each other, whatever either tells of its addresses.
#[tokio::test]
async fn whoever_met_at_a_door_finds_back() {
    for newcomer_dials in [true, false] {
        let (mut door, mut newcomer) = (host(1), host(2));
        let hosts = [door.address().to_string()];
        let (answer, ()) = tokio::join!(newcomer.net.ask_door(&hosts, frame(7, 200)), async {
            asked(&mut door).await.2.send(frame(8, 10));
        });
        assert_eq!(number(&answer.expect("an answer")), 8);
        let gone = std::net::UdpSocket::bind(any_port()).expect("loopback has a free port");
        let stale = gone.local_addr().expect("a bound socket has an address");
        newcomer.net.introduce(door.id, door.key, vec![stale]);
        door.net.introduce(newcomer.id, newcomer.key, Vec::new());
        let (dials, other) = if newcomer_dials { (&newcomer, &door) } else { (&door, &newcomer) };
        dials.net.keep_connected(&[other.id]);
        assert_eq!(door.connected().await, newcomer.id);
        assert_eq!(newcomer.connected().await, door.id);
    }
}

/// A door that has no use for a newcomer says so; the next address is asked then.
#[tokio::test]
async fn the_next_door_is_asked_when_one_does_not_answer() {
    let (mut closed, mut open, newcomer) = (host(1), host(2), host(3));
    let hosts = [closed.address().to_string(), open.address().to_string()];
    let (answer, (), ()) = tokio::join!(
        newcomer.net.ask_door(&hosts, frame(7, 200)),
        async { drop(asked(&mut closed).await) },
        async { asked(&mut open).await.2.send(frame(8, 10)) },
    );
    assert_eq!(number(&answer.expect("an answer")), 8);
    let (answer, ()) = tokio::join!(newcomer.net.ask_door(&hosts[..1], frame(7, 200)), async {
        drop(asked(&mut closed).await);
    });
    let Err(NetError::NoAnswer { tried }) = answer else { panic!("{answer:?}") };
    assert_eq!(tried, [(closed.address(), "not now".to_owned())]);
}

#[tokio::test]
async fn the_join_exchange_is_bounded() {
    let (mut door, newcomer) = (host(1), host(2));
    let hosts = [door.address().to_string()];
    let answer = newcomer.net.ask_door(&hosts, frame(7, MAX_JOIN_FRAME)).await;
    assert!(matches!(answer, Err(NetError::TooLong { limit: MAX_JOIN_FRAME, .. })));
    // One that announces too much, one that sends nothing, one that asks twice.
    let (_e, connection) = dial(3, door.address(), Purpose::Join).await;
    let (mut send, _receive) = connection.open_bi().await.expect("any key may ask");
    send.write_all(&announced(MAX_JOIN_FRAME)).await.expect("the window has room");
    assert_eq!(Code::of(&connection.closed().await), Some(Code::BadFrames));
    let (_e, connection) = dial(3, door.address(), Purpose::Join).await;
    let _streams = connection.open_bi().await.expect("any key may ask");
    assert_eq!(Code::of(&connection.closed().await), Some(Code::TooSlow));
    let (_e, connection) = dial(3, door.address(), Purpose::Join).await;
    let (mut send, _receive) = connection.open_bi().await.expect("any key may ask");
    send.write_all(&frame(1, 10)).await.expect("the window has room");
    let (_, _, answer) = asked(&mut door).await;
    let more = timeout(Duration::from_millis(100), connection.open_bi()).await;
    assert!(more.is_err(), "a second stream");
    drop(answer);
    assert_eq!(Code::of(&connection.closed().await), Some(Code::Unwanted));
}

#[tokio::test]
async fn an_unknown_name_and_an_empty_list_are_told() {
    let newcomer = host(1);
    let unknown = newcomer.net.ask_door(&["no-such-host.invalid".to_owned()], frame(1, 10)).await;
    assert!(matches!(unknown, Err(NetError::Resolve { host, .. }) if host == "no-such-host.invalid"));
    let nobody = newcomer.net.ask_door(&[], frame(1, 10)).await;
    assert_eq!(nobody.expect_err("nobody to ask").to_string(), "no address to dial");
}

async fn echo(mut stream: ApiStream) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("the operator's words");
    stream.write_all(text.to_uppercase().as_bytes()).await.expect("the operator reads");
    stream.shutdown().await.expect("the stream is open");
}

#[tokio::test]
async fn an_operators_streams_carry_bytes_both_ways() {
    let mut agent = host(1);
    let (_, operator) = key_of(2);
    agent.net.operator(operator, true);
    let hosts = [format!("quic://{}", agent.address())];
    let client = ApiClient::connect(&[2; 32], &hosts, Some(agent.key)).await.expect("an operator's key");
    assert_eq!((client.agent(), client.address()), (agent.key, agent.address()));
    for _ in 0..40 {
        let mut stream = client.open().await.expect("the connection stands");
        stream.write_all(b"ps web").await.expect("the agent reads");
        stream.shutdown().await.expect("the stream is open");
        match agent.next().await {
            NetEvent::ApiStream { operator: key, stream } if key == operator => echo(stream).await,
            other => panic!("{other:?}"),
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert_eq!(answer, "PS WEB");
    }
    // The key is revoked: the connection that stands is cut, and no other is made.
    let mut stream = client.open().await.expect("the connection stands");
    agent.net.operator(operator, false);
    let mut answer = Vec::new();
    assert!(stream.read_to_end(&mut answer).await.is_err());
    let refused = ApiClient::connect(&[2; 32], &hosts, None).await;
    let Err(NetError::NoAnswer { tried }) = refused else { panic!("the key was revoked") };
    assert_eq!(tried, [(agent.address(), Code::NotAnOperator.to_string())]);
    client.close().await;
}

#[tokio::test]
async fn an_operator_is_not_fooled_by_another_agent() {
    let agent = host(1);
    agent.net.operator(key_of(2).1, true);
    let hosts = [agent.address().to_string()];
    assert!(ApiClient::connect(&[2; 32], &hosts, Some(key_of(9).1)).await.is_err());
}
