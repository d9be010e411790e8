//! Connections to other agents' API: several questions to one agent share one, as it has few for all who ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sleep_net::{ApiClient, ApiStream, STREAMS_A_CLIENT};
use sleep_wire::{NodeId, PublicKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection that stands may take to open a stream: one whose other end is gone opens none.
const OPENS_WITHIN: Duration = Duration::from_secs(2);

/// The connections that somebody uses, by agent.
#[derive(Clone, Default)]
pub(crate) struct Peers {
    of: Arc<Mutex<BTreeMap<NodeId, Connections>>>,
}

/// Whoever connects holds the lock: others that want the same wait, and share it.
type Connections = Arc<tokio::sync::Mutex<Vec<Weak<Connection>>>>;

struct Connection {
    seed: [u8; 32],
    client: ApiClient,
    turns: Arc<Semaphore>,
}

/// A stream's share of its connection, which stands as long as somebody has one.
pub(crate) struct Share {
    _connection: Arc<Connection>,
    _turn: OwnedSemaphorePermit,
}

impl Peers {
    /// A stream to an agent, over a connection that stands if one has room.
    ///
    /// # Errors
    /// In words, that it cannot be reached.
    pub(crate) async fn stream(
        &self,
        node: NodeId,
        seed: &[u8; 32],
        key: PublicKey,
        addresses: &[String],
    ) -> Result<(ApiStream, Share), String> {
        let connections =
            self.of.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default().clone();
        let mut connections = connections.lock().await;
        connections.retain(|connection| connection.strong_count() > 0);
        for connection in connections.iter().filter_map(Weak::upgrade).collect::<Vec<_>>() {
            // After a leave this agent has another key, and so may the other.
            let is_of_these = connection.seed == *seed && connection.client.agent() == key;
            if is_of_these
                && let Ok(turn) = connection.turns.clone().try_acquire_owned()
                && let Ok(Ok(stream)) = timeout(OPENS_WITHIN, connection.client.open()).await
            {
                return Ok((stream, Share { _connection: connection, _turn: turn }));
            }
        }
        let client =
            ApiClient::connect(seed, addresses, Some(key)).await.map_err(|error| error.to_string())?;
        let turns = Arc::new(Semaphore::new(STREAMS_A_CLIENT));
        let turn = turns.clone().try_acquire_owned().map_err(|error| error.to_string())?;
        let stream = client.open().await.map_err(|error| error.to_string())?;
        let connection = Arc::new(Connection { seed: *seed, client, turns });
        connections.push(Arc::downgrade(&connection));
        Ok((stream, Share { _connection: connection, _turn: turn }))
    }
}
