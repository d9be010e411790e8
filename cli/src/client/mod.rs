//! The way to an agent: which hosts, over what, and HTTP on top.

pub mod host;
pub mod path;
pub mod ssh;
pub mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sleep_wire::CommandId;
use sleep_wire::api::{Code, Problem};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

pub use host::{DEFAULT_SOCKET, Host};
pub use path::{list, path};
use ssh::Shared;
pub use stream::default_key;
use stream::{Connector, Duplex};

use crate::args::Global;
use crate::error::Error;

/// How long it may take until one of the hosts has shown that it answers at all.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// How long an agent that answers may take to begin this answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Whoever waits for the work no longer than this still lets an agent speak.
const AT_LEAST: Duration = Duration::from_secs(1);

/// How long a stream of events may be silent: agents say every 15 s that they are there.
const SILENT_FOR: Duration = Duration::from_secs(50);

/// The longest answer that is read as a whole, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// How long what was cut off is sent again, to whoever answers, from the moment at which that was noticed.
const AGAIN_FOR: Duration = Duration::from_secs(5);

/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The same where one of the hosts is reached through ssh: each try may be a login.
const LOG_IN_AFTER: Duration = Duration::from_secs(2);

/// An agent, as far as it can be reached.
pub struct Client {
    hosts: Vec<Host>,
    key: Option<PathBuf>,
    connector: Mutex<Arc<Connector>>,
    /// A connection that nobody uses just now.
    idle: Mutex<Option<Sender>>,
    ssh: Arc<Shared>,
    /// How long the work may take.
    patience: Duration,
}

/// The near end of a connection.
type Sender = SendRequest<Full<Bytes>>;

/// A body that is read as it comes.
pub struct Lines {
    body: Incoming,
    held: Vec<u8>,
    last_id: String,
}

/// What is sent, as often as need be.
struct Sent<'a> {
    method: Method,
    path: &'a str,
    command: Option<CommandId>,
    body: Bytes,
    /// The id of the last event that was heard, of a stream that is resumed.
    heard: &'a str,
    /// Whether the answer may take as long as whoever waits for it is willing to.
    at_length: bool,
}

impl<'a> Sent<'a> {
    const fn asking(path: &'a str) -> Self {
        Self { method: Method::GET, path, command: None, body: Bytes::new(), heard: "", at_length: false }
    }

    fn telling(method: Method, path: &'a str, body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { method, body: written(body)?, ..Self::asking(path) })
    }
}

impl Client {
    /// Finds the first of the hosts that answers.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if none does, [`Error::Usage`] if one is not a host.
    pub async fn connect(global: &Global) -> Result<Self, Error> {
        let (hosts, key) = (Host::all(&global.hosts())?, global.key());
        let ssh = Arc::<Shared>::default();
        let patience = global.timeout.max(AT_LEAST);
        let (connector, idle) = Connector::first(&hosts, key.as_deref(), &ssh, patience).await?;
        let (connector, idle) = (Mutex::new(Arc::new(connector)), Mutex::new(idle));
        Ok(Self { hosts, key, connector, idle, ssh, patience })
    }

    /// Finds the first of the hosts that answers now.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if none does.
    pub async fn reconnect(&self) -> Result<(), Error> {
        self.idle.lock().await.take();
        let key = self.key.as_deref();
        let (connector, idle) = Connector::first(&self.hosts, key, &self.ssh, self.patience).await?;
        *self.connector.lock().await = Arc::new(connector);
        *self.idle.lock().await = idle;
        Ok(())
    }

    /// Waits before another try: as long as that takes, and longer where it may be a login.
    pub async fn pause(&self, usual: Duration) {
        let logs_in = self.hosts.iter().any(|host| matches!(host, Host::Ssh(..)));
        sleep(if logs_in { usual.max(LOG_IN_AFTER) } else { usual }).await;
    }

