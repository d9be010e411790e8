//! Bytes of anybody, for everything that reads any: what the targets of this package share.
//!
//! A target is a function of bytes that panics if something is wrong. It is run in two ways: the gate replays
//! what was kept and then tries a fixed number of inputs that follow from a fixed seed ([`smoke`]); by hand,
//! `cargo bolero test` looks for new ones, guided by coverage. See `README.md`.
//!
//! # Not here
//! The targets: see `tests/`.
#![forbid(unsafe_code)]

// `cargo bolero` builds this as a test too, and whatever is built for it needs its libFuzzer.
#[cfg(test)]
use bolero as _;

pub mod bytes;
pub mod history;
pub mod kept;
pub mod smoke;

/// Takes what was read, where all that matters is that it could be.
pub fn whatever<T>(_read: T) {}

/// A test of a function of bytes: what was kept is replayed, and then so many inputs are made from seeds.
///
/// ```text
/// target!(name, cases, seeds, check);
/// ```
#[macro_export]
macro_rules! target {
    ($(#[$doc:meta])* $name:ident, $cases:expr, $seeds:expr, $check:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            // Under `cargo bolero test` this does not return.
            bolero::check!().with_iterations(0).for_each(|bytes: &[u8]| $check(bytes));
            bolero::bolero_engine::panic::forward_panic(true);
            let place = $crate::smoke::Place {
                kept: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/__fuzz__/", stringify!($name)).as_ref(),
                failed: env!("CARGO_TARGET_TMPDIR").as_ref(),
            };
            $crate::smoke::run(stringify!($name), place, $cases, $seeds, $check);
        }
    };
}
