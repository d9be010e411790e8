//! From what went wrong to what the client is told.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sleep_core::Now;
use sleep_core::io::Refusal;
use sleep_wire::api::{Code, Problem};
use sleep_wire::message::JoinRefusal;

use super::names;
use crate::agent::Core;

/// A request that came to nothing.
#[derive(Clone, Debug)]
pub struct Failure(pub Box<Problem>);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl Failure {
    /// The agent is on its way out.
    pub fn stopping() -> Self {
        Problem::new(Code::Busy, 503, "the agent is stopping").into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self.0)).into_response()
    }
}

/// A refusal in words, with names for ids.
pub(super) fn of_refusal(refusal: &Refusal, core: &Core, now: Now) -> Problem {
    let node = |id| names::of_node(core, now, id);
    let service = |id| names::of_service(core, now, id);
    match refusal {
        Refusal::NotClustered => not_clustered(),
        Refusal::AlreadyClustered(cluster) => Problem::new(
            Code::AlreadyClustered,
            409,
            format!("this node is already a member of cluster {:.12}", cluster.to_string()),
        ),
        Refusal::Busy => Problem::new(Code::Busy, 409, "the agent is busy joining or leaving a cluster"),
        Refusal::NotControl => {
            Problem::new(Code::NotControl, 403, "this node is a worker: it may not write desired state")
        }
        Refusal::NoSuchNode(id) => Problem::new(Code::NoSuchNode, 404, format!("no node `{}`", node(*id))),
        Refusal::NoSuchService(id) => {
            Problem::new(Code::NoSuchService, 404, format!("no service `{}`", service(*id)))
        }
        Refusal::NoSuchToken(id) => Problem::new(Code::NoSuchToken, 404, format!("no join token `{id}`")),
        Refusal::NoSuchOperator(id) => Problem::new(Code::NoSuchOperator, 404, format!("no operator `{id}`")),
        Refusal::NameTaken { name, .. } => {
            Problem::new(Code::NameTaken, 409, format!("a service named `{name}` exists already"))
        }
        Refusal::CommandReused(id) => Problem::new(
            Code::CommandReused,
            409,
            format!("the idempotency key {id} was used for a different command"),
        ),
        Refusal::Stale { current } => Problem::new(
            Code::Stale,
            412,
            format!("the service has a newer revision, {:.12}", current.to_string()),
        ),
        Refusal::Invalid { field, problem } => {
            Problem::new(Code::Invalid, 422, format!("`{field}` {problem}"))
        }
        Refusal::BadToken(bad) => Problem::new(Code::BadToken, 422, bad.to_string()),
        Refusal::Door(refusal) => of_door(*refusal),
        Refusal::NoDoor(message) => {
            Problem::new(Code::NoDoor, 502, "no member of the cluster could be reached").detail(message)
        }
        Refusal::ForeignDoor => Problem::new(
            Code::Refused,
            409,
            "the agent at that address belongs to another cluster than the token",
        ),
        Refusal::Unheard => {
            Problem::new(Code::Unheard, 409, "no other member answers: they would go on listing this node")
        }
        Refusal::LastControl => Problem::new(
            Code::LastControl,
            409,
            "it would leave the cluster without a control node that answers",
        ),
        Refusal::Oneself => {
            Problem::new(Code::Oneself, 409, "a node is not removed through itself: it leaves")
        }
        Refusal::LedLast(last) => {
            let last = node(*last);
            let said = format!("node {last} led last, and nobody has led since: what runs where is its word");
            Problem::new(Code::LedLast, 409, said)
        }
        Refusal::Led(leader) => led(&node(*leader)),
        Refusal::VotersAnswer { heard, voters } => voters_answer(*heard, *voters),
        Refusal::Storage(message) => {
            Problem::new(Code::Storage, 500, "the agent's own store failed").detail(message)
        }
        Refusal::Unsupported(what) => Problem::new(Code::Unsupported, 501, what.clone()),
    }
}

pub(super) fn not_clustered() -> Problem {
    Problem::new(Code::NotClustered, 409, "this node is in no cluster")
}

fn led(leader: &str) -> Problem {
    Problem::new(Code::Led, 409, format!("node {leader} leads: there is nothing to recover"))
}

fn voters_answer(heard: u32, voters: u32) -> Problem {
    let said = format!("{heard} of {voters} voters answer: they will agree on a leader by themselves");
    Problem::new(Code::VotersAnswer, 409, said)
}

fn of_door(refusal: JoinRefusal) -> Problem {
    let (code, title) = match refusal {
        JoinRefusal::NotClustered => (Code::Refused, "the agent at that address is in no cluster"),
        JoinRefusal::UnknownToken => (Code::BadToken, "the cluster does not know this join token"),
        JoinRefusal::Expired => (Code::BadToken, "the join token has expired"),
        JoinRefusal::Revoked => (Code::BadToken, "the join token was revoked"),
        JoinRefusal::UsedUp => (Code::BadToken, "the join token admits one node only, and did"),
        JoinRefusal::BadProof => (Code::BadToken, "the join token does not fit this node's key"),
        JoinRefusal::Removed => {
            (Code::Refused, "this node's key was removed from the cluster, which is final for a key")
        }
        JoinRefusal::NoControlNode => (Code::Refused, "the worker at that address reaches no control node"),
        JoinRefusal::NoHolder => {
            (Code::Refused, "a single-use token is redeemed by the leader alone, and none is known now")
        }
    };
    Problem::new(code, 403, title)
}
