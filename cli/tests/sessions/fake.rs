//! An agent that answers what a test tells it to, on a unix socket of its own.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// What a client asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// `PUT /v1/scale`, its query included.
    pub(crate) line: String,
    /// The command's own name; empty if it has none.
    pub(crate) key: String,
    /// The id of the last event that it had heard; empty if none.
    pub(crate) heard: String,
    /// The body; null if there was none.
    pub(crate) body: Value,
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// JSON.
    Json(Value),
    /// A problem.
    Problem(u16, Value),
    /// Server-sent events, after which the stream stays open.
    Events(Vec<Value>),
    /// Server-sent events, after which it ends.
    Ending(Vec<Value>),
    /// One JSON value a line.
    Lines(Vec<Value>),
    /// The same, after which the stream stays open.
    Open(Vec<Value>),
    /// Nothing: the line goes dead.
    HangUp,
    /// Nothing, and the line stays open.
    Silence,
}

/// The agent; it ends with its test.
pub(crate) struct Agent {
    socket: PathBuf,
    asked: Arc<Log>,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

/// What was asked so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Asked>>,
    more: Condvar,
}

type Body = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

impl Agent {
    /// Starts one that answers by `script`.
    pub(crate) fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("agent.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket).expect("a socket")
        };
        let asked = Arc::<Log>::default();
        runtime.spawn(serve(listener, Arc::new(script), asked.clone()));
        Self { socket, asked, runtime: Some(runtime), _folder: folder }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lines.lock().expect("no test panics while it asks").clone()
    }

    /// Waits until it was asked something that begins like this.
    pub(crate) fn wait_until_asked(&self, beginning: &str) {
        let lines = self.asked.lines.lock().expect("no test panics while it asks");
        let missing = |lines: &mut Vec<Asked>| !lines.iter().any(|asked| asked.line.starts_with(beginning));
        drop(self.asked.more.wait_while(lines, missing).expect("no test panics while it asks"));
    }

    /// What it was asked to change so far, as `METHOD PATH BODY`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let asked = self.asked();
        let changes = asked.iter().filter(|asked| !asked.line.starts_with("GET "));
        changes.map(|asked| format!("{} {}", asked.line, asked.body)).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(
    listener: UnixListener,
    script: Arc<impl Fn(&Asked) -> Answer + Send + Sync + 'static>,
    log: Arc<Log>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (script, log) = (script.clone(), log.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (script, log) = (script.clone(), log.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                // Whether anybody is there at all is no question to a script.
                if line == "GET /healthz" {
                    return respond(Answer::Json(Value::Null)).ok_or("no answer");
                }
                let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
                let key = key.unwrap_or_default().to_owned();
                let heard = request.headers().get("last-event-id").and_then(|heard| heard.to_str().ok());
                let heard = heard.unwrap_or_default().to_owned();
                let body = request.into_body().collect().await.expect("a whole request").to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let asked = Asked { line, key, heard, body };
                log.lines.lock().expect("no test panics while it asks").push(asked.clone());
                log.more.notify_all();
                // An error of the service is the end of the connection.
                let answer = script(&asked);
                if matches!(answer, Answer::Silence) {
                    std::future::pending::<()>().await;
                }
                respond(answer).ok_or("no answer")
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn respond(answer: Answer) -> Option<Response<Body>> {
    let (status, kind, parts, stays) = match answer {
        Answer::Json(value) => (200, "application/json", vec![value.to_string()], false),
        Answer::Problem(status, value) => {
            (status, "application/problem+json", vec![value.to_string()], false)
        }
        Answer::HangUp | Answer::Silence => return None,
        Answer::Events(events) => (200, "text/event-stream", told(&events), true),
        Answer::Ending(events) => (200, "text/event-stream", told(&events), false),
        Answer::Lines(lines) => (200, "application/x-ndjson", each_a_line(&lines), false),
        Answer::Open(lines) => (200, "application/x-ndjson", each_a_line(&lines), true),
    };
    let frames = stream::iter(parts).map(|part| Ok(Frame::data(Bytes::from(part))));
    let frames = if stays { frames.chain(stream::pending()).boxed() } else { frames.boxed() };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    Some(response.body(StreamBody::new(frames)).expect("a response"))
}

fn each_a_line(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// Events, named `e1` and so on.
fn told(values: &[Value]) -> Vec<String> {
    (1..).zip(values).map(|(number, value)| format!("id: e{number}\ndata: {value}\n\n")).collect()
}

/// A problem that changed nothing.
pub(crate) fn problem(status: u16, code: &str, title: &str) -> Answer {
    Answer::Problem(status, json!({"code": code, "status": status, "title": title, "changed": false}))
}

/// What an agent says of itself that sees `seen` of `nodes`.
pub(crate) fn status(seen: u32, nodes: u32) -> Value {
    json!({
        "node": "n1aaaaaaaaaaaaaaaaaaaaaaaa", "name": "pi-1", "version": "0.1.0",
        "cluster": "c1aaaaaaaaaaaaaaaaaaaaaaaa", "role": "control",
        "leader": {"id": "n2bbbbbbbbbbbbbbbbbbbbbbbb", "name": "pi-2", "term": 7, "fresh": true},
        "nodes": nodes, "seen": seen,
        "voters": [
            {"id": "n1aaaaaaaaaaaaaaaaaaaaaaaa", "name": "pi-1", "weight": 1},
            {"id": "n2bbbbbbbbbbbbbbbbbbbbbbbb", "name": "pi-2", "weight": 1},
            {"id": "n3cccccccccccccccccccccccc", "name": "pi-3", "weight": 1},
        ],
        "services": 2, "running": 9, "desired": 9, "alarms": [],
        "addresses": ["192.168.1.11:7533"], "seen_from": "pi-1",
    })
}

/// A node.
pub(crate) fn node(number: u32, status: &str, availability: &str, role: &str, leader: bool) -> Value {
    let letter = char::from_digit(number + 9, 36).expect("few nodes");
    json!({
        "id": format!("n{number}{}", String::from(letter).repeat(24)), "name": format!("pi-{number}"),
        "status": status, "availability": availability, "role": role, "leader": leader, "version": "0.1.0",
        "addresses": [format!("192.168.1.1{number}:7533")], "self": number == 1,
        "runtimes": [
            {"runtime": "docker", "version": "28.1", "ill": if status == "ill" { "no answer" } else { "" }},
            {"runtime": "process", "version": "", "ill": ""},
        ],
    })
}

/// A node, in detail.
pub(crate) fn node_detail(number: u32, role: &str, labels: &Value) -> Value {
    json!({
        "node": node(number, "ready", "active", role, number == 1), "labels": labels, "architecture": "",
        "os": "", "cpu_milli": 0, "memory": 0, "wall_clock_off_ms": null, "running": 1,
    })
}

/// An operator.
pub(crate) fn operator(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "created_at": "2001-01-02T12:00:00Z", "creator": "pi-1"})
}

/// A service.
pub(crate) fn service(name: &str, running: u32, desired: u32, image: &str, ports: &[&str]) -> Value {
    json!({
        "id": format!("s-{name}-zzzzzzzzzzzzzzzzzz"), "name": name, "mode": "replicated", "desired": desired,
        "running": running, "image": image, "ports": ports, "revision": "r1qqqqqqqqqqqqqqqqqqqqqqqq",
    })
}

/// A task, in its state for so many seconds.
pub(crate) fn task(service: &str, slot: u32, node: &str, state: &str, seconds: i64) -> Value {
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_millis(seconds * 1000 + 300);
    json!({
        "id": format!("t{slot}{state}"), "service": service, "slot": slot.to_string(),
        "name": format!("{service}.{slot}"), "node": node, "image": "busybox:1.36",
        "desired": if state == "running" { "running" } else { "stopped" }, "state": state,
        "since": since.to_string(), "error": "", "started_at": "2026-01-02T03:04:05.678Z", "exit_code": null,
        "container": format!("c{slot}0123456789abcdef"), "ports": [], "history": false, "last_lines": [],
    })
}

/// How far one service is, each slot as `(node, state, settled)`.
pub(crate) fn progress(name: &str, desired: u32, slots: &[(&str, &str, bool)]) -> Value {
    let settled = slots.iter().filter(|slot| slot.2).count();
    let slots: Vec<Value> = (1..)
        .zip(slots)
        .map(|(number, (node, state, settled))| {
            json!({
                "name": format!("{name}.{number}"), "node": node, "state": state, "message": "",
                "refusals": [], "settled": settled,
            })
        })
        .collect();
    json!({
        "id": format!("s-{name}-zzzzzzzzzzzzzzzzzz"), "name": name, "removed": false, "desired": desired,
        "settled": settled, "slots": slots, "ending": 0, "waiting_for_down": [], "update": "",
        "converged": settled == desired as usize,
    })
}

/// How far some services are.
pub(crate) fn snapshot(services: &[Value], nodes: &[Value]) -> Value {
    let converged = services.iter().chain(nodes).all(|part| part["converged"] == true);
    json!({"services": services, "nodes": nodes, "converged": converged, "stuck": false})
}
