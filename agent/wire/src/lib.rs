//! The vocabulary of a sleepd cluster, and its bytes.
//!
//! Everything that crosses a socket or reaches a disk is a type of this room: ids, stamps, records, specs,
//! messages. What is written here once is read for years: see `golden` in the tests of this package.
//!
//! # Invariants
//! - `exact_length`: a value is decoded from all of its bytes, or not at all.
//! - `bounded_decode`: decoding allocates at most a small multiple of the bytes received.
//! - A type here has no policy: malformed bytes are refused, unwelcome ones are not.
//!
//! # Not here
//! Who may write what: `core::trust`. Which record wins: `core::state`. Sockets: `net`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "api")]
#[macro_use]
extern crate std;

#[cfg(feature = "api")]
pub mod api;
pub mod codec;
pub mod durable;
pub mod engine;
pub mod id;
pub mod key;
pub mod lease;
pub mod message;
pub mod node;
pub mod permit;
pub mod record;
pub mod slot;
pub mod spec;
pub mod stamp;
pub mod swim;
pub mod sync;
pub mod task;
pub mod token;
pub mod trust;

pub use codec::{Malformed, Wire, decode, encode, fits};
pub use id::{
    ClusterId, CommandId, Digest, NodeId, PublicKey, RevisionId, ServiceId, Signature, TokenId, WallTime,
};
pub use key::{Family, Key, SlotName};
pub use record::Record;
pub use stamp::{Epoch, Stamp};

/// The release this code belongs to, as shown by `node ls`.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
