//! The control API: what `sleepctl` and `sleepd` say to each other, as JSON over HTTP.
//!
//! | method and path | request | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `POST /v1/cluster/init` | [`Init`] | [`Initialised`] |
//! | `POST /v1/cluster/join` | [`Join`] | [`Joined`] |
//! | `POST /v1/cluster/leave` | [`Leave`] | [`Changed`] |
//! | `POST /v1/cluster/recover` | [`Recover`] | [`Recovered`] |
//! | `GET /v1/tokens` | | [`TokenView`]s |
//! | `POST /v1/tokens` | [`TokenCreate`] | [`TokenCreated`] |
//! | `GET /v1/tokens/{token}` | | [`TokenView`] |
//! | `DELETE /v1/tokens/{token}` | | [`Changed`] |
//! | `GET /v1/operators` | | [`OperatorView`]s |
//! | `POST /v1/operators` | [`OperatorCreate`] | [`OperatorCreated`] |
//! | `GET /v1/operators/{operator}` | | [`OperatorView`] |
//! | `DELETE /v1/operators/{operator}` | | [`Changed`] |
//! | `GET /v1/nodes`, `GET /v1/nodes/{node}` | | [`NodeView`]s, [`NodeDetail`] |
//! | `GET /v1/nodes/{node}/tasks` | | [`TaskView`]s |
//! | `PUT /v1/nodes/{node}/availability` | [`SetAvailability`] | [`Changed`] |
//! | `PUT /v1/nodes/{node}/role` | [`SetRole`] | [`Changed`] |
//! | `PATCH /v1/nodes/{node}/labels` | [`SetLabels`] | [`Changed`] |
//! | `DELETE /v1/nodes/{node}?compromised=` | | [`Changed`] |
//! | `GET /v1/services`, `GET /v1/services/{service}` | | [`ServiceView`]s, [`ServiceDetail`] |
//! | `POST /v1/services` | [`ServiceCreate`] | [`ServiceChanged`] |
//! | `PUT /v1/services/{service}` | [`ServiceUpdate`] | [`ServiceChanged`] |
//! | `PUT /v1/scale` | [`SetScale`] | [`Changed`] |
//! | `POST /v1/services/remove` | [`RemoveServices`] | [`Changed`] |
//! | `GET /v1/services/{service}/tasks?history=` | | [`TaskView`]s |
//! | `GET /v1/services/{service}/history` | | [`RevisionView`]s |
//! | `GET /v1/services/{service}/logs?follow=&tail=` | | [`LogLine`]s, one JSON a line |
//! | `POST /v1/plan` | [`Proposal`] | [`Plan`]; nothing is changed |
//! | `GET /v1/why/{subject}` | | [`Why`] |
//! | `GET /v1/watch?services=&nodes=` | | server-sent [`Progress`] events, resumed by `Last-Event-ID` |
//! | `GET /v1/openapi.json` | | all of this, as OpenAPI |
//!
//! Of [`Progress`] all is told if nothing is named. `{node}` and `{service}` are a name, an id, or the
//! beginning of an id that only one has; where tasks are read, `{service}` may be `service.slot` too. A
//! change may carry `Idempotency-Key`, a [`crate::CommandId`]: sent twice it is done once. Errors are
//! [`Problem`]s.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub mod problem;
pub mod requests;
pub mod views;

pub use problem::*;
pub use requests::*;
pub use views::*;

macro_rules! object {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }
    };
}
pub(crate) use object;

object! {
    /// Answer to a change.
    pub struct Changed {
        /// Whether anything is different now.
        pub changed: bool,
        /// Where it is durable.
        pub durability: Durability,
    }
}

/// Where a change is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On this node, which is alone.
    Alone,
    /// On this node and another.
    Shared,
    /// On this node; no other confirmed in time. It spreads when one is reached.
    HereOnly,
}

object! {
    /// Answer to a change of one service.
    pub struct ServiceChanged {
        /// The service's id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// Its revision.
        pub revision: String,
        /// Whether anything is different now.
        pub changed: bool,
        /// Where it is durable.
        pub durability: Durability,
    }
}

/// One line of a task's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Whose: `service.slot`.
    pub task: String,
    /// The task's id.
    pub id: String,
    /// Where it runs.
    pub node: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// RFC 3339, by that node's wall clock; empty if unknown.
    pub at: String,
    /// The line without its end.
    pub line: String,
}
