//! What can go wrong, as facts.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use quinn::{ConnectionError, VarInt};
use sleep_wire::message::BadFrame;

/// Why something did not work.
#[derive(Debug)]
pub enum NetError {
    /// A socket could not be opened.
    Bind {
        /// At which address.
        address: SocketAddr,
        /// In the operating system's words.
        source: io::Error,
    },
    /// A name has no address.
    Resolve {
        /// The name as given.
        host: String,
        /// In the resolver's words.
        problem: String,
    },
    /// No address answered.
    NoAnswer {
        /// What was tried, and what came of it.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The other side closed the connection.
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why.
        why: Code,
    },
    /// More bytes than the exchange allows.
    TooLong {
        /// How many.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The other side's bytes are not a frame.
    BadFrame(BadFrame),
    /// The connection broke.
    Lost(String),
    /// No answer within the deadline.
    TimedOut,
    /// The seed is not that of an ed25519 key, or TLS refuses its own settings.
    Key(String),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => write!(f, "cannot listen on UDP {address}: {source}"),
            Self::Resolve { host, problem } => write!(f, "cannot resolve `{host}`: {problem}"),
            Self::NoAnswer { tried } if tried.is_empty() => write!(f, "no address to dial"),
            Self::NoAnswer { tried } => {
                write!(f, "no answer from ")?;
                for (n, (address, problem)) in tried.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{address} ({problem})")?;
                }
                Ok(())
            }
            Self::Refused { address, why } => write!(f, "{address} closed the connection: {why}"),
            Self::TooLong { len, limit } => write!(f, "{len} bytes, where at most {limit} are allowed"),
            Self::BadFrame(bad) => write!(f, "{bad}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::TimedOut => write!(f, "no answer in time"),
            Self::Key(problem) => write!(f, "the key cannot be used: {problem}"),
        }
    }
}

impl std::error::Error for NetError {}

/// Why a connection was closed, as the closing side says. The numbers are on the wire: never used again for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// There is nothing more to say.
    Done,
    /// The key is not that of a member.
    NotAMember,
    /// The key is not that of an operator.
    NotAnOperator,
    /// Another connection to the same peer stays.
    Superseded,
    /// The key was removed.
    Expelled,
    /// Too many frames meant nothing.
    BadFrames,
    /// Too many of a kind.
    TooMany,
    /// It took too long.
    TooSlow,
    /// The agent stops.
    Stopping,
    /// The agent has no use for this exchange now.
    Unwanted,
    /// A number of a later release.
    Other(u64),
}

impl Code {
    const KNOWN: [Self; 10] = [
        Self::Done,
        Self::NotAMember,
        Self::NotAnOperator,
        Self::Superseded,
        Self::Expelled,
        Self::BadFrames,
        Self::TooMany,
        Self::TooSlow,
        Self::Stopping,
        Self::Unwanted,
    ];

    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::NotAMember => 1,
            Self::NotAnOperator => 2,
            Self::Superseded => 3,
            Self::Expelled => 4,
            Self::BadFrames => 5,
            Self::TooMany => 6,
            Self::TooSlow => 7,
            Self::Stopping => 8,
            Self::Unwanted => 9,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn var(self) -> VarInt {
        VarInt::from_u64(self.number()).unwrap_or(VarInt::MAX)
    }

    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        let ConnectionError::ApplicationClosed(close) = error else { return None };
        let number = close.error_code.into_inner();
        Some(Self::KNOWN.into_iter().find(|code| code.number() == number).unwrap_or(Self::Other(number)))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "done"),
            Self::NotAMember => write!(f, "this key is not that of a member"),
            Self::NotAnOperator => write!(f, "this key is not that of an operator"),
            Self::Superseded => write!(f, "another connection stays"),
            Self::Expelled => write!(f, "this key was removed"),
            Self::BadFrames => write!(f, "too many frames that mean nothing"),
            Self::TooMany => write!(f, "too many connections"),
            Self::TooSlow => write!(f, "too slow"),
            Self::Stopping => write!(f, "the agent stops"),
            Self::Unwanted => write!(f, "not now"),
            Self::Other(number) => write!(f, "reason {number}"),
        }
    }
}
