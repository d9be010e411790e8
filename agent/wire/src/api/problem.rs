//! What went wrong, as RFC 9457 `application/problem+json` with a stable code.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A refused or failed request. Nothing changed, unless `changed` says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable, for programs.
    pub code: Code,
    /// The HTTP status.
    pub status: u16,
    /// One sentence for people: what happened.
    pub title: String,
    /// More of it, if there is more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether anything changed all the same.
    pub changed: bool,
    /// Names that the asker may have meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// Kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// This agent is in no cluster.
    NotClustered,
    /// This agent is in a cluster already.
    AlreadyClustered,
    /// The agent is busy joining or leaving.
    Busy,
    /// This node is a worker, which may not say so.
    NotControl,
    /// No such node.
    NoSuchNode,
    /// No such service.
    NoSuchService,
    /// No such task.
    NoSuchTask,
    /// No such token.
    NoSuchToken,
    /// No such operator.
    NoSuchOperator,
    /// Several things begin like that.
    Ambiguous,
    /// The name is taken.
    NameTaken,
    /// The command's id was used for something else.
    CommandReused,
    /// There is a newer revision than the one the client saw.
    Stale,
    /// A field has a value that is not allowed.
    Invalid,
    /// The request is not one.
    BadRequest,
    /// The token is not a token, or not of this cluster, or no longer good.
    BadToken,
    /// The door refused.
    Refused,
    /// No member could be reached at the addresses given.
    NoDoor,
    /// No other member answers, so that nobody would know that this one leaves.
    Unheard,
    /// It would leave the cluster without a control node.
    LastControl,
    /// A node is not removed through itself: it leaves.
    Oneself,
    /// The node led last, and nobody has led since.
    LedLast,
    /// Somebody leads: there is nothing to recover.
    Led,
    /// A majority of the voters answers: there is nothing to recover.
    VotersAnswer,
    /// The local store failed.
    Storage,
    /// This release cannot do it.
    Unsupported,
    /// The asker may not.
    Forbidden,
    /// The node that has the answer cannot be reached.
    Unreachable,
    /// A fault of the agent itself.
    Internal,
    /// There is no such path.
    NoSuchPath,
    /// A code of a later release.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl core::error::Error for Problem {}

impl Problem {
    /// A problem that changed nothing.
    pub fn new(code: Code, status: u16, title: impl Into<String>) -> Self {
        Self {
            code,
            status,
            title: title.into(),
            detail: String::new(),
            changed: false,
            candidates: Vec::new(),
        }
    }

    /// There is no such path.
    pub fn not_found() -> Self {
        Self::new(Code::NoSuchPath, 404, "no such path in this API")
    }

    /// A path of this API, and a method that it has not.
    pub fn wrong_method() -> Self {
        Self::new(Code::BadRequest, 405, "no such method at this path of the API")
    }

    /// The same, with more to say.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same, with names that the asker may have meant.
    #[must_use]
    pub fn candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates;
        self
    }
}
