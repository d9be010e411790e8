//! What the API looks like to programs: an OpenAPI document, gathered from the very handlers that answer.
//!
//! # Invariants
//! - A path that is served is described, and the other way round: both come from one list of handlers.

use axum::Json;
use axum::Router;
use axum::routing::get;
use sleep_wire::api::Problem;
use utoipa::openapi::OpenApi as Document;
use utoipa::{IntoResponses, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Handle, access, commands, logs, plan, queries, watch};

/// Where the document is.
const PATH: &str = "/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sleepd",
        description = "What may be asked of any agent of a cluster. Errors are problems (RFC 9457) with a \
                       stable `code`."
    ),
    components(schemas(Problem))
)]
struct Base;

/// What every request may come to instead.
#[derive(IntoResponses)]
#[response(
    status = "default",
    description = "What went wrong, and whether anything changed",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it stands for the answers of `Failure`, which writes them itself")]
pub(super) struct Problems(Problem);

/// Everything under `/v1`, with its own description.
pub(super) fn router() -> Router<Handle> {
    let (router, document) = described();
    let document = Json(document);
    router.route(PATH, get(move || async move { document.clone() }))
}

fn described() -> (Router<Handle>, Document) {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(queries::status))
        .routes(routes!(commands::init))
        .routes(routes!(commands::join))
        .routes(routes!(commands::leave))
        .routes(routes!(commands::recover))
        .routes(routes!(access::tokens, access::token_create))
        .routes(routes!(access::token, access::token_revoke))
        .routes(routes!(access::operators, access::operator_create))
        .routes(routes!(access::operator, access::operator_remove))
        .routes(routes!(queries::nodes))
        .routes(routes!(queries::node, commands::node_remove))
        .routes(routes!(queries::node_tasks))
        .routes(routes!(commands::node_availability))
        .routes(routes!(commands::node_role))
        .routes(routes!(commands::node_labels))
        .routes(routes!(queries::services, commands::service_create))
        .routes(routes!(commands::services_remove))
        .routes(routes!(queries::service, commands::service_update))
        .routes(routes!(queries::service_tasks))
        .routes(routes!(queries::service_history))
        .routes(routes!(logs::service_logs))
        .routes(routes!(commands::scale))
        .routes(routes!(plan::plan))
        .routes(routes!(queries::why))
        .routes(routes!(watch::watch))
        .split_for_parts()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::api::testing::stopping;

    const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

    /// The router of an agent that is stopping: whatever reaches a handler is answered 503, or refused by it.
    fn api() -> Router {
        super::super::router(stopping())
    }

    async fn ask(method: &str, path: &str) -> (u16, Value) {
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
        let answer = api().oneshot(request.body(Body::empty()).expect("a request")).await;
        let answer = answer.expect("a router answers");
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What the document says is there, as `get /v1/nodes/{node}`.
    async fn described() -> (BTreeSet<String>, Value) {
        let (status, document) = ask("get", PATH).await;
        assert_eq!(status, 200);
        let paths = document["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
            methods.map(move |method| format!("{method} {path}"))
        });
        (operations.collect(), document)
    }

    /// What the table in the vocabulary's documentation says is there.
    fn written_down() -> BTreeSet<String> {
        let source = include_str!("../../wire/src/api/mod.rs");
        let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `"));
        let cells = rows.map(|row| row.split(" | ").next().expect("a first cell"));
        let written = cells.flat_map(|cell| cell.split("`, `")).filter_map(|text| {
            let (method, path) = text.trim_matches('`').split_once(' ')?;
            let path = path.split('?').next().expect("a path");
            Some(format!("{} {path}", method.to_lowercase()))
        });
        written.filter(|operation| !operation.ends_with(PATH)).collect()
    }

    #[tokio::test]
    async fn what_is_described_is_what_is_written_down() {
        let (described, _) = described().await;
        assert!(described.contains("get /v1/services/{service}/logs"), "{described:?}");
        assert_eq!(described, written_down());
    }

    /// Each path is asked with each method: a handler answers where one is described, and nowhere else.
    #[tokio::test]
    async fn what_is_described_is_served_and_the_other_way_round() {
        let (described, document) = described().await;
        for path in document["paths"].as_object().expect("paths").keys() {
            let typed = path.replace(['{', '}'], "");
            for method in METHODS {
                let (status, answer) = ask(method, &typed).await;
                let there = described.contains(&format!("{method} {path}"));
                assert_eq!(status != 405 && status != 404, there, "{method} {path}: {status} {answer}");
                assert!(answer["code"].is_string(), "{method} {path} answers a problem: {answer}");
            }
        }
        assert_eq!(ask("get", "/v1/nonsense").await.0, 404);
    }

    /// At every door, and whatever is wrong: the path, the method, or what is asked.
    #[tokio::test]
    async fn every_error_is_a_problem() {
        for (method, path, status) in [
            ("get", "/", 404),
            ("get", "/nonsense", 404),
            ("get", "/v1", 404),
            ("get", "/v1/nodes/x/y", 404),
            ("get", "/metrics/x", 404),
            ("post", "/metrics", 405),
            ("delete", "/v1/status", 405),
            ("get", "/v1/nodes/%ff", 400),
            ("get", "/v1/nodes/x/tasks?history=perhaps", 400),
            ("get", "/v1/services/x/tasks?histroy=true", 400),
            ("get", "/v1/services/x/logs?tail=-1", 400),
            ("get", "/v1/watch?service=web", 400),
            ("delete", "/v1/nodes/x?compromised=maybe", 400),
            ("post", "/v1/services", 415),
        ] {
            let (answered, problem) = ask(method, path).await;
            let code = if status == 404 { "no_such_path" } else { "bad_request" };
            assert_eq!((answered, &problem["code"]), (status, &code.into()), "{method} {path}: {problem}");
            assert!(
                problem["title"].is_string() && problem["changed"] == false,
                "{method} {path}: {problem}"
            );
        }
    }

    #[tokio::test]
    async fn every_parameter_says_what_it_is() {
        let (_, document) = described().await;
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            let operations = METHODS.iter().filter_map(|method| item.get(*method));
            for parameter in operations.filter_map(|operation| operation["parameters"].as_array()).flatten() {
                let said = parameter["description"].as_str().unwrap_or_default();
                assert!(!said.is_empty(), "{path}: {parameter}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[tokio::test]
    async fn every_reference_leads_somewhere_and_every_operation_says_how_it_fails() {
        let (_, document) = described().await;
        let mut open = vec![&document];
        let mut references = BTreeSet::new();
        while let Some(value) = open.pop() {
            references.extend(value.get("$ref").and_then(Value::as_str));
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => open.extend(fields.values()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        assert!(references.contains("#/components/schemas/Problem"), "{references:?}");
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut ids: BTreeMap<&str, u32> = BTreeMap::new();
        for item in document["paths"].as_object().expect("paths").values() {
            for operation in METHODS.iter().filter_map(|method| item.get(*method)) {
                assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
                *ids.entry(operation["operationId"].as_str().expect("an id")).or_default() += 1;
            }
        }
        assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    }
}
