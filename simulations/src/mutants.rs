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
use crate::scenario::{Scenario, stories};
use crate::shrink::kind;
use crate::sweep::{judged, nodes_of};

/// What a fault is to be found by: a law, or `liveness`, or `crash`.
const fn expected(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::NoRestartSilence
        | Mutant::ShortSilence
        | Mutant::DeadlineFromAnswer
        | Mutant::LiveGrantOverwritten
        | Mutant::ChangeOnPromises
        | Mutant::LeaseNeverExpires
        | Mutant::LeaseTwiceAsLong => &["one_holder"],
        // Two holders, or a leader that changes without end.
        Mutant::VotesCountTwice | Mutant::OneVoteIsAMajority => {
            &["quorum_evidence", "one_holder", "liveness"]
        }
        Mutant::PromiseForgotten | Mutant::SaidBeforeDurable | Mutant::EndedEpochAgain => {
            &["quorum_evidence", "epochs_rise", "one_holder"]
        }
        // Or they tell each other the same for ever, or one is told what it said before, and gives an alarm.
        Mutant::LastComerStands => {
            &["merge_is_a_semilattice", "acked_is_durable", "causal_wins", "liveness", "bounded", "crash"]
        }
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
        Mutant::FirstListIsAll | Mutant::UnknownIsFailed => &["one_attempt", "retired_by_name"],
        Mutant::ClearsOthers => &["hands_off"],
        Mutant::StampsRepeat => &["fenced", "liveness"],
        Mutant::PlansWithoutLease => &["plans_under_its_lease"],
        Mutant::NodesOverlooked | Mutant::OldTasksAreFresh => &["plan_is_a_function"],
        Mutant::AnySignature | Mutant::AnyRole => &["authorship"],
        Mutant::OwnProtocolToAll => &["liveness"],
        Mutant::RefusesUnread | Mutant::UnreadElsewhere => &["keeps_the_unread"],
        Mutant::RemovedComesBack => &["no_resurrection"],
        // Nobody can write, or the lease goes to nobody, over and over.
        Mutant::NobodyKeeps => &["liveness", "bounded"],
        Mutant::AuthorsAloneKeep => &["acked_is_durable"],
        Mutant::VoidWordsAreLost => &["acked_is_durable", "no_resurrection", "liveness"],
        Mutant::SeatsUnasked | Mutant::EarlierFactsStand => &["liveness"],
        Mutant::OlderWordsCount => &["bounded", "liveness"],
    }
}

/// What came of one mutant.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub mutant: Mutant,
    /// Where it was found, and what failed there; `None` if the fault survived.
    pub found: Option<(String, Failure)>,
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
            "found_in": found.map(|(place, _)| place),
            "seeds": self.seeds,
            "how": found.map(|(_, failure)| failure.to_string()),
        })
    }
}

/// The head of a table of rows.
pub const HEAD: &str = "| mutant | found by | in |\n|---|---|---|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.mutant);
        match &self.found {
            Some((place, failure)) => {
                let law = law(failure);
                let astray = if self.is_as_expected() { "" } else { " (not what was expected)" };
                write!(f, "| {name} | `{law}`{astray} | {place} |")
            }
            None => write!(f, "| {name} | nothing | all scenarios and {} seeds |", self.seeds),
        }
    }
}

const fn law(failure: &Failure) -> &'static str {
    match failure {
        Failure::Liveness(_) => "liveness",
        Failure::Safety(_) | Failure::Crash(_) => kind(failure),
    }
}

/// Hunts each mutant whose name contains `name`: through at most so many seeds, from 0, and then through what
/// once failed, where a fault that was in the core before shows again.
///
/// # Errors
/// A scenario that cannot be read, which its test rules out.
pub fn hunt(name: &str, seeds: u64) -> Result<impl Iterator<Item = Row>, String> {
    let wanted = |mutant: &Mutant| format!("{mutant:?}").to_lowercase().contains(&name.to_lowercase());
    let kept = stories::short()?;
    Ok(Mutant::ALL.into_iter().filter(wanted).map(move |mutant| {
        sow(Some(mutant));
        let drawn = (0..seeds).map(|seed| (format!("seed {seed}"), chaos::draw(seed, nodes_of(seed))));
        let kept = kept.iter().map(|(name, scenario)| (format!("`{name}`"), scenario.clone()));
        let fails = |(place, scenario): (String, Scenario)| Some((place, judged(&scenario, false).err()?));
        let found = drawn.chain(kept).find_map(fails);
        sow(None);
        Row { mutant, found, seeds }
    }))
}
