//! The journal as an outbox: whoever tells facts to another system reads them here, in order, from a position of its own
//! on. Nothing is copied or queued, so a receiver that is away costs no disk and no memory.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bitcoin::hashes::{Hash, sha256};
use mpc_wallet_core::{LogIndex, Timestamp, codec, record::Record};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{MAX_RECORD_BYTES, schema::BUSY_TIMEOUT};
use crate::read::ReadError;

/// Most bytes of records that one call returns, beyond the first record: a batch stays small in memory.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its position in the journal.
    pub position: LogIndex,
    /// SHA-256 of its encoding: another record at this position is another journal.
    pub digest: String,
    /// What it says.
    pub record: Record,
}

/// Reads the journal through a connection of its own that cannot write and never holds up the writer. Every question
/// blocks while it reads.
pub struct Outbox(Mutex<Connection>);

impl Outbox {
    pub(super) fn open(database: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Position of the newest record; 0 in an empty journal.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    pub fn last(&self) -> Result<LogIndex, ReadError> {
        self.connection()
            .prepare_cached("SELECT coalesce(max(position), 0) FROM journal")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map(|last| LogIndex(u64::try_from(last).unwrap_or(0)))
            .map_err(failed)
    }

    /// Digest of the record at a position; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    pub fn digest_at(&self, position: LogIndex) -> Result<Option<String>, ReadError> {
        self.connection()
            .prepare_cached("SELECT record FROM journal WHERE position = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([place(position)], |row| Ok(digest(row.get_ref(0)?.as_blob()?)))
                    .optional()
            })
            .map_err(failed)
    }

    /// The records after a position, in order, at most `limit` and some megabytes of them.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails or a record does not decode.
    pub fn after(&self, position: LogIndex, limit: usize) -> Result<Vec<OutboxEntry>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(
                "SELECT position, record FROM journal WHERE position > ?1 ORDER BY position LIMIT ?2",
            )
            .map_err(failed)?;
        let mut rows = statement.query((place(position), limit)).map_err(failed)?;
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next().map_err(failed)? {
            let found: i64 = row.get(0).map_err(failed)?;
            let position = LogIndex(u64::try_from(found).unwrap_or(0));
            let encoded = row.get_ref(1).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
            let record = codec::decode(encoded, MAX_RECORD_BYTES)
                .map_err(|error| ReadError(format!("record {found} of the journal: {error}")))?;
            entries.push(OutboxEntry { position, digest: digest(encoded), record });
            bytes = bytes.saturating_add(encoded.len());
            if bytes > MOST_BYTES {
                break;
            }
        }
        Ok(entries)
    }

    /// The position before the first record that is not older than a moment. Records are in order of time, so few are
    /// looked at.
    ///
    /// # Errors
    /// As [`Outbox::after`].
    pub fn before(&self, moment: Timestamp) -> Result<LogIndex, ReadError> {
        let (mut older, mut end) = (LogIndex(0), self.last()?);
        while older < end {
            let middle = LogIndex(end.0.saturating_sub(end.0.saturating_sub(older.0) / 2));
            let record = self.after(LogIndex(middle.0.saturating_sub(1)), 1)?.pop().map(|entry| entry.record);
            let record = record.ok_or_else(|| ReadError(format!("record {} is missing", middle.0)))?;
            if record.at < moment {
                older = middle;
            } else {
                end = LogIndex(middle.0.saturating_sub(1));
            }
        }
        Ok(older)
    }
}

fn failed(error: rusqlite::Error) -> ReadError {
    ReadError(error.to_string())
}

fn place(position: LogIndex) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn digest(bytes: &[u8]) -> String {
    sha256::Hash::hash(bytes).to_string()
}
