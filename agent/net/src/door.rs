//! The join exchange: one question, one answer, any key.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use sleep_wire::PublicKey;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use crate::counters::count;
use crate::dial::{Opened, problem, race};
use crate::error::{Code, NetError};
use crate::event::{JoinReply, NetEvent};
use crate::frames::{self, Unread};
use crate::limits::MAX_JOIN_FRAME;
use crate::resolve::resolve;
use crate::shared::Shared;
use crate::socket::canonical;
use crate::tls::{Purpose, proven};
use crate::transport;

/// Hears one newcomer out.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    key: PublicKey,
    turn: OwnedSemaphorePermit,
) {
    connection.set_max_concurrent_bi_streams(1u32.into());
    let code = match exchange(&shared, &connection, key).await {
        Ok(()) => Code::Done,
        Err(code) => code,
    };
    connection.close(code.var(), b"");
    drop(turn);
}

async fn exchange(shared: &Arc<Shared>, connection: &Connection, key: PublicKey) -> Result<(), Code> {
    let within = shared.limits.join;
    let asked = async {
        let (send, mut receive) = connection.accept_bi().await.map_err(|_| Code::Done)?;
        let frame =
            frames::read(&mut receive, MAX_JOIN_FRAME, None).await.map_err(|unread| match unread {
                Unread::Bad(_) | Unread::TooLong { .. } | Unread::Cut => {
                    count(&shared.tally.frames_bad);
                    Code::BadFrames
                }
                Unread::Lost(_) => Code::Done,
            })?;
        Ok((send, frame.ok_or(Code::BadFrames)?.0))
    };
    let (mut send, bytes) = timeout(within, asked).await.map_err(|_| Code::TooSlow)??;
    let (answer, answered) = oneshot::channel();
    if !shared.outbox.visitor(NetEvent::JoinAsked { key, bytes, answer: JoinReply(answer) }) {
        count(&shared.tally.turned_away);
        return Err(Code::TooMany);
    }
    let answer = timeout(within, answered).await.map_err(|_| Code::TooSlow)?.map_err(|_| Code::Unwanted)?;
    let told = async {
        shared.book().meet(key, canonical(connection.remote_address()));
        send.write_chunk(answer).await.map_err(|_| Code::Done)?;
        drop(send.finish());
        // The newcomer closes when it has read everything.
        connection.closed().await;
        Ok(())
    };
    timeout(shared.limits.handshake, told).await.map_err(|_| Code::TooSlow)?
}

/// Asks doors, best first, until one answers.
pub(crate) async fn ask(shared: &Arc<Shared>, hosts: &[String], frame: Bytes) -> Result<Bytes, NetError> {
    if frame.len() > MAX_JOIN_FRAME {
        return Err(NetError::TooLong { len: frame.len(), limit: MAX_JOIN_FRAME });
    }
    let mut addresses = resolve(hosts).await?;
    // Whose key answers does not matter: the answer's records prove that the door belongs to the token's
    // cluster.
    let config = transport::client(&shared.identity, &shared.limits, Purpose::Join, None)?;
    let mut failed: Vec<(SocketAddr, String)> = Vec::new();
    loop {
        let opened = match race(&shared.endpoints, &addresses, &config, true, &shared.limits).await {
            Ok(opened) => opened,
            Err(nobody) => {
                failed.extend(nobody.tried);
                return Err(NetError::NoAnswer { tried: failed });
            }
        };
        let address = canonical(opened.connection.remote_address());
        let key = proven(&opened.connection).map(|(_, key)| key);
        match say(shared, opened, frame.clone()).await {
            Ok(answer) => {
                if let Some(key) = key {
                    shared.book().meet(key, address);
                }
                return Ok(answer);
            }
            Err(problem) => failed.push((address, problem)),
        }
        addresses.retain(|other| *other != address);
    }
}

async fn say(shared: &Shared, opened: Opened, frame: Bytes) -> Result<Bytes, String> {
    let Opened { connection, send, receive } = opened;
    let Some(receive) = receive else { return Err("no way back".to_owned()) };
    // The door may ask another in turn, and both have their deadline.
    let within = shared.limits.join + shared.limits.handshake;
    let said = timeout(within, question(send, receive, frame)).await;
    let said = said.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    let said =
        said.map_err(|problem_here| connection.close_reason().map_or(problem_here, |why| problem(&why)));
    connection.close(Code::Done.var(), b"");
    said
}

async fn question(mut send: SendStream, mut receive: RecvStream, frame: Bytes) -> Result<Bytes, String> {
    send.write_chunk(frame).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    match frames::read(&mut receive, MAX_JOIN_FRAME, None).await {
        Ok(Some((answer, _))) => Ok(answer),
        Ok(None) | Err(Unread::Cut) => Err("the answer was cut off".to_owned()),
        Err(Unread::Bad(bad)) => Err(bad.to_string()),
        Err(Unread::TooLong { len }) => Err(format!("an answer of {len} bytes")),
        Err(Unread::Lost(error)) => Err(error.to_string()),
    }
}