    /// Asks, changing nothing.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached, refuses, or answers nonsense.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.again(&Sent::asking(path)).await
    }

    /// The same, of this one agent.
    ///
    /// # Errors
    /// As [`Client::get`], and also if the answer does not come through.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.once(&Sent::asking(path)).await
    }

    /// Has the cluster changed. If the answer does not come through, it is sent again, to whoever answers: by
    /// its name it is still done once.
    ///
    /// # Errors
    /// [`Error`] if no agent can be reached, or it refuses, or answers nonsense.
    pub async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Error::internal("no randomness", &error))?;
        self.again(&Sent { command: Some(CommandId(id)), ..Sent::telling(method, path, body)? }).await
    }

    /// Has this one agent do something, which it may do twice if it is told twice.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached, refuses, or answers nonsense.
    pub async fn tell<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.once(&Sent::telling(method, path, body)?).await
    }

    /// The same of what may take as long as whoever waits for it is willing to.
    ///
    /// # Errors
    /// As [`Client::tell`].
    pub async fn tell_at_length<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.once(&Sent { at_length: true, ..Sent::telling(method, path, body)? }).await
    }

    /// Reads an answer line by line, as it is written.
    ///
    /// # Errors
    /// [`Error`] if the agent cannot be reached or refuses.
    pub async fn lines(&self, path: &str) -> Result<Lines, Error> {
        self.resume(path, "").await
    }

    /// Reads events that differ from the last that was heard, through whatever agent.
    ///
    /// # Errors
    /// As [`Client::lines`].
    pub async fn resume(&self, path: &str, heard: &str) -> Result<Lines, Error> {
        let sent = Sent { heard, ..Sent::asking(path) };
        let (response, _) = self.send(&sent).await?;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), held: Vec::new(), last_id: heard.to_owned() });
        }
        Err(problem(response).await)
    }

    async fn again<T: DeserializeOwned>(&self, sent: &Sent<'_>) -> Result<T, Error> {
        let mut answer = self.once(sent).await;
        let (deadline, mut told) = (Instant::now() + AGAIN_FOR, None);
        loop {
            let error = match answer {
                Err(error) if error.is_passing() => error,
                other => return other,
            };
            // What an agent may have carried out is not undone by what is heard after that.
            let error = match told.take() {
                Some(lost @ Error::Lost { .. }) if sent.command.is_some() => lost,
                Some(_) | None => error,
            };
            if Instant::now() > deadline {
                return Err(error);
            }
            told = Some(error);
            self.pause(AGAIN_AFTER).await;
            // Nobody is asked who was not reached: over ssh that would be another login.
            answer = match self.reconnect().await {
                Ok(()) => self.once(sent).await,
                Err(gone) => Err(gone),
            };
        }
    }

    async fn once<T: DeserializeOwned>(&self, sent: &Sent<'_>) -> Result<T, Error> {
        let (response, sender) = self.send(sent).await?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        let bytes = read(response).await?;
        *self.idle.lock().await = Some(sender);
        serde_json::from_slice(&bytes).map_err(|error| Error::nonsense(&error.to_string()))
    }

    async fn send(&self, sent: &Sent<'_>) -> Result<(Response<Incoming>, Sender), Error> {
        let connector = self.connector.lock().await.clone();
        let mut sender = self.sender(&connector).await?;
        let mut request = Request::builder()
            .method(&sent.method)
            .uri(sent.path)
            .header(header::HOST, "sleepd")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(command) = sent.command {
            request = request.header("idempotency-key", command.to_string());
        }
        if !sent.heard.is_empty() {
            request = request.header("last-event-id", sent.heard);
        }
        let body = Full::new(sent.body.clone());
        let request = request.body(body).map_err(|error| Error::internal("a request", &error))?;
        let within = if sent.at_length { self.patience } else { self.patience.min(ANSWER_WITHIN) };
        match timeout(within, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok((response, sender)),
            Ok(Err(error)) => Err(Error::lost(connector.host(), &error)),
            // It was to take no longer, and that is all that is known.
            Err(_) if sent.at_length => Err(Error::timed_out(within, "sleepctl cluster status")),
            Err(_) => Err(Error::silent(connector.host(), within)),
        }
    }

    /// The connection that nobody uses, or a new one.
    async fn sender(&self, connector: &Connector) -> Result<Sender, Error> {
        if let Some(mut idle) = self.idle.lock().await.take()
            && idle.ready().await.is_ok()
        {
            return Ok(idle);
        }
        let stream = connector.open().await?;
        talk(stream).await.map_err(|error| Error::lost(connector.host(), &error))
    }
}

/// HTTP on a stream. It ends with its near end.
async fn talk(stream: impl Duplex + 'static) -> hyper::Result<Sender> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn written(body: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| Error::internal("a request", &error))
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

    /// The id of the last event; empty if there was none, or it had none.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The next server-sent event's data; `None` after the last.
    ///
    /// # Errors
    /// As [`Lines::next`], or if the event is not the JSON expected, or the agent fell silent.
    pub async fn event<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            let silent = |_| Error::cut(&format!("it said nothing for {} s", SILENT_FOR.as_secs()));
            let Some(line) = timeout(SILENT_FOR, self.next()).await.map_err(silent)?? else {
                return Ok(None);
            };
            if let Some(id) = line.strip_prefix("id:") {
                id.trim().clone_into(&mut self.last_id);
            }
            if let Some(data) = line.strip_prefix("data:") {
                return serde_json::from_str(data.trim()).map(Some).map_err(|_| Error::nonsense("an event"));
            }
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let collected = body.collect().await.map_err(|error| Error::cut(error.as_ref()))?;
    Ok(collected.to_bytes())
}

async fn problem(response: Response<Incoming>) -> Error {
    let status = response.status();
    match read(response).await {
        Ok(bytes) => {
            Error::Refused(Box::new(serde_json::from_slice(&bytes).unwrap_or_else(|_| unknown(status))))
        }
        Err(error) => error,
    }
}

fn unknown(status: StatusCode) -> Problem {
    Problem::new(Code::Unknown, status.as_u16(), format!("the agent answered {status}"))
}
