//! Operators: streams over which HTTP is spoken, from both ends.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use sleep_wire::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::counters::{Tally, count};
use crate::dial::{problem, race};
use crate::error::{Code, NetError};
use crate::event::NetEvent;
use crate::limits::{Limits, OPERATOR_STREAMS, OPERATOR_WINDOW};
use crate::resolve::resolve;
use crate::shared::Shared;
use crate::socket::{self, Ports, canonical};
use crate::tls::{Identity, Purpose, proven};
use crate::transport;

/// One stream of an operator's connection, both ways. Shutting it down ends this side's half; dropping it
/// abandons what was not read.
pub struct ApiStream {
    receive: RecvStream,
    send: SendStream,
}

impl fmt::Debug for ApiStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiStream({})", self.send.id())
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buf)
    }
}

impl AsyncWrite for ApiStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}

/// Hands an operator's streams to the agent until the connection ends.
pub(crate) async fn serve(shared: Arc<Shared>, connection: Connection, operator: PublicKey) {
    connection.set_receive_window(OPERATOR_WINDOW.into());
    connection.set_max_concurrent_bi_streams(OPERATOR_STREAMS.into());
    while let Ok((send, receive)) = connection.accept_bi().await {
        // Streams that came before it was closed are handed out afterwards.
        if connection.close_reason().is_some() {
            break;
        }
        let event = NetEvent::ApiStream { operator, stream: ApiStream { receive, send } };
        if !shared.outbox.visitor(event) {
            // The stream ends without an answer: the client may try again.
            count(&shared.tally.turned_away);
        }
    }
}

/// An operator's connection to an agent: what `quic://HOST` stands for.
pub struct ApiClient {
    endpoint: Endpoint,
    connection: Connection,
    agent: PublicKey,
    first: Mutex<Option<ApiStream>>,
}

impl ApiClient {
    /// Connects with an operator's key, to the first of `hosts` that answers: `HOST`, `HOST:PORT`,
    /// `[IPV6]:PORT`, with or without `quic://`. With `expected`, no other agent's key is accepted;
    /// without, whoever calls compares [`ApiClient::agent`] with what it knows.
    ///
    /// # Errors
    /// [`NetError::Resolve`] or [`NetError::NoAnswer`], which says of each address what came of it: also
    /// that it refused the key.
    pub async fn connect(
        seed: &[u8; 32],
        hosts: &[String],
        expected: Option<PublicKey>,
    ) -> Result<Self, NetError> {
        let limits = Limits::default();
        let identity = Identity::from_seed(seed)?;
        let addresses = resolve(hosts).await?;
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let bind = |source| NetError::Bind { address: any, source };
        let socket = Ports::new(Arc::<Tally>::default()).wrap(socket::open(any, false)?).map_err(bind)?;
        let config = transport::endpoint(seed)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, runtime).map_err(bind)?;
        let config = transport::client(&identity, &limits, Purpose::Api, expected)?;
        let opened = race(std::slice::from_ref(&endpoint), &addresses, &config, true, &limits)
            .await
            .map_err(|failed| NetError::NoAnswer { tried: failed.tried })?;
        let (_, agent) =
            proven(&opened.connection).ok_or_else(|| NetError::Key("none was shown".to_owned()))?;
        let first = opened.receive.map(|receive| ApiStream { receive, send: opened.send });
        Ok(Self { endpoint, connection: opened.connection, agent, first: Mutex::new(first) })
    }

    /// The key of the agent that answered.
    pub fn agent(&self) -> PublicKey {
        self.agent
    }

    /// Where it answered.
    pub fn address(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    /// Opens a stream, on which one HTTP connection may be spoken. Waits while 32 are open.
    ///
    /// # Errors
    /// [`NetError::Lost`] if the connection is gone.
    pub async fn open(&self) -> Result<ApiStream, NetError> {
        let first = self.first.lock().expect("nobody panics while holding a stream").take();
        if let Some(stream) = first {
            return Ok(stream);
        }
        let (send, receive) =
            self.connection.open_bi().await.map_err(|error| NetError::Lost(problem(&error)))?;
        Ok(ApiStream { receive, send })
    }

    /// Says goodbye, and waits for a moment until that has left.
    pub async fn close(self) {
        self.connection.close(Code::Done.var(), b"");
        drop(timeout(std::time::Duration::from_millis(500), self.endpoint.wait_idle()).await);
    }
}
