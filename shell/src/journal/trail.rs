//! The audit trail: the journal's records in words, under the names that the cluster's record has for them.

use mpc_wallet_core::{
    NodeId, codec,
    record::{Fact, Record},
    vote::Decision,
};
use rusqlite::{Connection, Error, types::Type};
use serde_json::{Map, Value, json};

use super::MAX_RECORD_BYTES;
use crate::read::AuditRow;

/// The newest events below `before`, at most `limit`. Records that are bookkeeping between nodes are passed over.
pub(super) fn page(
    db: &Connection,
    me: NodeId,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<AuditRow>> {
    let mut statement =
        db.prepare_cached("SELECT position, record FROM journal WHERE position < ?1 ORDER BY position DESC")?;
    let mut rows = statement.query([before])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| page.len() < limit) {
        let sequence = row.get(0)?;
        let record: Record = codec::decode(row.get_ref(1)?.as_blob()?, MAX_RECORD_BYTES)
            .map_err(|error| Error::FromSqlConversionFailure(1, Type::Blob, Box::new(error)))?;
        if let Some(event) = Event::of(&record.fact) {
            page.push(event.at(sequence, &record, me));
        }
    }
    Ok(page)
}

/// What a record tells; who is not named is this node.
struct Event {
    name: &'static str,
    node: Option<NodeId>,
    txid: Option<String>,
    details: Value,
}

impl Event {
    fn new(name: &'static str, details: Value) -> Self {
        Self { name, node: None, txid: None, details }
    }

    fn by(self, node: NodeId) -> Self {
        Self { node: Some(node), ..self }
    }

    fn about(self, txid: impl ToString) -> Self {
        Self { txid: Some(txid.to_string()), ..self }
    }

    fn at(self, sequence: i64, record: &Record, me: NodeId) -> AuditRow {
        let details = if let Value::Object(details) = self.details { details } else { Map::new() };
        let node = self.node.unwrap_or(me);
        AuditRow { sequence, event: self.name, node, txid: self.txid, details, at: record.at }
    }

    /// `None` for bookkeeping between nodes.
    fn of(fact: &Fact) -> Option<Self> {
        Some(match fact {
            Fact::Booted { boot } => Self::new("node_started", json!({ "boot": boot.0 })),
            Fact::Proposed(proposal) => {
                let body = &proposal.body;
                let details = json!({
                    "amount_sats": body.amount.to_sat(),
                    "fee_sats": body.fee.to_sat(),
                    "digest": body.digest().to_string(),
                    "replaces": body.replaces.map(|original| original.to_string()),
                });
                Self::new("transaction_proposed", details).by(body.origin).about(body.txid())
            }
            Fact::Voted(vote) => {
                let reason = match &vote.body.decision {
                    Decision::Approve => None,
                    Decision::Reject(reason) => Some(reason.to_string()),
                };
                let details =
                    json!({ "round": vote.body.round, "approve": reason.is_none(), "reason": reason });
                Self::new("vote_received", details).by(vote.body.voter).about(vote.body.txid)
            }
            Fact::Promised(promise) => {
                Self::new("promised_never_to_sign", json!({})).by(promise.body.node).about(promise.body.txid)
            }
            Fact::Transition { txid, from, to, sub_status, cause } => {
                let details = json!({
                    "from": from.name(),
                    "to": to.name(),
                    "sub_status": sub_status.to_string(),
                    "cause": cause,
                });
                Self::new("state_changed", details).about(txid)
            }
            Fact::SubStatusChanged { txid, sub_status } => {
                Self::new("sub_status_changed", json!({ "sub_status": sub_status.to_string() })).about(txid)
            }
            Fact::ShareReleased { txid, session } => {
                Self::new("share_released", json!({ "session": session.to_string() })).about(txid)
            }
            Fact::Signed(finished) => {
                Self::new("transaction_signed", json!({})).about(finished.0.compute_txid())
            }
            Fact::Seen { txid, block, confirmations } => {
                let block =
                    block.map(|block| json!({ "height": block.height, "hash": block.hash.to_string() }));
                Self::new("transaction_seen", json!({ "block": block, "confirmations": confirmations }))
                    .about(txid)
            }
            Fact::KeyShareSealed { request, .. } => {
                Self::new("key_share_sealed", json!({ "key": request.key.to_string() }))
            }
            Fact::KeygenFailed { key, reason } => {
                Self::new("keygen_failed", json!({ "key": key.to_string(), "reason": reason }))
            }
            Fact::KeyActivated(proof) => {
                Self::new("key_activated", json!({ "key": proof.request.key.to_string() }))
            }
            Fact::Proven(evidence) => {
                let details = json!({ "violation_type": evidence.violation().to_string(), "proven": true });
                Self::new("violation_detected", details).by(evidence.accused())
            }
            Fact::Struck { node, violation, txid, detail } => {
                let details =
                    json!({ "violation_type": violation.to_string(), "proven": false, "detail": detail });
                Self { txid: txid.map(|txid| txid.to_string()), ..Self::new("violation_detected", details) }
                    .by(*node)
            }
            Fact::Banned { node, until, violation } => {
                let details = json!({
                    "banned_until": crate::units::rfc3339(*until),
                    "violation_type": violation.to_string(),
                });
                Self::new("node_banned", details).by(*node)
            }
            Fact::Quarantined { shown } => Self::new("node_quarantined", json!({ "boot": shown.0 })),
            Fact::Rejoined { boot } => Self::new("node_rejoined", json!({ "boot": boot.0 })),
            Fact::PresignaturesUsed { txid, session, presignatures } => {
                let used: Vec<_> = presignatures.iter().map(|used| used.id.to_string()).collect();
                Self::new(
                    "presignature_used",
                    json!({ "session": session.to_string(), "presignatures": used }),
                )
                .about(txid)
            }
            Fact::PresigningFailed { signers, reason, .. } => {
                let signers: Vec<_> = signers.iter().map(|node| node.get()).collect();
                Self::new("presigning_failed", json!({ "signers": signers, "reason": reason }))
            }
            Fact::OperatorDecided(decision) => {
                let body = &decision.body;
                let details =
                    json!({ "operator": body.operator, "approve": body.approve, "comment": body.comment });
                Self::new("operator_decision", details).by(body.node).about(body.txid)
            }
            Fact::Initiated { txid, initiator } => {
                Self::new("payment_posted", json!({ "key": initiator })).about(txid)
            }
            Fact::Frozen(freeze) => {
                let body = &freeze.body;
                Self::new("freeze", json!({ "operator": body.operator, "reason": body.reason })).by(body.node)
            }
            Fact::Lifted(lift) => {
                let body = &lift.body;
                Self::new("lift", json!({ "operator": body.operator, "frozen_by": body.frozen_by.get() }))
                    .by(body.node)
            }
            Fact::CoinLost { coin, value, by, .. } => Self::new(
                "coin_lost",
                json!({
                    "coin": coin.to_string(),
                    "amount_sats": value.to_sat(),
                    "spent_by": by.map(|by| by.to_string()),
                }),
            ),
            Fact::Synced { .. } | Fact::Confirmed | Fact::Shown(_) | Fact::CoinSeen { .. } => return None,
        })
    }
}
