//! Times as people write them, in files and on the command line: `250ms`, `1.5s`, `1m 30s`, `10m`, `1h`.
//!
//! # Not here
//! Arithmetic: a time is a number of microseconds, see [`Time`].

use jiff::SignedDuration;
use jiff::fmt::friendly::{FractionalUnit, SpanPrinter};
use serde::{Deserialize as _, Deserializer, Serializer, de};

use crate::world::Time;

/// Reads a time, in microseconds.
///
/// # Errors
/// What is not a time, or a negative one.
pub fn parse(text: &str) -> Result<Time, String> {
    Time::try_from(parse_signed(text)?).map_err(|_| format!("`{text}` is less than nothing"))
}

/// Reads a time that may be negative, in microseconds.
///
/// # Errors
/// What is not a time, or one of more than 292,000 years.
pub fn parse_signed(text: &str) -> Result<i64, String> {
    let time: SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no time: write it as `250ms`, `1.5s` or `1m 30s`"))?;
    i64::try_from(time.as_micros()).map_err(|_| format!("`{text}` is too long"))
}

/// A time as it would be written.
pub fn show(time: Time) -> String {
    show_signed(i64::try_from(time).unwrap_or(i64::MAX))
}

/// A time that may be negative, as it would be written.
pub fn show_signed(time: i64) -> String {
    let printer = SpanPrinter::new().fractional(Some(FractionalUnit::Second));
    printer.duration_to_string(&SignedDuration::from_micros(time))
}

/// Writes a time. For serde's `with`.
///
/// # Errors
/// The serialiser's.
pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show(*time))
}

/// Reads a time. For serde's `with`.
///
/// # Errors
/// What is not a time.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// A time that may be missing.
pub mod optional {
    use super::{Deserializer, Serializer, Time};

    /// Writes it.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is not a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        super::deserialize(from).map(Some)
    }
}

/// A time that may be negative.
pub mod signed {
    use serde::{Deserialize as _, de};

    use super::{Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(time: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::show_signed(*time))
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is not a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        super::parse_signed(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for time in [0, 1, 999, 250_000, 1_500_000, 90_000_000, 3_600_000_000, 86_400_000_001] {
            assert_eq!(parse(&show(time)), Ok(time), "{}", show(time));
        }
        assert_eq!(parse_signed(&show_signed(-7_200_000_000)), Ok(-7_200_000_000));
        assert_eq!(parse("1m 30s"), Ok(90_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "5", "soon", "-1s", "1 lightyear"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
