//! Does it find bugs? Faults are sown into the core, one at a time, and seeds are run until one fails.
//!
//! Each mutant names the laws that may find it. Found by another, it counts as found, and the row says so;
//! not found within the seeds, it has survived, and a check is missing.
//!
//! # Not here
//! What each fault does: `sleep_core::mutant`.

use std::fmt;

use sleep_core::mutant::{Mutant, sow};

use crate::chaos;
use crate::run::Failure;
use crate::sweep::{judged, nodes_of};

/// What a fault is to be found by: a law, or `liveness`, or `crash`.
const fn expected(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::NoRestartSilence
        | Mutant::ShortSilence
        | Mutant::DeadlineFromAnswer
        | Mutant::LiveGrantOverwritten
        | Mutant::ChangeOnPromises
        | Mutant::AddedNotSilent
        | Mutant::LeaseNeverExpires
        | Mutant::LeaseTwiceAsLong => &["one_holder"],
        // Two holders, or a leader that changes without end.
        Mutant::VotesCountTwice | Mutant::OneVoteIsAMajority => {
            &["quorum_evidence", "one_holder", "liveness"]
        }
        Mutant::PromiseForgotten | Mutant::SaidBeforeDurable | Mutant::EndedEpochAgain => {
            &["quorum_evidence", "epochs_rise", "one_holder"]
        }
        Mutant::LastComerStands => &["merge_is_a_semilattice", "acked_is_durable", "causal_wins", "liveness"],
        // Sets that differ look alike, and nobody asks for the difference.
        Mutant::HashOfTheKey => &["merge_is_a_semilattice", "liveness"],
        // It asks at once again, without end.
        Mutant::NoComparison => &["bounded"],
        Mutant::DownForEver
        | Mutant::NoAdoption
        | Mutant::NoRestarts
        | Mutant::RemovedServiceGoesOn
        | Mutant::DrainIgnored
        | Mutant::SurplusStays
        | Mutant::DuplicatesStay => &["liveness"],
        Mutant::SlotsNotRewritten | Mutant::LateSlotsNotRewritten => &["plans_on_what_is_known", "liveness"],
        Mutant::NoRollCall => &["plans_on_what_is_known"],
        Mutant::AckBeforeDurable | Mutant::AckBeforeConfirmed | Mutant::AcksOfEarlierLives => {
            &["acked_is_durable"]
        }
        // What was written last loses: a slot, a scale, or the next command.
        Mutant::ClockFollowsNobody | Mutant::ClockForgets => &["causal_wins", "liveness"],
        Mutant::ActsBeforeFence | Mutant::ActsOnTheOutdated => &["fenced"],
        Mutant::ActsBeforeDurable => &["known_on_disk", "retired_by_name"],
        Mutant::StopsTheUnlisted
        | Mutant::StopsTheUnknown
        | Mutant::StopsWhatItFinds
        | Mutant::MissedOnceIsDead => &["retired_by_name"],
        Mutant::UnknownIsFailed => &["one_attempt", "retired_by_name"],
        Mutant::StampsRepeat => &["fenced", "liveness"],
        Mutant::PlansWithoutLease => &["plans_under_its_lease"],
    }
}

/// What came of one mutant.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub mutant: Mutant,
    /// How many seeds were run, and what the last one failed of; `None` if the fault survived.
    pub found: Option<(u64, Failure)>,
    seeds: u64,
}

impl Row {
    /// Whether it was found by what was to find it.
    pub fn is_as_expected(&self) -> bool {
        self.found.as_ref().is_some_and(|(_, failure)| expected(self.mutant).contains(&law(failure)))
    }

    /// The row for programs.
    pub fn json(&self) -> serde_json::Value {
        let found = self.found.as_ref();
        serde_json::json!({
            "mutant": format!("{:?}", self.mutant),
            "expected": expected(self.mutant),
            "found_by": found.map(|(_, failure)| law(failure)),
            "seeds": found.map_or(self.seeds, |(seeds, _)| *seeds),
            "how": found.map(|(_, failure)| failure.to_string()),
        })
    }
}

/// The head of a table of rows.
pub const HEAD: &str = "| mutant | found by | after seeds |\n|---|---|---|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.mutant);
        match &self.found {
            Some((seeds, failure)) => {
                let law = law(failure);
                let astray = if self.is_as_expected() { "" } else { " (not what was expected)" };
                write!(f, "| {name} | `{law}`{astray} | {seeds} |")
            }
            None => write!(f, "| {name} | nothing | {} |", self.seeds),
        }
    }
}

const fn law(failure: &Failure) -> &'static str {
    match failure {
        Failure::Safety(violation) => violation.law,
        Failure::Liveness(_) => "liveness",
        Failure::Crash(_) => "crash",
    }
}

/// Hunts each mutant whose name contains `name` through at most so many seeds, from 0.
pub fn hunt(name: &str, seeds: u64) -> impl Iterator<Item = Row> {
    let wanted = |mutant: &Mutant| format!("{mutant:?}").to_lowercase().contains(&name.to_lowercase());
    Mutant::ALL.into_iter().filter(wanted).map(move |mutant| {
        sow(Some(mutant));
        let mut fails = (0..seeds)
            .filter_map(|seed| Some((seed + 1, judged(&chaos::draw(seed, nodes_of(seed)), false).err()?)));
        let found = fails.next();
        sow(None);
        Row { mutant, found, seeds }
    })
}
