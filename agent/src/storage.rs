//! The node's own memory: records and cells, on disk.
//!
//! ```text
//! apply ──▶ queue ──▶ one thread: all that waits in one commit, in order ──▶ durable, or failed for ever
//! ```
//! # Invariants
//! - `acked_is_durable`: what was reported durable is there after any crash.
//! - `in_order`: a batch is applied whole or not at all, after all before it.
//! - `a_dead_disk_stays_dead`: after one error every later batch fails. What is on the disk then is known
//!   only to who opens it again.
//!
//! # Not here
//! What records and cells mean: see `core::state`, `core::lease`. Which process may open it: see
//! [`crate::lock`].

use std::collections::VecDeque;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use sleep_core::io::WriteToken;
use sleep_wire::durable::{Cell, Stored, Write};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const CELLS: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("cells");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// The key of [`ABOUT`] that says what the tables mean.
const VERSION_KEY: &str = "version";

/// What the tables mean today. A store of a later meaning is not touched.
pub const VERSION: u64 = 1;

/// The file, within the data directory.
const FILE: &str = "state.redb";

/// Pages kept in memory, in bytes. redb's own choice is a gibibyte.
const CACHE: usize = 1 << 20;

/// The most batches that share one commit: whoever waits should not wait for much that came after.
const GROUP: usize = 256;

/// A batch was made durable, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// As given to [`Storage::apply`].
    pub token: WriteToken,
    /// What went wrong, in the operating system's words. Then the store is of no more use: the agent ends.
    pub outcome: Result<(), String>,
}

/// Where batches go.
#[derive(Debug)]
pub struct Storage {
    queue: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Batch {
    token: WriteToken,
    writes: Vec<Write>,
}

impl Storage {
    /// Opens the store in `dir`, or makes one there, and reads all of it. Every outcome is given to
    /// `report`, on the store's own thread and in the order of the batches.
    ///
    /// # Errors
    /// [`StorageError`]: then nothing was changed.
    pub fn open(
        dir: &Path,
        report: impl FnMut(Durable) + Send + 'static,
    ) -> Result<(Self, Stored), StorageError> {
        let path = dir.join(FILE);
        // The file may hold secrets: redb would let everybody read it.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        made.map_err(|source| StorageError::Io { path: path.clone(), source })?;
        Self::open_with(&path, |builder| builder.create(&path), report)
    }

    fn open_with(
        path: &Path,
        create: impl FnOnce(&mut redb::Builder) -> Result<Database, DatabaseError>,
        report: impl FnMut(Durable) + Send + 'static,
    ) -> Result<(Self, Stored), StorageError> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Database::builder();
            // Every page is checked at the start: what was altered since is told then, and not met later.
            builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
            let database = create(&mut builder).map_err(|error| told(path, error))?;
            let stored = read(path, &database)?;
            Ok((database, stored))
        }));
        let (database, stored) = opened.unwrap_or_else(|_| {
            Err(StorageError::Damaged { path: path.to_owned(), problem: "it contradicts itself".to_owned() })
        })?;
        let (queue, batches) = channel();
        let run = move || keep(database, &batches, report);
        let thread = Builder::new().name("storage".to_owned()).spawn(run);
        let thread = thread.map_err(|source| StorageError::Io { path: path.to_owned(), source })?;
        Ok((Self { queue: Some(queue), thread: Some(thread) }, stored))
    }

    /// Makes these writes durable, all or none, after all that were given before.
    pub fn apply(&self, token: WriteToken, writes: Vec<Write>) {
        if let Some(queue) = &self.queue {
            // The thread ends with the queue, not before: it outlives errors, to report them.
            drop(queue.send(Batch { token, writes }));
        }
    }
}

impl Drop for Storage {
    /// Waits until all that was given is written.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn keep(mut database: Database, batches: &Receiver<Batch>, mut report: impl FnMut(Durable)) {
    let mut failed: Option<String> = None;
    while let Ok(first) = batches.recv() {
        let mut group = VecDeque::from([first]);
        while group.len() < GROUP
            && let Ok(next) = batches.try_recv()
        {
            group.push_back(next);
        }
        if failed.is_none() {
            failed = commit(&mut database, &group).err();
        }
        for batch in group {
            let outcome = failed.clone().map_or(Ok(()), Err);
            report(Durable { token: batch.token, outcome });
        }
    }
}

