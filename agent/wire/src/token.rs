//! The string that people paste: `sleepd-join-1-…`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::ClusterId;

/// A join token: the private half of a key pair, and the cluster that it opens.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinString {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The ed25519 seed.
    pub secret: [u8; 32],
}

/// What is wrong with a token's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// It does not begin with `sleepd-join-1-`.
    Prefix,
    /// It is shorter or longer than a token.
    Length,
    /// It has a character that no token has.
    Character,
    /// A character was mistyped or lost.
    Checksum,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "a join token begins with `sleepd-join-1-`",
            Self::Length => "the join token is not complete",
            Self::Character => "the join token has a character that no token has",
            Self::Checksum => "the join token has a mistyped character",
        })
    }
}

impl core::error::Error for BadToken {}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinString({:?}, …)", self.cluster)
    }
}

const PREFIX: &str = "sleepd-join-1-";

/// Digits of base 32 that nobody mistakes for another (Crockford's).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const BYTES: usize = 32 + 32 + 4;
const DIGITS: usize = (BYTES * 8).div_ceil(5);

impl fmt::Display for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [self.cluster.0, self.secret].concat();
        bytes.extend(crc32(&bytes).to_be_bytes());
        let mut text = String::from(PREFIX);
        for digit in 0..DIGITS {
            let value = (0..5).fold(0usize, |value, bit| {
                let at = digit * 5 + bit;
                let byte = bytes.get(at / 8).copied().unwrap_or(0);
                (value << 1) | usize::from((byte >> (7 - at % 8)) & 1)
            });
            text.push(char::from(ALPHABET[value]));
        }
        f.write_str(&text)
    }
}

impl core::str::FromStr for JoinString {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(BadToken::Prefix)?;
        if digits.len() != DIGITS {
            return Err(BadToken::Length);
        }
        let mut bits = Vec::with_capacity(DIGITS * 5);
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|d| *d == digit).ok_or(BadToken::Character)?;
            bits.extend((0..5).rev().map(|bit| (value >> bit) & 1 == 1));
        }
        if bits[BYTES * 8..].contains(&true) {
            return Err(BadToken::Checksum);
        }
        let bytes: Vec<u8> = bits[..BYTES * 8]
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |value, bit| (value << 1) | u8::from(*bit)))
            .collect();
        let (claim, sum) = bytes.split_at(64);
        if crc32(claim).to_be_bytes() != *sum {
            return Err(BadToken::Checksum);
        }
        let mut token = Self { cluster: ClusterId([0; 32]), secret: [0; 32] };
        token.cluster.0.copy_from_slice(&claim[..32]);
        token.secret.copy_from_slice(&claim[32..]);
        Ok(token)
    }
}

/// CRC-32 (IEEE 802.3): tells a mistyped token from one of another cluster. No security rests on it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// Every single-character slip is told, and told apart from a lost tail.
    #[test]
    fn a_slip_in_a_token_is_told() {
        let token = JoinString { cluster: ClusterId([7; 32]), secret: [9; 32] };
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token));
        for at in PREFIX.len()..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'0' { b'1' } else { b'0' };
            let slipped = String::from_utf8(slipped).expect("one ASCII digit replaced by another");
            assert_eq!(slipped.parse::<JoinString>(), Err(BadToken::Checksum), "at {at}");
        }
        assert_eq!(text[..text.len() - 1].parse::<JoinString>(), Err(BadToken::Length));
        assert_eq!("SWMTKN-1-abc".parse::<JoinString>(), Err(BadToken::Prefix));
    }
}
