//! `/healthz`, `/readyz`, `/metrics`: for machines that watch the agent.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::extract::Query;
use super::render::Words;
use super::{Failure, Handle, metrics};

pub(super) fn router() -> Router<Handle> {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
}

/// The loop answers.
async fn healthy(State(handle): State<Handle>) -> Result<&'static str, Failure> {
    handle.ask(|_, _| ()).await?;
    Ok("ok\n")
}

/// Whether each condition is told.
#[derive(Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

/// The node is a member, hears of a leader, and all that runs tasks here is well.
async fn ready(State(handle): State<Handle>, Query(query): Query<Verbose>) -> Result<Response, Failure> {
    let conditions = handle
        .ask(|core, now| {
            let status = core.status(now);
            let words = Words::new(core, now);
            let me = core.nodes(now).into_iter().find(|row| row.is_self).map(|row| words.node(&row).status);
            [
                ("member", status.cluster.is_some()),
                ("leader", status.leader.is_some_and(|(_, fresh)| fresh)),
                ("runtime", me == Some(sleep_wire::api::NodeStatus::Ready)),
            ]
        })
        .await?;
    let all = conditions.iter().all(|(_, holds)| *holds);
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    if query.verbose.is_some() {
        for (name, holds) in conditions {
            text += &format!("[{}]{name}\n", if holds { '+' } else { '-' });
        }
    }
    text += if all { "ready\n" } else { "not ready\n" };
    Ok((status, text).into_response())
}
