//! What a config is worth: its form, its quorums, its durations.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::lease::{LeaseTimes, Voter, VoterConfig};

use super::rules::{Rule, Rules};
use crate::mutant::{Mutant, is_sown};

const MILLION: u64 = 1_000_000;

/// T·(1−ρ) − d: how long a holder acts on a lease, from its question. Rounded down.
pub(super) fn hold(times: LeaseTimes) -> Duration {
    let slow = MILLION.saturating_sub(u64::from(times.rho_ppm));
    let micros = u64::from(times.lease_ms) * slow / 1000;
    let hold = Duration::from_micros(micros).saturating_sub(margin(times));
    if is_sown(Mutant::LeaseTwiceAsLong) { hold * 2 } else { hold }
}

/// T·(1+ρ) + d: how long a voter is bound by its grant, from handling it; and how long it is silent after a
/// restart. Rounded up.
pub(super) fn grant(times: LeaseTimes) -> Duration {
    let fast = MILLION + u64::from(times.rho_ppm);
    Duration::from_micros((u64::from(times.lease_ms) * fast).div_ceil(1000)) + margin(times)
}

/// T.
pub(super) fn lease(times: LeaseTimes) -> Duration {
    Duration::from_millis(u64::from(times.lease_ms))
}

fn margin(times: LeaseTimes) -> Duration {
    Duration::from_millis(u64::from(times.margin_ms))
}

/// Whether a config can be one at all: its voters sorted, distinct, of some weight; its lease longer than its
/// margins.
pub(super) fn is_well_formed(config: &VoterConfig) -> bool {
    let voters = &config.voters;
    (1..=VoterConfig::MAX_VOTERS).contains(&voters.len())
        && voters.windows(2).all(|pair| pair[0].node < pair[1].node)
        && voters.iter().all(|voter| voter.weight > 0)
        && hold(config.times) > Duration::ZERO
        && u64::from(config.times.rho_ppm) < MILLION
}

/// Whether every quorum of `a` meets every quorum of `b`, by trying every set of their voters against its
/// complement.
pub(super) fn quorums_meet(a: &[Voter], b: &[Voter]) -> bool {
    let mut nodes: Vec<NodeId> = a.iter().chain(b).map(|voter| voter.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let disjoint = |set: u32| {
        let chosen = |inside: bool| {
            nodes
                .iter()
                .enumerate()
                .filter(move |(i, _)| (set >> i & 1 == 1) == inside)
                .map(|(_, node)| *node)
        };
        is_majority(a, chosen(true)) && is_majority(b, chosen(false))
    };
    !(0..1u32 << nodes.len()).any(disjoint)
}

/// Whether these votes, each counted as often as it comes, weigh more than half.
fn is_majority(voters: &[Voter], votes: impl Iterator<Item = NodeId>) -> bool {
    let total: u32 = voters.iter().map(|voter| u32::from(voter.weight)).sum();
    let sum = votes.map(|node| weight(voters, node)).sum::<u32>();
    sum * 2 > total || (sum > 0 && is_sown(Mutant::OneVoteIsAMajority))
}

fn weight(voters: &[Voter], node: NodeId) -> u32 {
    voters.iter().find(|voter| voter.node == node).map_or(0, |voter| u32::from(voter.weight))
}

/// Who has answered a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Votes(Vec<NodeId>);

impl Votes {
    /// Counts an answer: a voter's second is its first.
    pub(super) fn add(&mut self, rules: Rules, config: &VoterConfig, node: NodeId) {
        let known = rules.hold(Rule::DistinctVoters) && self.0.contains(&node);
        // A voter outside the config weighs nothing; it is left out, so that a stranger cannot make this
        // grow.
        if known || config.weight(node) == 0 || self.0.len() > VoterConfig::MAX_VOTERS {
            return;
        }
        let at = self.0.partition_point(|other| *other <= node);
        self.0.insert(at, node);
    }

    /// Who they are.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().copied()
    }

    /// Whether they are more than half of a config's weight.
    pub(super) fn are_quorum_of(&self, config: &VoterConfig) -> bool {
        is_majority(&config.voters, self.0.iter().copied())
    }

    /// Whether the voters that are not among these can still be more than half.
    pub(super) fn leave_quorum_of(&self, config: &VoterConfig) -> bool {
        let others = config.voters.iter().map(|voter| voter.node).filter(|node| !self.0.contains(node));
        is_majority(&config.voters, others)
    }
}
