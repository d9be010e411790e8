//! What `sleepctl` and everybody else may ask of this agent, over HTTP.
//!
//! One router, three doors: the unix socket, loopback TCP, and streams of the cluster's own QUIC port. A
//! request becomes a command or a question for the agent's loop, and the answer becomes JSON. Nothing is
//! decided here.
//!
//! # Not here
//! What a request means: see `sleep_core`. How it is typed and shown: see `sleepctl`.

mod access;
mod commands;
pub mod doors;
mod extract;
pub mod guard;
mod health;
mod logs;
mod metrics;
mod names;
mod openapi;
mod plan;
mod problem;
mod progress;
mod queries;
mod render;
#[cfg(test)]
mod testing;
mod watch;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use sleep_core::Now;
use sleep_core::io::{Command, Refusal, Reply};
use sleep_wire::NodeId;
use sleep_wire::api::Problem;
use tokio::sync::{mpsc, oneshot, watch as channel};

use crate::agent::Core;
use crate::told::Sighting;

pub use guard::{Guard, TokenError};
pub use logs::{Lines, LogRequest, LogSource};
pub(crate) use metrics::describe;
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
    /// What this agent saw of a node's life, oldest first.
    pub journal: Box<dyn Fn(NodeId) -> Vec<Sighting> + Send + Sync>,
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
    whole(openapi::router().merge(health::router())).with_state(handle)
}

/// Where a peer asks for the output of a task.
pub const PEER_LOGS: &str = "/v1/peer/logs";

/// What the agent of another node may ask: the output of a task that runs here.
pub fn peer_router(handle: Handle) -> Router {
    whole(Router::new().route(PEER_LOGS, post(logs::peer_logs))).with_state(handle)
}

/// The same at a door that any local user can open: health and metrics for all, `/v1` by the guard's leave.
pub fn guarded_router(handle: Handle, guard: Guard) -> Router {
    let guarded = openapi::router().route_layer(from_fn_with_state(guard, guard::guard));
    whole(guarded.merge(health::router())).with_state(handle)
}

/// What is asked for and is not there is a problem too.
fn whole(router: Router<Handle>) -> Router<Handle> {
    router
        .fallback(|| async { Failure::from(Problem::not_found()) })
        .method_not_allowed_fallback(|| async { Failure::from(Problem::wrong_method()) })
}
