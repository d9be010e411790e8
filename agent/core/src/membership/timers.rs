//! What is to be done later, and what a stall does to it.

use alloc::collections::BTreeMap;
use core::time::Duration;

use foca::Timer;
use sleep_wire::NodeId;
use sleep_wire::swim::Peer;

use crate::time::Instant;

/// Something that is due at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// foca's own.
    Swim(Timer<Peer>),
    /// A suspected member's time is over, if nothing changed it since `version`.
    Suspicion { node: NodeId, version: u32 },
    /// A suspected member is told again, likewise.
    Tell { node: NodeId, version: u32 },
    /// A member that is probed now is asked again, or has failed.
    Ping { nonce: u64 },
    /// The answers about a member are waited for no longer.
    Confirm { node: NodeId, nonce: u64 },
    /// A member that is down is sought, unless seeking began anew since `version`.
    Reach { version: u32 },
    /// Rosters are compared.
    Digest,
    /// The roster that was asked for did not come.
    Roster,
    /// A member that said it would be back is not, unless it said so anew.
    Held { node: NodeId, until: Instant },
    /// A member that flapped has stayed up long enough.
    Believe { node: NodeId, count: u32 },
    /// A member that is tried is asked once more.
    Trial { node: NodeId },
}

/// A queue of things due, in order, ties in the order of arming.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u64), Due>,
    armed: u64,
    /// How often in a row a stall put everything off.
    put_off: u32,
}

/// A loop that is late for ever must still get somewhere: so often in a row a stall puts everything off.
const PUT_OFF_MAX: u32 = 3;

impl Timers {
    pub(super) fn arm(&mut self, at: Instant, due: Due) {
        self.armed += 1;
        self.queue.insert((at, self.armed), due);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.put_off = 0;
        Some(entry.remove())
    }

    /// Puts everything off if the loop is late by more than a round trip: by as much, and a round trip more,
    /// in which answers that lie about may come in. Returns by how much.
    pub(super) fn put_off(&mut self, now: Instant, round_trip: Duration) -> Option<Duration> {
        let late = now.since(self.next()?);
        if late <= round_trip || self.put_off == PUT_OFF_MAX {
            return None;
        }
        self.put_off += 1;
        let by = late + round_trip;
        let queue = core::mem::take(&mut self.queue);
        self.queue = queue.into_iter().map(|((at, order), due)| ((at + by, order), due)).collect();
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const RTT: Duration = Duration::from_millis(200);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1000)
    }

    /// After a stall nothing fires until a round trip has passed; a loop that is always late still gets
    /// somewhere.
    #[test]
    fn a_stall_puts_timers_off() {
        let mut timers = Timers::default();
        timers.arm(at(100), Due::Reach { version: 1 });
        timers.arm(at(150), Due::Digest);
        assert_eq!(timers.put_off(at(300), RTT), None);
        assert_eq!(timers.put_off(at(5100), RTT), Some(Duration::from_millis(5200)));
        assert_eq!((timers.next(), timers.pop_due(at(5299))), (Some(at(5300)), None));
        let fired: Vec<Due> = core::iter::from_fn(|| timers.pop_due(at(5350))).collect();
        assert_eq!(fired, [Due::Reach { version: 1 }, Due::Digest]);

        timers.arm(at(6000), Due::Reach { version: 1 });
        let mut now = 6000;
        let late = core::iter::from_fn(|| {
            now += 1000;
            timers.put_off(at(now), RTT)
        });
        assert_eq!(late.count(), 3);
    }
}
