//! `sleepctl service ps` and `sleepctl why`.

use std::collections::BTreeMap;

use sleep_wire::api::{ServiceView, TaskView, Why};

use super::Context;
use crate::args::Format;
use crate::args::service::Ps;
use crate::client::path;
use crate::error::Error;
use crate::output::{progress, words};

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
    let crashed = crashed(&tasks);
    print(context, tasks, false)?;
    if context.output.is_for_people() {
        for text in crashed {
            context.output.note(&text);
        }
    }
    Ok(())
}

/// Of each slot whose last attempt failed and that has none running: how it ended, and what it wrote last.
fn crashed(tasks: &[TaskView]) -> Vec<String> {
    let is_well = |name: &str| {
        tasks.iter().any(|task| task.name == name && HEALTHY.contains(&task.state.as_str()) && !task.history)
    };
    let mut last: BTreeMap<&str, &TaskView> = BTreeMap::new();
    for task in tasks.iter().filter(|task| task.state == "failed" && !is_well(&task.name)) {
        let known = last.entry(&task.name).or_insert(task);
        if known.since < task.since {
            *known = task;
        }
    }
    let wrote = last.into_values().filter(|task| !task.last_lines.is_empty());
    wrote.map(|task| progress::crash(task).join("\n")).collect()
}

/// States of a task that a failure before it says nothing of.
const HEALTHY: [&str; 3] = ["running", "complete", "stopping"];

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
