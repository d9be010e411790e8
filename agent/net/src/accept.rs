//! Who comes in: judged by ALPN and key before a stream is read.

use std::sync::Arc;

use quinn::{Connection, Endpoint, Incoming};
use tokio::time::timeout;

use crate::api;
use crate::counters::count;
use crate::door;
use crate::error::Code;
use crate::limits::{CONNECTION_WINDOW, MEMBER_STREAMS};
use crate::shared::Shared;
use crate::tls::{Purpose, proven};

/// Meets whoever dials this endpoint, until it is closed.
pub(crate) async fn run(shared: Arc<Shared>, endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        meet(&shared, incoming);
    }
}

fn meet(shared: &Arc<Shared>, incoming: Incoming) {
    let Ok(turn) = shared.handshakes.clone().try_acquire_owned() else {
        count(&shared.tally.handshakes_refused);
        incoming.refuse();
        return;
    };
    let pending = shared.limits.pending_handshakes - shared.handshakes.available_permits();
    if pending > shared.limits.retry_above && !incoming.remote_address_validated() {
        count(&shared.tally.handshakes_retried);
        // It may be retried, since it is not validated yet.
        drop(incoming.retry());
        return;
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        let connection = match incoming.accept() {
            Ok(connecting) => timeout(shared.limits.handshake, connecting).await,
            Err(error) => Ok(Err(error)),
        };
        match connection {
            Ok(Ok(connection)) => judge(&shared, connection),
            Ok(Err(_)) | Err(_) => count(&shared.tally.handshakes_failed),
        }
        drop(turn);
    });
}

/// Decides what a proven key may do here. Until then the other side may open no stream at all.
fn judge(shared: &Arc<Shared>, connection: Connection) {
    count(&shared.tally.accepted);
    let refuse = |code: Code| {
        count(&shared.tally.keys_refused);
        tracing::debug!(address = %connection.remote_address(), %code, "refused a connection");
        connection.close(code.var(), b"");
    };
    match proven(&connection) {
        None => refuse(Code::Unwanted),
        Some((Purpose::Cluster, key)) => {
            // In a statement of its own: adding takes the lock again.
            let (member, farewell) = {
                let book = shared.book();
                (book.member(&key), book.farewell(&key))
            };
            match member {
                None => match farewell {
                    None => refuse(Code::NotAMember),
                    // It was away when it was removed, and would not learn of it from anybody else.
                    Some(farewell) => {
                        count(&shared.tally.keys_refused);
                        connection.close(Code::Expelled.var(), &farewell);
                    }
                },
                Some(peer) => {
                    if shared.add_link((peer, key), peer, connection.clone(), None) {
                        connection.set_receive_window(CONNECTION_WINDOW.into());
                        connection.set_max_concurrent_uni_streams(MEMBER_STREAMS.into());
                    }
                }
            }
        }
        Some((Purpose::Join, key)) => {
            if let Ok(turn) = shared.doors.clone().try_acquire_owned() {
                tokio::spawn(door::serve(shared.clone(), connection, key, turn));
            } else {
                count(&shared.tally.turned_away);
                connection.close(Code::TooMany.var(), b"");
            }
        }
        Some((Purpose::Api, key)) => {
            let visit = shared.book().visit(key, &connection);
            match visit {
                Ok(()) => {
                    tokio::spawn(api::serve(shared.clone(), connection, key));
                }
                Err(code) => refuse(code),
            }
        }
    }
}
