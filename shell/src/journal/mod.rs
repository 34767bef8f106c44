//! The node's durable memory over SQLite: the journal, and the read model that is projected from it.
//!
//! One file, `node.db` in the data directory, holds both, and one transaction writes both: whatever the journal
//! says, the read model shows. The file is in WAL mode with `synchronous = FULL`, so a commit that has returned
//! survives a power cut, and readers never hold up the writer.
//!
//! | rule | what goes wrong without it |
//! |---|---|
//! | a receipt is made only after the commit returned | effects leave a node that forgets their cause, and it votes twice |
//! | any failure ends writing for good | after a failed fsync the kernel may drop the data and report success the next time |
//! | one process for each data directory, by a lock on `node.lock` | two nodes with one identity contradict each other and are banned |
//! | the file names its cluster and node | a mixed-up directory makes a node repeat what another one said |
//! | positions are 1, 2, 3, … and a gap is an error | a damaged journal replays to a state that never was |

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use mpc_wallet_core::{ClusterId, LogIndex, NodeId, codec::CodecError, record::Record, step::Receipt};
use tokio::sync::{oneshot, watch};

use crate::ports::{Journal, JournalFailure};

mod copy;
mod cursors;
mod outbox;
mod projection;
mod read_model;
mod rows;
mod schema;
mod trail;
mod writer;

pub use copy::{examine, snapshot};
pub use cursors::Cursors;
pub use outbox::{Outbox, OutboxEntry};
pub use projection::ProjectionError;
pub use read_model::ReadModel;

use writer::Writer;

/// Name of the database in the data directory.
pub const DATABASE_FILE: &str = "node.db";

/// Name of the file whose lock marks the data directory as in use. It stays; only its lock matters.
pub const LOCK_FILE: &str = "node.lock";

/// Most bytes of one encoded record. The largest is a proof that holds two messages of a peer, each below the
/// transport's limit of 1 MiB.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;

/// Why a data directory cannot be used. What it remembers was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{path}: {source}; check that the directory exists, is writable and has room", path = path.display())]
    Io {
        /// On this.
        path: PathBuf,
        /// How.
        source: std::io::Error,
    },
    /// Another process has the directory.
    #[error(
        "{path} is locked: another node runs on this data directory; stop it, or give this node a data directory of its own",
        path = path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file of another application is in the way.
    #[error(
        "{path} is not a node's database (application id {found:#010x}); point data_dir at the node's own directory",
        path = path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// The application id in it.
        found: i32,
    },
    /// Written by a later version.
    #[error(
        "{path} has schema version {found}, this software knows up to {known}; run the version that wrote it, or a later one",
        path = path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// It belongs to another cluster.
    #[error(
        "{path} belongs to cluster {found}, the configuration describes cluster {expected}; use the matching data directory and manifest",
        path = path.display()
    )]
    ForeignCluster {
        /// The file.
        path: PathBuf,
        /// Cluster it was made for.
        found: String,
        /// Cluster configured.
        expected: ClusterId,
    },
    /// It belongs to another node of the cluster.
    #[error(
        "{path} belongs to {found}, the configuration says {expected}; two nodes must not exchange data directories",
        path = path.display()
    )]
    ForeignNode {
        /// The file.
        path: PathBuf,
        /// Node it was made for.
        found: NodeId,
        /// Node configured.
        expected: NodeId,
    },
    /// The file system cannot keep a write-ahead log with shared memory.
    #[error(
        "{path} cannot be put in WAL mode (it stays in {mode}); use a local file system, not a network share",
        path = path.display()
    )]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The mode it is in.
        mode: String,
    },
    /// A record does not decode.
    #[error(
        "{path}: the record at position {position} is damaged: {source}; let the disk be checked, then restore the node from its backup",
        path = path.display(), position = position.0
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// Its position.
        position: LogIndex,
        /// What is wrong with it.
        source: CodecError,
    },
    /// Records are missing.
    #[error(
        "{path}: position {found} stands where {expected} belongs; let the disk be checked, then restore the node from its backup",
        path = path.display(), found = found.0, expected = expected.0
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// Position that belongs there.
        expected: LogIndex,
        /// Position found.
        found: LogIndex,
    },
    /// A record contradicts those before it.
    #[error("{path}: the record at position {position} cannot be projected: {source}", path = path.display(), position = position.0)]
    Projection {
        /// The file.
        path: PathBuf,
        /// Its position.
        position: LogIndex,
        /// Why.
        source: ProjectionError,
    },
    /// SQLite finds the file damaged.
    #[error("{path} is damaged: {finding}; let the disk be checked, then use another copy", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing found.
        finding: String,
    },
    /// SQLite failed.
    #[error("{path}: {source}; check the disk", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// How.
        source: rusqlite::Error,
    },
}

