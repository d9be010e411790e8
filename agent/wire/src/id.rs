//! Names of things: fixed-size, `Copy`, ordered, never confused with one another.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use bincode::{Decode, Encode};

/// A 256-bit hash of bytes. Which function made it is for whoever owns the hashing trait to say (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Digest(pub [u8; 32]);

/// An ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PublicKey(pub [u8; 32]);

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

/// A cluster: hash of its first member's public key and a nonce. A join token carries it, so a newcomer can
/// tell its cluster from every other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ClusterId(pub [u8; 32]);

/// Milliseconds since 1970 by somebody's wall clock: for people to read, never to decide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct WallTime(pub i64);

macro_rules! short_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
        pub struct $name(pub [u8; 16]);

        // As bytes are, and in two steps: maps whose keys have ids compare little else.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first 128 bits of a hash.
            pub const fn from_digest(digest: &Digest) -> Self {
                let mut id = [0; 16];
                let mut i = 0;
                while i < 16 {
                    id[i] = digest.0[i];
                    i += 1;
                }
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                base32(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = alloc::format!("{self}");
                write!(f, "{}:{}", stringify!($name), &text[..6])
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                from_base32(text).map(Self)
            }
        }
    };
}

short_id! {
    /// A node: hash of its public key. The same key is the same node, whatever its name, address or age.
    NodeId
}
short_id! {
    /// A service: hash of the id of the command that made it, so that a command retried anywhere makes it
    /// once.
    ServiceId
}
short_id! {
    /// One revision of a service: hash of the id of the command that made it.
    RevisionId
}
short_id! {
    /// A command as its client named it. The same id is the same command, however often it is sent.
    CommandId
}
short_id! {
    /// A join token: hash of its public half.
    TokenId
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// RFC 4648 base 32 in lower case, without padding: 26 characters for 16 bytes.
fn base32(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = String::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((held >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((held << (5 - bits)) & 31) as usize]));
    }
    f.pad(&text)
}

fn from_base32(text: &str) -> Result<[u8; 16], NotAnId> {
    let mut id = [0; 16];
    let (mut bits, mut held, mut at) = (0u32, 0u32, 0);
    for c in text.bytes() {
        let value = ALPHABET.iter().position(|a| *a == c).ok_or(NotAnId)?;
        held = (held << 5) | u32::try_from(value).map_err(|_| NotAnId)?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *id.get_mut(at).ok_or(NotAnId)? = ((held >> bits) & 255) as u8;
            at += 1;
        }
    }
    let spare = held & ((1 << bits) - 1);
    if at == 16 && text.len() == 26 && spare == 0 { Ok(id) } else { Err(NotAnId) }
}

/// Text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 26 characters hold two bits more than 16 bytes do: two texts must not mean one id.
        write!(f, "an id is 26 characters of a-z and 2-7, the last of them one of aeimquy4")
    }
}

impl core::error::Error for NotAnId {}

macro_rules! hex_id {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    )*};
}

hex_id!(Digest, PublicKey, Signature, ClusterId);
