//! A disk that forgets, fails and lies.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use redb::StorageBackend;

use super::*;

/// A disk of which a crash keeps what was synced, and any part of what was not.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<(u64, Vec<u8>)>,
    /// Writes and syncs until the disk fails.
    lives: Option<u32>,
}

impl Disk {
    fn platters(&self) -> std::sync::MutexGuard<'_, Platters> {
        self.0.lock().expect("no test panics with the disk in hand")
    }

    /// What a crash leaves: of the writes since the last sync, those that `kept` names.
    fn crash(&self, kept: u64) -> Self {
        let platters = self.platters();
        let mut left = platters.synced.clone();
        for (n, (offset, bytes)) in platters.since.iter().enumerate() {
            if kept >> (n % 64) & 1 == 1 {
                put(&mut left, *offset, bytes);
            }
        }
        let left = Platters { now: left.clone(), synced: left, ..Platters::default() };
        Self(Arc::new(Mutex::new(left)))
    }

    fn fail_after(&self, lives: u32) {
        self.platters().lives = Some(lives);
    }

    fn open(&self, report: impl FnMut(Durable) + Send + 'static) -> Result<(Storage, Stored), StorageError> {
        let disk = self.clone();
        Storage::open_with(Path::new("disk"), |builder| builder.create_with_backend(disk), report)
    }

    fn stored(&self) -> Stored {
        self.open(|_| {}).expect("a store that was closed or crashed opens").1
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let offset = usize::try_from(offset).expect("a small disk");
    bytes.resize(bytes.len().max(offset + data.len()), 0);
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Platters {
    fn live(&mut self) -> io::Result<()> {
        match &mut self.lives {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(lives) => {
                *lives -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platters().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("a small disk");
        let platters = self.platters();
        let from = platters.now.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platters = self.platters();
        platters.live()?;
        let len = usize::try_from(len).expect("a small disk");
        platters.now.resize(len, 0);
        // A file's length is kept with its next sync; a shorter one at once is the harder case.
        platters.synced.resize(len, 0);
        platters.since.retain(|(offset, data)| *offset + data.len() as u64 <= len as u64);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.platters();
        platters.live()?;
        platters.synced = platters.now.clone();
        platters.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platters = self.platters();
        platters.live()?;
        put(&mut platters.now, offset, data);
        platters.since.push((offset, data.to_vec()));
        Ok(())
    }
}

fn record(n: u8) -> Write {
    Write::PutRecord { key: vec![1, n], record: vec![n; 300] }
}

fn cell(n: u8) -> Write {
    Write::PutCell { cell: Cell::Lease, value: vec![n] }
}

fn stored(records: &[u8], cells: &[(Cell, u8)]) -> Stored {
    Stored {
        records: records.iter().map(|n| vec![*n; 300]).collect(),
        cells: cells.iter().map(|(cell, n)| (*cell, vec![*n])).collect(),
    }
}

/// Applies batches one at a time, and returns what was reported.
fn apply(storage: &Storage, heard: &Receiver<Durable>, batches: Vec<Vec<Write>>) -> Vec<Durable> {
    let mut reported = Vec::new();
    for (n, writes) in batches.into_iter().enumerate() {
        storage.apply(WriteToken(n as u64), writes);
        reported.push(heard.recv().expect("every batch is reported"));
    }
    reported
}

fn durable(token: u64) -> Durable {
    Durable { token: WriteToken(token), outcome: Ok(()) }
}

#[test]
fn what_was_written_is_read_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (tell, heard) = channel();
    let open = || {
        let tell = tell.clone();
        Storage::open(dir.path(), move |durable| tell.send(durable).expect("the test listens"))
    };
    let (storage, empty) = open().expect("an empty directory takes a store");
    assert_eq!(empty, Stored::default());
    let delete = Write::DeleteRecord { key: vec![1, 1] };
    let reported = apply(
        &storage,
        &heard,
        vec![vec![record(1), record(2)], vec![cell(3)], vec![], vec![delete, record(4), cell(5)]],
    );
    assert_eq!(reported, [durable(0), durable(1), durable(2), durable(3)]);
    drop(storage);
    let (storage, again) = open().expect("it was closed");
    assert_eq!(again, stored(&[2, 4], &[(Cell::Lease, 5)]));
    assert_eq!(apply(&storage, &heard, vec![vec![record(6), Write::Wipe, record(7)]]), [durable(0)]);
    drop(storage);
    assert_eq!(open().expect("it was closed").1, stored(&[7], &[]));
}

/// Killed between any two instructions: the file as it stands is copied from under a running store.
#[test]
fn a_killed_agent_finds_all_that_was_reported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (tell, heard) = channel();
    let report = move |durable| tell.send(durable).expect("the test listens");
    let (storage, _) = Storage::open(dir.path(), report).expect("an empty directory takes a store");
    for n in 1..20 {
        apply(&storage, &heard, vec![vec![record(n)], vec![cell(n)]]);
        let copy = tempfile::tempdir().expect("a temporary directory");
        std::fs::copy(dir.path().join(FILE), copy.path().join(FILE)).expect("a file can be copied");
        let (_, found) = Storage::open(copy.path(), |_| {}).expect("the file as it stands opens");
        assert_eq!(found, stored(&(1..=n).collect::<Vec<_>>(), &[(Cell::Lease, n)]));
    }
}

#[test]
fn a_group_is_committed_in_order() {
    let disk = Disk::default();
    let (tell, heard) = channel();
    let (storage, _) =
        disk.open(move |durable| tell.send(durable).expect("the test listens")).expect("an empty disk");
    for n in 0..1_000 {
        storage.apply(WriteToken(n), vec![cell(u8::try_from(n % 251).expect("below 251"))]);
    }
    drop(storage);
    let reported: Vec<Durable> = heard.iter().collect();
    assert_eq!(reported, (0..1_000).map(durable).collect::<Vec<_>>());
    assert_eq!(disk.stored(), stored(&[], &[(Cell::Lease, 246)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever of the unsynced writes a crash keeps, all that was reported is there, and no batch in part.
    #[test]
    fn a_crash_loses_nothing_that_was_reported(
        kinds in prop::collection::vec(any::<bool>(), 1..12),
        lives in 0u32..120,
        kept in any::<u64>(),
    ) {
        let disk = Disk::default();
        let (tell, heard) = channel();
        let (storage, _) =
            disk.open(move |durable| tell.send(durable).expect("the test listens")).expect("an empty disk");
        disk.fail_after(lives);
        let batch = |n: usize, cells: bool| {
            let n = u8::try_from(n + 1).expect("few");
            if cells { vec![record(n), cell(n)] } else { vec![record(n), record(n + 100)] }
        };
        let batches = kinds.iter().enumerate().map(|(n, cells)| batch(n, *cells)).collect();
        let reported = apply(&storage, &heard, batches);
        let acked = reported.iter().take_while(|durable| durable.outcome.is_ok()).count();
        prop_assert!(reported[acked..].iter().all(|durable| durable.outcome.is_err()));
        let left = disk.crash(kept);
        drop(storage);
        let found = left.stored();
        // At most the one batch whose report said that nothing is known of it.
        let whole = |count: usize| {
            let mut records = Vec::new();
            let mut last = None;
            for (n, cells) in kinds.iter().take(count).enumerate() {
                let n = u8::try_from(n + 1).expect("few");
                records.push(n);
                if *cells { last = Some((Cell::Lease, n)) } else { records.push(n + 100) }
            }
            records.sort_unstable();
            stored(&records, last.as_slice())
        };
        prop_assert!(found == whole(acked) || found == whole(acked + 1), "{found:?} after {acked}");
    }
}

#[test]
fn a_disk_that_failed_once_takes_nothing_more() {
    let disk = Disk::default();
    let (tell, heard) = channel();
    let (storage, _) =
        disk.open(move |durable| tell.send(durable).expect("the test listens")).expect("an empty disk");
    disk.fail_after(0);
    let reported = apply(&storage, &heard, vec![vec![record(1)]]);
    assert!(reported[0].outcome.as_ref().is_err_and(|told| told.contains("storage")), "{reported:?}");
    disk.platters().lives = None;
    let later = apply(&storage, &heard, vec![vec![record(2)], vec![]]);
    assert!(later.iter().all(|durable| durable.outcome == reported[0].outcome), "{later:?}");
}

#[test]
fn a_later_release_and_a_foreign_file_are_refused_untouched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    drop(Storage::open(dir.path(), |_| {}).expect("an empty directory takes a store"));
    let path = dir.path().join(FILE);
    let database = Database::create(&path).expect("it was closed");
    let transaction = database.begin_write().expect("nobody else writes");
    transaction.open_table(ABOUT).expect("it is there").insert(VERSION_KEY, 2).expect("a number");
    transaction.commit().expect("the disk is well");
    drop(database);
    let refused = Storage::open(dir.path(), |_| {}).expect_err("a later release").to_string();
    let told = format!(
        "{} was written by a later release (version 2, this one knows 1): nothing was changed; run that \
         release, or start with an empty data directory",
        path.display()
    );
    assert_eq!(refused, told);

    std::fs::write(&path, b"#!/bin/sh\necho this is not a store, whatever it is called\n").expect("our file");
    let refused = Storage::open(dir.path(), |_| {}).expect_err("no store");
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");

    std::fs::remove_file(&path).expect("our file");
    let database = Database::create(&path).expect("a free name");
    let transaction = database.begin_write().expect("nobody else writes");
    transaction.open_table(CELLS).expect("a table");
    transaction.commit().expect("the disk is well");
    drop(database);
    let refused = Storage::open(dir.path(), |_| {}).expect_err("a foreign store");
    assert!(matches!(refused, StorageError::Foreign { .. }), "{refused}");
}

/// A file altered since it was written is refused, or read as it was: never read as something else.
#[test]
fn a_torn_file_is_never_believed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (storage, _) = Storage::open(dir.path(), |_| {}).expect("an empty directory takes a store");
    storage.apply(WriteToken(0), (0..100).map(record).chain([cell(1)]).collect());
    drop(storage);
    let path = dir.path().join(FILE);
    let whole = std::fs::read(&path).expect("it is there");
    let written = Storage::open(dir.path(), |_| {}).expect("it was closed").1;
    let mut refused = 0;
    for torn in (0..whole.len()).step_by(4_096) {
        let mut bytes = whole.clone();
        for byte in &mut bytes[torn..(torn + 512).min(whole.len())] {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &bytes).expect("our file");
        match Storage::open(dir.path(), |_| {}) {
            Ok((_, read)) => assert_eq!(read, written, "torn at {torn}"),
            Err(error) => {
                assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("our file");
    assert!(matches!(Storage::open(dir.path(), |_| {}), Err(StorageError::Damaged { .. })));
}

#[test]
fn a_directory_that_takes_no_file_is_told_by_its_name() {
    // Nobody makes files there, root included.
    let dir = Path::new("/proc/self");
    let told = Storage::open(dir, |_| {}).expect_err("no file is made there").to_string();
    assert!(told.starts_with("cannot open the node's state /proc/self/state.redb: "), "{told}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Storage::open(dir.path(), |_| {}).expect("an empty directory takes a store");
    let second = Storage::open(dir.path(), |_| {}).expect_err("the first has it");
    assert!(matches!(second, StorageError::InUse { .. }), "{second}");
    drop(first);
}
