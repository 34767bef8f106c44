//! Rows of the read model as the types of [`crate::read`].

use mpc_wallet_core::{Millis, NodeId, Timestamp, tx::State};
use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use crate::read::{
    DecisionRow, Encodings, PresignatureRow, TransactionRow, TransitionRow, ViolationRow, VoteRow,
};

/// Columns of [`transaction`], in its order. A transaction is replaced by the last one proposed for that, but for those that
/// were given up; one that is signed is never given up.
macro_rules! transaction_columns {
    () => {
        "sequence, txid, state, sub_status, scheme, recipient_script, amount_sats, fee_sats, metadata, origin, \
         digest, confirmations, block_height, block_hash, created_at, updated_at, expires_at, external_id, initiator, \
         replaces, \
         (SELECT other.txid FROM transactions AS other WHERE other.replaces = transactions.txid \
             AND (other.signed_tx IS NOT NULL OR other.state NOT IN ('rejected', 'failed', 'aborted_byzantine')) \
           ORDER BY other.sequence DESC LIMIT 1)"
    };
}
pub(super) use transaction_columns;

/// A state by its name.
pub(super) struct StateName(pub(super) State);

impl FromSql for StateName {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        State::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .map(Self)
            .ok_or_else(|| FromSqlError::Other(format!("unknown state {name}").into()))
    }
}

/// A count that SQLite holds as a signed integer.
struct Count(u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(|Count(number)| number)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    count(row, column).map(Timestamp)
}

fn node(row: &Row<'_>, column: usize) -> rusqlite::Result<NodeId> {
    row.get(column).map(NodeId::new)
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    row.get(column).map(|StateName(state)| state)
}

pub(super) fn transaction(row: &Row<'_>) -> rusqlite::Result<TransactionRow> {
    Ok(TransactionRow {
        sequence: row.get(0)?,
        txid: row.get(1)?,
        state: state(row, 2)?,
        sub_status: row.get(3)?,
        scheme: row.get(4)?,
        recipient_script: row.get(5)?,
        amount_sats: count(row, 6)?,
        fee_sats: count(row, 7)?,
        metadata: row.get(8)?,
        origin: node(row, 9)?,
        digest: row.get(10)?,
        confirmations: row.get(11)?,
        block_height: row.get(12)?,
        block_hash: row.get(13)?,
        created_at: time(row, 14)?,
        updated_at: time(row, 15)?,
        expires_at: time(row, 16)?,
        external_id: row.get(17)?,
        initiator: row.get(18)?,
        replaces: row.get(19)?,
        replaced_by: row.get(20)?,
    })
}

/// Of `unsigned_tx, prevouts, signed_tx`.
pub(super) fn encodings(row: &Row<'_>) -> rusqlite::Result<Encodings> {
    Ok(Encodings { unsigned_tx: row.get(0)?, prevouts: row.get(1)?, signed_tx: row.get(2)? })
}

/// Of `node, round, approve, reason, signature, received_at`.
pub(super) fn vote(row: &Row<'_>) -> rusqlite::Result<VoteRow> {
    Ok(VoteRow {
        node: node(row, 0)?,
        round: row.get(1)?,
        approve: row.get(2)?,
        reason: row.get(3)?,
        signature: row.get(4)?,
        received_at: time(row, 5)?,
    })
}

/// Of `node, operator, approve, comment, signature, decided_at`.
pub(super) fn decision(row: &Row<'_>) -> rusqlite::Result<DecisionRow> {
    Ok(DecisionRow {
        node: node(row, 0)?,
        operator: row.get(1)?,
        approve: row.get(2)?,
        comment: row.get(3)?,
        signature: row.get(4)?,
        decided_at: time(row, 5)?,
    })
}

/// Of `from_state, to_state, sub_status, cause, at`.
pub(super) fn transition(row: &Row<'_>) -> rusqlite::Result<TransitionRow> {
    Ok(TransitionRow {
        from: row.get::<_, Option<StateName>>(0)?.map(|StateName(state)| state),
        to: state(row, 1)?,
        sub_status: row.get(2)?,
        cause: row.get(3)?,
        at: time(row, 4)?,
    })
}

/// Of `presignature, protocol, generation_time_ms, generated_at, used_at`.
pub(super) fn presignature(row: &Row<'_>) -> rusqlite::Result<PresignatureRow> {
    Ok(PresignatureRow {
        id: row.get(0)?,
        protocol: row.get(1)?,
        generation_time: count(row, 2).map(Millis)?,
        generated_at: time(row, 3)?,
        used_at: time(row, 4)?,
    })
}

/// Of `state, count(*)`.
pub(super) fn state_count(row: &Row<'_>) -> rusqlite::Result<(State, u64)> {
    Ok((state(row, 0)?, count(row, 1)?))
}

/// Of `sequence, node, violation, txid, detail, evidence, detected_at`.
pub(super) fn violation(row: &Row<'_>) -> rusqlite::Result<ViolationRow> {
    Ok(ViolationRow {
        sequence: row.get(0)?,
        node: node(row, 1)?,
        violation: row.get(2)?,
        txid: row.get(3)?,
        detail: row.get(4)?,
        evidence: row.get(5)?,
        detected_at: time(row, 6)?,
    })
}
