//! An agent that is stopping, for tests of what its doors answer without it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Handle, Lines, LogRequest, LogSource, Shared};

struct NoLogs;

impl LogSource for NoLogs {
    fn lines(&self, _: sleep_wire::NodeId, _: LogRequest) -> Lines {
        Box::pin(futures_util::stream::empty())
    }
}

/// A handle onto a loop that has ended: what it is asked is answered 503.
pub(super) fn stopping() -> Handle {
    let shared = Shared {
        addresses: Box::new(Vec::new),
        alarms: Box::new(Vec::new),
        journal: Box::new(|_| Vec::new()),
        metrics: Box::new(String::new),
        logs: Arc::new(NoLogs),
    };
    Handle::new(mpsc::channel(1).0, watch::channel(0).1, shared)
}
