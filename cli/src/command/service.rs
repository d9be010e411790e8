//! `sleepctl service …`.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use sleep_wire::api::{
    Changed, Progress, Proposal, RemoveServices, RevisionView, ServiceChanged, ServiceDetail, ServiceView,
    SetScale,
};

use super::wait::{self, Goal, ServiceGoal, Want};
use super::{Context, create, logs, plan, task, update};
use crate::args::service::{Remove, Scale};
use crate::args::{Format, Global, ServiceCommand};
use crate::client::path;
use crate::error::Error;
use crate::output::{Output, json};

pub(super) async fn run(output: &Output, global: Global, command: ServiceCommand) -> Result<(), Error> {
    let open = || Context::open(output, global.clone());
    match command {
        ServiceCommand::Create(args) => create::run(output, global, *args).await,
        ServiceCommand::Update(args) => update::run(open().await?, *args).await,
        ServiceCommand::Scale(args) => scale(open().await?, &args).await,
        ServiceCommand::Ls => list(&open().await?).await,
        ServiceCommand::Ps(args) => task::list(&open().await?, &args).await,
        ServiceCommand::Inspect { services } => inspect(&open().await?, &services).await,
        ServiceCommand::Logs(args) => logs::run(&open().await?, &args).await,
        ServiceCommand::History { service } => history(&open().await?, &service).await,
        ServiceCommand::Rm(args) => remove(open().await?, &args).await,
    }
}

pub(super) async fn list(context: &Context<'_>) -> Result<(), Error> {
    let services: Vec<ServiceView> = context.client.get("/v1/services").await?;
    context.output.list(&services)
}

async fn inspect(context: &Context<'_>, names: &[String]) -> Result<(), Error> {
    let found = find(context, names).await?;
    match context.output.format {
        Format::Name => found.iter().try_for_each(|detail| context.output.line(&detail.service.name)),
        Format::Table | Format::Wide | Format::Json if context.output.quiet => {
            found.iter().try_for_each(|detail| context.output.line(&detail.service.id))
        }
        Format::Table | Format::Wide | Format::Json => {
            let details: Vec<json::ServiceInspect> = found.into_iter().map(Into::into).collect();
            context.output.json(&details)
        }
    }
}

async fn history(context: &Context<'_>, service: &str) -> Result<(), Error> {
    let revisions: Vec<RevisionView> = context.client.get(&path(&["services", service, "history"])).await?;
    context.output.list(&revisions)
}

async fn find<'a>(
    context: &Context<'_>,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<ServiceDetail>, Error> {
    let mut found = Vec::new();
    for name in names {
        found.push(context.client.get(&path(&["services", name])).await?);
    }
    Ok(found)
}

pub(super) async fn scale(context: Context<'_>, args: &Scale) -> Result<(), Error> {
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    let mut goals = Vec::new();
    let details = find(&context, args.scales.iter().map(|(name, _)| name)).await?;
    for (detail, (typed, replicas)) in details.into_iter().zip(&args.scales) {
        let ServiceView { id, name, .. } = detail.service;
        if wanted.insert(id.clone(), *replicas).is_some_and(|other| other != *replicas) {
            return Err(Error::Usage(format!("`{typed}` is given two numbers of replicas")));
        }
        goals.push(ServiceGoal { id, name, want: Want::Replicas(*replicas), is_new: false });
    }
    if args.dry_run {
        return plan::show(&context, &Proposal::Scale(SetScale { services: wanted })).await;
    }
    let goals = each_once(goals);
    let changed: Changed =
        context.client.change(Method::PUT, "/v1/scale", &SetScale { services: wanted }).await?;
    context.durable(changed.durability);
    finish(&context, goals).await
}

pub(super) async fn remove(context: Context<'_>, args: &Remove) -> Result<(), Error> {
    // By id from here on: a name may be given anew.
    let details = find(&context, &args.services).await?;
    let goals: Vec<ServiceGoal> = details
        .into_iter()
        .map(|detail| ServiceGoal {
            id: detail.service.id,
            name: detail.service.name,
            want: Want::Gone,
            is_new: false,
        })
        .collect();
    let goals = each_once(goals);
    let remove = RemoveServices { services: goals.iter().map(|goal| goal.id.clone()).collect() };
    let changed: Changed = context.client.change(Method::POST, "/v1/services/remove", &remove).await?;
    context.durable(changed.durability);
    finish(&context, goals).await
}

/// Waits for one service that was created or updated, and says what became of it.
pub(super) async fn settle(
    context: &Context<'_>,
    changed: ServiceChanged,
    want: Want,
    is_new: bool,
) -> Result<(), Error> {
    context.durable(changed.durability);
    finish(context, vec![ServiceGoal { id: changed.id, name: changed.name, want, is_new }]).await
}

async fn finish(context: &Context<'_>, services: Vec<ServiceGoal>) -> Result<(), Error> {
    let names: Vec<&str> = services.iter().map(|goal| goal.name.as_str()).collect();
    let gone = services.iter().all(|goal| goal.want == Want::Gone);
    let watch = if gone { "sleepctl ps".to_owned() } else { format!("sleepctl ps {}", names.join(" ")) };
    let goal = Goal { services, nodes: Vec::new(), watch };
    if context.global.detach {
        for goal in &goal.services {
            let words = format!(
                "{}: {}",
                goal.name,
                if goal.want == Want::Gone { "being removed" } else { "accepted" }
            );
            said(context, goal, &words).await?;
        }
        if !context.output.quiet {
            context.output.hint(&goal.watch);
        }
        return Ok(());
    }
    let progress = wait::until(context, &goal).await?;
    for goal in &goal.services {
        said(context, goal, &outcome(goal, &progress)).await?;
    }
    Ok(())
}

/// Of what was typed twice, the first.
fn each_once(goals: Vec<ServiceGoal>) -> Vec<ServiceGoal> {
    let mut seen = BTreeSet::new();
    goals.into_iter().filter(|goal| seen.insert(goal.id.clone())).collect()
}

fn outcome(goal: &ServiceGoal, progress: &Progress) -> String {
    let found = progress.services.iter().find(|service| service.id == goal.id);
    match (goal.want, found) {
        (Want::Gone, _) | (_, None) => format!("{}: removed", goal.name),
        (Want::Settled | Want::Replicas(_) | Want::Spared, Some(service)) => {
            let complete = service.slots.iter().filter(|slot| slot.state == "complete").count();
            let also = if complete > 0 { format!(", {complete} complete") } else { String::new() };
            format!("{}: {}/{} running{also}", service.name, service.settled, service.desired)
        }
    }
}

async fn said(context: &Context<'_>, goal: &ServiceGoal, words: &str) -> Result<(), Error> {
    let output = context.output;
    if output.format != Format::Json || goal.want == Want::Gone {
        let named = json::Named { id: goal.id.clone(), name: goal.name.clone() };
        return output.done(&named, &goal.name, &goal.id, words);
    }
    let detail: ServiceDetail = context.client.get(&path(&["services", &goal.id])).await?;
    output.json(&json::Service::from(&detail.service))
}
