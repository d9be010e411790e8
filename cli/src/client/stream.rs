//! One stream to an agent, whatever lies between.

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderValue;
use hyper::{Request, Uri, header};
use sleep_net::ApiClient;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::ssh::Shared;
use super::{ANSWER_WITHIN, FIRST_WITHIN, Host, Sender};
use crate::error::Error;

/// Both ways at once.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens streams to one agent.
pub struct Connector {
    host: Host,
    quic: Option<ApiClient>,
    ssh: Arc<Shared>,
}

impl Connector {
    /// The first of the hosts that answers, and a connection to it that may be used. All but those behind
    /// ssh answer within seconds: each has its share of what is left. A login takes the time that it takes.
    pub(super) async fn first(
        hosts: &[Host],
        key: Option<&Path>,
        ssh: &Arc<Shared>,
        patience: Duration,
    ) -> Result<(Self, Option<Sender>), Error> {
        let (mut deadline, mut tried) = (Instant::now() + patience.min(FIRST_WITHIN), Vec::new());
        for (host, left) in hosts.iter().zip((1..=hosts.len()).rev()) {
            let (began, logs_in) = (Instant::now(), matches!(host, Host::Ssh(..)));
            let shares = u32::try_from(left).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(began) / shares;
            let share = if logs_in { patience.min(ANSWER_WITHIN) } else { share };
            let answers = timeout(share, Self::to(host, key, ssh)).await;
            match answers.unwrap_or_else(|_| Err(Error::host(host, &Error::no_answer(share)))) {
                Ok(reached) => return Ok(reached),
                Err(error @ Error::Unreachable { .. }) => tried.push((host.clone(), error)),
                Err(other) => return Err(other),
            }
            if logs_in {
                deadline += began.elapsed();
            }
        }
        Err(Error::unreachable(tried))
    }

    async fn to(host: &Host, key: Option<&Path>, ssh: &Arc<Shared>) -> Result<(Self, Option<Sender>), Error> {
        let mut idle = None;
        let quic = match host {
            Host::Quic(name) => {
                let seed = operator_seed(key)?;
                let client = ApiClient::connect(&seed, std::slice::from_ref(name), None).await;
                Some(client.map_err(|error| Error::host(host, &error.to_string()))?)
            }
            Host::Unix(path) => {
                // A trial now tells one host of a list from the next; streams are opened a request. The
                // kernel connects to an agent that is stopped, too: only an answer shows that it is not.
                let stream = UnixStream::connect(path).await.map_err(|error| Error::socket(host, &error))?;
                answers(stream).await.map_err(|error| Error::host(host, &error.to_string()))?;
                None
            }
            Host::Ssh(target, socket) => {
                // That ssh runs here says nothing of there. A login is dear: its stream is the one to use.
                let lacking = |error: &dyn Display| Error::host(host, &format!("through ssh: {error}"));
                let through =
                    Through::ssh(ssh, target, socket.as_deref()).map_err(|error| lacking(&error))?;
                idle = Some(answers(through).await.map_err(|error| lacking(&error))?);
                None
            }
        };
        Ok((Self { host: host.clone(), quic, ssh: ssh.clone() }, idle))
    }

    /// Which host that is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// One more stream to it.
    pub async fn open(&self) -> Result<Box<dyn Duplex>, Error> {
        match (&self.host, &self.quic) {
            (Host::Unix(path), _) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.map_err(|error| Error::socket(&self.host, &error))?))
            }
            (Host::Ssh(target, socket), _) => {
                let through = Through::ssh(&self.ssh, target, socket.as_deref());
                Ok(Box::new(through.map_err(|error| Error::host(&self.host, &error.to_string()))?))
            }
            (Host::Quic(_), Some(client)) => {
                let stream = client.open().await;
                Ok(Box::new(stream.map_err(|error| Error::host(&self.host, &error.to_string()))?))
            }
            (Host::Quic(_), None) => Err(Error::host(&self.host, "no connection")),
        }
    }
}

/// Returns once an agent has answered something, whatever it is; the connection may be used again.
async fn answers(stream: impl Duplex + 'static) -> hyper::Result<Sender> {
    let mut sender = super::talk(stream).await?;
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = Uri::from_static("/healthz");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("sleepd"));
    sender.send_request(request).await?.into_body().collect().await?;
    Ok(sender)
}

/// A program's standard input and output.
struct Through {
    /// Ended when this is dropped.
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Through {
    fn ssh(shared: &Shared, target: &str, socket: Option<&Path>) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(shared.options(target)).args(["sleepctl", "dial-stdio"]);
        if let Some(socket) = socket {
            command.arg(socket);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("ssh has no input or output"));
        };
        Ok(Self { _child: child, input, output })
    }
}

impl AsyncRead for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

/// Where an operator's key lies unless told otherwise.
pub fn default_key() -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().map_err(|error| Error::internal("no home folder", &error))?;
    Ok(base.config_dir().join("sleepctl").join("operator.key"))
}

/// Reads an operator's key: 32 bytes in hexadecimal, for its owner's eyes only.
fn operator_seed(key: Option<&Path>) -> Result<[u8; 32], Error> {
    let path = key.map_or_else(default_key, |path| Ok(path.to_owned()))?;
    let trouble = |problem: String| Error::Key { path: path.clone(), problem };
    let mode = fs::metadata(&path).map_err(|error| trouble(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(trouble(format!("others may read it (mode {:o})", mode & 0o777)));
    }
    let text = fs::read_to_string(&path).map_err(|error| trouble(error.to_string()))?;
    crate::key::from_hex(text.trim()).ok_or_else(|| trouble("it is not 64 hexadecimal digits".to_owned()))
}
