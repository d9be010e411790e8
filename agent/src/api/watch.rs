//! Server-sent events for those who wait: a snapshot at once, and another whenever it differs.

use std::convert::Infallible;

use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use serde::Deserialize;
use sleep_core::Now;
use sleep_wire::api::Progress;
use sleep_wire::{NodeId, ServiceId};

use super::render::Words;
use super::{Failure, Handle, names};
use crate::agent::Core;

/// What is watched: names or ids, separated by commas.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watching {
    #[serde(default)]
    services: String,
    #[serde(default)]
    nodes: String,
}

struct Watch {
    handle: Handle,
    services: Vec<ServiceId>,
    nodes: Vec<NodeId>,
    last: Option<Progress>,
}

pub(super) async fn watch(
    State(handle): State<Handle>,
    Query(watching): Query<Watching>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let (services, nodes) = handle
        .ask(move |core, now| {
            let services = list(&watching.services).map(|name| names::watched_service(core, now, name));
            let nodes = list(&watching.nodes).map(|name| names::node(core, now, name));
            Ok::<_, Failure>((services.collect::<Result<_, _>>()?, nodes.collect::<Result<_, _>>()?))
        })
        .await??;
    let watch = Watch { handle, services, nodes, last: None };
    Ok(Sse::new(stream::unfold(watch, next)).keep_alive(KeepAlive::default()))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|name| !name.is_empty())
}

/// The next snapshot that differs from the last; ends when the agent does.
async fn next(mut watch: Watch) -> Option<(Result<Event, Infallible>, Watch)> {
    loop {
        watch.handle.changes.borrow_and_update();
        let (services, nodes) = (watch.services.clone(), watch.nodes.clone());
        let progress =
            watch.handle.ask(move |core, now| progress(core, now, &services, &nodes)).await.ok()?;
        if watch.last.as_ref() != Some(&progress) {
            let event = Event::default().json_data(&progress).ok()?;
            watch.last = Some(progress);
            return Some((Ok(event), watch));
        }
        watch.handle.changes.changed().await.ok()?;
    }
}

fn progress(core: &Core, now: Now, services: &[ServiceId], nodes: &[NodeId]) -> Progress {
    let words = Words::new(core, now);
    let rows: Vec<_> = services.iter().filter_map(|id| core.progress(now, *id)).collect();
    let all = core.nodes(now);
    let nodes: Vec<_> = nodes
        .iter()
        .filter_map(|id| all.iter().find(|row| row.id == *id))
        .map(|row| words.node_progress(row))
        .collect();
    let left: Vec<_> = rows.iter().filter(|row| !row.converged).collect();
    Progress {
        converged: left.is_empty() && nodes.iter().all(|node| node.converged),
        stuck: !left.is_empty() && left.iter().all(|row| row.stuck),
        services: rows.iter().map(|row| words.service_progress(row)).collect(),
        nodes,
    }
}
