//! Who has just answered, and so may be given a seat.
//!
//! It takes SWIM ten seconds to find that somebody is dead, and seats of the dead cost the lease, for ever if
//! it was one alone that gave them. So the holder sends its config to whom it would give a seat, and does so
//! on the answer. Whoever says nothing is passed over for others.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::lease::{ConfigId, VoterConfig};

use super::config::lease;
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

/// How long one that did not answer is not asked again: as long as it takes SWIM to find that it is dead.
const PASSED_OVER: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Invitations {
    /// Under which config each spoke last, and when.
    spoke: BTreeMap<NodeId, (ConfigId, Instant)>,
    /// Who was asked and has not answered.
    open: BTreeMap<NodeId, Invited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Invited {
    /// When it was asked first.
    first: Instant,
    /// When it was asked last.
    last: Instant,
}

impl Invitations {
    /// Somebody speaks under a config.
    pub(super) fn heard(&mut self, now: Instant, from: NodeId, under: ConfigId) {
        self.spoke.insert(from, (under, now));
    }

    /// Only these may be given seats.
    pub(super) fn retain(&mut self, control: &BTreeSet<NodeId>) {
        self.spoke.retain(|node, _| control.contains(node));
        self.open.retain(|node, _| control.contains(node));
    }

    /// Whether one was asked in vain, and others go before it.
    pub(super) fn is_passed_over(&self, now: Instant, node: NodeId, config: &VoterConfig) -> bool {
        let after = lease(config.times) / 3;
        self.open.get(&node).is_some_and(|it| now >= it.first + after && now < it.first + PASSED_OVER)
    }

    /// Those of them who have not just answered under this config; and whom of those to ask, now.
    pub(super) fn invite(
        &mut self,
        now: Instant,
        config: &VoterConfig,
        newcomers: impl Iterator<Item = NodeId>,
    ) -> (usize, Vec<NodeId>) {
        if is_sown(Mutant::SeatsUnasked) {
            return (0, Vec::new());
        }
        let fresh = lease(config.times) / 2;
        let spoke = &self.spoke;
        let answers = |node: &NodeId| {
            spoke.get(node).is_some_and(|(under, at)| *under == config.id && now < *at + fresh)
        };
        self.open.retain(|node, _| !answers(node));
        let silent: Vec<NodeId> = newcomers.filter(|node| !answers(node)).collect();
        let mut asked = Vec::new();
        for node in &silent {
            let invited = self.open.get(node).filter(|it| now < it.first + PASSED_OVER).copied();
            if invited.is_none_or(|it| now >= it.last + lease(config.times) / 6) {
                let first = invited.map_or(now, |it| it.first);
                self.open.insert(*node, Invited { first, last: now });
                asked.push(*node);
            }
        }
        (silent.len(), asked)
    }

    /// When somebody is to be asked again, is passed over, or no longer is.
    pub(super) fn moments(&self, config: &VoterConfig) -> impl Iterator<Item = Instant> {
        let third = lease(config.times) / 3;
        let of = move |it: &Invited| [it.last + third / 2, it.first + third, it.first + PASSED_OVER];
        self.open.values().flat_map(of)
    }
}
