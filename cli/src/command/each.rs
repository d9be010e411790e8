//! Several changes, one after the other.
//!
//! Nothing is printed before the last of them: whoever reads no more must not end what they began.

use std::collections::BTreeSet;

use sleep_wire::api::Changed;

use super::Context;
use crate::error::Error;
use crate::output::json::Named;

/// What was done, and what kept the rest from being done.
pub(super) struct Outcome {
    /// Those that were changed.
    pub(super) done: Vec<Named>,
    /// Whether anything is different now.
    pub(super) changed: bool,
    /// Why the next was not; then none after it was tried.
    pub(super) failed: Option<Error>,
}

/// Changes one after the other, until one fails.
pub(super) async fn change(
    context: &Context<'_>,
    things: impl IntoIterator<Item = Named>,
    change: impl AsyncFn(&Named) -> Result<Changed, Error>,
) -> Outcome {
    let mut outcome = Outcome { done: Vec::new(), changed: false, failed: None };
    for named in things {
        match change(&named).await {
            Ok(changed) => {
                context.durable(changed.durability);
                outcome.changed |= changed.changed;
                outcome.done.push(named);
            }
            Err(error) => {
                outcome.failed = Some(error.after(outcome.changed));
                break;
            }
        }
    }
    outcome
}

impl Outcome {
    /// Tells what was done: of several that were typed as one list, and in these words.
    pub(super) fn tell(
        self,
        context: &Context<'_>,
        several: bool,
        words: impl Fn(&Named) -> String,
    ) -> Result<(), Error> {
        let told = context.output.each_done(&self.done, several, words);
        // What went wrong is more than that nobody reads what went well.
        self.failed.map_or(told, Err)
    }
}

/// Of what was typed twice, the first.
pub(super) fn once(things: Vec<Named>) -> Vec<Named> {
    let mut seen = BTreeSet::new();
    things.into_iter().filter(|named| seen.insert(named.id.clone())).collect()
}
