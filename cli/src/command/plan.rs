//! `--dry-run`, and `sleepctl plan …`: what a command would do.

use hyper::Method;
use sleep_wire::api::{Plan, Proposal};

use super::Context;
use crate::args::Format;
use crate::error::Error;
use crate::output::plan;

/// Asks what would come of it, and shows it.
pub(super) async fn show(context: &Context<'_>, proposal: &Proposal) -> Result<(), Error> {
    let planned: Plan = context.client.tell(Method::POST, "/v1/plan", proposal).await?;
    match context.output.format {
        Format::Json => context.output.json(&planned),
        Format::Name => planned.moves.iter().try_for_each(|moved| context.output.line(&moved.name)),
        Format::Table | Format::Wide if context.output.quiet => {
            planned.moves.iter().try_for_each(|moved| context.output.line(&moved.name))
        }
        Format::Table | Format::Wide => context.output.line(&plan::words(&planned)),
    }
}
