//! Requests that change nothing: each asks the loop once and renders what it says.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use sleep_core::Now;
use sleep_core::view::TaskFilter;
use sleep_wire::api::*;
use sleep_wire::{ServiceId, SlotName};

use super::extract::{Path, Query};
use super::openapi::Problems;
use super::render::Words;
use super::{Failure, Handle, names};
use crate::agent::Core;

type Answer<T> = Result<Json<T>, Failure>;

#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "cluster",
    summary = "What the agent asked is, and what it sees of its cluster",
    responses((status = 200, description = "Done", body = Status), Problems),
)]
pub(super) async fn status(State(handle): State<Handle>) -> Answer<Status> {
    let alarms = (handle.shared.alarms)();
    let addresses = (handle.shared.addresses)();
    let status = handle.ask(move |core, now| Words::new(core, now).status(alarms, addresses)).await?;
    Ok(Json(status))
}

#[utoipa::path(
    get,
    path = "/v1/nodes",
    tag = "nodes",
    summary = "List nodes",
    responses((status = 200, description = "Done", body = Vec<NodeView>), Problems),
)]
pub(super) async fn nodes(State(handle): State<Handle>) -> Answer<Vec<NodeView>> {
    clustered(&handle, |core, now| {
        let words = Words::new(core, now);
        core.nodes(now).iter().map(|row| words.node(row)).collect()
    })
    .await
}

#[utoipa::path(
    get,
    path = "/v1/nodes/{node}",
    tag = "nodes",
    summary = "Show a node",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
    ),
    responses((status = 200, description = "Done", body = NodeDetail), Problems),
)]
pub(super) async fn node(State(handle): State<Handle>, Path(node): Path<String>) -> Answer<NodeDetail> {
    let found = handle
        .ask(move |core, now| {
            let id = names::node(core, now, &node)?;
            let words = Words::new(core, now);
            let row = core.nodes(now).into_iter().find(|row| row.id == id);
            row.map(|row| words.node_detail(&row)).ok_or_else(|| no_such("node", &node, Code::NoSuchNode))
        })
        .await??;
    Ok(Json(found))
}

#[utoipa::path(
    get,
    path = "/v1/nodes/{node}/tasks",
    tag = "nodes",
    summary = "List a node's tasks",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
        History,
    ),
    responses((status = 200, description = "Done", body = Vec<TaskView>), Problems),
)]
pub(super) async fn node_tasks(
    State(handle): State<Handle>,
    Path(node): Path<String>,
    Query(query): Query<History>,
) -> Answer<Vec<TaskView>> {
    let tasks = handle
        .ask(move |core, now| {
            let node = Some(names::node(core, now, &node)?);
            let filter = TaskFilter { service: None, node, history: query.history };
            Ok::<_, Failure>(Words::new(core, now).tasks(&filter))
        })
        .await??;
    Ok(Json(tasks))
}

#[utoipa::path(
    get,
    path = "/v1/services",
    tag = "services",
    summary = "List services",
    responses((status = 200, description = "Done", body = Vec<ServiceView>), Problems),
)]
pub(super) async fn services(State(handle): State<Handle>) -> Answer<Vec<ServiceView>> {
    clustered(&handle, |core, now| {
        let words = Words::new(core, now);
        core.services(now).iter().map(|row| words.service(row)).collect()
    })
    .await
}

#[utoipa::path(
    get,
    path = "/v1/services/{service}",
    tag = "services",
    summary = "Show a service",
    params(
        ("service" = String, Path, description = "A name, an id, or the beginning of an id"),
    ),
    responses((status = 200, description = "Done", body = ServiceDetail), Problems),
)]
pub(super) async fn service(
    State(handle): State<Handle>,
    Path(service): Path<String>,
) -> Answer<ServiceDetail> {
    let found = handle
        .ask(move |core, now| {
            let id = names::service(core, now, &service)?;
            let words = Words::new(core, now);
            let row = core.services(now).into_iter().find(|row| row.id == id);
            row.map(|row| words.service_detail(&row))
                .ok_or_else(|| no_such("service", &service, Code::NoSuchService))
        })
        .await??;
    Ok(Json(found))
}

/// Whether tasks that are over are shown too.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct History {
    /// Whether they are.
    #[serde(default)]
    history: bool,
}

