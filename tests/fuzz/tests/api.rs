//! Requests of anybody, to the API of an agent whose core is a real one.
//!
//! An input is a few requests: a line with method and target, then the body; `%` on a line of its own stands
//! between two. Whatever is asked is answered: with what was asked for, or with a problem that says so
//! itself, and never with a failure of the agent's own.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use sleep_core::io::{Alarm, Event, Input, Output, Refusal, Reply, Ticket};
use sleep_core::node::{Node, Setup, Tuning};
use sleep_core::{Instant, Now};
use sleep_fuzz::kept::texts;
use sleep_fuzz::target;
use sleep_wire::api::Problem;
use sleep_wire::durable::Stored;
use sleep_wire::message::PROTOCOL;
use sleep_wire::node::NodeFacts;
use sleep_wire::spec::Runtime;
use sleep_wire::{NodeId, RELEASE, WallTime};
use sleepd::agent::Core;
use sleepd::api::{Ask, Handle, Lines, LogRequest, LogSource, Shared, router};
use sleepd::crypto::Keys;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

/// The most requests of one input.
const REQUESTS: usize = 6;

/// The longest answer.
const ANSWER: usize = 4 << 20;

/// A core waits for something at most so often before it answers.
const PATIENCE: usize = 200;

struct NoLogs;

impl LogSource for NoLogs {
    fn lines(&self, _: NodeId, _: LogRequest) -> Lines {
        Box::pin(futures_util::stream::empty())
    }
}

/// An agent: its core, the door in front of it, and what goes between them.
struct Agent {
    core: Core,
    now: u64,
    wake: Option<Instant>,
    asks: mpsc::Receiver<Ask>,
    door: Router,
}

impl Agent {
    /// One that has founded a cluster.
    fn new() -> Self {
        let facts = NodeFacts {
            name: "pi-1".to_owned(),
            addresses: Vec::new(),
            release: RELEASE.to_owned(),
            protocol: PROTOCOL,
            architecture: "x86_64".to_owned(),
            os: "linux".to_owned(),
            cpu_milli: 4_000,
            memory: 8 << 30,
            runtimes: Vec::new(),
            labels: Vec::new(),
            wall: WallTime::default(),
            at_ms: 0,
        };
        let core = Node::new(Setup {
            crypto: Keys::from_seed(&[7; 32]),
            facts,
            runtimes: vec![Runtime::Docker],
            stored: Stored::default(),
            host_rebooted: false,
            seed: 7,
            tuning: Tuning::default(),
        });
        let shared = Shared {
            addresses: Box::new(|| vec!["192.168.1.2:7533".to_owned()]),
            alarms: Box::new(Vec::new),
            journal: Box::new(|_| Vec::new()),
            metrics: Box::new(String::new),
            logs: Arc::new(NoLogs),
        };
        let (ask, asks) = mpsc::channel(8);
        let door = router(Handle::new(ask, watch::channel(0).1, shared));
        let mut agent = Self { core, now: 1_000_000, wake: None, asks, door };
        agent.settle(Ticket(0));
        agent
    }

    const fn now(&self) -> Now {
        Now { instant: Instant(self.now), wall: WallTime(1_767_225_600_000 + (self.now / 1_000) as i64) }
    }

    /// Hands an input to the core.
    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.core.handle(now, input);
    }

    /// Does what the core wants until it has nothing more to do; the answer to `ticket`, if it came.
    fn settle(&mut self, ticket: Ticket) -> Option<Result<Reply, Refusal>> {
        let mut answer = None;
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Persist { token, .. } => self.handle(Input::Durable { token, outcome: Ok(()) }),
                Output::AskDoor { ticket, .. } => {
                    self.handle(Input::JoinAnswered { ticket, answer: Err("nobody is there".to_owned()) });
                }
                Output::Reply { ticket: whose, reply } if whose == ticket => answer = Some(reply),
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Event(Event::Alarm(Alarm::Internal(how))) => panic!("{how}"),
                _ => {}
            }
        }
        answer
    }

    fn serve(&mut self, ask: Ask) {
        match ask {
            Ask::Question(question) => question(&self.core, self.now()),
            Ask::Command(command, answered) => {
                let ticket = Ticket(self.now);
                self.handle(Input::Command { ticket, command });
                let mut answer = self.settle(ticket);
                for _ in 0..PATIENCE {
                    if answer.is_some() {
                        break;
                    }
                    self.now = self.wake.map_or(self.now, |at| at.0).max(self.now + 1_000);
                    self.handle(Input::Tick);
                    answer = self.settle(ticket);
                }
                let answer = answer.expect("every command is answered in a while");
                assert!(answered.send(answer).is_ok(), "the door waits for its answer");
            }
        }
        self.now += 1_000_000;
    }

    async fn answer(&mut self, request: Request<Body>) -> Response<Body> {
        let mut answer = std::pin::pin!(self.door.clone().oneshot(request));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.expect("a router answers"),
                ask = self.asks.recv() => self.serve(ask.expect("the door is there")),
            }
        }
    }
}

fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let head = str::from_utf8(lines.next()?).ok()?;
    let (method, target) = head.split_once(' ')?;
    let body = lines.next().unwrap_or_default().to_vec();
    let request = Request::builder().method(method).uri(target);
    request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).ok()
}

fn requests(bytes: &[u8]) -> impl Iterator<Item = Request<Body>> {
    let mut found = vec![Vec::new()];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line == b"%\n" {
            found.push(Vec::new());
        } else if let Some(last) = found.last_mut() {
            last.extend_from_slice(line);
        }
    }
    found.into_iter().filter_map(|bytes| request(&bytes)).take(REQUESTS)
}

/// An answer is what was asked for, or a problem that says what it is.
async fn check(answer: Response<Body>) {
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
    // A watch has no end.
    if kind.as_deref() == Some(b"text/event-stream") {
        return;
    }
    let body = to_bytes(answer.into_body(), ANSWER).await.expect("an answer has an end");
    let text = || String::from_utf8_lossy(&body).into_owned();
    match kind.as_deref() {
        Some(b"application/json") => {
            assert!(status.is_success(), "{status}: {}", text());
            drop(serde_json::from_slice::<serde_json::Value>(&body).expect("it says that it is JSON"));
        }
        Some(b"application/problem+json") => {
            let problem: Problem = serde_json::from_slice(&body).expect("it says that it is a problem");
            assert_eq!(problem.status, status.as_u16());
            assert!(status.is_client_error() || status.as_u16() == 503, "{status}: {}", text());
        }
        Some(_) | None => assert!(status.is_success(), "{status}: {}", text()),
    }
}

fn api(bytes: &[u8]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut agent = Agent::new();
        let init = request(b"POST /v1/cluster/init\n{}").expect("it is a request");
        check(agent.answer(init).await).await;
        for request in requests(bytes) {
            check(agent.answer(request).await).await;
        }
    });
}

const CREATE: &str = r#"{"name":"web","mode":"replicated","replicas":2,"spec":{"template":{
    "runtime":"docker","image":"nginx"},"labels":["a=b"],"update":{"parallelism":1}}}"#;

fn seeds() -> Vec<Vec<u8>> {
    let created = format!("POST /v1/services\n{CREATE}\n%\n");
    let with = |rest: &str| format!("{created}{rest}").into_bytes();
    let mut seeds = texts(&[
        "GET /v1/status\n%\nGET /v1/nodes\n%\nGET /v1/nodes/pi-1\n%\nGET /v1/nodes/pi-1/tasks?all=true",
        "POST /v1/tokens\n{\"role\":\"worker\",\"ttl_ms\":60000,\"single_use\":true}\n%\nGET /v1/tokens",
        "POST /v1/operators\n{\"name\":\"ada\",\"public_key\":\"00\"}\n%\nGET /v1/operators",
        "PUT /v1/nodes/pi-1/availability\n{\"availability\":\"drain\"}",
        "PUT /v1/nodes/pi-1/role\n{\"role\":\"worker\"}\n%\nDELETE /v1/nodes/pi-1?compromised=true",
        "PUT /v1/nodes/pi-1/labels\n{\"labels\":{\"zone\":\"attic\",\"disk\":null}}",
        "POST /v1/cluster/join\n{\"token\":\"sleepd-join-1-0\",\"addresses\":[\"a:7533\"]}",
        "POST /v1/cluster/leave\n{\"force\":true}\n%\nGET /v1/status\n%\nPOST /v1/cluster/init\n{}",
        "GET /v1/watch\n%\nGET /v1/openapi.json\n%\nGET /healthz\n%\nGET /metrics",
    ]);
    seeds.extend([
        with("GET /v1/services\n%\nGET /v1/services/web/tasks\n%\nGET /v1/services/web/history?limit=3"),
        with(
            "GET /v1/why/web.1\n%\nGET /v1/why/web\n%\nGET /v1/why/pi-1\n%\n\
              GET /v1/services/web/logs?tail=3",
        ),
        with(
            "POST /v1/scale\n{\"services\":{\"web\":7}}\n%\nPOST /v1/services/remove\n\
              {\"services\":[\"web\"]}",
        ),
        with(
            "POST /v1/plan\n{\"scale\":{\"services\":{\"web\":9}}}\n%\nPOST /v1/plan\n\
              {\"availability\":{\"nodes\":[\"pi-1\"],\"availability\":\"drain\"}}",
        ),
        format!("POST /v1/plan\n{{\"create\":{CREATE}}}").into_bytes(),
    ]);
    seeds
}

target!(
    /// The whole API.
    http_requests, 400, seeds(), api
);
