//! Bytes in, values out: the one place that names bincode.
//!
//! bincode 2.0.1 is pinned and unmaintained (RUSTSEC-2025-0141). It stays behind [`encode`] and [`decode`],
//! whose bytes `wincode`'s varint encoding reads too: the golden tests keep that exit open.

use alloc::vec::Vec;
use core::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bincode::error::DecodeError;

/// The largest value of any kind, in bytes.
pub const MAX_LEN: usize = 1 << 20;

/// The most memory that a byte can truly stand for: an empty text, or list, in a list.
pub const PER_BYTE: usize = size_of::<alloc::string::String>();

/// A value that has bytes, and a bound on them.
pub trait Wire: bincode::Encode + bincode::Decode<()> {
    /// The most bytes that a value of this kind may have, at most [`MAX_LEN`].
    const LIMIT: usize;
}

/// Bytes that are not a value of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// More bytes than the kind allows.
    TooLong {
        /// How many there were.
        len: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The bytes end before the value does, mean nothing, or claim more than they carry.
    Invalid,
    /// They name a variant that is unknown here: a later release's.
    Unknown,
    /// Bytes are left over behind the value.
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, limit } => write!(f, "{len} bytes, where at most {limit} are allowed"),
            Self::Invalid => write!(f, "not a value of the expected kind"),
            Self::Unknown => write!(f, "a variant that is unknown here"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes too many"),
        }
    }
}

impl core::error::Error for Malformed {}

/// The bytes of `value`.
///
/// # Panics
/// Never: a type of this room is encodable whatever its value. Whether the bytes are within [`Wire::LIMIT`]
/// is for the reader to judge, and for the author to check before signing ([`fits`]).
pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, config::standard()).expect("wire types hold nothing that cannot be encoded")
}

/// Whether every reader will accept the bytes of this value.
pub fn fits<T: Wire>(value: &T) -> bool {
    decode::<T>(&encode(value)).is_ok()
}

/// Reads a value from exactly `bytes`.
///
/// # Errors
/// [`Malformed`] if there are too many bytes, too few, or they mean nothing.
///
/// # Memory
/// A length that lies claims at most 16 times the bytes received, or 4 KiB where that is more. What is truly
/// there takes at most [`PER_BYTE`] bytes of memory a byte, beside that.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    if bytes.len() > T::LIMIT {
        return Err(Malformed::TooLong { len: bytes.len(), limit: T::LIMIT });
    }
    let (value, used) = decode_bounded(bytes)?;
    match bytes.len() - used {
        0 => Ok(value),
        bytes => Err(Malformed::Trailing { bytes }),
    }
}

type Bounded<const N: usize> = Configuration<LittleEndian, Varint, Limit<N>>;

fn config_with<const N: usize>() -> Bounded<N> {
    config::standard().with_limit::<N>()
}

/// bincode's limit is a constant of the type, and it bounds the memory that a length prefix may claim. So the
/// bytes received pick the smallest of a ladder of limits: a lie about a length costs little. A step is at
/// most twice what was received, so eight times the step is at most sixteen times that.
fn decode_bounded<T: Wire>(bytes: &[u8]) -> Result<(T, usize), Malformed> {
    macro_rules! ladder {
        ($($size:literal),*) => {
            match bytes.len() {
                0..=256 => bincode::decode_from_slice(bytes, config_with::<4096>()),
                $(0..=$size => bincode::decode_from_slice(bytes, config_with::<{ 8 * $size }>()),)*
                _ => bincode::decode_from_slice(bytes, config_with::<{ 8 * MAX_LEN }>()),
            }
        };
    }
    ladder!(512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072, 262_144, 524_288).map_err(|error| {
        match error {
            DecodeError::UnexpectedVariant { .. } => Malformed::Unknown,
            _ => Malformed::Invalid,
        }
    })
}

/// Serde types (foca's) through the same encoding.
pub(crate) mod through_serde {
    use bytes::{Buf, BufMut};

    use super::{Malformed, config_with};

    struct IntoBuf<B>(B);

    impl<B: BufMut> bincode::enc::write::Writer for IntoBuf<B> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            if self.0.remaining_mut() < bytes.len() {
                return Err(bincode::error::EncodeError::UnexpectedEnd);
            }
            self.0.put_slice(bytes);
            Ok(())
        }
    }

    pub(crate) fn encode<T: serde::Serialize>(value: &T, into: impl BufMut) -> Result<(), Malformed> {
        bincode::serde::encode_into_writer(value, IntoBuf(into), bincode::config::standard())
            .map(drop)
            .map_err(|_| Malformed::Invalid)
    }

    pub(crate) fn decode<T: serde::de::DeserializeOwned>(mut from: impl Buf) -> Result<T, Malformed> {
        let (value, used) = bincode::serde::decode_from_slice(from.chunk(), config_with::<{ 16 * 2048 }>())
            .map_err(|_| Malformed::Invalid)?;
        from.advance(used);
        Ok(value)
    }
}
