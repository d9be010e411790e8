//! A task's output, as it is read: line by line, with the moment at which the runtime had it.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use sleep_wire::WallTime;
use sleep_wire::engine::EngineError;

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// So many of the last ones; `None` for all.
    pub tail: Option<u32>,
    /// Whether to go on as new ones are written.
    pub follow: bool,
    /// None older than this.
    pub since: Option<WallTime>,
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output, or a terminal.
    Out,
    /// Standard error.
    Err,
}

/// One line of output, or one piece of a line too long to keep whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written.
    pub stream: LogStream,
    /// When the runtime had it, if it says.
    pub at: Option<WallTime>,
    /// What was written, without the newline: any bytes, escape sequences included.
    pub bytes: Bytes,
}

/// Lines as they come. An error ends it.
pub type Logs = Pin<Box<dyn Stream<Item = Result<LogLine, EngineError>> + Send>>;
