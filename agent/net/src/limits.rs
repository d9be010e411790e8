//! Every bound of this room, in one place.

use std::time::Duration;

use sleep_wire::codec::MAX_LEN;
use sleep_wire::message::HEADER_LEN;

/// The longest frame, envelope included, in bytes.
pub const MAX_FRAME: usize = HEADER_LEN + MAX_LEN;

/// The longest frame of the join exchange, each way, in bytes: 64 KiB of content, and what every frame
/// carries.
pub const MAX_JOIN_FRAME: usize = 64 * 1024 + HEADER_LEN + 1_100;

/// How many lanes a connection has.
pub(crate) const LANES: usize = 3;

/// What may wait for a peer, by lane, in bytes. Each lane holds at least one frame of any size.
pub(crate) const LANE_BYTES: [usize; LANES] = [MAX_FRAME, MAX_FRAME, 2 * MAX_FRAME];

/// How many frames may wait for a peer in one lane.
pub(crate) const LANE_FRAMES: usize = 4_096;

/// Bytes of one lane's frames that the agent has not taken yet. A lane of its own each, so that bulk that
/// piles up at a busy agent does not keep a lease waiting.
pub(crate) const INBOX_BYTES: usize = MAX_FRAME;

/// Bytes of one stream that a peer may have in flight. One frame, and room to begin the next.
pub(crate) const STREAM_WINDOW: u32 = 1_280 * 1024;

/// Bytes of one connection that may be in flight, each way: more than the lanes' streams together, so that
/// no lane can keep another from sending. With [`LANE_BYTES`] or three [`INBOX_BYTES`] a peer takes at most
/// 8 MiB each way.
pub(crate) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// The same before the key is judged, and for the join exchange.
pub(crate) const STRANGER_WINDOW: u32 = 72 * 1024;

/// The same for an operator.
pub(crate) const OPERATOR_WINDOW: u32 = 2 * 1024 * 1024;

/// Streams that a member may have open: its lanes, those that replace them, and proofs of life.
pub(crate) const MEMBER_STREAMS: u32 = 8;

/// Requests that an operator's connection may have open.
pub(crate) const OPERATOR_STREAMS: u32 = 32;

/// The same, for whoever has many.
pub const STREAMS_A_CLIENT: usize = OPERATOR_STREAMS as usize;

/// Connections that one peer may have at a time.
pub(crate) const LINKS_A_PEER: usize = 4;

/// Newcomers that may ask at the same time.
pub(crate) const DOORS: usize = 32;

/// Keys of which is remembered where the join exchange met them.
pub(crate) const MET: usize = 64;

/// Connections that operators may have at a time.
pub(crate) const OPERATOR_CONNECTIONS: usize = 64;

/// Datagrams that may wait for a connection to a peer.
pub(crate) const WAITING_DATAGRAMS: usize = 16;

/// Events that may wait for the agent, of each sort.
pub(crate) const EVENTS: usize = 1_024;

/// Frames that mean nothing, after which a connection is closed.
pub(crate) const STRIKES: u32 = 3;

/// How long what was said last may take to be written and acknowledged, before a network closes.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(700);

/// How long a peer that is told so may take to acknowledge it.
pub(crate) const ACKNOWLEDGED: Duration = Duration::from_millis(300);

/// Times and counts that a test or an operator may want otherwise. All durations are of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A connection that is silent for so long is gone.
    pub idle_timeout: Duration,
    /// A connection that is to be kept is used at least so often.
    pub keep_alive: Duration,
    /// What is sent and not answered for so long makes another connection worth trying.
    pub suspect_after: Duration,
    /// Until a connection stands and its key is judged, on either side.
    pub handshake: Duration,
    /// Handshakes under way, of others' making: more are refused.
    pub pending_handshakes: usize,
    /// From so many on, an address must prove that it receives before it costs anything.
    pub retry_above: usize,
    /// Between two addresses of one peer that are tried together (RFC 8305 §5).
    pub stagger: Duration,
    /// After the first address list that failed.
    pub backoff: Duration,
    /// After many.
    pub backoff_cap: Duration,
    /// How long a connection that another replaced is still read.
    pub linger: Duration,
    /// For a newcomer's request to arrive, and for the agent to answer it.
    pub join: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            suspect_after: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
            pending_handshakes: 256,
            retry_above: 32,
            stagger: Duration::from_millis(250),
            backoff: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            join: Duration::from_secs(15),
        }
    }
}
