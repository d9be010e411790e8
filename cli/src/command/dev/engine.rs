//! The machine's container engine, as far as a cluster on this machine must reach past its agents: a plug
//! that is pulled takes a node's containers too, and nothing may be left at the end.
//!
//! # Not here
//! What runs in the containers: the agents see to that, by the same engine.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use sleep_wire::engine::{CLUSTER_LABEL, NODE_LABEL};
use tokio::net::{TcpStream, UnixStream};

use crate::client::path;
use crate::client::stream::Duplex;
use crate::error::Error;

/// Where an engine listens unless told otherwise.
const USUAL: &str = "unix:///var/run/docker.sock";

/// The longest list that is read.
const MAX_ANSWER: usize = 16 << 20;

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    host: String,
}

/// Whose containers.
pub(super) struct Whose<'a> {
    /// Of this cluster.
    pub(super) cluster: &'a str,
    /// Of this node alone.
    pub(super) node: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    state: String,
}

impl Engine {
    /// As `SLEEPD_DOCKER_HOST` or `DOCKER_HOST` says, or the usual one.
    ///
    /// # Errors
    /// [`Error::Failed`] if it does not answer.
    pub(super) async fn find() -> Result<Self, Error> {
        let set = |name| std::env::var(name).ok().filter(|host| !host.is_empty());
        let host = set("SLEEPD_DOCKER_HOST").or_else(|| set("DOCKER_HOST"));
        let host = host.unwrap_or_else(|| USUAL.to_owned());
        // The agents take a bare path too.
        let engine = Self { host: if host.starts_with('/') { format!("unix://{host}") } else { host } };
        engine.ask(Method::GET, "/_ping").await?;
        Ok(engine)
    }

    /// Where it listens, as the agents are told.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Kills what runs, as a power cut does: the containers stay as they ended.
    ///
    /// # Errors
    /// [`Error::Failed`] if the engine refuses.
    pub(super) async fn kill(&self, whose: &Whose<'_>) -> Result<(), Error> {
        for container in self.list(whose).await?.iter().filter(|container| container.state == "running") {
            self.ask(Method::POST, &format!("/containers/{}/kill", container.id)).await?;
        }
        Ok(())
    }

    /// Removes all of them, running or not.
    ///
    /// # Errors
    /// [`Error::Failed`] if the engine refuses.
    pub(super) async fn remove(&self, whose: &Whose<'_>) -> Result<(), Error> {
        for container in self.list(whose).await? {
            self.ask(Method::DELETE, &format!("/containers/{}?force=true&v=true", container.id)).await?;
        }
        Ok(())
    }

    async fn list(&self, whose: &Whose<'_>) -> Result<Vec<Container>, Error> {
        let cluster = format!("{CLUSTER_LABEL}={}", whose.cluster);
        let node = whose.node.map(|node| format!("{NODE_LABEL}={node}"));
        let labels: Vec<String> = std::iter::once(cluster).chain(node).collect();
        let filters = serde_json::json!({ "label": labels }).to_string();
        let filters = path::list([filters.as_str()]);
        let answer = self.ask(Method::GET, &format!("/containers/json?all=true&filters={filters}")).await?;
        serde_json::from_slice(&answer).map_err(|error| self.trouble(&error.to_string()))
    }

    /// What it answers. What is not there any more, or does not run any more, is as it was asked for.
    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, Error> {
        let stream = self.open().await?;
        let lost = |error: hyper::Error| self.trouble(&error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "engine");
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|error| Error::internal("a request", &error))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| self.trouble(&error.to_string()))?.to_bytes();
        match status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(Bytes::new()),
            status if status.is_success() => Ok(body),
            status => Err(self.trouble(&format!("{status}: {}", String::from_utf8_lossy(&body).trim()))),
        }
    }

    async fn open(&self) -> Result<Box<dyn Duplex>, Error> {
        let refused = |error: std::io::Error| self.trouble(&error.to_string());
        match self.host.split_once("://") {
            Some(("unix", path)) => Ok(Box::new(UnixStream::connect(path).await.map_err(refused)?)),
            Some(("tcp" | "http", address)) => {
                Ok(Box::new(TcpStream::connect(address).await.map_err(refused)?))
            }
            Some(_) | None => Err(self.trouble("an engine's address begins with unix:// or tcp://")),
        }
    }

    fn trouble(&self, what: &str) -> Error {
        Error::Failed {
            what: format!("the container engine at {} is of no use", self.host),
            lines: vec![what.to_owned()],
            hint: "sleepctl dev   # plain processes need no engine".to_owned(),
        }
    }
}
