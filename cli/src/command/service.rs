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
        Format::Table | Format::Wide if context.output.quiet => {
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
        goals.push(ServiceGoal { id, name, want: Want::Replicas(*replicas), ..ServiceGoal::default() });
    }
    if args.dry_run {
        return plan::show(&context, &Proposal::Scale(SetScale { services: wanted })).await;
    }
    let goals = each_once(goals);
    let changed: Changed =
        context.client.change(Method::PUT, "/v1/scale", &SetScale { services: wanted }).await?;
    context.durable(changed.durability);
    let finished = finish(&context, goals, args.scales.len() > 1).await;
    finished.map_err(|error| error.after(changed.changed))
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
            ..ServiceGoal::default()
        })
        .collect();
    let goals = each_once(goals);
    let remove = RemoveServices { services: goals.iter().map(|goal| goal.id.clone()).collect() };
    let changed: Changed = context.client.change(Method::POST, "/v1/services/remove", &remove).await?;
    context.durable(changed.durability);
    let finished = finish(&context, goals, args.services.len() > 1).await;
    finished.map_err(|error| error.after(changed.changed))
}

/// Waits for one service that was created or updated, and says what became of it.
pub(super) async fn settle(
    context: &Context<'_>,
    changed: ServiceChanged,
    want: Want,
    is_new: bool,
) -> Result<(), Error> {
    let ServiceChanged { id, name, revision, changed, durability } = changed;
    context.durable(durability);
    let goal = ServiceGoal { id, name, want, is_new, revision: Some(revision) };
    finish(context, vec![goal], false).await.map_err(|error| error.after(changed))
}

/// Waits for what was changed, and says what became of it; `several` were typed as one list.
async fn finish(context: &Context<'_>, services: Vec<ServiceGoal>, several: bool) -> Result<(), Error> {
    let names: Vec<&str> = services.iter().map(|goal| goal.name.as_str()).collect();
    let gone = services.iter().all(|goal| goal.want == Want::Gone);
    let watch = if gone { "sleepctl node ls".to_owned() } else { format!("sleepctl ps {}", names.join(" ")) };
    let goal = Goal { services, nodes: Vec::new(), watch };
    if !context.global.detach {
        let progress = wait::until(context, &goal).await?;
        return told(context, &goal, several, |goal| outcome(goal, &progress)).await;
    }
    let word = if gone { "being removed" } else { "accepted" };
    let told = told(context, &goal, several, |goal| format!("{}: {word}", goal.name)).await;
    if !context.output.quiet {
        // Where its last tasks are an agent can tell at once, or it is no use to wait for that.
        let leaving = if gone { wait::glance(&context.client, &goal).await.ok() } else { None };
        context.output.hint(&goal.watch(leaving.as_ref()));
    }
    told
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

async fn told(
    context: &Context<'_>,
    goal: &Goal,
    several: bool,
    words: impl Fn(&ServiceGoal) -> String,
) -> Result<(), Error> {
    let (output, goals) = (context.output, &goal.services);
    if output.format == Format::Json && goals.iter().any(|goal| goal.want != Want::Gone) {
        let details = find(context, goals.iter().map(|goal| &goal.id)).await?;
        let details: Vec<json::Service> =
            details.iter().map(|detail| json::Service::from(&detail.service)).collect();
        return match details.as_slice() {
            [one] if !several => output.json(one),
            all => output.json(&all),
        };
    }
    let named = |goal: &ServiceGoal| json::Named { id: goal.id.clone(), name: goal.name.clone() };
    let named: Vec<json::Named> = goals.iter().map(named).collect();
    let of = |named: &json::Named| goals.iter().find(|goal| goal.id == named.id).map(&words);
    output.each_done(&named, several, |named| of(named).unwrap_or_default())
}
