//! Whether a record is valid: asked here, answered by the trust room.

use sleep_wire::Record;

/// What the cluster's membership says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its author signed it and may write there.
    Valid,
    /// Its author signed it, and might have written there before its role was taken from it.
    Void,
    /// It is not valid, for this reason, as long as the membership set is what it is.
    Invalid(&'static str),
    /// Nobody has admitted its author yet, as far as this node knows.
    UnknownAuthor,
}

/// Judges records by signature and key space.
///
/// The verdict is a pure function of the record and of the set of membership records: never of a clock, of
/// what else is stored, or of the order in which things arrived. So every honest node refuses the same
/// records.
pub trait Judge {
    /// The verdict on a record.
    fn judge(&self, record: &Record) -> Verdict;
}
