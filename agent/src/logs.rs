//! The output of tasks, wherever they run: from this host's drivers, or from the agent of the host that has
//! them.
//!
//! A peer proves its key like an operator, and is served this one question only: see
//! [`crate::api::peer_router`].

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sleep_drivers::{Drivers, LogOptions, LogStream};
use sleep_net::ApiStream;
use sleep_wire::api::LogLine;
use sleep_wire::engine::EngineError;
use sleep_wire::task::TaskId;
use sleep_wire::{NodeId, PublicKey, decode};

use crate::api::{Lines, LogRequest, LogSource, PEER_LOGS};
use crate::peers::{Peers, Share};

/// Knows where output is.
#[derive(Clone, Default)]
pub(crate) struct TaskLogs {
    known: Arc<RwLock<Known>>,
    connections: Peers,
}

#[derive(Clone, Default)]
struct Known {
    here: Option<(NodeId, Arc<Drivers>)>,
    seed: [u8; 32],
    peers: BTreeMap<NodeId, (PublicKey, Vec<String>)>,
}

impl TaskLogs {
    /// From now on these are the drivers, and this is the node and its key.
    pub(crate) fn begin(&self, node: NodeId, drivers: Arc<Drivers>, seed: [u8; 32]) {
        self.change(|known| *known = Known { here: Some((node, drivers)), seed, peers: BTreeMap::new() });
    }

    /// A member may be found there.
    pub(crate) fn introduce(&self, node: NodeId, key: PublicKey, addresses: Vec<String>) {
        self.change(|known| drop(known.peers.insert(node, (key, addresses))));
    }

    /// It is a member no more.
    pub(crate) fn expel(&self, node: NodeId) {
        self.change(|known| drop(known.peers.remove(&node)));
    }

    /// Whether a key is a member's: then it may ask for output, and for nothing else.
    pub(crate) fn is_peer(&self, key: &PublicKey) -> bool {
        self.look().peers.values().any(|(known, _)| known == key)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn look(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LogSource for TaskLogs {
    fn lines(&self, node: NodeId, request: LogRequest) -> Lines {
        let (known, connections) = (self.look(), self.connections.clone());
        Box::pin(async move { read(known, &connections, node, request).await }.flatten_stream())
    }
}

async fn read(known: Known, connections: &Peers, node: NodeId, request: LogRequest) -> Lines {
    let Some((me, drivers)) = known.here else { return refused(&request, "the agent is not ready") };
    let read = if me == node {
        from_driver(&drivers, &request).await
    } else {
        match known.peers.get(&node) {
            Some((key, addresses)) => {
                let stream = connections.stream(node, &known.seed, *key, addresses).await;
                match stream {
                    Ok((stream, share)) => from_peer(stream, share, &request).await,
                    Err(message) => Err(message),
                }
            }
            None => Err(format!("{} is not known here", request.node_name)),
        }
    };
    read.unwrap_or_else(|message| refused(&request, &message))
}

async fn from_driver(drivers: &Drivers, request: &LogRequest) -> Result<Lines, String> {
    let options = LogOptions { tail: request.tail, follow: request.follow, since: None };
    let task: TaskId = decode(&request.task_id).map_err(|error| error.to_string())?;
    let opened = drivers.logs(request.runtime, task, &request.container, options).await;
    let lines = opened.map_err(|error| in_words(&error))?;
    let request = request.clone();
    Ok(Box::pin(lines.map(move |line| {
        let line = line.map_err(|error| in_words(&error))?;
        let stream = match line.stream {
            LogStream::Out => "stdout",
            LogStream::Err => "stderr",
        };
        Ok(LogLine {
            task: request.task.clone(),
            id: request.id.clone(),
            node: request.node_name.clone(),
            stream: stream.to_owned(),
            at: line.at.map(crate::api::time).unwrap_or_default(),
            line: String::from_utf8_lossy(&line.bytes).into_owned(),
        })
    })))
}

async fn from_peer(stream: ApiStream, share: Share, request: &LogRequest) -> Result<Lines, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let body = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    let asked = Request::post(PEER_LOGS)
        .header("host", "sleepd")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(asked).await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("{} answers {}", request.node_name, answer.status()));
    }
    let reading = Reading { _share: share, body: answer.into_body(), held: BytesMut::new() };
    // Nothing is read after what could not be.
    Ok(Box::pin(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        let line = reading.next().await?;
        let goes_on = line.is_ok().then_some(reading);
        Some((line, goes_on))
    })))
}

/// The longest line that a peer may send, in bytes, with what comes in one piece behind it.
const MAX_LINE: usize = 4 << 20;

/// A peer's answer, line by line; the connection stands as long as it is read.
struct Reading {
    _share: Share,
    body: Incoming,
    held: BytesMut,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<LogLine, String>> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line = self.held.split_to(end + 1);
                return Some(serde_json::from_slice(&line).map_err(|error| error.to_string()));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    let data = frame.data_ref().cloned().unwrap_or_default();
                    if self.held.len() + data.len() > MAX_LINE {
                        return Some(Err(format!("a line of more than {MAX_LINE} bytes")));
                    }
                    self.held.extend_from_slice(&data);
                }
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }
}

pub(crate) fn in_words(error: &EngineError) -> String {
    match error {
        EngineError::TimedOut { call } => format!("the engine did not answer in time ({call})"),
        EngineError::NoSuchContainer => "its container is gone".to_owned(),
        EngineError::NoSuchImage { image } => format!("no image {image}"),
        EngineError::NameTaken { name } => format!("{name} is somebody else's"),
        EngineError::Cancelled => "it was given up before it started".to_owned(),
        EngineError::Unreachable { message }
        | EngineError::PortTaken { message }
        | EngineError::BadCommand { message }
        | EngineError::Other { message } => message.clone(),
    }
}

/// One task's output cannot be read: said as a line of its own, so that the others' is; and what its node
/// told of it when it ended.
fn refused(request: &LogRequest, message: &str) -> Lines {
    let last = request.last_lines.iter();
    let last = last.map(|text| LogLine { stream: "stdout".to_owned(), ..request.line(text.clone()) });
    let told = if request.last_lines.is_empty() {
        format!("(its output cannot be read: {message})")
    } else {
        format!("(these are its last lines; the rest cannot be read: {message})")
    };
    let lines: Vec<_> = last.chain([request.line(told)]).map(Ok).collect();
    Box::pin(stream::iter(lines))
}
