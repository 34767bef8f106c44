//! Opening the database: whose file it is, how durable it is, and which tables it has.

use std::{fs::File, io, path::Path, time::Duration};

use mpc_wallet_core::{ClusterId, NodeId};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::OpenError;

/// Marks the file as ours: "mpcw".
const APPLICATION_ID: i32 = 0x6d70_6377;

/// Steps from an empty file to the present schema; `user_version` counts those taken. Steps are only ever added.
/// The tables of the read model are not among them: they are made anew by [`super::projection`].
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE journal (
        position INTEGER PRIMARY KEY,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE owner (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        cluster TEXT NOT NULL,
        node INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE projection (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        version INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE cursors (
        reader TEXT PRIMARY KEY,
        cursor TEXT NOT NULL
    ) STRICT;
",
];

/// How long a statement waits for a lock. Within one process only a checkpoint holds one, for milliseconds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the database for writing, checks that it is this node's and brings it up to date.
pub(super) fn open(path: &Path, cluster: ClusterId, me: NodeId) -> Result<Connection, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(database)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(database)?;
    // Before anything is written: it may be somebody else's file.
    refuse_foreign_format(&connection, path)?;
    make_durable(&connection, path)?;
    migrate(&mut connection, path, cluster, me)?;
    sync_directory(path)?;
    Ok(connection)
}

pub(super) fn refuse_foreign_format(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let found: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(database)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(database)?;
    // An empty database has no id yet.
    if found != APPLICATION_ID && (found != 0 || tables > 0) {
        return Err(OpenError::NotOurs { path: path.to_owned(), found });
    }
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found: version, known });
    }
    Ok(())
}

fn make_durable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(database)?;
    if mode != "wal" {
        return Err(OpenError::NoWal { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(database)?;
    // Notice a malformed page when it is read, not when it is used.
    connection.pragma_update(None, "cell_size_check", true).map_err(database)
}

fn migrate(
    connection: &mut Connection,
    path: &Path,
    cluster: ClusterId,
    me: NodeId,
) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    let taken: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > taken {
            tx.execute_batch(migration).map_err(database)?;
            tx.pragma_update(None, "user_version", version).map_err(database)?;
        }
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(database)?;
    if !refuse_foreign_owner(&tx, path, cluster, me)? {
        tx.execute(
            "INSERT INTO owner (only, cluster, node) VALUES (1, ?1, ?2)",
            (cluster.to_string(), me.get()),
        )
        .map_err(database)?;
    }
    tx.commit().map_err(database)
}

/// Whether the file has an owner, which can only be this node.
pub(super) fn refuse_foreign_owner(
    connection: &Connection,
    path: &Path,
    cluster: ClusterId,
    me: NodeId,
) -> Result<bool, OpenError> {
    let owner: Option<(String, u16)> = connection
        .query_row("SELECT cluster, node FROM owner", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    match owner {
        None => Ok(false),
        Some((found, _)) if found != cluster.to_string() => {
            Err(OpenError::ForeignCluster { path: path.to_owned(), found, expected: cluster })
        }
        Some((_, node)) if node != me.get() => {
            let found = NodeId::new(node);
            Err(OpenError::ForeignNode { path: path.to_owned(), found, expected: me })
        }
        Some(_) => Ok(true),
    }
}

/// Makes the file's name itself durable: a synced file without a directory entry is lost.
fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|source: io::Error| OpenError::Io { path: directory.to_owned(), source })
}
