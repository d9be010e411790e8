//! Server-sent events for those who wait: a snapshot at once, and another whenever it differs.
//!
//! An event's id says what was said, not when: whoever was cut off names the last one it had
//! (`Last-Event-ID`), to this agent or to another, and hears of what is different since.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sleep_core::Now;
use sleep_core::view::TaskFilter;
use sleep_wire::api::Progress;
use sleep_wire::{NodeId, ServiceId};

use super::extract::Query;
use super::openapi::Problems;
use super::render::Words;
use super::{Failure, Handle, names};
use crate::agent::Core;

/// What is watched: everything, if nothing is named.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Watching {
    /// Names or ids of services, separated by commas.
    #[serde(default)]
    services: String,
    /// Names or ids of nodes, separated by commas.
    #[serde(default)]
    nodes: String,
}

struct Watch {
    handle: Handle,
    watched: Option<Named>,
    /// The id of what was said last.
    last: String,
}

/// What is watched by name. All else is whatever there is at each moment.
#[derive(Clone)]
struct Named {
    services: Vec<ServiceId>,
    nodes: Vec<NodeId>,
}

#[utoipa::path(
    get,
    path = "/v1/watch",
    tag = "services",
    summary = "Follow how far services and nodes are: server-sent events, each a snapshot",
    params(
        Watching,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard"),
    ),
    responses(
        (status = 200, description = "Done", body = Progress, content_type = "text/event-stream"),
        Problems,
    ),
)]
pub(super) async fn watch(
    State(handle): State<Handle>,
    headers: HeaderMap,
    Query(watching): Query<Watching>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let watched = handle
        .ask(move |core, now| {
            if core.cluster().is_none() {
                return Err(super::problem::not_clustered().into());
            }
            let services = list(&watching.services).map(|name| names::any_service(core, now, name));
            let nodes = list(&watching.nodes).map(|name| names::node(core, now, name));
            let named = Named {
                services: services.collect::<Result<_, _>>()?,
                nodes: nodes.collect::<Result<_, _>>()?,
            };
            Ok::<_, Failure>(
                Some(named).filter(|named| !named.services.is_empty() || !named.nodes.is_empty()),
            )
        })
        .await??;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let watch = Watch { handle, watched, last };
    Ok(Sse::new(stream::unfold(watch, next)).keep_alive(KeepAlive::default()))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|name| !name.is_empty())
}

/// The next snapshot that differs from the last; ends when the agent does.
async fn next(mut watch: Watch) -> Option<(Result<Event, Infallible>, Watch)> {
    loop {
        watch.handle.changes.borrow_and_update();
        let watched = watch.watched.clone();
        let told = watch.handle.ask(move |core, now| {
            let Named { services, nodes } = watched.unwrap_or_else(|| everything(core, now));
            progress(core, now, &services, &nodes)
        });
        let progress = told.await.ok()?;
        let text = serde_json::to_string(&progress).ok()?;
        let id = id(&text);
        if watch.last != id {
            let event = Event::default().id(&id).data(text);
            watch.last = id;
            return Some((Ok(event), watch));
        }
        watch.handle.changes.changed().await.ok()?;
    }
}

/// What a snapshot is called: the same on every agent that sees the same.
fn id(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every node, and every service of which anything is left.
fn everything(core: &Core, now: Now) -> Named {
    let standing = core.services(now).into_iter().map(|row| row.id);
    let left = core.tasks(&TaskFilter::default()).into_iter().map(|row| row.service);
    let services: BTreeSet<ServiceId> = standing.chain(left).collect();
    Named {
        services: services.into_iter().collect(),
        nodes: core.nodes(now).into_iter().map(|row| row.id).collect(),
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
