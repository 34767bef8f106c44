//! What a record of the journal means to clients. Payloads are small: they say what changed, and the API has the rest.

use mpc_wallet_core::{
    NodeId,
    record::Fact,
    tx::{State, SubStatus},
    vote::Decision,
};
use serde_json::{Value, json};

use super::{Event, EventId, Kind};
use crate::{journal::OutboxEntry, units::rfc3339};

/// The event of a record; `None` if it is of no interest outside.
pub(crate) fn event(me: NodeId, entry: &OutboxEntry) -> Option<Event> {
    let (kind, details) = told(&entry.record.fact)?;
    Some(Event::new(Some(EventId::of(me, entry)), kind, entry.record.at, details))
}

fn told(fact: &Fact) -> Option<(Kind, Value)> {
    match fact {
        Fact::Proposed(proposal) => {
            let body = &proposal.body;
            let details = json!({
                "txid": body.txid().to_string(),
                "state": State::Pending.name(),
                "wallet": body.key.scheme.to_string(),
                "amount_sats": body.amount.to_sat(),
                "fee_sats": body.fee.to_sat(),
                "proposed_by": body.origin.get(),
                "replaces": body.replaces.map(|original| original.to_string()),
            });
            Some((Kind::TransactionCreated, details))
        }
        Fact::Voted(vote) => {
            let ballot = &vote.body;
            let reason = match &ballot.decision {
                Decision::Approve => None,
                Decision::Reject(reason) => Some(reason.to_string()),
            };
            let details = json!({
                "txid": ballot.txid.to_string(),
                "node_id": ballot.voter.get(),
                "round": ballot.round,
                "approve": reason.is_none(),
                "reason": reason,
            });
            Some((Kind::TransactionVote, details))
        }
        Fact::Transition { txid, from, to, sub_status, cause } => {
            let details = json!({
                "txid": txid.to_string(),
                "from": from.name(),
                "to": to.name(),
                "sub_status": sub_status.to_string(),
                "cause": cause,
            });
            Some((moved(sub_status), details))
        }
        Fact::SubStatusChanged { txid, sub_status } => {
            let details = json!({ "txid": txid.to_string(), "sub_status": sub_status.to_string() });
            Some((moved(sub_status), details))
        }
        Fact::Seen { txid, block, confirmations } => {
            let block = block.map(|block| json!({ "height": block.height, "hash": block.hash.to_string() }));
            let details = json!({ "txid": txid.to_string(), "confirmations": confirmations, "block": block });
            Some((Kind::TransactionUpdated, details))
        }
        Fact::Proven(evidence) => {
            let details = json!({
                "node_id": evidence.accused().get(),
                "violation_type": evidence.violation().name(),
                "proven": true,
            });
            Some((Kind::ViolationRecorded, details))
        }
        Fact::Struck { node, violation, txid, .. } => {
            let details = json!({
                "node_id": node.get(),
                "violation_type": violation.name(),
                "txid": txid.map(|txid| txid.to_string()),
                "proven": false,
            });
            Some((Kind::ViolationRecorded, details))
        }
        Fact::Banned { node, until, violation } => {
            let details = json!({
                "node_id": node.get(),
                "until": rfc3339(*until),
                "violation_type": violation.name(),
            });
            Some((Kind::NodeBanned, details))
        }
        Fact::KeyActivated(proof) => {
            let key = proof.request.key;
            let details = json!({ "key": key.to_string(), "wallet": key.scheme.to_string() });
            Some((Kind::KeyActivated, details))
        }
        Fact::KeygenFailed { key, reason } => {
            Some((Kind::KeyFailed, json!({ "key": key.to_string(), "reason": reason })))
        }
        Fact::OperatorDecided(decision) => {
            let body = &decision.body;
            let details = json!({
                "txid": body.txid.to_string(),
                "node_id": body.node.get(),
                "operator": body.operator,
                "approve": body.approve,
                "comment": body.comment,
            });
            Some((Kind::TransactionDecision, details))
        }
        Fact::Frozen(freeze) => {
            let body = &freeze.body;
            let details =
                json!({ "node_id": body.node.get(), "operator": body.operator, "reason": body.reason });
            Some((Kind::ClusterFrozen, details))
        }
        Fact::Lifted(lift) => {
            let body = &lift.body;
            let details = json!({
                "node_id": body.node.get(),
                "operator": body.operator,
                "frozen_by": body.frozen_by.get(),
            });
            Some((Kind::ClusterLifted, details))
        }
        Fact::CoinLost { coin, key, value, by } => {
            let details = json!({
                "wallet": key.scheme.to_string(),
                "coin": coin.to_string(),
                "amount_sats": value.to_sat(),
                "spent_by": by.map(|by| by.to_string()),
            });
            Some((Kind::CoinLost, details))
        }
        // Steps on the way, and what only this node has to know.
        Fact::Booted { .. }
        | Fact::Promised(_)
        | Fact::ShareReleased { .. }
        | Fact::Signed(_)
        | Fact::KeyShareSealed { .. }
        | Fact::Synced { .. }
        | Fact::Confirmed
        | Fact::Quarantined { .. }
        | Fact::Rejoined { .. }
        | Fact::Shown(_)
        | Fact::PresignaturesUsed { .. }
        | Fact::PresigningFailed { .. }
        | Fact::Initiated { .. }
        | Fact::CoinSeen { .. } => None,
    }
}

fn moved(reason: &SubStatus) -> Kind {
    if *reason == SubStatus::ReorgedOut { Kind::TransactionReorged } else { Kind::TransactionUpdated }
}
