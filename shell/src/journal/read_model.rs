//! Reading: a few connections that cannot write, each used by one thread at a time.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use mpc_wallet_core::{NodeId, Scheme, tx::State};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{
    rows::{self, transaction_columns},
    schema::BUSY_TIMEOUT,
    trail,
};
use crate::read::{AuditRow, Filter, Queries, ReadError, TransactionDetail, TransactionRow, ViolationRow};

/// Queries at once. Each takes well below a millisecond, so a few serve many clients.
const CONNECTIONS: usize = 4;

/// The read model of one node. It sees every committed record and never holds up the writer.
pub struct ReadModel {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl ReadModel {
    pub(super) fn open(database: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connections = (0..CONNECTIONS)
            .map(|_| {
                let connection = Connection::open_with_flags(database, flags)?;
                connection.busy_timeout(BUSY_TIMEOUT)?;
                Ok(Mutex::new(connection))
            })
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { connections, turn: AtomicUsize::new(0) })
    }

    /// A free connection, or the next in turn.
    fn connection(&self) -> Result<MutexGuard<'_, Connection>, ReadError> {
        for connection in &self.connections {
            match connection.try_lock() {
                Ok(free) => return Ok(free),
                // A reader has nothing half-done that a panic could leave behind.
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let next = turn.checked_rem(self.connections.len()).and_then(|next| self.connections.get(next));
        next.map(|connection| connection.lock().unwrap_or_else(PoisonError::into_inner))
            .ok_or_else(|| ReadError("no connection".to_owned()))
    }

    /// Asks within one snapshot, so that the parts of an answer fit together.
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        let mut connection = self.connection()?;
        let snapshot = connection.transaction().map_err(|error| ReadError(error.to_string()))?;
        question(&snapshot).map_err(|error| ReadError(error.to_string()))
    }
}

impl Queries for ReadModel {
    fn transaction(&self, txid: &str) -> Result<Option<TransactionDetail>, ReadError> {
        self.ask(|db| {
            let row = db
                .prepare_cached(concat!(
                    "SELECT ",
                    transaction_columns!(),
                    " FROM transactions WHERE txid = ?1"
                ))?
                .query_row([txid], rows::transaction)
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            let encodings = db
                .prepare_cached("SELECT unsigned_tx, prevouts, signed_tx FROM transactions WHERE txid = ?1")?
                .query_row([txid], rows::encodings)?;
            let votes = db
                .prepare_cached(
                    "SELECT node, round, approve, reason, signature, received_at FROM votes
                     WHERE txid = ?1 ORDER BY round, node",
                )?
                .query_map([txid], rows::vote)?
                .collect::<rusqlite::Result<_>>()?;
            let timeline = db
                .prepare_cached(
                    "SELECT from_state, to_state, sub_status, cause, at FROM transitions
                     WHERE txid = ?1 ORDER BY sequence",
                )?
                .query_map([txid], rows::transition)?
                .collect::<rusqlite::Result<_>>()?;
            let presignatures = db
                .prepare_cached(
                    "SELECT presignature, protocol, generation_time_ms, generated_at, used_at
                     FROM presignature_usage WHERE txid = ?1 ORDER BY used_at, generated_at, presignature",
                )?
                .query_map([txid], rows::presignature)?
                .collect::<rusqlite::Result<_>>()?;
            let decisions = db
                .prepare_cached(
                    "SELECT node, operator, approve, comment, signature, decided_at FROM operator_decisions
                     WHERE txid = ?1 ORDER BY node",
                )?
                .query_map([txid], rows::decision)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some(TransactionDetail { row, encodings, votes, timeline, presignatures, decisions }))
        })
    }

    fn transactions(&self, filter: &Filter) -> Result<Vec<TransactionRow>, ReadError> {
        if let Some(id) = &filter.external_id {
            return self.ask(|db| named(db, id, filter));
        }
        let before = filter.before.unwrap_or(i64::MAX);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        if filter.awaiting_approval {
            return self.ask(|db| awaiting_approval(db, filter.scheme, before, limit));
        }
        let states: BTreeSet<Option<State>> = if filter.states.is_empty() {
            [None].into()
        } else {
            filter.states.iter().copied().map(Some).collect()
        };
        self.ask(|db| {
            let mut page = Vec::new();
            for state in states {
                page.extend(walk(db, state, filter.scheme, before, limit)?);
            }
            page.sort_unstable_by_key(|row| std::cmp::Reverse(row.sequence));
            page.truncate(filter.limit);
            Ok(page)
        })
    }

    fn counts(&self) -> Result<Vec<(State, u64)>, ReadError> {
        let mut counts: Vec<_> = self.ask(|db| {
            db.prepare_cached("SELECT state, count(*) FROM transactions GROUP BY state")?
                .query_map([], rows::state_count)?
                .collect::<rusqlite::Result<_>>()
        })?;
        counts.sort_unstable();
        Ok(counts)
    }

    fn violations(&self, before: Option<i64>, limit: usize) -> Result<Vec<ViolationRow>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ask(|db| {
            db.prepare_cached(
                "SELECT sequence, node, violation, txid, detail, evidence, detected_at FROM violations
                 WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2",
            )?
            .query_map((before.unwrap_or(i64::MAX), limit), rows::violation)?
            .collect()
        })
    }

    fn audit(&self, me: NodeId, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, ReadError> {
        self.ask(|db| trail::page(db, me, before.unwrap_or(i64::MAX), limit))
    }
}

