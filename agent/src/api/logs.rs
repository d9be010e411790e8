//! The output of tasks, wherever they run.

use std::cmp::Reverse;
use std::pin::Pin;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use sleep_core::view::{TaskFilter, TaskRow};
use sleep_wire::api::{Code, LogLine, Problem};
use sleep_wire::task::{TaskState, TaskStatus};
use sleep_wire::{NodeId, encode};

use super::extract::{Body as Sent, Path, Query};
use super::openapi::Problems;
use super::queries::subject_of;
use super::render::Words;
use super::{Failure, Handle};

/// Lines of one task, until it ends or nobody reads.
pub type Lines = Pin<Box<dyn Stream<Item = Result<LogLine, String>> + Send>>;

/// Whose output, and how much of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogRequest {
    /// The engine's name for it.
    pub container: String,
    /// The task's name and id, and its node's name, to put on each line.
    pub task: String,
    /// The task's id.
    pub id: String,
    /// The node's name.
    pub node_name: String,
    /// Which task, encoded.
    pub task_id: Vec<u8>,
    /// What runs it.
    pub runtime: sleep_wire::spec::Runtime,
    /// How many lines from the end; all if absent.
    pub tail: Option<u32>,
    /// Whether to go on with what is written later.
    pub follow: bool,
    /// What it wrote last, as its node told: for when its output is gone with its container.
    #[serde(default)]
    pub last_lines: Vec<String>,
}

/// Reads output, here or on another node.
pub trait LogSource: Send + Sync {
    /// The lines of one task.
    fn lines(&self, node: NodeId, request: LogRequest) -> Lines;
}

/// How much of a service's output.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Reading {
    /// Whether to go on with what is written later.
    #[serde(default)]
    follow: bool,
    /// How many lines from the end of each task's output; all if absent.
    tail: Option<u32>,
}

/// Output of a service's tasks, or of one: JSON, a line each.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/logs",
    tag = "services",
    summary = "Read what tasks wrote, one JSON a line",
    params(
        ("service" = String, Path, description = "A service, `service.slot`, or a task's id"),
        Reading,
    ),
    responses(
        (status = 200, description = "Done", body = LogLine, content_type = "application/x-ndjson"),
        Problems,
    ),
)]
pub(super) async fn service_logs(
    State(handle): State<Handle>,
    Path(subject): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<Response, Failure> {
    let requests = handle
        .ask(move |core, now| {
            let (service, slot) = subject_of(core, now, &subject)?;
            let words = Words::new(core, now);
            let filter = TaskFilter { service: Some(service), node: None, history: true };
            let mut rows = core.tasks(&filter);
            rows.retain(|row| slot.is_none_or(|slot| row.slot == slot));
            let untold = never_begun(&words, &rows);
            let rows = with_output(rows).into_iter();
            let requests: Vec<(NodeId, LogRequest)> = rows
                .filter_map(|row| {
                    let (task, node, status) = (row.task?, row.node?, row.status.as_ref()?);
                    Some((
                        node,
                        LogRequest {
                            container: status.container.clone(),
                            task: words.task_name(&row),
                            id: task.short(),
                            task_id: encode(&task),
                            node_name: words.name(node),
                            runtime: core.runtime_of(row.service, row.revision)?,
                            tail: reading.tail,
                            follow: reading.follow,
                            last_lines: status.last_lines.clone(),
                        },
                    ))
                })
                .collect();
            if requests.is_empty() {
                return Err(Problem::new(Code::NoSuchTask, 404, "no task of it has run yet")
                    .detail(untold)
                    .into());
            }
            Ok::<_, Failure>(requests)
        })
        .await??;
    let source = handle.shared.logs.clone();
    let lines = stream::select_all(requests.into_iter().map(|(node, request)| {
        let last = request.line(String::new());
        // One node that goes away ends its own tasks' output, and not that of the others.
        source.lines(node, request).map(move |line| {
            line.or_else(|message| {
                Ok(LogLine { line: format!("(the rest cannot be read: {message})"), ..last.clone() })
            })
        })
    }));
    Ok(as_json(lines))
}

impl LogRequest {
    /// A line that is said of a task, not by it.
    pub fn line(&self, line: String) -> LogLine {
        LogLine {
            task: self.task.clone(),
            id: self.id.clone(),
            node: self.node_name.clone(),
            stream: "stderr".to_owned(),
            at: String::new(),
            line,
        }
    }
}

/// Whether a task has come so far that it may have written something.
fn has_begun(status: &TaskStatus) -> bool {
    !status.container.is_empty() && (status.started_at.is_some() || status.exit.is_some())
}

/// Why a task that could not be started has written nothing, if that is so of one.
fn never_begun(words: &Words<'_>, rows: &[TaskRow]) -> String {
    let failed = rows.iter().filter_map(|row| {
        let status = row.status.as_ref().filter(|status| status.state == TaskState::Failed)?;
        (!has_begun(status) && !status.message.is_empty()).then_some((row, status))
    });
    let newest = failed.max_by_key(|(_, status)| status.since);
    newest.map_or_else(String::new, |(row, status)| {
        format!("{} could not be started: {}", words.task_name(row), status.message)
    })
}

/// Of each slot, the tasks that are there and have begun; where none has, the last attempt before: what fails
/// again and again is between two attempts most of the time.
fn with_output(rows: Vec<TaskRow>) -> Vec<TaskRow> {
    let mut chosen: Vec<TaskRow> = Vec::new();
    let begun = rows.into_iter().filter(|row| row.status.as_ref().is_some_and(has_begun));
    let (past, present): (Vec<_>, Vec<_>) = begun.partition(|row| row.history);
    chosen.extend(present);
    let mut past = past;
    past.sort_by_key(|row| Reverse(row.status.as_ref().map(|status| status.since)));
    for row in past {
        if chosen.iter().all(|other| other.slot != row.slot) {
            chosen.push(row);
        }
    }
    chosen
}

/// Output of a task of this node, for the agent of another.
pub(super) async fn peer_logs(
    State(handle): State<Handle>,
    Sent(request): Sent<LogRequest>,
) -> Result<Response, Failure> {
    let me = handle.ask(|core, _| core.me()).await?;
    Ok(as_json(handle.shared.logs.lines(me, request)))
}

fn as_json(lines: impl Stream<Item = Result<LogLine, String>> + Send + 'static) -> Response {
    let body = lines.map(|line| match line {
        Ok(line) => serde_json::to_vec(&line).map_err(std::io::Error::other).map(|mut json| {
            json.push(b'\n');
            Bytes::from(json)
        }),
        Err(message) => Err(std::io::Error::other(message)),
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}
