//! What members did wrong, and what was done about it.

use bitcoin::{
    Txid,
    hashes::{Hash, sha256},
    hex::DisplayHex,
};
use mpc_wallet_core::{
    NodeId, Timestamp, codec,
    vote::{Evidence, Violation},
};
use serde_json::{Value, json};

use super::{
    facts::{Scribe, ms, text},
    fault::Fault,
};

/// Largest proof that is written whole, in bytes; a double vote has some hundreds. Beyond it the digest must do, and every
/// node's own journal has the proof.
const MAX_PROOF: usize = 32 * 1024;

impl Scribe<'_> {
    pub(super) async fn proven(&self, evidence: &Evidence, at: Timestamp) -> Result<(), Fault> {
        let txid = match evidence {
            Evidence::DoubleVote { first, .. } => Some(first.body.txid),
            Evidence::Equivocation { .. } => None,
        };
        let key = evidence.digest().to_lower_hex_string();
        let accused = (evidence.accused(), evidence.violation());
        self.violation(&key, accused, txid, &exhibit(evidence), "banned", at).await
    }

    pub(super) async fn struck(
        &self,
        key: &str,
        accused: (NodeId, Violation),
        txid: Option<Txid>,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        self.violation(key, accused, txid, &json!({ "detail": text(detail) }), "counted", at).await
    }

    async fn violation(
        &self,
        key: &str,
        (node, violation): (NodeId, Violation),
        txid: Option<Txid>,
        evidence: &Value,
        action: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        self.run(
            "INSERT INTO byzantine_violations (node_id, tx_id, txid, violation_type, evidence, action_taken, detected_at,
                 reported_by, fact_key)
             VALUES ($1, (SELECT id FROM transactions WHERE txid = $2), $2, $3::text::violation_type, $4, $5, at_ms($6),
                 $7, $8)
             ON CONFLICT (fact_key) DO NOTHING",
            &[
                &i32::from(node.get()),
                &txid.map(|txid| txid.to_string()),
                &violation.name(),
                evidence,
                &action,
                &ms(at),
                &self.me(),
                &key,
            ],
        )
        .await?;
        Ok(())
    }

    /// A ban by this node's own rules; the latest end of all counts.
    pub(super) async fn banned(&self, node: NodeId, until: Timestamp) -> Result<(), Fault> {
        self.run(
            "UPDATE node_status
                SET banned_until = at_ms($2), updated_at = now(),
                    status = CASE WHEN at_ms($2) > now() THEN 'banned' ELSE status END
              WHERE node_id = $1 AND (banned_until IS NULL OR banned_until < at_ms($2))",
            &[&i32::from(node.get()), &ms(until)],
        )
        .await?;
        Ok(())
    }
}

/// A proof for the record. What a member said to one other alone may be a share of a secret: of that only digests are
/// written.
fn exhibit(evidence: &Evidence) -> Value {
    let (kind, place, public) = match evidence {
        Evidence::DoubleVote { first, .. } => (
            "double_vote",
            json!({ "round": first.body.round, "digest": first.body.digest.to_string() }),
            true,
        ),
        Evidence::Equivocation { first, .. } => {
            let said = &first.body;
            let place = json!({ "session": said.session.to_string(), "sequence": said.sequence });
            ("equivocation", place, said.to.is_none())
        }
    };
    let encoded = codec::encode(evidence).unwrap_or_default();
    let whole = public && !encoded.is_empty() && encoded.len() <= MAX_PROOF;
    json!({
        "kind": kind,
        "place": place,
        "evidence_digest": evidence.digest().to_lower_hex_string(),
        "proof_sha256": sha256::Hash::hash(&encoded).to_string(),
        "proof": whole.then(|| encoded.to_lower_hex_string()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mpc_wallet_core::{BootId, VoteKey, identity::Signed, ids::SessionId, message::MpcMessage};

    use super::*;

    fn equivocation(to: Option<NodeId>) -> Evidence {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let said = |payload: &[u8]| {
            let body = MpcMessage {
                session: SessionId::from_bytes([5; 32]),
                from: NodeId::new(3),
                boot: BootId(1),
                to,
                sequence: 1,
                payload: payload.to_vec(),
            };
            Box::new(Signed::new(body, &key))
        };
        Evidence::Equivocation { first: said(b"a secret share"), second: said(b"another share") }
    }

    #[test]
    fn what_was_said_in_private_is_not_written() {
        let secret = b"a secret share".to_lower_hex_string();
        assert!(exhibit(&equivocation(None)).to_string().contains(&secret));
        let private = exhibit(&equivocation(Some(NodeId::new(1)))).to_string();
        assert!(!private.contains(&secret), "{private}");
    }
}
