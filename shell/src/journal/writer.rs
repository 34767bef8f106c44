//! The one writer: holds the directory's lock and the only connection that writes.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use mpc_wallet_core::{
    ClusterId, LogIndex, NodeId,
    codec::{self, CodecError},
    record::Record,
    step::Receipt,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{
    DATABASE_FILE, LOCK_FILE, MAX_RECORD_BYTES, OpenError,
    projection::{self, ProjectionError},
    schema,
};
use crate::ports::JournalFailure;

/// Prepared statements kept: a few more than the projection has.
const STATEMENTS: usize = 32;

/// Why a batch was not written. Its text reaches the log, so it names the record.
#[derive(Debug, thiserror::Error)]
enum AppendError {
    #[error("record {position} cannot be encoded: {source}", position = position.0)]
    Encode { position: LogIndex, source: CodecError },
    #[error("record {position} takes {size} bytes, the limit is {MAX_RECORD_BYTES}", position = position.0)]
    TooLarge { position: LogIndex, size: usize },
    #[error("record {position} cannot be projected: {source}", position = position.0)]
    Project { position: LogIndex, source: ProjectionError },
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
}

/// Writes batches, until the first failure.
pub(super) struct Writer {
    connection: Connection,
    position: LogIndex,
    failure: Option<String>,
    // Declared last: the lock is released after the connection is closed.
    _lock: File,
}

impl Writer {
    /// Locks the directory, opens the database and reads it.
    pub(super) fn open(
        data_dir: &Path,
        cluster: ClusterId,
        me: NodeId,
    ) -> Result<(Self, Vec<Record>), OpenError> {
        let lock = lock(data_dir)?;
        let path = data_dir.join(DATABASE_FILE);
        let mut connection = schema::open(&path, cluster, me)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let records = read(&mut connection, &path)?;
        let position = LogIndex::default().plus(records.len().try_into().unwrap_or(u64::MAX));
        Ok((Self { connection, position, failure: None, _lock: lock }, records))
    }

    /// Position of the newest durable record.
    pub(super) const fn position(&self) -> LogIndex {
        self.position
    }

    /// Appends records and their projection in one transaction; the receipt is made after the commit returned. The
    /// first failure is final, because what is on disk is then unknown.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<Receipt, JournalFailure> {
        self.check()?;
        match self.try_append(records) {
            Ok(position) => {
                self.position = position;
                Ok(Receipt::up_to(position))
            }
            Err(error) => {
                Err(self.fail(format!("cannot append after position {}: {error}", self.position.0)))
            }
        }
    }

    /// Remembers how far a reader of the records has come. A failure is final, as that of an append.
    pub(super) fn mark(&mut self, reader: &str, cursor: &str) -> Result<(), JournalFailure> {
        self.check()?;
        let marked = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO cursors (reader, cursor) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute((reader, cursor)));
        match marked {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(format!("cannot remember where a reader is: {error}"))),
        }
    }

    fn check(&self) -> Result<(), JournalFailure> {
        match &self.failure {
            None => Ok(()),
            Some(failure) => {
                Err(JournalFailure(format!("stopped after an earlier failure: {failure}; restart the node")))
            }
        }
    }

    fn fail(&mut self, failure: String) -> JournalFailure {
        self.failure = Some(failure.clone());
        JournalFailure(failure)
    }

    fn try_append(&mut self, records: &[Record]) -> Result<LogIndex, AppendError> {
        let mut position = self.position;
        if records.is_empty() {
            return Ok(position);
        }
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for record in records {
            position = position.plus(1);
            let bytes = codec::encode(record).map_err(|source| AppendError::Encode { position, source })?;
            if bytes.len() > MAX_RECORD_BYTES {
                return Err(AppendError::TooLarge { position, size: bytes.len() });
            }
            tx.prepare_cached("INSERT INTO journal (position, record) VALUES (?1, ?2)")?
                .execute((i64::try_from(position.0).unwrap_or(i64::MAX), bytes))?;
            projection::apply(&tx, position, record)
                .map_err(|source| AppendError::Project { position, source })?;
        }
        tx.commit()?;
        Ok(position)
    }
}

/// Takes the directory for this process, and makes it if it is missing. A lock of the kernel goes with its
/// process, so a crash leaves none behind.
fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let failed = |path: &Path, source: io::Error| OpenError::Io { path: path.to_owned(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|source| failed(data_dir, source))?;
    let path: PathBuf = data_dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}

