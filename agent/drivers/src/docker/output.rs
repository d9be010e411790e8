//! A container's output.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::{StreamExt, future};
use sleep_wire::engine::EngineError;
use sleep_wire::task::TaskId;

use super::{Inner, error, stop};
use crate::logs::{LogLine, LogOptions, LogStream, Logs};
use crate::text;

/// The output of a task's container.
pub(crate) async fn logs(
    inner: &Inner,
    task: TaskId,
    container: &str,
    options: LogOptions,
) -> Result<Logs, EngineError> {
    stop::owned(inner, task, container).await?;
    let client = inner.engine.link()?.client;
    // The engine takes whole seconds; what is older within that second is left out below.
    let since = options.since.map_or(0, |since| i32::try_from(since.0 / 1000).unwrap_or(i32::MAX));
    let asked = LogsOptions {
        follow: options.follow,
        stdout: true,
        stderr: true,
        since,
        timestamps: true,
        tail: options.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()),
        ..LogsOptions::default()
    };
    let lines = client.logs(container, Some(asked)).map(|piece| match piece {
        Ok(piece) => Ok(line(piece)),
        Err(error) => Err(error::read("logs", &error)),
    });
    let recent = move |line: &Result<LogLine, EngineError>| match (line, options.since) {
        (Ok(LogLine { at: Some(at), .. }), Some(since)) => *at >= since,
        (Ok(_) | Err(_), _) => true,
    };
    let lines = lines.filter(move |line| future::ready(recent(line)));
    // After an error there is nothing more to come.
    let ended = lines.scan(false, |over, line| {
        let item = (!*over).then_some(line);
        *over = item.as_ref().is_some_and(Result::is_err);
        future::ready(item)
    });
    Ok(Box::pin(StreamExt::fuse(ended)))
}

/// A piece of output begins with the moment at which the engine had it, and a space.
pub(crate) fn line(piece: LogOutput) -> LogLine {
    let stream = match piece {
        LogOutput::StdErr { .. } => LogStream::Err,
        LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => LogStream::Out,
    };
    let mut bytes = piece.into_bytes();
    let space = bytes.iter().take(40).position(|byte| *byte == b' ');
    let stamp = space.and_then(|space| text::wall_time(std::str::from_utf8(&bytes[..space]).ok()?));
    if let (Some(space), Some(_)) = (space, stamp) {
        bytes = bytes.slice(space + 1..);
    }
    let end = bytes.len() - usize::from(bytes.ends_with(b"\n"));
    LogLine { stream, at: stamp, bytes: bytes.slice(..end) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sleep_wire::WallTime;

    use super::*;

    #[test]
    fn a_piece_is_a_moment_and_a_line() {
        let out = |message: &'static str| {
            line(LogOutput::StdOut { message: Bytes::from_static(message.as_bytes()) })
        };
        let expected = |at: Option<i64>, text: &'static str| LogLine {
            stream: LogStream::Out,
            at: at.map(WallTime),
            bytes: Bytes::from_static(text.as_bytes()),
        };
        assert_eq!(out("1970-01-01T00:00:01.000000000Z a b\n"), expected(Some(1_000), "a b"));
        assert_eq!(out("1970-01-01T00:00:01Z \n"), expected(Some(1_000), ""));
        assert_eq!(out("no moment here"), expected(None, "no moment here"));
        let error = line(LogOutput::StdErr { message: Bytes::from_static(b"1970-01-01T00:00:01Z x") });
        assert_eq!((error.stream, error.bytes.as_ref()), (LogStream::Err, b"x".as_slice()));
    }
}
