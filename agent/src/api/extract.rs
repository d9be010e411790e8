//! What a request says, read: whatever is wrong with it is a problem with a code, like every other error.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use sleep_wire::api::{Code, Problem};

use super::Failure;

/// A JSON body.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Failure))]
pub(super) struct Body<T>(pub(super) T);

/// What a path names.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Failure))]
pub(super) struct Path<T>(pub(super) T);

/// What stands after the `?`.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Failure))]
pub(super) struct Query<T>(pub(super) T);

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        unread(rejection.status().as_u16(), "the request's body cannot be read", rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        unread(rejection.status().as_u16(), "the request's path cannot be read", rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        unread(rejection.status().as_u16(), "the request's query cannot be read", rejection.body_text())
    }
}

fn unread(status: u16, title: &str, detail: String) -> Failure {
    Problem::new(Code::BadRequest, status, title).detail(detail).into()
}
