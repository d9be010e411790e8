//! `sleepctl node …`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hyper::Method;
use sleep_wire::api::{
    Changed, NodeDetail, NodeStatus, NodeView, Proposal, ServiceProgress, ServiceView, SetAvailability,
    SetLabels, SetRole, TaskView,
};
use sleep_wire::node::Availability;
use sleep_wire::trust::Role;
use tokio::time::sleep;

use super::wait::{self, Goal, NodeGoal, ServiceGoal, Want};
use super::{Context, LOOK_AGAIN, each, plan, task};
use crate::args::{Format, NodeCommand};
use crate::client::path;
use crate::error::Error;
use crate::output::{json, words};

/// How long a service may take to come to rest before a drain does not wait for it: a task must have run for
/// a second, and news of it takes a moment from node to node.
const REST: Duration = Duration::from_secs(2);

pub(super) async fn run(context: Context<'_>, command: NodeCommand) -> Result<(), Error> {
    match command {
        NodeCommand::Ls => {
            let nodes: Vec<NodeView> = context.client.get("/v1/nodes").await?;
            context.output.list(&nodes)
        }
        NodeCommand::Inspect { nodes } => inspect(&context, &nodes).await,
        NodeCommand::Ps { nodes, all } => tasks(&context, nodes, all).await,
        NodeCommand::Drain { nodes, dry_run } => {
            set_availability(context, nodes, Availability::Drained, dry_run).await
        }
        NodeCommand::Pause { nodes } => set_availability(context, nodes, Availability::Paused, false).await,
        NodeCommand::Activate { nodes, dry_run } => {
            set_availability(context, nodes, Availability::Active, dry_run).await
        }
        NodeCommand::Promote { nodes } => set_role(&context, &nodes, Role::Control).await,
        NodeCommand::Demote { nodes } => set_role(&context, &nodes, Role::Worker).await,
        NodeCommand::Label { node, labels } => set_labels(&context, &node, labels).await,
        NodeCommand::Rm { nodes, compromised } => remove(&context, &nodes, compromised).await,
    }
}

async fn find(context: &Context<'_>, names: &[String]) -> Result<Vec<NodeDetail>, Error> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.push(context.client.get(&path(&["nodes", name])).await?);
    }
    Ok(found)
}

async fn inspect(context: &Context<'_>, names: &[String]) -> Result<(), Error> {
    let found = find(context, names).await?;
    match context.output.format {
        Format::Name => found.iter().try_for_each(|detail| context.output.line(&detail.node.name)),
        Format::Table | Format::Wide if context.output.quiet => {
            found.iter().try_for_each(|detail| context.output.line(&detail.node.id))
        }
        Format::Table | Format::Wide | Format::Json => {
            let details: Vec<json::NodeInspect> = found.into_iter().map(Into::into).collect();
            context.output.json(&details)
        }
    }
}

async fn tasks(context: &Context<'_>, mut nodes: Vec<String>, all: bool) -> Result<(), Error> {
    if nodes.is_empty() {
        nodes.push(context.status.node.clone());
    }
    let mut tasks: Vec<TaskView> = Vec::new();
    for node in &nodes {
        let history = if all { "?history=true" } else { "" };
        let more: Vec<TaskView> =
            context.client.get(&format!("{}{history}", path(&["nodes", node, "tasks"]))).await?;
        tasks.extend(more);
    }
    task::print(context, tasks, all)
}

async fn set_availability(
    context: Context<'_>,
    names: Vec<String>,
    availability: Availability,
    dry_run: bool,
) -> Result<(), Error> {
    if dry_run {
        return plan::show(&context, &Proposal::Availability { nodes: names, availability }).await;
    }
    let nodes = find(&context, &names).await?;
    let services =
        if availability == Availability::Drained { leaning_on(&context, &nodes).await? } else { Vec::new() };
    let set = async |node: &json::Named| {
        let path = path(&["nodes", &node.id, "availability"]);
        context.client.change(Method::PUT, &path, &SetAvailability { availability }).await
    };
    let outcome = each::change(&context, named(&nodes), set).await;
    let goal = Goal {
        services,
        nodes: outcome.done.iter().map(|node| NodeGoal { id: node.id.clone(), availability }).collect(),
        watch: "sleepctl node ls".to_owned(),
    };
    let waits = availability != Availability::Paused && !context.global.detach && outcome.failed.is_none();
    let seen = if waits {
        let waited = wait::until(&context, &goal).await;
        waited.map_err(|error| error.after(outcome.changed))?.nodes
    } else {
        Vec::new()
    };
    outcome.tell(&context, names.len() > 1, |named| {
        // Nobody can say that a node is empty that does not answer.
        let is_down = seen.iter().any(|node| node.id == named.id && node.status == NodeStatus::Down);
        let word = match (availability, waits) {
            (Availability::Drained, true) if is_down => {
                let here = &context.status.name;
                format!("to be drained, but down as {here} sees it: it stops its tasks when it is back")
            }
            (Availability::Drained, true) => "drained".to_owned(),
            (Availability::Drained, false) => "draining".to_owned(),
            (Availability::Active | Availability::Paused, _) => words::availability(availability).to_owned(),
        };
        format!("{}: {word}", named.name)
    })
}

/// What they are called, each once.
fn named(nodes: &[NodeDetail]) -> Vec<json::Named> {
    let named =
        |detail: &NodeDetail| json::Named { id: detail.node.id.clone(), name: detail.node.name.clone() };
    each::once(nodes.iter().map(named).collect())
}