/// What the writer's thread is asked to do, and where the answer goes.
enum Work {
    Append { records: Vec<Record>, reply: oneshot::Sender<Result<Receipt, JournalFailure>> },
    Mark { reader: String, cursor: String, reply: oneshot::Sender<Result<(), JournalFailure>> },
    End,
}

/// The open journal of one node. Dropping it waits for the write in progress, then releases the directory.
pub struct Store {
    database: PathBuf,
    work: mpsc::Sender<Work>,
    position: watch::Receiver<LogIndex>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the data directory of node `me`, or makes it (mode 0700), and returns all records for replay, in order.
    /// Blocks while it reads; a read model of another version is projected anew.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(data_dir: &Path, cluster: ClusterId, me: NodeId) -> Result<(Self, Vec<Record>), OpenError> {
        let (mut writer, records) = Writer::open(data_dir, cluster, me)?;
        let (work, inbox) = mpsc::channel::<Work>();
        let (durable, position) = watch::channel(writer.position());
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(&mut writer, &inbox, &durable))
            .map_err(|source| OpenError::Io { path: data_dir.to_owned(), source })?;
        let database = data_dir.join(DATABASE_FILE);
        Ok((Self { database, work, position, writer: Some(thread) }, records))
    }

    /// A reader of the same database; it may be used while this store writes.
    ///
    /// # Errors
    /// [`OpenError::Database`] if SQLite cannot open it again.
    pub fn read_model(&self) -> Result<ReadModel, OpenError> {
        ReadModel::open(&self.database)
            .map_err(|source| OpenError::Database { path: self.database.clone(), source })
    }

    /// The position of the newest durable record, told after each commit.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<LogIndex> {
        self.position.clone()
    }

    /// How far readers of the records have come.
    ///
    /// # Errors
    /// [`OpenError::Database`] if SQLite cannot open it again.
    pub fn cursors(&self) -> Result<Cursors, OpenError> {
        Cursors::open(&self.database, self.work.clone())
            .map_err(|source| OpenError::Database { path: self.database.clone(), source })
    }

    /// A reader of the records themselves; it may be used while this store writes.
    ///
    /// # Errors
    /// [`OpenError::Database`] if SQLite cannot open it again.
    pub fn outbox(&self) -> Result<Outbox, OpenError> {
        Outbox::open(&self.database)
            .map_err(|source| OpenError::Database { path: self.database.clone(), source })
    }
}

/// The writer's thread, until it is told to end.
fn write(writer: &mut Writer, inbox: &mpsc::Receiver<Work>, durable: &watch::Sender<LogIndex>) {
    for work in inbox {
        // Nobody may be waiting for an answer any more; what was written is durable all the same.
        match work {
            Work::Append { records, reply } => {
                let appended = writer.append(&records);
                let newest = writer.position();
                durable.send_if_modified(|told| std::mem::replace(told, newest) != newest);
                let _ = reply.send(appended);
            }
            Work::Mark { reader, cursor, reply } => {
                let _ = reply.send(writer.mark(&reader, &cursor));
            }
            Work::End => return,
        }
    }
}

fn stopped() -> JournalFailure {
    JournalFailure("the writer has stopped; restart the node".to_owned())
}

impl Journal for Store {
    /// Appends in one transaction. If the future is dropped the batch is still written: only the answer is lost.
    async fn append(&mut self, records: Vec<Record>) -> Result<Receipt, JournalFailure> {
        let (reply, answer) = oneshot::channel();
        self.work.send(Work::Append { records, reply }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Its readers may live on and ask in vain.
        let _ = self.work.send(Work::End);
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has been printed by its own thread.
            let _ = writer.join();
        }
    }
}
