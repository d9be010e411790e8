//! What a candidate counts, and what a holder rests on.

use sleep_wire::lease::{ConfigId, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::config::Votes;
use super::rules::{Rule, Rules};
use crate::time::Instant;

/// What this node is to the lease, beside its vote.
///
/// ```text
///           stand            majority yes        majority promised       majority granted
/// Follower ───────▶ Polling ─────────────▶ Preparing ────────────▶ Granting ────────────▶ Holding
///     ▲                │                       │                       │                     │
///     └────────────────┴───────────────────────┴───── rejected, late ──┴── over, released ───┘
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Neither holds nor stands.
    #[default]
    Follower,
    /// Asks whether anybody would vote for it. Nothing has changed anywhere.
    Polling(Attempt),
    /// Asks for promises.
    Preparing(Attempt),
    /// Asks for the lease, which it would hold until then.
    Granting(Attempt, Instant),
    /// Holds the lease.
    Holding(Tenure),
}

/// One question of a candidate, and its answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    /// The epoch that it stands for.
    pub(super) epoch: Epoch,
    /// Who said yes.
    pub(super) yes: Votes,
    /// Who said no.
    pub(super) no: Votes,
    /// The longest that anybody asked it to wait, in milliseconds.
    pub(super) wait_ms: u32,
}

#[cfg(test)]
impl Role {
    /// The tenure, over or not.
    pub(super) fn tenure(&self) -> Option<&Tenure> {
        match self {
            Self::Holding(tenure) => Some(tenure),
            Self::Follower | Self::Polling(_) | Self::Preparing(_) | Self::Granting(..) => None,
        }
    }
}

impl Attempt {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, yes: Votes::default(), no: Votes::default(), wait_ms: 0 }
    }
}

/// One tenure, while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tenure {
    /// Its epoch.
    pub(super) epoch: Epoch,
    /// The first moment at which it may no longer act.
    pub(super) until: Instant,
    /// The renewal that `until` comes from.
    pub(super) seq: u64,
    /// The config whose majority granted that renewal, under that config.
    pub(super) under: ConfigId,
    /// The renewal asked for, if it is not yet granted.
    pub(super) asked: Option<Renewal>,
    /// Who has been heard under the present config, and so has it installed.
    pub(super) installed: Votes,
    /// Who rejected this tenure since it was last renewed.
    pub(super) rejected: Votes,
    /// The number of the last question, so that none is used twice.
    pub(super) last_seq: u64,
}

/// A renewal that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Renewal {
    /// Its number.
    pub(super) seq: u64,
    /// The tenure's end if it is granted: counted from the question.
    pub(super) until: Instant,
    /// Who granted it.
    pub(super) yes: Votes,
}

impl Tenure {
    /// Whether the next config may be written: the present one is this tenure's own, installed at its
    /// majority, and its majority granted the present lease under it.
    pub(super) fn may_change(&self, rules: Rules, config: &VoterConfig) -> bool {
        config.id.epoch == self.epoch
            && self.installed.are_quorum_of(config)
            && (self.under == config.id || !rules.hold(Rule::ChangeOnGrants))
    }

    /// Whether a renewal is due out of turn: the lease does not yet rest on the present config, and its new
    /// voters have it, or it is the tenure's first and the next one waits for it.
    pub(super) fn wants_renewal(&self, config: &VoterConfig, next_waits: bool) -> bool {
        let ready = if config.id.version > 1 { self.installed.are_quorum_of(config) } else { next_waits };
        self.asked.is_none() && self.under != config.id && ready
    }

    /// A voter is heard under the present config.
    pub(super) fn heard(&mut self, rules: Rules, config: &VoterConfig, from: NodeId) {
        self.installed.add(rules, config, from);
    }
}
