//! A copy of the database as of one moment, and what is in it.

use std::path::Path;

use mpc_wallet_core::{ClusterId, NodeId, record::Record};
use rusqlite::{Connection, OpenFlags};

use super::{DATABASE_FILE, OpenError, schema, writer::read_records};

/// Copies the database of a data directory to the new file `target`, as of one moment, while a node may be writing to it. The
/// copy is not made durable here. Blocks.
///
/// # Errors
/// [`OpenError`]: there is no journal of this node, or SQLite cannot copy it.
pub fn snapshot(data_dir: &Path, target: &Path, cluster: ClusterId, me: NodeId) -> Result<(), OpenError> {
    let path = data_dir.join(DATABASE_FILE);
    let connection = open(&path, cluster, me)?;
    let target = target.to_string_lossy();
    connection
        .execute("VACUUM INTO ?1", [&*target])
        .map(drop)
        .map_err(|source| OpenError::Database { path, source })
}

/// Reads a database that nobody writes to: that SQLite finds no fault with it, that it is this node's, and all its records.
/// Blocks.
///
/// # Errors
/// [`OpenError`]: the first of it that does not hold.
pub fn examine(database: &Path, cluster: ClusterId, me: NodeId) -> Result<Vec<Record>, OpenError> {
    let failed = |source| OpenError::Database { path: database.to_owned(), source };
    let connection = open(database, cluster, me)?;
    let finding: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if finding != "ok" {
        return Err(OpenError::Damaged { path: database.to_owned(), finding });
    }
    read_records(&connection, database, |_, _| Ok(()))
}

/// Opens a database of this node without the means to change it.
fn open(path: &Path, cluster: ClusterId, me: NodeId) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(schema::BUSY_TIMEOUT).map_err(failed)?;
    schema::refuse_foreign_format(&connection, path)?;
    schema::refuse_foreign_owner(&connection, path, cluster, me)?;
    Ok(connection)
}
