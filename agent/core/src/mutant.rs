//! Faults that can be sown into this core, one at a time, to see that a law catches each.
//!
//! Without the feature `mutants` there are none: [`is_sown`] is the constant `false`, and no build that is
//! shipped has the feature. With it, [`sow`] chooses one for the whole process, which runs one world at a
//! time.
//!
//! # Not here
//! Which law is to catch which mutant, and within how many seeds: the simulator's table.

/// One fault, named for what the core then does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mutant {
    /// A restarted voter answers at once.
    NoRestartSilence,
    /// A restarted voter is silent for half a lease.
    ShortSilence,
    /// A holder counts its lease from the majority's answer.
    DeadlineFromAnswer,
    /// A voter's second answer counts again.
    VotesCountTwice,
    /// A voter grants although its grant to another is live.
    LiveGrantOverwritten,
    /// A voter forgets its promises with its agent.
    PromiseForgotten,
    /// A voter answers before its promise is on disk.
    SaidBeforeDurable,
    /// An epoch that has ended is granted again, and stood for again.
    EndedEpochAgain,
    /// Voters are changed before a majority granted under them, and those that were just added grant to
    /// anybody. Each rule alone suffices.
    ChangeOnPromises,
    /// One vote is a majority.
    OneVoteIsAMajority,
    /// A holder does not notice that its lease is over.
    LeaseNeverExpires,
    /// A holder counts its lease from the question, but twice as long.
    LeaseTwiceAsLong,
    /// The record that comes last stands.
    LastComerStands,
    /// A record is told from another by its key, not by its bytes.
    HashOfTheKey,
    /// Nodes are never compared with each other.
    NoComparison,
    /// A command is acknowledged before it is on disk.
    AckBeforeDurable,
    /// A command is said to be elsewhere too before anybody else has confirmed it.
    AckBeforeConfirmed,
    /// A confirmation that was meant for this node's earlier life counts in this one.
    AcksOfEarlierLives,
    /// The clock does not follow the stamps that it sees.
    ClockFollowsNobody,
    /// After a restart the clock begins anew, and what stands does not lift it.
    ClockForgets,
    /// Who was down once is never believed again.
    DownForEver,
    /// What an epoch asks is done before the epoch is on disk.
    ActsBeforeFence,
    /// A task is started or stopped before what says so is on disk.
    ActsBeforeDurable,
    /// What an outdated epoch asks is done all the same.
    ActsOnTheOutdated,
    /// A task stops because its slot names another.
    StopsTheUnlisted,
    /// A task stops because nothing is known of its slot.
    StopsTheUnknown,
    /// A restarted agent does not look for what runs, and starts anew.
    NoAdoption,
    /// A restarted agent stops what it finds.
    StopsWhatItFinds,
    /// Nothing is started again.
    NoRestarts,
    /// A task of a removed service goes on.
    RemovedServiceGoesOn,
    /// One list that lacks a container is enough for it to be dead.
    MissedOnceIsDead,
    /// After a restart the first list that comes is taken for all that there is.
    FirstListIsAll,
    /// A start that was not answered has failed.
    UnknownIsFailed,
    /// What another node's label is on is cleared away, be that node removed or not.
    ClearsOthers,
    /// A drained node keeps what it has.
    DrainIgnored,
    /// Too many tasks stay.
    SurplusStays,
    /// After a heal a slot keeps both of its tasks.
    DuplicatesStay,
    /// A new holder does not put slots under its epoch.
    SlotsNotRewritten,
    /// What an earlier holder wrote and a later one hears of after its roll call stays under the earlier
    /// epoch.
    LateSlotsNotRewritten,
    /// A new holder asks nobody what there is.
    NoRollCall,
    /// A holder's records of one tenure share a stamp.
    StampsRepeat,
    /// A planner that lost its lease goes on.
    PlansWithoutLease,
    /// A planner is not told what a node is now.
    NodesOverlooked,
    /// What a node told of its tasks before it was restarted counts like what it tells since.
    OldTasksAreFresh,
    /// Nobody looks at a record's signature.
    AnySignature,
    /// Whoever is known may write anything.
    AnyRole,
    /// A service that was removed is there again once something else is said of it later.
    RemovedComesBack,
    /// Everybody is written to in this node's own protocol.
    OwnProtocolToAll,
    /// A later release's key in a known family is refused.
    RefusesUnread,
    /// A record under a later release's key is put where this release puts keys that it knows nothing of.
    UnreadElsewhere,
    /// Everybody can be demoted, and nobody keeps the role.
    NobodyKeeps,
    /// What a demoted node said before it knew is lost.
    VoidWordsAreLost,
    /// What became void is kept by its author alone until it is said again.
    AuthorsAloneKeep,
    /// Seats are given to those who do not answer.
    SeatsUnasked,
    /// Of a task that is told of twice both words count.
    OlderWordsCount,
    /// What an earlier life said of itself under this boot's number stands.
    EarlierFactsStand,
}

