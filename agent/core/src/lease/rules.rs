//! The rules that keep two from holding at once, by name.
//!
//! In the agent they all hold: [`Rules::hold`] is the constant `true`. Tests of this room, and the
//! simulator's mutants, break one at a time, to show that model and laws find what each of them prevents.

#[cfg(not(test))]
use crate::mutant::{Mutant, is_sown};

/// A rule of the lease. Each line says what happens without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A restarted voter has forgotten its live grant, and would give it away again.
    RestartSilence,
    /// A silence that ends before the forgotten grant does is none.
    SilenceOutlastsLease,
    /// A holder that counts from the last answer still acts when the first voter's grant is over.
    DeadlineFromQuestion,
    /// A duplicated packet is a majority.
    DistinctVoters,
    /// The newest candidate takes the vote that the holder rests on.
    LiveGrantStands,
    /// A restarted voter promises backwards: epochs no longer rise.
    PromiseDurable,
    /// What was promised and not yet written is promised again, to another: epochs no longer rise.
    DurableBeforeSaid,
    /// A quorum of the new voters knows nothing of the old quorum's grants.
    QuorumsMeet,
    /// Two changes within one grant: the second config's quorum never granted anything.
    ChangeOnGrants,
    /// A release that is still on its way takes away what was granted after it.
    EndedStaysEnded,
    /// A voter that was just added helps another to the lease while the holder still rests on the old voters.
    /// With [`Rule::ChangeOnGrants`] each of the two suffices for growth; the model shows it by breaking
    /// both.
    AddedSilence,
}

/// Which rules are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    #[cfg(test)]
    broken: u16,
}

impl Rules {
    /// Whether a rule is in force: always, but for this room's own tests and the simulator's mutants.
    #[cfg(not(test))]
    pub(super) fn hold(self, rule: Rule) -> bool {
        let mutant = match rule {
            Rule::RestartSilence => Mutant::NoRestartSilence,
            Rule::SilenceOutlastsLease => Mutant::ShortSilence,
            Rule::DeadlineFromQuestion => Mutant::DeadlineFromAnswer,
            Rule::DistinctVoters => Mutant::VotesCountTwice,
            Rule::LiveGrantStands => Mutant::LiveGrantOverwritten,
            Rule::PromiseDurable => Mutant::PromiseForgotten,
            Rule::DurableBeforeSaid => Mutant::SaidBeforeDurable,
            // The simulator's seats are such that quorums of successive configs meet without being asked to.
            Rule::QuorumsMeet => return true,
            // Each of the two suffices, as the model shows.
            Rule::ChangeOnGrants | Rule::AddedSilence => Mutant::ChangeOnPromises,
            Rule::EndedStaysEnded => Mutant::EndedEpochAgain,
        };
        !is_sown(mutant)
    }

    /// Whether a rule is in force.
    #[cfg(test)]
    pub(super) const fn hold(self, rule: Rule) -> bool {
        self.broken & (1 << rule as u16) == 0
    }

    /// All rules but these.
    #[cfg(test)]
    pub(super) fn without(rules: &[Rule]) -> Self {
        Self { broken: rules.iter().fold(0, |broken, rule| broken | (1 << *rule as u16)) }
    }
}
