//! Reading a log while it is written.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use futures_util::stream;
use rustix::fs::inotify;
use sleep_wire::engine::EngineError;
use tokio::io::unix::AsyncFd;

use super::log::parse;
use super::store::Home;
use crate::logs::{LogLine, LogOptions, Logs};
use crate::text::{MESSAGE, clean};

/// How much is read at a time.
const CHUNK: u64 = 64 << 10;

/// The lines of a log, as asked for.
pub(crate) fn logs(home: Home, options: LogOptions) -> Result<Logs, EngineError> {
    let failed =
        |error: io::Error| EngineError::Other { message: clean(error.to_string().as_bytes(), MESSAGE) };
    // Watched before it is read: what is written in between is noticed.
    let notices = if options.follow { Some(watch(&home).map_err(failed)?) } else { None };
    let mut reader = Reader { home, file: None, partial: Vec::new(), lines: Vec::new(), notices };
    reader.first().map_err(failed)?;
    reader.drain().map_err(failed)?;
    let wanted = move |line: &LogLine| options.since.is_none_or(|since| line.at.is_none_or(|at| at >= since));
    reader.lines.retain(wanted);
    if let Some(tail) = options.tail {
        let surplus = reader.lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        reader.lines.drain(..surplus);
    }
    reader.lines.reverse();
    Ok(Box::pin(stream::unfold(reader, |mut reader| async move {
        loop {
            if let Some(line) = reader.lines.pop() {
                return Some((Ok(line), reader));
            }
            match reader.more().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    reader.notices = None;
                    let message = clean(error.to_string().as_bytes(), MESSAGE);
                    return Some((Err(EngineError::Other { message }), reader));
                }
            }
        }
    })))
}

struct Reader {
    home: Home,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    /// Lines to hand out, the next one last; while they are read, the next one first.
    lines: Vec<LogLine>,
    /// `None` if nobody wants what is still to come.
    notices: Option<AsyncFd<OwnedFd>>,
}

fn watch(home: &Home) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    // `ended` comes by renaming; so does `log.1`, just before a new log.
    let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    let gone = inotify::WatchFlags::DELETE_SELF;
    inotify::add_watch(&fd, home.path(), flags | gone)?;
    super::watch::readable(fd)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Reader {
    /// Waits until there may be more, and reads it; `false` if there never will be.
    async fn more(&mut self) -> io::Result<bool> {
        let Some(notices) = &self.notices else { return Ok(false) };
        // Asked before reading: what was written before its end is read below.
        let over = self.home.ended().is_ok() || !self.home.path().exists();
        if !over {
            let mut ready = notices.readable().await?;
            let mut buffer = [MaybeUninit::uninit(); 1024];
            let mut reader = inotify::Reader::new(notices.get_ref(), &mut buffer);
            while reader.next().is_ok() {}
            ready.clear_ready();
        }
        self.drain()?;
        self.lines.reverse();
        if over {
            self.notices = None;
        }
        Ok(true)
    }

    /// Opens the file that is written, and reads the one before it.
    fn first(&mut self) -> io::Result<()> {
        self.file = open(&self.home.log())?;
        let inode = |file: &File| file.metadata().map(|file| file.ino()).ok();
        match open(&self.home.older_log())? {
            // The newer one may have been renamed since it was opened.
            Some(older) if self.file.as_ref().and_then(inode) == inode(&older) => Ok(()),
            Some(mut older) => self.read(&mut older),
            None => Ok(()),
        }
    }

    /// Reads all that is there, through a change of files.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            if let Some(mut file) = self.file.take() {
                self.read(&mut file)?;
                let current = std::fs::metadata(self.home.log()).map(|current| current.ino());
                let unchanged =
                    current.map_or(true, |inode| file.metadata().is_ok_and(|own| own.ino() == inode));
                if unchanged {
                    self.file = Some(file);
                    return Ok(());
                }
                // It was renamed between reading its end and now: what came meanwhile is still in it.
                self.read(&mut file)?;
            }
            self.file = open(&self.home.log())?;
            if self.file.is_none() {
                return Ok(());
            }
        }
    }

    fn read(&mut self, file: &mut File) -> io::Result<()> {
        while file.by_ref().take(CHUNK).read_to_end(&mut self.partial)? > 0 {
            let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.partial.split_off(end + 1);
            let whole = std::mem::replace(&mut self.partial, rest);
            self.lines.extend(whole.split(|byte| *byte == b'\n').filter_map(parse));
        }
        Ok(())
    }
}