#[utoipa::path(
    get,
    path = "/v1/services/{service}/tasks",
    tag = "services",
    summary = "List a service's tasks",
    params(
        ("service" = String, Path, description = "A service, `service.slot`, or a task's id"),
        History,
    ),
    responses((status = 200, description = "Done", body = Vec<TaskView>), Problems),
)]
pub(super) async fn service_tasks(
    State(handle): State<Handle>,
    Path(service): Path<String>,
    Query(query): Query<History>,
) -> Answer<Vec<TaskView>> {
    let tasks = handle
        .ask(move |core, now| {
            let (service, slot) = subject_of(core, now, &service)?;
            let filter = TaskFilter { service: Some(service), node: None, history: query.history };
            let mut tasks = Words::new(core, now).tasks(&filter);
            tasks.retain(|task| slot.is_none_or(|slot| task.slot == slot.to_string()));
            Ok::<_, Failure>(tasks)
        })
        .await??;
    Ok(Json(tasks))
}

#[utoipa::path(
    get,
    path = "/v1/services/{service}/history",
    tag = "services",
    summary = "List a service's revisions",
    params(
        ("service" = String, Path, description = "A name, an id, or the beginning of an id"),
    ),
    responses((status = 200, description = "Done", body = Vec<RevisionView>), Problems),
)]
pub(super) async fn service_history(
    State(handle): State<Handle>,
    Path(service): Path<String>,
) -> Answer<Vec<RevisionView>> {
    let revisions = handle
        .ask(move |core, now| {
            let id = names::service(core, now, &service)?;
            Ok::<_, Failure>(Words::new(core, now).revisions(id))
        })
        .await??;
    Ok(Json(revisions))
}

/// `web`, `web.2` or the beginning of a task's id.
#[utoipa::path(
    get,
    path = "/v1/why/{subject}",
    tag = "services",
    summary = "Say why a task, a service or a node is as it is",
    params(
        ("subject" = String, Path, description = "A node, a service, `service.slot`, or a task's id"),
    ),
    responses((status = 200, description = "Done", body = Why), Problems),
)]
pub(super) async fn why(State(handle): State<Handle>, Path(subject): Path<String>) -> Answer<Why> {
    let shared = handle.shared.clone();
    let why = handle
        .ask(move |core, now| {
            let words = Words::new(core, now);
            let journal = |node| (shared.journal)(node);
            if let Ok(node) = names::node(core, now, &subject) {
                return Ok(words.why_node(node, &journal));
            }
            let (service, slot) = subject_of(core, now, &subject)?;
            let why = match slot {
                Some(slot) => words.why_task(service, slot, &journal),
                None => words.why_service(service),
            };
            why.ok_or_else(|| no_such("task", &subject, Code::NoSuchTask))
        })
        .await??;
    Ok(Json(why))
}

/// Reads `service` or `service.slot`, or finds a task by its id.
pub(super) fn subject_of(
    core: &Core,
    now: Now,
    text: &str,
) -> Result<(ServiceId, Option<SlotName>), Failure> {
    let filter = TaskFilter { service: None, node: None, history: true };
    if let Some((service, slot)) = text.rsplit_once('.') {
        let service = names::service(core, now, service)?;
        let tasks = core.tasks(&TaskFilter { service: Some(service), ..filter });
        let vacant = core.vacant(now, Some(service));
        let mut slots = tasks.iter().map(|row| row.slot).chain(vacant.iter().map(|row| row.slot));
        // A global service's slots are named after their nodes.
        let is_it = |found: &SlotName| match found {
            SlotName::Node(node) => names::of_node(core, now, *node) == slot || found.to_string() == slot,
            SlotName::Number(_) | SlotName::Run { .. } => found.to_string() == slot,
        };
        return match slots.find(is_it) {
            Some(slot) => Ok((service, Some(slot))),
            None => Err(no_such("task", text, Code::NoSuchTask)),
        };
    }
    match names::service(core, now, text) {
        Ok(service) => Ok((service, None)),
        Err(failure) if text.len() < 4 => Err(failure),
        Err(failure) => {
            let rows = core.tasks(&filter);
            let found = rows.iter().find(|row| row.task.is_some_and(|task| task.short().starts_with(text)));
            found.map(|row| (row.service, Some(row.slot))).ok_or(failure)
        }
    }
}

pub(super) fn no_such(kind: &str, text: &str, code: Code) -> Failure {
    Problem::new(code, 404, format!("no {kind} `{}`", text.escape_debug())).into()
}

/// Answers only on a member: an agent in no cluster has no empty lists, it has none.
pub(super) async fn clustered<T: Send + 'static>(
    handle: &Handle,
    question: impl FnOnce(&Core, Now) -> T + Send + 'static,
) -> Answer<T> {
    let answer = handle
        .ask(move |core, now| match core.cluster() {
            Some(_) => Ok(question(core, now)),
            None => Err(Failure::from(super::problem::not_clustered())),
        })
        .await??;
    Ok(Json(answer))
}
