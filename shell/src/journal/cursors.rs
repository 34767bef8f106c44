//! How far readers of the journal have come, for those whose receiver keeps no account of it.

use std::{
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::oneshot;

use super::{Work, schema::BUSY_TIMEOUT, stopped};
use crate::{ports::JournalFailure, read::ReadError};

/// The cursors of all readers. The journal's own thread writes them, because two writers would wait for each other.
pub struct Cursors {
    reads: Mutex<Connection>,
    work: mpsc::Sender<Work>,
}

impl Cursors {
    pub(super) fn open(database: &Path, work: mpsc::Sender<Work>) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reads = Connection::open_with_flags(database, flags)?;
        reads.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self { reads: Mutex::new(reads), work })
    }

    /// Where a reader is; `None` if it never said. Blocks while it reads.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    pub fn get(&self, reader: &str) -> Result<Option<String>, ReadError> {
        self.reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .query_row("SELECT cursor FROM cursors WHERE reader = ?1", [reader], |row| row.get(0))
            .optional()
            .map_err(|error| ReadError(error.to_string()))
    }

    /// Remembers where a reader is, durably.
    ///
    /// # Errors
    /// [`JournalFailure`] if the journal has stopped writing.
    pub async fn set(&self, reader: &str, cursor: &str) -> Result<(), JournalFailure> {
        let (reply, answer) = oneshot::channel();
        let mark = Work::Mark { reader: reader.to_owned(), cursor: cursor.to_owned(), reply };
        self.work.send(mark).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}
