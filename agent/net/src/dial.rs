//! Reaching somebody at one of several addresses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use sleep_wire::NodeId;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::book::Plan;
use crate::counters::count;
use crate::error::Code;
use crate::event::NetEvent;
use crate::limits::Limits;
use crate::shared::Shared;
use crate::socket::{canonical, reaches};
use crate::tls::Purpose;
use crate::transport;

/// The most addresses of one peer that are tried at a time.
const MOST: usize = 16;

/// The name that TLS wants. It names nobody: keys do.
const NAME: &str = "sleepd";

/// A connection whose other side has judged the key: only then does it allow a stream.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    /// Absent for a stream in one direction.
    pub(crate) receive: Option<RecvStream>,
}

/// What was tried, and what came of it.
pub(crate) type Tried = Vec<(SocketAddr, String)>;

/// Nobody was reached.
pub(crate) struct Failed {
    pub(crate) tried: Tried,
    /// What a peer said that will have nothing to do with this key any more.
    pub(crate) farewell: Option<Bytes>,
}

/// What came of one address.
struct Problem {
    words: String,
    farewell: Option<Bytes>,
}

/// Dials a peer until it is connected, or nobody wants it any more.
pub(crate) async fn run(shared: Arc<Shared>, peer: NodeId) {
    let mut closing = shared.closing.subscribe();
    loop {
        // In a statement of its own: the lock is not held while dialling.
        let plan = shared.book().plan(peer);
        let Some(plan) = plan else { return };
        let hurry = plan.hurry.clone();
        let connected = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return,
            connected = try_once(&shared, peer, plan) => connected,
        };
        if connected {
            shared.book().dialled(peer);
            return;
        }
        let Some(wait) = shared.dial_failed(peer) else { return };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep(wait) => {}
            () = hurry.notified() => {}
        }
        if shared.book().came_by_itself(peer) {
            return;
        }
    }
}

/// Whether the peer is connected now.
async fn try_once(shared: &Arc<Shared>, peer: NodeId, plan: Plan) -> bool {
    let config = match transport::client(&shared.identity, &shared.limits, Purpose::Cluster, Some(plan.key)) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "cannot dial");
            return false;
        }
    };
    // If the peer dials at the same moment, both connections stand for a while: closing one that the other
    // side may already use would lose what it carries.
    match race(&shared.endpoints, &plan.addresses, &config, false, &shared.limits).await {
        Ok(opened) => {
            count(&shared.tally.dialled);
            let me = shared.identity.node;
            shared.add_link((peer, plan.key), me, opened.connection, Some(opened.send))
        }
        Err(Failed { tried, farewell }) => {
            tracing::debug!(%peer, ?tried, "no address answers");
            if let Some(farewell) = farewell {
                // One that is lost is said again at the next dial.
                shared.outbox.visitor(NetEvent::Dismissed { peer, farewell });
            }
            false
        }
    }
}

/// Dials addresses, best first, each a moment after the one before or as soon as that failed: the first
/// that answers wins (RFC 8305).
pub(crate) async fn race(
    endpoints: &[Endpoint],
    addresses: &[SocketAddr],
    config: &ClientConfig,
    both_ways: bool,
    limits: &Limits,
) -> Result<Opened, Failed> {
    let mut next = attempts(endpoints, addresses);
    let mut failed = Failed { tried: Vec::new(), farewell: None };
    let mut running = JoinSet::new();
    loop {
        if let Some((endpoint, address)) = next.pop_front() {
            let attempt = attempt(endpoint, address, config.clone(), both_ways, limits.handshake);
            running.spawn(async move { (address, attempt.await) });
        }
        tokio::select! {
            joined = running.join_next() => match joined {
                Some(Ok((_, Ok(opened)))) => return Ok(opened),
                Some(Ok((address, Err(problem)))) => {
                    failed.tried.push((canonical(address), problem.words));
                    failed.farewell = failed.farewell.or(problem.farewell);
                }
                Some(Err(broken)) => tracing::error!(%broken, "a dial broke"),
                None => return Err(failed),
            },
            () = sleep(limits.stagger), if !next.is_empty() => {}
        }
    }
}

fn attempts(endpoints: &[Endpoint], addresses: &[SocketAddr]) -> VecDeque<(Endpoint, SocketAddr)> {
    let bound = |endpoint: &Endpoint| Some((endpoint.clone(), endpoint.local_addr().ok()?));
    let bound: Vec<(Endpoint, SocketAddr)> = endpoints.iter().filter_map(bound).collect();
    let all: Vec<SocketAddr> = bound.iter().map(|(_, local)| *local).collect();
    let able = |address: SocketAddr| {
        let reaching = bound.iter().filter(|(_, local)| reaches(*local, &all, address));
        reaching.map(|(endpoint, _)| (endpoint.clone(), address)).collect::<Vec<_>>()
    };
    addresses.iter().copied().flat_map(able).take(MOST).collect()
}

async fn attempt(
    endpoint: Endpoint,
    address: SocketAddr,
    config: ClientConfig,
    both_ways: bool,
    within: Duration,
) -> Result<Opened, Problem> {
    let no_more = |words: String| Problem { words, farewell: None };
    let connecting =
        endpoint.connect_with(config, address, NAME).map_err(|error| no_more(error.to_string()))?;
    let opened = async {
        let connection = connecting.await?;
        // The other side allows streams only when it has judged the key.
        let (send, receive) = if both_ways {
            let (send, receive) = connection.open_bi().await?;
            (send, Some(receive))
        } else {
            (connection.open_uni().await?, None)
        };
        Ok(Opened { connection, send, receive })
    };
    match timeout(within, opened).await {
        Ok(opened) => opened.map_err(|error| Problem { words: problem(&error), farewell: farewell(&error) }),
        Err(_) => Err(no_more("no answer".to_owned())),
    }
}

/// What a peer says that removed this key.
fn farewell(error: &ConnectionError) -> Option<Bytes> {
    let ConnectionError::ApplicationClosed(close) = error else { return None };
    let says = Code::of(error) == Some(Code::Expelled) && !close.reason.is_empty();
    says.then(|| close.reason.clone())
}

/// What went wrong with a connection, in words.
pub(crate) fn problem(error: &ConnectionError) -> String {
    match (Code::of(error), error) {
        (Some(code), _) => code.to_string(),
        (None, ConnectionError::TimedOut) => "no answer".to_owned(),
        (None, error) => error.to_string(),
    }
}
