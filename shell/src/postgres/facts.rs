//! What each fact means for the record. Every statement here may run again, by another node or after a journal was put
//! back, and then changes nothing.

use bitcoin::hex::DisplayHex as _;
use deadpool_postgres::Transaction;
use mpc_wallet_core::{
    Timestamp,
    record::{Fact, UsedPresignature},
    tx::SubStatus,
    vote::SignedDecision,
};
use serde_json::json;
use tokio_postgres::types::ToSql;

use super::{Teller, fault::Fault, transactions::Move};
use crate::journal::OutboxEntry;

/// The last moment of the year 9999, ms: what lies beyond is shown as this.
const LATEST: u64 = 253_402_300_799_999;

/// Writes one batch.
pub(super) struct Scribe<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) teller: &'a Teller,
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl<'a> Scribe<'a> {
    pub(super) const fn new(tx: &'a Transaction<'a>, teller: &'a Teller) -> Self {
        Self { tx, teller }
    }

    pub(super) fn me(&self) -> i32 {
        i32::from(self.teller.me.get())
    }

    /// Writes one fact.
    pub(super) async fn write(&self, entry: &OutboxEntry) -> Result<(), Fault> {
        let at = entry.record.at;
        match &entry.record.fact {
            Fact::Proposed(proposal) => self.proposed(proposal, at).await,
            Fact::Voted(vote) => self.voted(vote, at).await,
            Fact::Transition { txid, from, to, sub_status, cause } => {
                self.moved(Move { txid: *txid, from: *from, to: *to, sub_status, cause, at }).await
            }
            Fact::SubStatusChanged { txid, sub_status } => {
                if *sub_status == SubStatus::AwaitingApproval {
                    self.round_waits_for_people(&txid.to_string()).await?;
                }
                self.sub_status(*txid, sub_status, at).await
            }
            Fact::Signed(finished) => self.signed(&finished.0, at).await,
            Fact::Seen { txid, block, confirmations } => self.seen(*txid, *block, *confirmations, at).await,
            Fact::PresignaturesUsed { txid, presignatures, .. } => {
                for presignature in presignatures {
                    self.presignature_used(&txid.to_string(), presignature, at).await?;
                }
                Ok(())
            }
            Fact::ShareReleased { txid, session } => {
                self.nonces_used(&txid.to_string(), &session.to_string(), at).await
            }
            Fact::Proven(evidence) => self.proven(evidence, at).await,
            Fact::Struck { node, violation, txid, detail } => {
                let key = format!("{}/{}", self.teller.me, entry.digest);
                self.struck(&key, (*node, *violation), *txid, detail, at).await
            }
            Fact::Banned { node, until, .. } => self.banned(*node, *until).await,
            Fact::Booted { boot } => self.audit_once("node_started", &boot.0.to_string()).await,
            Fact::Quarantined { shown } => self.audit_once("node_quarantined", &shown.0.to_string()).await,
            Fact::Rejoined { boot } => self.audit_once("node_rejoined", &boot.0.to_string()).await,
            Fact::KeyActivated(proof) => {
                self.audit_once("key_activated", &proof.request.key.to_string()).await
            }
            Fact::Frozen(freeze) => self.frozen(freeze).await,
            Fact::Lifted(lift) => self.lifted(lift).await,
            Fact::KeygenFailed { key, .. } => self.audit_once("keygen_failed", &key.to_string()).await,
            Fact::OperatorDecided(decision) => self.decided(decision).await,
            Fact::CoinLost { coin, .. } => self.audit_once("coin_lost", &coin.to_string()).await,
            // Steps on the way and bookkeeping between nodes; each node's journal has them.
            Fact::Promised(_)
            | Fact::KeyShareSealed { .. }
            | Fact::Synced { .. }
            | Fact::Confirmed
            | Fact::Shown(_)
            | Fact::PresigningFailed { .. }
            | Fact::Initiated { .. }
            | Fact::CoinSeen { .. } => Ok(()),
        }
    }

    /// Runs a statement that returns nothing; how many rows it changed.
    pub(super) async fn run(&self, statement: &str, parameters: Parameters<'_>) -> Result<u64, Fault> {
        let prepared = self.tx.prepare_cached(statement).await?;
        Ok(self.tx.execute(&prepared, parameters).await?)
    }

    /// A use is a fact of the cluster: every signer tells it, the first is written.
    async fn presignature_used(
        &self,
        txid: &str,
        used: &UsedPresignature,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let name = used.id.to_string();
        let took = i64::try_from(used.took.0).unwrap_or(i64::MAX);
        self.run(
            "INSERT INTO presignature_usage (presig_id, presignature, protocol, transaction_id, generation_time_ms,
                 generated_at, used_at)
             SELECT $1::text::uuid, $2, 'cggmp24', id, $3, at_ms($4), at_ms($5) FROM transactions WHERE txid = $6
             ON CONFLICT DO NOTHING",
            &[&uuid(&name), &name, &took, &ms(used.made_at), &ms(at), &txid],
        )
        .await?;
        Ok(())
    }

    /// A share of a Taproot signature burns the nonces of its session, which are made in it and named by it. A session of
    /// the other wallet names its presignatures itself.
    async fn nonces_used(&self, txid: &str, session: &str, at: Timestamp) -> Result<(), Fault> {
        self.run(
            "INSERT INTO presignature_usage (presig_id, presignature, protocol, transaction_id, generation_time_ms,
                 generated_at, used_at)
             SELECT $1::text::uuid, $2, 'frost', id, 0, at_ms($3), at_ms($3) FROM transactions
              WHERE txid = $4 AND scheme = 'taproot'
             ON CONFLICT DO NOTHING",
            &[&uuid(session), &session, &ms(at), &txid],
        )
        .await?;
        Ok(())
    }

    /// A decision is a fact of the cluster: every node tells it, the first is written. The signature lets anyone check
    /// that the member at which it was made said so.
    async fn decided(&self, decision: &SignedDecision) -> Result<(), Fault> {
        let body = &decision.body;
        let details = json!({
            "node": body.node.get(),
            "operator": body.operator.as_deref().map(text),
            "approve": body.approve,
            "comment": body.comment.as_deref().map(text),
            "decided_at_ms": ms(body.at),
            "digest": body.digest.to_string(),
            "signature": decision.signature.0.to_lower_hex_string(),
        });
        self.run(
            "INSERT INTO audit_log (event_type, node_id, tx_id, txid, details)
             SELECT 'operator_decision', $1::integer, (SELECT id FROM transactions WHERE txid = $2::text), $2::text,
                    $3::jsonb
              WHERE NOT EXISTS (SELECT 1 FROM audit_log
                                 WHERE event_type = 'operator_decision' AND node_id = $1 AND txid = $2
                                   AND details ->> 'digest' = $3::jsonb ->> 'digest')",
            &[&i32::from(body.node.get()), &body.txid.to_string(), &details],
        )
        .await?;
        Ok(())
    }

    /// A round that waits for people may last as long as its proposal.
    async fn round_waits_for_people(&self, txid: &str) -> Result<(), Fault> {
        self.run(
            "UPDATE voting_rounds SET timeout_at = expires_at FROM transactions
              WHERE transactions.id = tx_id AND txid = $1 AND timeout_at < expires_at AND NOT completed",
            &[&txid],
        )
        .await?;
        Ok(())
    }

    /// An event of this node that has no table of its own.
    async fn audit_once(&self, event: &str, subject: &str) -> Result<(), Fault> {
        self.run(
            "INSERT INTO audit_log (event_type, node_id, details)
             SELECT $1, $2, jsonb_build_object('subject', $3::text)
              WHERE NOT EXISTS (SELECT 1 FROM audit_log
                                 WHERE event_type = $1 AND node_id = $2 AND details ->> 'subject' = $3)",
            &[&event, &self.me(), &subject],
        )
        .await?;
        Ok(())
    }
}

/// An id has 32 bytes in 64 digits and a UUID has room for 16: its head, which is as unique as there are ids.
fn uuid(id: &str) -> &str {
    id.get(..32).unwrap_or_default()
}

/// A moment as PostgreSQL's functions take it.
pub(super) fn ms(moment: Timestamp) -> i64 {
    i64::try_from(moment.0.min(LATEST)).unwrap_or(i64::MAX)
}

/// Text as PostgreSQL can hold it: it has no NUL, and a peer's text may.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_and_no_moment_of_a_peer_can_hold_up_the_feed() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(ms(Timestamp(u64::MAX)), 253_402_300_799_999);
        assert_eq!(ms(Timestamp(7)), 7);
    }
}
