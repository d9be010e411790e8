//! What happened, as numbers that only rise.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What happened since the start. For people and their dashboards: nothing is decided by it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// UDP packets received.
    packets_received,
    /// Bytes of those, without UDP's and IP's own.
    bytes_received,
    /// UDP packets sent.
    packets_sent,
    /// Bytes of those.
    bytes_sent,
    /// UDP packets that are not QUIC at all.
    packets_foreign,
    /// Connections that were dialled from elsewhere.
    accepted,
    /// Connections that were dialled from here and stood.
    dialled,
    /// Dials of which no address answered.
    dials_failed,
    /// Connections of peers that ended.
    ended,
    /// Handshakes refused because too many were under way.
    handshakes_refused,
    /// Handshakes that were made to prove their address.
    handshakes_retried,
    /// Handshakes that failed or took too long.
    handshakes_failed,
    /// Connections closed because the key had no business here.
    keys_refused,
    /// Frames that meant nothing.
    frames_bad,
    /// Datagrams that were not sent: no connection, or too long.
    datagrams_unsent,
    /// Datagrams received and thrown away, since the agent was busy.
    datagrams_untaken,
    /// Frames that were not sent: no connection, too long, or too many waiting.
    messages_unsent,
    /// Newcomers and operators turned away, since too many were there.
    turned_away,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Counts some.
pub(crate) fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
