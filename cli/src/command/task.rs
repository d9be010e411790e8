//! `sleepctl service ps` and `sleepctl why`.

use sleep_wire::api::{ServiceView, TaskView, Why};

use super::Context;
use crate::args::Format;
use crate::args::service::Ps;
use crate::client::path;
use crate::error::Error;
use crate::output::words;

pub(super) async fn list(context: &Context<'_>, ps: &Ps) -> Result<(), Error> {
    let mut services = ps.services.clone();
    if services.is_empty() {
        let all: Vec<ServiceView> = context.client.get("/v1/services").await?;
        services = all.into_iter().map(|service| service.id).collect();
    }
    let mut tasks = Vec::new();
    for service in &services {
        let history = if ps.running { "" } else { "?history=true" };
        let more: Vec<TaskView> =
            context.client.get(&format!("{}{history}", path(&["services", service, "tasks"]))).await?;
        tasks.extend(more);
    }
    if ps.running {
        tasks.retain(|task| task.desired == "running");
    }
    print(context, tasks, false)
}

/// Prints tasks; of slots that are gone only if all are wanted.
pub(super) fn print(context: &Context<'_>, tasks: Vec<TaskView>, all: bool) -> Result<(), Error> {
    context.output.list(&words::sorted(tasks, all))
}

pub(super) async fn why(context: &Context<'_>, subject: &str) -> Result<(), Error> {
    let why: Why = context.client.get(&path(&["why", subject])).await?;
    match context.output.format {
        Format::Json => context.output.json(&why),
        Format::Name => context.output.line(&why.subject),
        Format::Table | Format::Wide => context.output.line(&words::why(&why)),
    }
}
