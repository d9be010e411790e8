//! The way to an agent: which hosts, over what, and HTTP on top.

mod host;
mod stream;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sleep_wire::CommandId;
use sleep_wire::api::{Code, Problem};

pub use host::{DEFAULT_SOCKET, Host};
use stream::Connector;

use crate::args::Global;
use crate::error::Error;

/// How long an agent may take to begin its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The longest answer that is read as a whole, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// An agent, as far as it can be reached.
pub struct Client {
    connector: Connector,
}

/// A body that is read as it comes.
pub struct Lines {
    body: Incoming,
    held: Vec<u8>,
}

impl Client {
    /// Finds the first of the hosts that answers.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if none does, [`Error::Usage`] if one is not a host.
    pub async fn connect(global: &Global) -> Result<Self, Error> {
        let hosts = Host::all(&global.hosts)?;
        let connector = Connector::first(&hosts, global.operator_key.as_deref()).await?;
        Ok(Self { connector })
    }

    /// Which host answered, as typed.
    pub fn host(&self) -> String {
        self.connector.host().to_string()
    }

    /// Asks, changing nothing.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached, refuses, or answers nonsense.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let response = self.send(Method::GET, path, None, Bytes::new()).await?;
        whole(response).await
    }

    /// Has something changed. Sent anew over another connection, it is still done once.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached, refuses, or answers nonsense.
    pub async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Error::internal("no randomness", &error))?;
        let body = serde_json::to_vec(body).map_err(|error| Error::internal("a request", &error))?;
        let response = self.send(method, path, Some(CommandId(id)), Bytes::from(body)).await?;
        whole(response).await
    }

    /// Reads an answer line by line, as it is written.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached or refuses.
    pub async fn lines(&self, path: &str) -> Result<Lines, Error> {
        let response = self.send(Method::GET, path, None, Bytes::new()).await?;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), held: Vec::new() });
        }
        Err(problem(response).await)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        command: Option<CommandId>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let stream = self.connector.open().await?;
        let lost = |error: hyper::Error| Error::lost(self.connector.host(), &error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "sleepd")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(command) = command {
            request = request.header("idempotency-key", command.to_string());
        }
        let request = request.body(Full::new(body)).map_err(|error| Error::internal("a request", &error))?;
        match tokio::time::timeout(ANSWER_WITHIN, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(lost),
            Err(_) => Err(Error::silent(self.connector.host(), ANSWER_WITHIN)),
        }
    }
}

impl Lines {
    /// The next line, without its end; `None` after the last.
    ///
    /// # Errors
    /// [`Error`] if the agent went away, or the line has no end.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.held.len() > MAX_ANSWER {
                return Err(Error::nonsense("a line without an end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.held.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Error::cut(&error)),
                None if self.held.is_empty() => return Ok(None),
                None => self.held.push(b'\n'),
            }
        }
    }

    /// The next server-sent event's data; `None` after the last.
    ///
    /// # Errors
    /// As [`Lines::next`], or if the event is not the JSON expected.
    pub async fn event<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        while let Some(line) = self.next().await? {
            if let Some(data) = line.strip_prefix("data:") {
                return serde_json::from_str(data.trim_start()).map(Some).map_err(|_| Error::nonsense("an event"));
            }
        }
        Ok(None)
    }
}

async fn whole<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, Error> {
    if !response.status().is_success() {
        return Err(problem(response).await);
    }
    let bytes = read(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::nonsense(&error.to_string()))
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let collected = body.collect().await.map_err(|error| Error::cut(error.as_ref()))?;
    Ok(collected.to_bytes())
}

async fn problem(response: Response<Incoming>) -> Error {
    let status = response.status();
    match read(response).await {
        Ok(bytes) => Error::Refused(Box::new(serde_json::from_slice(&bytes).unwrap_or_else(|_| unknown(status)))),
        Err(error) => error,
    }
}

fn unknown(status: StatusCode) -> Problem {
    Problem::new(Code::Unknown, status.as_u16(), format!("the agent answered {status}"))
}
