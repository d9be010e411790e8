//! A process's output on disk: a line of output is a line of the file, with its moment and its stream.
//!
//! ```text
//! 1750000000000 o what was written to standard output
//! 1750000000001 e what was written to standard error
//! ```
//! A file that is full becomes `log.1`, and the one before it is gone: two files at most.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sleep_wire::WallTime;

use super::store::Home;
use crate::logs::{LogLine, LogStream};
use crate::text;

/// A file of so many bytes is full.
const FULL: u64 = 4 << 20;
/// A longer line is cut into pieces.
const PIECE: u64 = 16 << 10;

/// Writes the log of one task.
#[derive(Debug)]
pub(crate) struct Writer {
    home: Home,
    file: Mutex<(File, u64)>,
}

impl Writer {
    pub(crate) fn open(home: Home) -> io::Result<Self> {
        let file = open(&home)?;
        let size = file.metadata()?.len();
        Ok(Self { home, file: Mutex::new((file, size)) })
    }

    /// Copies what a process writes, until it writes no more. A disk that is full costs lines, not the
    /// process.
    pub(crate) fn copy(&self, from: impl Read, stream: LogStream) {
        let mut from = BufReader::new(from);
        let mut piece = Vec::new();
        loop {
            piece.clear();
            match from.by_ref().take(PIECE).read_until(b'\n', &mut piece) {
                Ok(0) => return,
                Ok(_) => drop(self.append(stream, &piece)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn append(&self, stream: LogStream, piece: &[u8]) -> io::Result<()> {
        let letter = match stream {
            LogStream::Out => 'o',
            LogStream::Err => 'e',
        };
        let mut line = format!("{} {letter} ", text::now().0).into_bytes();
        line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
        line.push(b'\n');
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, size) = &mut *guard;
        if *size >= FULL {
            std::fs::rename(self.home.log(), self.home.older_log())?;
            (*file, *size) = (open(&self.home)?, 0);
        }
        *size += u64::try_from(line.len()).unwrap_or(u64::MAX);
        file.write_all(&line)
    }
}

fn open(home: &Home) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(home.log())
}

/// A line of the file, without its newline; `None` if it is not one of ours.
pub(crate) fn parse(line: &[u8]) -> Option<LogLine> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"o" => LogStream::Out,
        b"e" => LogStream::Err,
        _ => return None,
    };
    Some(LogLine { stream, at: Some(WallTime(at)), bytes: Bytes::copy_from_slice(parts.next()?) })
}

/// The last lines of a task's output, for people.
pub(crate) fn last_lines(home: &Home) -> Vec<String> {
    let output = std::fs::read(home.log()).unwrap_or_default();
    let lines: Vec<&[u8]> = output.split(|byte| *byte == b'\n').collect();
    // Twice as many as are shown: some may be empty.
    let from = lines.len().saturating_sub(2 * text::LINES + 1);
    let shown: Vec<Bytes> = lines[from..].iter().filter_map(|line| Some(parse(line)?.bytes)).collect();
    text::last_lines(&shown.join(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let home = Home::at(dir.path());
        (dir, home)
    }

    #[test]
    fn what_is_written_reads_back_line_by_line() {
        let (_dir, home) = home();
        let writer = Writer::open(home.clone()).expect("it can be written");
        writer.copy(b"one\n\ntwo".as_slice(), LogStream::Out);
        writer.copy(b"\xff three \n".as_slice(), LogStream::Err);
        let file = std::fs::read(home.log()).expect("it was written");
        let lines: Vec<_> =
            file.split(|byte| *byte == b'\n').filter_map(parse).map(|l| (l.stream, l.bytes)).collect();
        let expected = [
            (LogStream::Out, b"one".as_slice()),
            (LogStream::Out, b""),
            (LogStream::Out, b"two"),
            (LogStream::Err, b"\xff three "),
        ];
        assert_eq!(lines, expected.map(|(stream, bytes)| (stream, Bytes::from_static(bytes))));
        assert_eq!(last_lines(&home), ["one", "two", "\u{fffd} three"]);
    }

    #[test]
    fn the_log_of_a_chatterbox_is_bounded() {
        let (_dir, home) = home();
        let writer = Writer::open(home.clone()).expect("it can be written");
        writer.copy(io::repeat(b'x').take(11 << 20), LogStream::Out);
        let size = |path| std::fs::metadata(path).expect("it is there").len();
        let bound = FULL + PIECE + 64;
        assert!(size(home.log()) <= bound && (FULL..=bound).contains(&size(home.older_log())));
        assert_eq!(std::fs::read_dir(home.path()).expect("it is there").count(), 2);
    }

    #[test]
    fn a_line_of_another_kind_is_left_out() {
        assert_eq!([b"".as_slice(), b"x o y", b"5 q y", b"5 o"].map(parse), [const { None }; 4]);
    }
}
