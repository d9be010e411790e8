//! What `sleepctl` and everybody else may ask of this agent, over HTTP.
//!
//! One router, three doors: the unix socket, loopback TCP, and streams of the cluster's own QUIC port. A
//! request becomes a command or a question for the agent's loop, and the answer becomes JSON. Nothing is
//! decided here.
//!
//! # Not here
//! What a request means: see `sleep_core`. How it is typed and shown: see `sleepctl`.

mod commands;
pub mod doors;
mod health;
mod logs;
mod names;
mod problem;
mod queries;
mod render;
mod watch;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};
use sleep_core::Now;
use sleep_core::io::{Command, Refusal, Reply};
use sleep_wire::api::Problem;
use tokio::sync::{mpsc, oneshot, watch as channel};

use crate::agent::Core;

pub use logs::{Lines, LogRequest, LogSource};
pub use problem::Failure;
pub(crate) use render::time;

/// A question for the agent's loop, answered between two inputs.
pub type Question = Box<dyn FnOnce(&Core, Now) + Send>;

/// What the loop is asked.
pub enum Ask {
    /// Carry out a command.
    Command(Box<Command>, oneshot::Sender<Result<Reply, Refusal>>),
    /// Answer a question.
    Question(Question),
}

/// The way from any door to the agent's loop. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    changes: channel::Receiver<u64>,
    shared: Arc<Shared>,
}

/// What doors need and the loop does not change.
pub struct Shared {
    /// Where the agent listens for others, as it tells them.
    pub addresses: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What needs a person, in words.
    pub alarms: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Renders metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Reads the output of tasks, wherever they run.
    pub logs: Arc<dyn LogSource>,
}

impl Handle {
    /// A handle onto a loop that receives `asks` and counts what changed in `changes`.
    pub fn new(asks: mpsc::Sender<Ask>, changes: channel::Receiver<u64>, shared: Shared) -> Self {
        Self { asks, changes, shared: Arc::new(shared) }
    }

    /// Asks the loop a question.
    ///
    /// # Errors
    /// [`Failure`] if the agent is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |core, now| {
            // Nobody waits any longer if the client has gone: then the answer is for nobody.
            drop(answer.send(question(core, now)));
        });
        self.asks.send(Ask::Question(question)).await.map_err(|_| Failure::stopping())?;
        answered.await.map_err(|_| Failure::stopping())
    }

    /// Has the loop carry out a command.
    ///
    /// # Errors
    /// [`Failure`] if the command was refused, or the agent is stopping.
    pub async fn command(&self, command: Command) -> Result<Reply, Failure> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Command(Box::new(command), answer)).await.map_err(|_| Failure::stopping())?;
        match answered.await.map_err(|_| Failure::stopping())? {
            Ok(reply) => Ok(reply),
            Err(refusal) => Err(self.explain(refusal).await),
        }
    }

    /// Turns a refusal's ids into names.
    async fn explain(&self, refusal: Refusal) -> Failure {
        match self.ask(move |core, now| problem::of_refusal(&refusal, core, now)).await {
            Ok(problem) => Failure::from(problem),
            Err(stopping) => stopping,
        }
    }
}

/// Everything under `/v1`, and health.
pub fn router(handle: Handle) -> Router {
    control().merge(health::router()).with_state(handle)
}

/// Where a peer asks for the output of a task.
pub const PEER_LOGS: &str = "/v1/peer/logs";

/// What the agent of another node may ask: the output of a task that runs here.
pub fn peer_router(handle: Handle) -> Router {
    Router::new().route(PEER_LOGS, post(logs::peer_logs)).with_state(handle)
}

/// Health and metrics only: for a door that any local user can open.
pub fn health_router(handle: Handle) -> Router {
    health::router().with_state(handle)
}

fn control() -> Router<Handle> {
    Router::new()
        .route("/v1/status", get(queries::status))
        .route("/v1/cluster/init", post(commands::init))
        .route("/v1/cluster/join", post(commands::join))
        .route("/v1/cluster/leave", post(commands::leave))
        .route("/v1/tokens", get(queries::tokens).post(commands::token_create))
        .route("/v1/tokens/{token}", delete(commands::token_revoke))
        .route("/v1/operators", post(commands::operator_create))
        .route("/v1/nodes", get(queries::nodes))
        .route("/v1/nodes/{node}", get(queries::node).delete(commands::node_remove))
        .route("/v1/nodes/{node}/tasks", get(queries::node_tasks))
        .route("/v1/nodes/{node}/availability", put(commands::node_availability))
        .route("/v1/nodes/{node}/role", put(commands::node_role))
        .route("/v1/nodes/{node}/labels", patch(commands::node_labels))
        .route("/v1/services", get(queries::services).post(commands::service_create))
        .route("/v1/services/remove", post(commands::services_remove))
        .route("/v1/services/{service}", get(queries::service).put(commands::service_update))
        .route("/v1/services/{service}/tasks", get(queries::service_tasks))
        .route("/v1/services/{service}/history", get(queries::service_history))
        .route("/v1/services/{service}/logs", get(logs::service_logs))
        .route("/v1/scale", put(commands::scale))
        .route("/v1/why/{subject}", get(queries::why))
        .route("/v1/watch", get(watch::watch))
        .fallback(|| async { Failure::from(Problem::not_found()) })
}