/// Applies a group in one transaction. After a crash all of it is there or nothing.
fn commit(database: &mut Database, group: &VecDeque<Batch>) -> Result<(), String> {
    let writes = || group.iter().flat_map(|batch| &batch.writes);
    if writes().next().is_none() {
        return Ok(());
    }
    write(database, writes()).map_err(|error| error.to_string())?;
    if writes().any(|write| matches!(write, Write::Wipe)) {
        // What was wiped is not only out of sight: its pages are given back. A copy of them may outlive
        // that on some disks, and a reader inside this process would keep them, but there is none.
        database.compact().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn write<'a>(database: &Database, writes: impl Iterator<Item = &'a Write>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    let mut promised = false;
    {
        let mut records = transaction.open_table(RECORDS)?;
        let mut cells = transaction.open_table(CELLS)?;
        for write in writes {
            match write {
                Write::PutRecord { key, record } => {
                    records.insert(key.as_slice(), record.as_slice())?;
                }
                Write::DeleteRecord { key } => {
                    records.remove(key.as_slice())?;
                }
                Write::PutCell { cell, value } => {
                    promised = true;
                    cells.insert(*cell as u8, value.as_slice())?;
                }
                Write::Wipe => {
                    promised = true;
                    records.retain(|_, _| false)?;
                    cells.retain(|_, _| false)?;
                }
            }
        }
    }
    // A second fsync, for what others rely on: a promise, a fence, a membership must not rest on a checksum
    // alone.
    transaction.set_two_phase_commit(promised);
    transaction.commit()?;
    Ok(())
}

fn read(path: &Path, database: &Database) -> Result<Stored, StorageError> {
    let damaged =
        |error: redb::Error| StorageError::Damaged { path: path.to_owned(), problem: error.to_string() };
    match version(database).map_err(damaged)? {
        Found::Nothing => make(database).map_err(|error| match error {
            redb::Error::Io(source) => StorageError::Io { path: path.to_owned(), source },
            error => damaged(error),
        })?,
        Found::Version(VERSION) => {}
        Found::Version(found) => return Err(StorageError::Newer { path: path.to_owned(), found }),
        Found::Foreign => return Err(StorageError::Foreign { path: path.to_owned() }),
    }
    all(database).map_err(damaged)
}

enum Found {
    Nothing,
    Version(u64),
    Foreign,
}

fn version(database: &Database) -> Result<Found, redb::Error> {
    let transaction = database.begin_read()?;
    let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if tables.is_empty() {
        return Ok(Found::Nothing);
    }
    if !tables.iter().any(|table| table == ABOUT.name()) {
        return Ok(Found::Foreign);
    }
    let version = transaction.open_table(ABOUT)?.get(VERSION_KEY)?.map(|version| version.value());
    Ok(version.map_or(Found::Foreign, Found::Version))
}

fn make(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert(VERSION_KEY, VERSION)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(CELLS)?;
    transaction.set_two_phase_commit(true);
    transaction.commit()?;
    Ok(())
}

fn all(database: &Database) -> Result<Stored, redb::Error> {
    let transaction = database.begin_read()?;
    let mut stored = Stored::default();
    for entry in transaction.open_table(RECORDS)?.iter()? {
        stored.records.push(entry?.1.value().to_vec());
    }
    let cells = transaction.open_table(CELLS)?;
    for cell in Cell::ALL {
        if let Some(value) = cells.get(cell as u8)? {
            stored.cells.push((cell, value.value().to_vec()));
        }
    }
    Ok(stored)
}

/// Why there is no store.
#[derive(Debug)]
pub enum StorageError {
    /// The file cannot be read or written.
    Io {
        /// Which file.
        path: PathBuf,
        /// In the operating system's words.
        source: io::Error,
    },
    /// Another process has it open.
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It was written by a later release.
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It is a store, and not an agent's.
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// Its bytes are not what was written.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn told(path: &Path, error: DatabaseError) -> StorageError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StorageError::InUse { path },
        DatabaseError::Storage(redb::StorageError::Io(source))
            if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StorageError::Io { path, source }
        }
        error => StorageError::Damaged { path, problem: error.to_string() },
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => {
                write!(f, "cannot open the node's state {}: {source}", path.display())
            }
            Self::InUse { path } => write!(f, "another process has {} open", path.display()),
            Self::Newer { path, found } => write!(
                f,
                "{} was written by a later release (version {found}, this one knows {VERSION}): \
                 nothing was changed; run that release, or start with an empty data directory",
                path.display()
            ),
            Self::Foreign { path } => write!(f, "{} is not an agent's state", path.display()),
            Self::Damaged { path, problem } => {
                write!(f, "{} is damaged ({problem}): nothing was changed", path.display())
            }
        }
    }
}

impl std::error::Error for StorageError {}

#[cfg(test)]
mod tests;
