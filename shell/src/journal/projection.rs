//! From facts to tables. What a record means for the read model is decided here, once, for live appends and for
//! rebuilding; a record that does not fit is an error, because a read model that skips is one that lies.
//!
//! `sequence` is the journal position of the record that made the row, so a rebuilt read model has the same cursors.

use bitcoin::{Txid, consensus::serialize, hex::DisplayHex};
use mpc_wallet_core::{
    LogIndex, Timestamp,
    codec::{self, CodecError},
    ids::{PresignatureId, Scheme, SessionId},
    record::{BlockRef, Fact, Record, UsedPresignature},
    tx::{IllegalTransition, SignedProposal, State, SubStatus},
    vote::{Decision, Evidence, SignedDecision, Violation, Vote},
};
use rusqlite::{Connection, OptionalExtension};

/// Version of the tables and of their meaning; a change of either must change it, and every node then rebuilds.
pub(super) const VERSION: i64 = 6;

/// What makes presignatures ahead of payments.
const PRESIGNING_PROTOCOL: &str = "cggmp24";

/// What makes its one-time material, nonces, in the session that uses it.
const NONCE_PROTOCOL: &str = "frost";

const TABLES: &str = "
    DROP TABLE IF EXISTS operator_decisions;
    DROP TABLE IF EXISTS presignature_usage;
    DROP TABLE IF EXISTS violations;
    DROP TABLE IF EXISTS transitions;
    DROP TABLE IF EXISTS votes;
    DROP TABLE IF EXISTS transactions;
    CREATE TABLE transactions (
        sequence INTEGER PRIMARY KEY,
        txid TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        sub_status TEXT NOT NULL,
        scheme TEXT NOT NULL,
        recipient_script BLOB NOT NULL,
        amount_sats INTEGER NOT NULL,
        fee_sats INTEGER NOT NULL,
        metadata TEXT,
        origin INTEGER NOT NULL,
        digest TEXT NOT NULL,
        unsigned_tx BLOB NOT NULL,
        prevouts BLOB NOT NULL,
        signed_tx BLOB,
        confirmations INTEGER NOT NULL,
        block_height INTEGER,
        block_hash TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        external_id TEXT,
        initiator TEXT,
        replaces TEXT
    ) STRICT;
    CREATE INDEX transactions_by_original ON transactions (replaces, sequence) WHERE replaces IS NOT NULL;
    CREATE INDEX transactions_by_external_id ON transactions (external_id) WHERE external_id IS NOT NULL;
    CREATE INDEX transactions_by_state ON transactions (state, sequence);
    CREATE INDEX transactions_by_scheme ON transactions (scheme, sequence);
    CREATE INDEX transactions_by_state_and_scheme ON transactions (state, scheme, sequence);
    CREATE INDEX transactions_awaiting_approval ON transactions (sequence) WHERE sub_status = 'awaiting_approval';
    CREATE TABLE votes (
        txid TEXT NOT NULL REFERENCES transactions (txid),
        round INTEGER NOT NULL,
        node INTEGER NOT NULL,
        approve INTEGER NOT NULL,
        reason TEXT,
        signature TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (txid, round, node)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE transitions (
        txid TEXT NOT NULL REFERENCES transactions (txid),
        sequence INTEGER NOT NULL,
        from_state TEXT,
        to_state TEXT NOT NULL,
        sub_status TEXT NOT NULL,
        cause TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (txid, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE violations (
        sequence INTEGER PRIMARY KEY,
        node INTEGER NOT NULL,
        violation TEXT NOT NULL,
        txid TEXT,
        detail TEXT NOT NULL,
        evidence BLOB,
        detected_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE presignature_usage (
        presignature TEXT PRIMARY KEY,
        protocol TEXT NOT NULL,
        txid TEXT NOT NULL REFERENCES transactions (txid),
        generation_time_ms INTEGER NOT NULL,
        generated_at INTEGER NOT NULL,
        used_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX presignature_usage_by_transaction ON presignature_usage (txid);
    CREATE TABLE operator_decisions (
        txid TEXT NOT NULL REFERENCES transactions (txid),
        node INTEGER NOT NULL,
        operator TEXT,
        approve INTEGER NOT NULL,
        comment TEXT,
        signature TEXT NOT NULL,
        decided_at INTEGER NOT NULL,
        PRIMARY KEY (txid, node)
    ) STRICT, WITHOUT ROWID;
";

/// Why a record does not fit the read model: a damaged journal or a defect.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// It speaks of a transaction never proposed.
    #[error("transaction {0} was never proposed")]
    UnknownTransaction(Txid),
    /// It starts from another state than the transaction is in.
    #[error("transaction {txid} is {actual}, the record moves it from {claimed}")]
    WrongState {
        /// Which.
        txid: Txid,
        /// Where the record says it is.
        claimed: State,
        /// Where it is.
        actual: String,
    },
    /// The lifecycle has no such move.
    #[error("transaction {txid}: {source}")]
    Illegal {
        /// Which.
        txid: Txid,
        /// The move.
        source: IllegalTransition,
    },
    /// It uses a presignature that is used up.
    #[error("presignature {0} has been used before; nothing may be signed with it again")]
    PresignatureReused(PresignatureId),
    /// A number beyond SQLite's 64-bit signed integers; no amount of satoshis and no date is.
    #[error("{what} {value} exceeds {}", i64::MAX)]
    OutOfRange {
        /// What it counts.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// Evidence cannot be encoded.
    #[error("evidence: {0}")]
    Codec(#[from] CodecError),
    /// SQLite failed.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
}

/// Empties the read model and gives it the tables of this version.
pub(super) fn reset(db: &Connection) -> Result<(), rusqlite::Error> {
    db.execute_batch(TABLES)?;
    db.execute("INSERT OR REPLACE INTO projection (only, version) VALUES (1, ?1)", [VERSION])?;
    Ok(())
}

/// Projects one record; the caller holds the transaction.
pub(super) fn apply(db: &Connection, at: LogIndex, record: &Record) -> Result<(), ProjectionError> {
    let place = Place { sequence: integer("position", at.0)?, time: millis(record.at)? };
    match &record.fact {
        Fact::Proposed(proposal) => proposed(db, place, proposal),
        Fact::Voted(vote) => voted(db, place, vote),
        Fact::Promised(promise) => touch(db, place, promise.body.txid),
        Fact::Transition { txid, from, to, sub_status, cause } => {
            transition(db, place, *txid, (*from, *to), sub_status, cause)
        }
        Fact::SubStatusChanged { txid, sub_status } => sub_status_changed(db, place, *txid, sub_status),
        Fact::ShareReleased { txid, session } => share_released(db, place, *txid, *session),
        Fact::Signed(finished) => signed(db, place, finished.0.compute_txid(), serialize(&finished.0)),
        Fact::Seen { txid, block, confirmations } => seen(db, place, *txid, *block, *confirmations),
        Fact::Proven(evidence) => proven(db, place, evidence),
        Fact::Struck { node, violation, txid, detail } => {
            violated(db, place, node.get(), *violation, *txid, detail, None)
        }
        Fact::PresignaturesUsed { txid, presignatures, .. } => used(db, place, *txid, presignatures),
        Fact::OperatorDecided(decision) => decided(db, place, decision),
        Fact::Initiated { txid, initiator } => initiated(db, place, *txid, initiator),
        // What the read model does not show: keys, bans, freezes, coins and cursors are part of the present, which the node tells.
        Fact::Booted { .. }
        | Fact::KeyShareSealed { .. }
        | Fact::KeygenFailed { .. }
        | Fact::KeyActivated(_)
        | Fact::Banned { .. }
        | Fact::Synced { .. }
        | Fact::Confirmed
        | Fact::Quarantined { .. }
        | Fact::Rejoined { .. }
        | Fact::Shown(_)
        | Fact::PresigningFailed { .. }
        | Fact::Frozen(_)
        | Fact::Lifted(_)
        | Fact::CoinSeen { .. }
        | Fact::CoinLost { .. } => Ok(()),
    }
}

/// Where and when a record stands, as SQLite's integers.
#[derive(Clone, Copy)]
struct Place {
    sequence: i64,
    time: i64,
}

fn proposed(db: &Connection, place: Place, proposal: &SignedProposal) -> Result<(), ProjectionError> {
    let body = &proposal.body;
    let txid = body.txid();
    let inserted = db
        .prepare_cached(
            "INSERT INTO transactions (sequence, txid, state, sub_status, scheme, recipient_script, amount_sats,
                 fee_sats, metadata, origin, digest, unsigned_tx, prevouts, confirmations, created_at, updated_at,
                 expires_at, external_id, replaces)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (txid) DO NOTHING",
        )?
        .execute(rusqlite::params![
            place.sequence,
            txid.to_string(),
            State::Pending.name(),
            SubStatus::AwaitingVotes.to_string(),
            body.key.scheme.to_string(),
            body.recipient.as_bytes(),
            integer("amount", body.amount.to_sat())?,
            integer("fee", body.fee.to_sat())?,
            body.metadata,
            body.origin.get(),
            body.digest().to_string(),
            serialize(&body.unsigned_tx),
            serialize(&body.spent_outputs()),
            millis(body.created_at)?,
            place.time,
            millis(body.expires_at)?,
            body.external_id,
            body.replaces.map(|original| original.to_string()),
        ])?;
    // The core ignores a repetition, so there is no second beginning either.
    if inserted == 0 {
        return Ok(());
    }
    let cause = format!("proposed by {}", body.origin);
    timeline(db, place, txid, None, State::Pending.name(), &SubStatus::AwaitingVotes, &cause)
}

fn voted(db: &Connection, place: Place, vote: &Vote) -> Result<(), ProjectionError> {
    let ballot = &vote.body;
    touch(db, place, ballot.txid)?;
    let reason = match &ballot.decision {
        Decision::Approve => None,
        Decision::Reject(reason) => Some(reason.to_string()),
    };
    // As in the tally, a member's first vote of a round stays.
    db.prepare_cached(
        "INSERT INTO votes (txid, round, node, approve, reason, signature, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (txid, round, node) DO NOTHING",
    )?
    .execute(rusqlite::params![
        ballot.txid.to_string(),
        ballot.round,
        ballot.voter.get(),
        reason.is_none(),
        reason,
        vote.signature.0.to_lower_hex_string(),
        place.time,
    ])?;
    Ok(())
}

fn decided(db: &Connection, place: Place, decision: &SignedDecision) -> Result<(), ProjectionError> {
    let body = &decision.body;
    touch(db, place, body.txid)?;
    // As in the core, a member's first decision stays.
    db.prepare_cached(
        "INSERT INTO operator_decisions (txid, node, operator, approve, comment, signature, decided_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (txid, node) DO NOTHING",
    )?
    .execute(rusqlite::params![
        body.txid.to_string(),
        body.node.get(),
        body.operator,
        body.approve,
        body.comment,
        decision.signature.0.to_lower_hex_string(),
        decided_at(body.at),
    ])?;
    Ok(())
}

/// A member may date its decision as it likes; what no calendar has is shown as the last moment that fits.
fn decided_at(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn initiated(db: &Connection, place: Place, txid: Txid, initiator: &str) -> Result<(), ProjectionError> {
    let changed = db
        .prepare_cached("UPDATE transactions SET initiator = ?2, updated_at = ?3 WHERE txid = ?1")?
        .execute((txid.to_string(), initiator, place.time))?;
    known(changed, txid)
}

fn transition(
    db: &Connection,
    place: Place,
    txid: Txid,
    (from, to): (State, State),
    sub_status: &SubStatus,
    cause: &str,
) -> Result<(), ProjectionError> {
    let actual = state_of(db, txid)?;
    if actual != from.name() {
        return Err(ProjectionError::WrongState { txid, claimed: from, actual });
    }
    from.advance(to).map_err(|source| ProjectionError::Illegal { txid, source })?;
    set_state(db, place, txid, to.name(), sub_status)?;
    timeline(db, place, txid, Some(from.name()), to.name(), sub_status, cause)
}

fn sub_status_changed(
    db: &Connection,
    place: Place,
    txid: Txid,
    sub_status: &SubStatus,
) -> Result<(), ProjectionError> {
    let state = state_of(db, txid)?;
    set_state(db, place, txid, &state, sub_status)?;
    // The record has no cause apart from the reason itself.
    timeline(db, place, txid, Some(&state), &state, sub_status, "")
}

fn signed(db: &Connection, place: Place, txid: Txid, bytes: Vec<u8>) -> Result<(), ProjectionError> {
    let changed = db
        .prepare_cached("UPDATE transactions SET signed_tx = ?2, updated_at = ?3 WHERE txid = ?1")?
        .execute((txid.to_string(), bytes, place.time))?;
    known(changed, txid)
}

fn seen(
    db: &Connection,
    place: Place,
    txid: Txid,
    block: Option<BlockRef>,
    confirmations: u32,
) -> Result<(), ProjectionError> {
    let changed = db
        .prepare_cached(
            "UPDATE transactions SET confirmations = ?2, block_height = ?3, block_hash = ?4, updated_at = ?5
             WHERE txid = ?1",
        )?
        .execute((
            txid.to_string(),
            confirmations,
            block.map(|block| block.height),
            block.map(|block| block.hash.to_string()),
            place.time,
        ))?;
    known(changed, txid)
}

fn proven(db: &Connection, place: Place, evidence: &Evidence) -> Result<(), ProjectionError> {
    let accused = evidence.accused();
    let (txid, detail) = match evidence {
        Evidence::DoubleVote { first, .. } => {
            let ballot = &first.body;
            (Some(ballot.txid), format!("two different votes of {accused} in round {}", ballot.round))
        }
        Evidence::Equivocation { first, .. } => {
            let said = &first.body;
            let detail = format!(
                "two different messages of {accused} at place {} of session {}",
                said.sequence, said.session
            );
            (None, detail)
        }
    };
    let proof = codec::encode(evidence)?;
    violated(db, place, accused.get(), evidence.violation(), txid, &detail, Some(proof))
}

fn violated(
    db: &Connection,
    place: Place,
    node: u16,
    violation: Violation,
    txid: Option<Txid>,
    detail: &str,
    evidence: Option<Vec<u8>>,
) -> Result<(), ProjectionError> {
    // No reference to transactions: a member may lie about one that never was.
    db.prepare_cached(
        "INSERT INTO violations (sequence, node, violation, txid, detail, evidence, detected_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        place.sequence,
        node,
        violation.name(),
        txid.map(|txid| txid.to_string()),
        detail,
        evidence,
        place.time,
    ))?;
    Ok(())
}

/// Presignatures are about to be used. A second use gives the key away (I4): such a record is refused, and with it the turn
/// that would have let a share out.
/// A share of a Taproot signature burns the nonces of its session, which name them; they were made for it moments before.
fn share_released(
    db: &Connection,
    place: Place,
    txid: Txid,
    session: SessionId,
) -> Result<(), ProjectionError> {
    touch(db, place, txid)?;
    db.prepare_cached(
        "INSERT INTO presignature_usage (presignature, protocol, txid, generation_time_ms, generated_at, used_at)
         SELECT ?1, ?2, txid, 0, ?3, ?3 FROM transactions WHERE txid = ?4 AND scheme = ?5
         ON CONFLICT (presignature) DO NOTHING",
    )?
    .execute((
        session.to_string(),
        NONCE_PROTOCOL,
        place.time,
        txid.to_string(),
        Scheme::Taproot.to_string(),
    ))?;
    Ok(())
}

fn used(
    db: &Connection,
    place: Place,
    txid: Txid,
    presignatures: &[UsedPresignature],
) -> Result<(), ProjectionError> {
    touch(db, place, txid)?;
    for presignature in presignatures {
        let inserted = db
            .prepare_cached(
                "INSERT INTO presignature_usage (presignature, protocol, txid, generation_time_ms, generated_at,
                     used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (presignature) DO NOTHING",
            )?
            .execute((
                presignature.id.to_string(),
                PRESIGNING_PROTOCOL,
                txid.to_string(),
                integer("generation time in ms", presignature.took.0)?,
                millis(presignature.made_at)?,
                place.time,
            ))?;
        if inserted == 0 {
            return Err(ProjectionError::PresignatureReused(presignature.id));
        }
    }
    Ok(())
}

/// Adds an entry to the transaction's timeline.
fn timeline(
    db: &Connection,
    place: Place,
    txid: Txid,
    from: Option<&str>,
    to: &str,
    sub_status: &SubStatus,
    cause: &str,
) -> Result<(), ProjectionError> {
    db.prepare_cached(
        "INSERT INTO transitions (txid, sequence, from_state, to_state, sub_status, cause, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((txid.to_string(), place.sequence, from, to, sub_status.to_string(), cause, place.time))?;
    Ok(())
}

fn set_state(
    db: &Connection,
    place: Place,
    txid: Txid,
    state: &str,
    sub_status: &SubStatus,
) -> Result<(), ProjectionError> {
    let changed = db
        .prepare_cached(
            "UPDATE transactions SET state = ?2, sub_status = ?3, updated_at = ?4 WHERE txid = ?1",
        )?
        .execute((txid.to_string(), state, sub_status.to_string(), place.time))?;
    known(changed, txid)
}

/// Something was learned about the transaction that its row does not hold.
fn touch(db: &Connection, place: Place, txid: Txid) -> Result<(), ProjectionError> {
    let changed = db
        .prepare_cached("UPDATE transactions SET updated_at = ?2 WHERE txid = ?1")?
        .execute((txid.to_string(), place.time))?;
    known(changed, txid)
}

fn state_of(db: &Connection, txid: Txid) -> Result<String, ProjectionError> {
    db.prepare_cached("SELECT state FROM transactions WHERE txid = ?1")?
        .query_row([txid.to_string()], |row| row.get(0))
        .optional()?
        .ok_or(ProjectionError::UnknownTransaction(txid))
}

const fn known(changed: usize, txid: Txid) -> Result<(), ProjectionError> {
    if changed == 0 { Err(ProjectionError::UnknownTransaction(txid)) } else { Ok(()) }
}

fn integer(what: &'static str, value: u64) -> Result<i64, ProjectionError> {
    i64::try_from(value).map_err(|_| ProjectionError::OutOfRange { what, value })
}

fn millis(time: Timestamp) -> Result<i64, ProjectionError> {
    integer("time in ms", time.0)
}