impl Mutant {
    /// All of them.
    #[cfg(feature = "mutants")]
    pub const ALL: [Self; 56] = [
        Self::NoRestartSilence,
        Self::ShortSilence,
        Self::DeadlineFromAnswer,
        Self::VotesCountTwice,
        Self::LiveGrantOverwritten,
        Self::PromiseForgotten,
        Self::SaidBeforeDurable,
        Self::EndedEpochAgain,
        Self::ChangeOnPromises,
        Self::OneVoteIsAMajority,
        Self::LeaseNeverExpires,
        Self::LeaseTwiceAsLong,
        Self::LastComerStands,
        Self::HashOfTheKey,
        Self::NoComparison,
        Self::AckBeforeDurable,
        Self::AckBeforeConfirmed,
        Self::AcksOfEarlierLives,
        Self::ClockFollowsNobody,
        Self::ClockForgets,
        Self::DownForEver,
        Self::ActsBeforeFence,
        Self::ActsBeforeDurable,
        Self::ActsOnTheOutdated,
        Self::StopsTheUnlisted,
        Self::StopsTheUnknown,
        Self::NoAdoption,
        Self::StopsWhatItFinds,
        Self::NoRestarts,
        Self::RemovedServiceGoesOn,
        Self::MissedOnceIsDead,
        Self::FirstListIsAll,
        Self::UnknownIsFailed,
        Self::ClearsOthers,
        Self::DrainIgnored,
        Self::SurplusStays,
        Self::DuplicatesStay,
        Self::SlotsNotRewritten,
        Self::LateSlotsNotRewritten,
        Self::NoRollCall,
        Self::StampsRepeat,
        Self::PlansWithoutLease,
        Self::NodesOverlooked,
        Self::OldTasksAreFresh,
        Self::AnySignature,
        Self::AnyRole,
        Self::RemovedComesBack,
        Self::OwnProtocolToAll,
        Self::RefusesUnread,
        Self::UnreadElsewhere,
        Self::NobodyKeeps,
        Self::VoidWordsAreLost,
        Self::AuthorsAloneKeep,
        Self::SeatsUnasked,
        Self::OlderWordsCount,
        Self::EarlierFactsStand,
    ];
}

#[cfg(not(feature = "mutants"))]
mod sown {
    /// Whether this fault is sown: never.
    pub(crate) const fn is_sown(_: super::Mutant) -> bool {
        false
    }
}

#[cfg(feature = "mutants")]
mod sown {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    const NONE: u8 = u8::MAX;
    static SOWN: AtomicU8 = AtomicU8::new(NONE);

    /// Sows a fault into every core of this process, or none.
    pub fn sow(mutant: Option<Mutant>) {
        SOWN.store(mutant.map_or(NONE, |mutant| mutant as u8), Ordering::Relaxed);
    }

    /// Whether this fault is sown.
    pub(crate) fn is_sown(mutant: Mutant) -> bool {
        SOWN.load(Ordering::Relaxed) == mutant as u8
    }
}

pub(crate) use sown::is_sown;
#[cfg(feature = "mutants")]
pub use sown::sow;
