//! One connection to a peer: what comes in, and whether it is still alive.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use sleep_wire::{NodeId, PublicKey};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::counters::count;
use crate::error::Code;
use crate::frames::{self, Unread};
use crate::limits::{INBOX_BYTES, LANES, MAX_FRAME, STRIKES};
use crate::shared::Shared;
use crate::socket::canonical;

/// One connection to a peer.
pub(crate) struct Link {
    /// Rises with every connection of this process: tells newer from older.
    pub(crate) number: u64,
    pub(crate) peer: NodeId,
    pub(crate) key: PublicKey,
    /// Who dialled it.
    pub(crate) dialler: NodeId,
    pub(crate) connection: Connection,
    /// The key was removed: nothing more of it is handed to the agent.
    pub(crate) cut: AtomicBool,
    /// Since when it stands.
    pub(crate) since: Instant,
    seen_at: Mutex<SocketAddr>,
    first_stream: Mutex<Option<SendStream>>,
    strikes: AtomicU32,
    inboxes: [Arc<Semaphore>; LANES],
    pulse: Mutex<Pulse>,
}

/// When a connection was last heard.
struct Pulse {
    received: u64,
    asked: u64,
    /// Since when something has gone out and nothing came back.
    unanswered: Option<Instant>,
    /// Since when nothing went either way.
    quiet: Instant,
}

/// What [`Link::feel`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers, or nothing was asked.
    Well,
    /// It has been idle for so long.
    Idle(Duration),
    /// It has not answered for so long.
    Silent(Duration),
}

/// Whether the other end acknowledges something that is sent now.
pub(crate) async fn proves_alive(connection: &Connection, within: Duration) -> bool {
    let proof = async {
        let mut stream = connection.open_uni().await.ok()?;
        stream.finish().ok()?;
        stream.stopped().await.ok()
    };
    timeout(within, proof).await.is_ok_and(|acknowledged| acknowledged.is_some())
}

impl Link {
    pub(crate) fn new(
        number: u64,
        (peer, key): (NodeId, PublicKey),
        dialler: NodeId,
        connection: Connection,
        first_stream: Option<SendStream>,
    ) -> Arc<Self> {
        let stats = connection.stats();
        Arc::new(Self {
            number,
            peer,
            key,
            dialler,
            cut: AtomicBool::new(false),
            since: Instant::now(),
            seen_at: Mutex::new(canonical(connection.remote_address())),
            first_stream: Mutex::new(first_stream),
            strikes: AtomicU32::new(0),
            inboxes: std::array::from_fn(|_| Arc::new(Semaphore::new(INBOX_BYTES))),
            pulse: Mutex::new(Pulse {
                received: stats.udp_rx.datagrams,
                asked: asked(&stats),
                unanswered: None,
                quiet: Instant::now(),
            }),
            connection,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    /// The peer's address if it is another than when last asked.
    pub(crate) fn moved(&self) -> Option<SocketAddr> {
        let now = self.address();
        let mut seen = self.seen_at.lock().expect("nobody panics while holding an address");
        (*seen != now).then(|| {
            *seen = now;
            now
        })
    }

    pub(crate) fn close(&self, code: Code) {
        self.connection.close(code.var(), b"");
    }

    /// A stream to write a lane to.
    pub(crate) async fn lane_stream(&self, lane: usize) -> Result<SendStream, ConnectionError> {
        if lane == 0 {
            let first = self.first_stream.lock().expect("nobody panics while holding a stream").take();
            if let Some(stream) = first {
                return Ok(stream);
            }
        }
        self.connection.open_uni().await
    }

    /// Whether the peer acknowledges something that is sent now.
    pub(crate) async fn proves_alive(&self, within: Duration) -> bool {
        proves_alive(&self.connection, within).await
    }

    /// Looks at the packet counts since the last look.
    pub(crate) fn feel(&self) -> Health {
        let stats = self.connection.stats();
        let now = Instant::now();
        let mut pulse = self.pulse.lock().expect("nobody panics while holding a pulse");
        let heard = stats.udp_rx.datagrams != pulse.received;
        let asks = asked(&stats);
        let spoke = asks != pulse.asked;
        pulse.received = stats.udp_rx.datagrams;
        pulse.asked = asks;
        if heard {
            pulse.unanswered = None;
            pulse.quiet = now;
            return Health::Well;
        }
        if spoke {
            pulse.quiet = now;
            pulse.unanswered.get_or_insert(now);
        }
        match pulse.unanswered {
            Some(since) => Health::Silent(now - since),
            None => Health::Idle(now - pulse.quiet),
        }
    }

    /// Reads everything until the connection ends, and tells the book then.
    pub(crate) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut streams = JoinSet::new();
        let lost = loop {
            tokio::select! {
                datagram = self.connection.read_datagram() => match datagram {
                    Ok(bytes) => {
                        shared.heard(&self);
                        if frames::is_frame(&bytes) {
                            shared.outbox.datagram(&shared, &self, bytes);
                        } else if !bytes.is_empty() {
                            self.strike(&shared);
                        }
                    }
                    Err(lost) => break lost,
                },
                stream = self.connection.accept_uni() => match stream {
                    Ok(stream) => {
                        streams.spawn(self.clone().read_lane(shared.clone(), stream));
                    }
                    Err(lost) => break lost,
                },
                Some(_) = streams.join_next() => {}
            }
        };
        shared.lost(&self, &lost);
        if !self.cut.load(Ordering::Acquire) {
            // What has arrived whole is still good.
            let rest = async { while streams.join_next().await.is_some() {} };
            drop(timeout(shared.limits.handshake, rest).await);
        }
    }

    async fn read_lane(self: Arc<Self>, shared: Arc<Shared>, mut stream: RecvStream) {
        let mut lane = [0];
        if stream.read_exact(&mut lane).await.is_err() {
            // An empty stream is a proof of life.
            return;
        }
        let [lane] = lane;
        let Some(inbox) = self.inboxes.get(usize::from(lane)) else {
            self.strike(&shared);
            return;
        };
        loop {
            match frames::read(&mut stream, MAX_FRAME, Some(inbox)).await {
                Ok(Some((bytes, room))) => {
                    shared.heard(&self);
                    shared.outbox.message(&self, lane, bytes, room).await;
                }
                // A sender that goes on elsewhere leaves half a frame behind: no fault of its.
                Ok(None) | Err(Unread::Lost(_) | Unread::Cut) => return,
                Err(Unread::Bad(_) | Unread::TooLong { .. }) => {
                    // Where the next frame begins is not known any more.
                    drop(stream.stop(Code::BadFrames.var()));
                    self.strike(&shared);
                    return;
                }
            }
        }
    }

    fn strike(&self, shared: &Shared) {
        count(&shared.tally.frames_bad);
        if self.strikes.fetch_add(1, Ordering::AcqRel) + 1 >= STRIKES {
            tracing::warn!(peer = %self.peer, "closed a connection: its frames mean nothing");
            self.close(Code::BadFrames);
        }
    }
}

/// Frames sent that want an acknowledgement. One's own acknowledgements do not: an idle connection's last
/// packet is one, and its silence after it says nothing.
fn asked(stats: &quinn::ConnectionStats) -> u64 {
    let sent = &stats.frame_tx;
    let said = sent.datagram + sent.stream + sent.reset_stream + sent.stop_sending;
    // What is sent again after a loss: a probe asks for an immediate answer.
    let again = sent.ping + sent.immediate_ack + sent.new_connection_id + sent.retire_connection_id;
    said + again + sent.max_data + sent.max_stream_data + sent.max_streams_uni
}
