//! The output of tasks, from the driver that runs them.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use sleep_drivers::{Drivers, LogOptions, LogStream};
use sleep_wire::NodeId;
use sleep_wire::api::LogLine;
use tokio::sync::RwLock;

use crate::api::{Lines, LogRequest, LogSource};

/// Reads from this host's drivers.
#[derive(Clone, Default)]
pub(crate) struct LocalLogs {
    here: Arc<Here>,
}

/// This node, and what runs its tasks, once that is known.
type Here = RwLock<Option<(NodeId, Arc<Drivers>)>>;

impl LocalLogs {
    /// From now on these are the drivers, and this is the node.
    pub(crate) async fn use_drivers(&self, node: NodeId, drivers: Arc<Drivers>) {
        *self.here.write().await = Some((node, drivers));
    }
}

impl LogSource for LocalLogs {
    fn lines(&self, request: LogRequest) -> Lines {
        let here = self.here.clone();
        Box::pin(async move { read(&here, request).await }.flatten_stream())
    }
}

async fn read(here: &Here, request: LogRequest) -> Lines {
    let (node, drivers) = match &*here.read().await {
        Some((node, drivers)) => (*node, drivers.clone()),
        None => return refused("the agent is not ready"),
    };
    if node != request.node {
        let message = format!("{}: its output is on {}; ask there", request.task, request.node_name);
        return refused(&message);
    }
    let options = LogOptions { tail: request.tail, follow: request.follow, since: None };
    let opened = drivers.logs(request.runtime, request.task_id, &request.container, options).await;
    match opened {
        Ok(lines) => Box::pin(lines.map(move |line| {
            let line = line.map_err(|error| format!("{error:?}"))?;
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
        })),
        Err(error) => refused(&format!("{}: {error:?}", request.task)),
    }
}

fn refused(message: &str) -> Lines {
    let message = message.to_owned();
    Box::pin(stream::once(async move { Err(message) }))
}