/// Reads the journal, and projects it anew if the read model was made by another version of the projection.
fn read(connection: &mut Connection, path: &Path) -> Result<Vec<Record>, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    let version: Option<i64> =
        tx.query_row("SELECT version FROM projection", [], |row| row.get(0)).optional().map_err(database)?;
    let rebuild = version != Some(projection::VERSION);
    if rebuild {
        projection::reset(&tx).map_err(database)?;
    }
    let records = read_records(&tx, path, |position, record| {
        if !rebuild {
            return Ok(());
        }
        projection::apply(&tx, position, record).map_err(|source| OpenError::Projection {
            path: path.to_owned(),
            position,
            source,
        })
    })?;
    tx.commit().map_err(database)?;
    Ok(records)
}

/// Every record in order, each shown to `each`.
pub(super) fn read_records(
    connection: &Connection,
    path: &Path,
    mut each: impl FnMut(LogIndex, &Record) -> Result<(), OpenError>,
) -> Result<Vec<Record>, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let mut statement =
        connection.prepare("SELECT position, record FROM journal ORDER BY position").map_err(database)?;
    let mut rows = statement.query([]).map_err(database)?;
    let (mut records, mut expected) = (Vec::new(), LogIndex::default());
    while let Some(row) = rows.next().map_err(database)? {
        expected = expected.plus(1);
        let found: i64 = row.get(0).map_err(database)?;
        let found = LogIndex(u64::try_from(found).unwrap_or(0));
        if found != expected {
            return Err(OpenError::Gap { path: path.to_owned(), expected, found });
        }
        let bytes = row.get_ref(1).and_then(|value| Ok(value.as_blob()?)).map_err(database)?;
        let record: Record = codec::decode(bytes, MAX_RECORD_BYTES).map_err(|source| OpenError::Record {
            path: path.to_owned(),
            position: found,
            source,
        })?;
        each(found, &record)?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use mpc_wallet_core::{BootId, Timestamp, record::Fact};
    use tempfile::TempDir;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::from_bytes([1; 32]);
    const ME: NodeId = NodeId::new(1);

    fn booted(boot: u64) -> Record {
        Record { at: Timestamp(boot), fact: Fact::Booted { boot: BootId(boot) } }
    }

    fn open(dir: &TempDir) -> (Writer, Vec<Record>) {
        Writer::open(dir.path(), CLUSTER, ME).unwrap()
    }

    #[test]
    fn after_a_full_disk_nothing_more_is_accepted_and_nothing_acknowledged_is_lost() {
        let dir = TempDir::new().unwrap();
        let (mut writer, _) = open(&dir);
        writer.connection.pragma_update(None, "max_page_count", 40).unwrap();
        let mut acknowledged = 0;
        let failure = loop {
            // Grows a page every few dozen batches; 40 pages are full long before this bound.
            assert!(acknowledged < 100_000, "the disk never became full");
            match writer.append(&[booted(acknowledged + 1), booted(acknowledged + 2)]) {
                Ok(receipt) => {
                    acknowledged += 2;
                    assert_eq!(receipt.position(), LogIndex(acknowledged));
                }
                Err(failure) => break failure,
            }
        };
        assert!(failure.to_string().contains("full"), "{failure}");
        writer.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
        for records in [vec![booted(1)], vec![]] {
            let refused = writer.append(&records).unwrap_err();
            assert!(refused.to_string().contains("earlier failure"), "{refused}");
        }
        drop(writer);
        let (mut writer, records) = open(&dir);
        assert_eq!(records, (1..=acknowledged).map(booted).collect::<Vec<_>>());
        assert_eq!(writer.append(&[booted(0)]).unwrap().position(), LogIndex(acknowledged + 1));
    }

    #[test]
    fn commits_are_synced_and_the_log_is_written_ahead() {
        let dir = TempDir::new().unwrap();
        let (writer, _) = open(&dir);
        let pragma = |name: &str| -> String {
            writer
                .connection
                .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("synchronous"), "2");
    }

    #[test]
    fn an_empty_batch_is_covered_by_what_is_durable_already() {
        let dir = TempDir::new().unwrap();
        let (mut writer, _) = open(&dir);
        assert_eq!(writer.append(&[]).unwrap().position(), LogIndex(0));
        writer.append(&[booted(1)]).unwrap();
        assert_eq!(writer.append(&[]).unwrap().position(), LogIndex(1));
    }
}
