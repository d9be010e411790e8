//! How does a frame get from one agent to another?
//!
//! ```text
//!              ┌───────── one UDP socket ─────────┐
//!  sleepd/1      members: datagrams, three lanes of frames, a pool of connections
//!  sleepd-join/1 anybody: one question, one answer
//!  sleepd-api/1  operators: streams for HTTP
//! ```
//! QUIC, with raw ed25519 keys both ways. Who is a member, where it may be found and who an operator is,
//! the agent says ([`Net::introduce`], [`Net::expel`], [`Net::operator`]); this room holds the others off,
//! finds the way, and reports what happened.
//!
//! # Invariants
//! - `judged_first`: ALPN and key are judged before the first stream is read; until then none may be opened.
//! - `smaller_dials`: of two connections between two members that both answer, the one dialled by the
//!   smaller id stays.
//! - `bounded`: whatever a peer does, a connection costs at most 8 MiB each way; a stranger's, 72 KiB and
//!   five seconds.
//! - `length_first`: a frame's length is judged before anything is allocated for it.
//!
//! # Not here
//! What a frame says: `wire`, `core`. Whether a peer is alive: `core::membership`; a connection that ends
//! says little. Asking again: nothing here repeats what was lost.
#![forbid(unsafe_code)]

mod accept;
mod api;
mod book;
mod counters;
mod dial;
mod door;
mod error;
mod event;
mod frames;
mod lanes;
mod limits;
mod link;
mod net;
mod resolve;
mod shared;
mod socket;
mod tend;
mod tls;
mod transport;

pub use api::{ApiClient, ApiStream};
pub use counters::Counters;
pub use error::{Code, NetError};
pub use event::{Events, JoinReply, NetEvent};
pub use limits::{Limits, MAX_FRAME, MAX_JOIN_FRAME, STREAMS_A_CLIENT};
pub use net::{Connected, Net, Options};
pub use resolve::DEFAULT_PORT;

#[cfg(test)]
mod tests;
