//! Which of several nodes that fit is best.

use alloc::string::ToString;

use sleep_wire::slot::Choice;

/// How good a node is for a task: less is better, compared in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// How many tasks of the service it has.
    pub of_service: u32,
    /// Whether it would have to fetch the image.
    pub fetches: bool,
    /// How full it is, in thousandths of its scarcer resource.
    pub load: u64,
    /// Tells equals apart, otherwise for each service: its rendezvous hash.
    pub hash: u64,
}

impl Score {
    /// The first rule that tells a winner from the next best.
    fn decided_by(&self, next: Option<&Self>) -> &'static str {
        match next {
            None => "only",
            Some(next) if next.of_service != self.of_service => "fewest",
            Some(next) if next.fetches != self.fetches => "image",
            Some(next) if next.load != self.load => "load",
            Some(_) => "hash",
        }
    }

    /// The winner in the planner's words.
    pub(crate) fn choice(&self, next: Option<&Self>, fitting: usize, refused: usize) -> Choice {
        Choice {
            fitting: u32::try_from(fitting).unwrap_or(u32::MAX),
            refused: u32::try_from(refused).unwrap_or(u32::MAX),
            decided_by: self.decided_by(next).to_string(),
        }
    }
}
