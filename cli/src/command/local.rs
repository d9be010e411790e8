//! Commands that need no cluster.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use sleep_wire::api::Status;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::UnixStream;

use crate::args::{Cli, Format, Global};
use crate::client::{Client, DEFAULT_SOCKET, Host};
use crate::error::Error;
use crate::output::{Output, json, pairs};

pub(super) fn man(output: &Output) -> Result<(), Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::definition())
        .render(&mut page)
        .map_err(|error| Error::internal("the manual page", &error))?;
    output.raw(&page)
}

/// The client's version, and the agent's if there is one to ask.
pub(super) async fn version(output: &Output, global: &Global) -> Result<(), Error> {
    let client = env!("CARGO_PKG_VERSION").to_owned();
    let asked = async { Client::connect(global).await?.get::<Status>("/v1/status").await }.await;
    let agent = asked.as_ref().ok().map(|status| status.version.clone());
    match output.format {
        Format::Json => output.json(&json::Versions { client, agent })?,
        Format::Name => output.line(&client)?,
        Format::Table | Format::Wide => {
            let mut versions = vec![("client", client)];
            versions.extend(agent.map(|agent| ("agent", agent)));
            output.line(&pairs(&versions))?;
        }
    }
    asked.map(|_| ())
}

/// Connects standard input and output to the agent's socket: the far end of an `ssh://` host.
pub(super) async fn dial_stdio(socket: Option<PathBuf>) -> Result<(), Error> {
    let path = socket.unwrap_or_else(|| Path::new(DEFAULT_SOCKET).to_owned());
    let host = Host::Unix(path.clone());
    let stream = UnixStream::connect(&path).await.map_err(|error| Error::socket(&host, &error))?;
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(|fd| File::from_std(fd.into()));
    let here = |error: io::Error| Error::internal("standard input and output", &error);
    let mut stdin = own(io::stdin().as_fd()).map_err(here)?;
    let mut stdout = own(io::stdout().as_fd()).map_err(here)?;
    let (mut from_agent, mut to_agent) = stream.into_split();
    let sent = async {
        copy(&mut stdin, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let received = async {
        copy(&mut from_agent, &mut stdout).await?;
        stdout.flush().await
    };
    tokio::pin!(sent);
    tokio::pin!(received);
    let mut sending = true;
    loop {
        // The agent has the last word: what it does not answer any more, nobody waits for.
        tokio::select! {
            done = &mut received => return done.map_err(|error| Error::lost(&host, &error)),
            done = &mut sent, if sending => {
                sending = false;
                done.map_err(|error| Error::lost(&host, &error))?;
            }
        }
    }
}