/// Services that have tasks on the nodes and are as they should be: a drain is done when they are so again.
/// What is amiss already is not the drain's to wait for; but what one node saw come to rest may be news to
/// the node that is asked now.
async fn leaning_on(context: &Context<'_>, nodes: &[NodeDetail]) -> Result<Vec<ServiceGoal>, Error> {
    let mut names = BTreeSet::new();
    for detail in nodes {
        let tasks: Vec<TaskView> = context.client.get(&path(&["nodes", &detail.node.id, "tasks"])).await?;
        names.extend(tasks.into_iter().filter(|task| task.desired == "running").map(|task| task.service));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let services: Vec<ServiceView> = context.client.get("/v1/services").await?;
    let leaning = services.into_iter().filter(|service| names.contains(&service.name));
    let services = leaning
        .map(|service| ServiceGoal {
            id: service.id,
            name: service.name,
            want: Want::Spared,
            ..ServiceGoal::default()
        })
        .collect();
    let mut goal = Goal { services, ..Goal::default() };
    let looked = Instant::now();
    let before = loop {
        let before = wait::glance(&context.client, &goal).await?;
        let moves = before.services.iter().any(|service| !service.converged && !is_amiss(service));
        if !moves || looked.elapsed() >= REST {
            break before;
        }
        sleep(LOOK_AGAIN).await;
    };
    let well: BTreeSet<&str> = before
        .services
        .iter()
        .filter(|service| service.converged)
        .map(|service| service.id.as_str())
        .collect();
    goal.services.retain(|service| well.contains(service.id.as_str()));
    Ok(goal.services)
}

/// Whether something keeps a service from being as it should be, other than time.
fn is_amiss(service: &ServiceProgress) -> bool {
    let left = service.slots.iter().filter(|slot| !slot.settled);
    left.into_iter().any(|slot| !slot.message.is_empty() || !slot.refusals.is_empty())
}

async fn set_role(context: &Context<'_>, names: &[String], role: Role) -> Result<(), Error> {
    let found = find(context, names).await?;
    let fewer = found.iter().any(|detail| detail.node.role == Role::Control && role == Role::Worker);
    let set = async |node: &json::Named| {
        let path = path(&["nodes", &node.id, "role"]);
        context.client.change(Method::PUT, &path, &SetRole { role }).await
    };
    let outcome = each::change(context, named(&found), set).await;
    let changed = outcome.changed;
    let words = |node: &json::Named| format!("{}: {}", node.name, words::role(role));
    let told = outcome.tell(context, names.len() > 1, words);
    let warned = if fewer && changed { warn_of_few(context).await } else { Ok(()) };
    told.and(warned.map_err(|error| error.after(changed)))
}

/// Says what may not be lost with as few control nodes as there are.
async fn warn_of_few(context: &Context<'_>) -> Result<(), Error> {
    let nodes: Vec<NodeView> = context.client.get("/v1/nodes").await?;
    let left = nodes.iter().filter(|node| node.role == Role::Control).count();
    if let Some(danger) = words::few_control_nodes(left) {
        context.output.warning(danger);
    }
    Ok(())
}

async fn set_labels(
    context: &Context<'_>,
    node: &str,
    labels: Vec<(String, Option<String>)>,
) -> Result<(), Error> {
    let labels: BTreeMap<String, Option<String>> = labels.into_iter().collect();
    let removed = labels.iter().filter(|(_, value)| value.is_none());
    let removed: Vec<String> = removed.map(|(key, _)| key.clone()).collect();
    let set = SetLabels { labels };
    let changed: Changed =
        context.client.change(Method::PATCH, &path(&["nodes", node, "labels"]), &set).await?;
    context.durable(changed.durability);
    let detail = context.client.get(&path(&["nodes", node])).await;
    let detail: NodeDetail = detail.map_err(|error| error.after(changed.changed))?;
    if !changed.changed {
        context.output.note("nothing changed");
    }
    for key in removed.iter().filter(|key| detail.labels.contains_key(*key)) {
        let name = &detail.node.name;
        context.output.note(&format!("`{key}` is {name}'s own: its agent has it from `sleepd --label`"));
    }
    let labels: Vec<String> = detail.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let text = format!(
        "{}: {}",
        detail.node.name,
        if labels.is_empty() { "no labels".to_owned() } else { labels.join(" ") }
    );
    let (name, id) = (detail.node.name.clone(), detail.node.id.clone());
    context.output.done(&json::NodeInspect::from(detail), &name, &id, &text)
}

async fn remove(context: &Context<'_>, names: &[String], compromised: bool) -> Result<(), Error> {
    let nodes = find(context, names).await?;
    if !context.global.yes {
        let names: Vec<&str> = nodes.iter().map(|detail| detail.node.name.as_str()).collect();
        context.output.confirm(&format!(
            "{} will be removed for good: a removed node's key is never admitted again.",
            names.join(", ")
        ))?;
    }
    let query = if compromised { "?compromised=true" } else { "" };
    let remove = async |node: &json::Named| {
        let path = format!("{}{query}", path(&["nodes", &node.id]));
        context.client.change(Method::DELETE, &path, &()).await
    };
    let outcome = each::change(context, named(&nodes), remove).await;
    outcome.tell(context, names.len() > 1, |node| format!("{}: removed", node.name))
}
