//! `sleepctl dev`: a cluster on this machine, its story, and nothing left behind.
//!
//! Whatever ends it — the story, a step that fails, Ctrl-C, a TERM — the end is the same: services are
//! removed, agents are stopped, and what is still there is ended by its own process id.

mod agents;
mod engine;
mod family;
mod story;

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Dev;
use crate::error::Error;
use crate::output::Output;

use agents::Agents;

pub(super) async fn run(output: &Output, dev: &Dev) -> Result<(), Error> {
    let mut stop = Stop::listen().map_err(|error| Error::internal("signals", &error))?;
    let mut agents = Agents::prepare(dev).await?;
    let told = tokio::select! {
        told = story::tell(output, &mut agents, dev) => told,
        () = stop.asked() => Err(Error::Interrupted { watch: String::new() }),
    };
    let told = match told {
        Ok(()) if !dev.exit => {
            let said = story::invite(output, &agents);
            if said.is_ok() {
                stop.asked().await;
            }
            said
        }
        Ok(()) => Ok(()),
        Err(error) => Err(with_logs(error, &agents)),
    };
    let ended = agents.end().await;
    told.and(ended)
}

/// An error that says what the agents said last.
fn with_logs(error: Error, agents: &Agents) -> Error {
    match error {
        Error::Failed { what, mut lines, hint } => {
            lines.extend(agents.last_words());
            Error::Failed { what, lines, hint }
        }
        other => other,
    }
}

/// Somebody wants this program to end.
struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    fn listen() -> io::Result<Self> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