/// The transactions for the one payment of this name, which are few.
fn named(db: &Connection, external_id: &str, filter: &Filter) -> rusqlite::Result<Vec<TransactionRow>> {
    let before = filter.before.unwrap_or(i64::MAX);
    let mut page: Vec<TransactionRow> = db
        .prepare_cached(concat!(
            "SELECT ",
            transaction_columns!(),
            " FROM transactions WHERE external_id = ?1 AND sequence < ?2 ORDER BY sequence DESC"
        ))?
        .query_map((external_id, before), rows::transaction)?
        .collect::<rusqlite::Result<_>>()?;
    page.retain(|row| {
        (filter.states.is_empty() || filter.states.contains(&row.state))
            && filter.scheme.is_none_or(|scheme| row.scheme == scheme.name())
    });
    page.truncate(filter.limit);
    Ok(page)
}

/// Those that wait for people, along the index that holds no others.
fn awaiting_approval(
    db: &Connection,
    scheme: Option<Scheme>,
    before: i64,
    limit: i64,
) -> rusqlite::Result<Vec<TransactionRow>> {
    db.prepare_cached(concat!(
        "SELECT ",
        transaction_columns!(),
        " FROM transactions WHERE sub_status = 'awaiting_approval' AND sequence < ?1 AND (?3 IS NULL OR scheme = ?3)
          ORDER BY sequence DESC LIMIT ?2"
    ))?
    .query_map((before, limit, scheme.map(Scheme::name)), rows::transaction)?
    .collect()
}

/// One walk along the index that fits: the cost is that of the page, whatever the history.
fn walk(
    db: &Connection,
    state: Option<State>,
    scheme: Option<Scheme>,
    before: i64,
    limit: i64,
) -> rusqlite::Result<Vec<TransactionRow>> {
    macro_rules! select {
        ($condition:literal) => {
            concat!(
                "SELECT ",
                transaction_columns!(),
                " FROM transactions WHERE ",
                $condition,
                "sequence < ?1 ORDER BY sequence DESC LIMIT ?2"
            )
        };
    }
    let row = rows::transaction;
    match (state.map(State::name), scheme.map(Scheme::name)) {
        (None, None) => db.prepare_cached(select!(""))?.query_map((before, limit), row)?.collect(),
        (Some(state), None) => {
            db.prepare_cached(select!("state = ?3 AND "))?.query_map((before, limit, state), row)?.collect()
        }
        (None, Some(scheme)) => {
            db.prepare_cached(select!("scheme = ?3 AND "))?.query_map((before, limit, scheme), row)?.collect()
        }
        (Some(state), Some(scheme)) => db
            .prepare_cached(select!("state = ?3 AND scheme = ?4 AND "))?
            .query_map((before, limit, state, scheme), row)?
            .collect(),
    }
}
