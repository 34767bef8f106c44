//! Reading the journal itself, from a position on: for adapters that carry to other systems what this node knows.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use mpc_wallet_core::{LogIndex, Timestamp, codec, record::Record};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{MAX_RECORD_BYTES, schema::BUSY_TIMEOUT};
use crate::read::ReadError;

/// The journal's records, over a connection that cannot write. It sees what is durable and never holds up the writer.
pub struct Facts(Mutex<Connection>);

impl Facts {
    pub(super) fn open(database: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// The records after a position, in order, at most `limit`. Blocks while it reads.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails or a record does not decode.
    pub fn after(&self, position: LogIndex, limit: usize) -> Result<Vec<(LogIndex, Record)>, ReadError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = || -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
            connection
                .prepare_cached(
                    "SELECT position, record FROM journal WHERE position > ?1 ORDER BY position LIMIT ?2",
                )?
                .query_map((whole(position.0), whole(limit)), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        rows()
            .map_err(|error| ReadError(error.to_string()))?
            .into_iter()
            .map(|(at, bytes)| Ok((LogIndex(u64::try_from(at).unwrap_or_default()), decoded(&bytes)?)))
            .collect()
    }

    /// The position before the first record that is not older than a moment. Records are in order of time, so few are
    /// looked at. Blocks while it reads.
    ///
    /// # Errors
    /// As [`Facts::after`].
    pub fn before(&self, moment: Timestamp) -> Result<LogIndex, ReadError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: rusqlite::Error| ReadError(error.to_string());
        let last: i64 = connection
            .query_row("SELECT coalesce(max(position), 0) FROM journal", [], |row| row.get(0))
            .map_err(failed)?;
        let (mut older, mut end) = (0, u64::try_from(last).unwrap_or_default());
        while older < end {
            let middle = end.saturating_sub(end.saturating_sub(older) / 2);
            let bytes: Option<Vec<u8>> = connection
                .prepare_cached("SELECT record FROM journal WHERE position = ?1")
                .and_then(|mut query| query.query_row([whole(middle)], |row| row.get(0)).optional())
                .map_err(failed)?;
            let bytes = bytes.ok_or_else(|| ReadError(format!("record {middle} is missing")))?;
            if decoded(&bytes)?.at < moment {
                older = middle;
            } else {
                end = middle.saturating_sub(1);
            }
        }
        Ok(LogIndex(older))
    }
}

fn decoded(bytes: &[u8]) -> Result<Record, ReadError> {
    codec::decode(bytes, MAX_RECORD_BYTES).map_err(|error| ReadError(error.to_string()))
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
