//! How often one member's word makes this node do something: at once, and then rarer each time.

use alloc::collections::BTreeMap;
use core::time::Duration;

use sleep_wire::NodeId;

use crate::time::Instant;

/// The first wait; each next is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// How often a wait is doubled: after that it is as long as it gets, about a minute.
const DOUBLINGS: u32 = 6;

/// Who kept quiet for so many of its last waits is heard at once again.
const QUIET: u32 = 8;

/// What was granted to whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    granted: BTreeMap<NodeId, (Instant, u32)>,
}

impl Patience {
    /// Grants it to one member, unless that had it just before.
    pub(super) fn grant(&mut self, now: Instant, to: NodeId) -> bool {
        let times = match self.granted.get(&to) {
            None => 0,
            Some((last, times)) => {
                let (wait, passed) = (FIRST * (1 << times), now.since(*last));
                if passed < wait {
                    return false;
                }
                if passed >= wait * QUIET { 0 } else { DOUBLINGS.min(times + 1) }
            }
        };
        self.granted.insert(to, (now, times));
        true
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.granted.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Who asks all the time gets it rarer and rarer; who asks now and then gets it at once, and so does
    /// anybody else.
    #[test]
    fn patience_wears_out_and_comes_back() {
        let (one, other) = (NodeId([1; 16]), NodeId([2; 16]));
        let at = |second: u64| Instant(second * 1_000_000);
        let mut patience = Patience::default();
        let granted: Vec<u64> = (0..200).filter(|second| patience.grant(at(*second), one)).collect();
        assert_eq!(granted, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
        assert!(patience.grant(at(199), other));
        assert!(!patience.grant(at(254), one));
        let rarely: Vec<u64> = (100..110).map(|round| round * 20).collect();
        assert!(rarely.iter().all(|second| patience.grant(at(*second), other)));
    }
}
