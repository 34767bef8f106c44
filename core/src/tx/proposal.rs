//! The proposal: one exact unsigned transaction and everything a voter must know to judge it.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, consensus},
    config::Limits,
    identity::{Signed, Statement},
    ids::{ClusterId, KeyId, NodeId, PaymentId, ProposalDigest},
    mutant,
    time::Timestamp,
};

/// Recipient and change.
const MAX_OUTPUTS: usize = 2;

/// Longest script of a standard output (P2WSH and P2TR have 34 bytes, P2PKH 25), with room.
const MAX_SCRIPT_BYTES: usize = 64;

/// Longest name that a payer may give to a payment, in bytes.
pub const MAX_EXTERNAL_ID_BYTES: usize = 64;

/// The year 9999: no proposal lives longer, and every database and calendar can say it.
const LATEST: Timestamp = Timestamp(253_402_300_799_000);

/// What the originating node asks the cluster to sign. Its digest binds every field, so a vote for a proposal is
/// a vote for all of it and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The cluster whose members vote.
    pub cluster: ClusterId,
    /// The key that will sign.
    pub key: KeyId,
    /// The payment this transaction is for; two transactions for one payment must share an input (I1).
    pub payment: PaymentId,
    /// The node that proposes.
    pub origin: NodeId,
    /// Whom to pay.
    pub recipient: ScriptBuf,
    /// How much the recipient gets.
    pub amount: Amount,
    /// What the miners get.
    pub fee: Amount,
    /// The transaction without witnesses; native segwit, so its txid is final.
    #[serde(serialize_with = "consensus::serialize_as", deserialize_with = "consensus::deserialize_as")]
    pub unsigned_tx: Transaction,
    /// The outputs being spent, in the order of the inputs. Voters check them against the parents themselves.
    pub prevouts: Vec<Prevout>,
    /// The payer's own reference.
    pub metadata: Option<String>,
    /// The payer's name of the payment, given once and for good; then [`Self::payment`] follows from it.
    pub external_id: Option<String>,
    /// When the origin made it, by its clock.
    pub created_at: Timestamp,
    /// No vote is cast after this moment.
    pub expires_at: Timestamp,
    /// The signed transaction for the same payment that this one takes the place of, for a higher fee.
    pub replaces: Option<Txid>,
}

/// The one payment of a cluster that a payer has given this name.
#[must_use]
pub fn named_payment(cluster: ClusterId, external_id: &str) -> PaymentId {
    PaymentId::from_bytes(codec::digest("mpc-wallet/payment-by-external-id", &(cluster, external_id)))
}

/// An output to be spent, as [`TxOut`] in a form that travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prevout {
    /// Its amount.
    pub value: Amount,
    /// Its script.
    pub script: ScriptBuf,
}

impl From<&Prevout> for TxOut {
    fn from(prevout: &Prevout) -> Self {
        Self { value: prevout.value, script_pubkey: prevout.script.clone() }
    }
}

/// A proposal and its origin's signature.
pub type SignedProposal = Signed<Proposal>;

impl Statement for Proposal {
    const TAG: &'static str = "mpc-wallet/proposal";

    fn author(&self) -> NodeId {
        self.origin
    }
}

impl Proposal {
    /// The Bitcoin transaction id.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.unsigned_tx.compute_txid()
    }

    /// Digest over all fields.
    #[must_use]
    pub fn digest(&self) -> ProposalDigest {
        ProposalDigest::from_bytes(codec::digest("mpc-wallet/proposal-digest", self))
    }

    /// Whether it could be a proposal at all: amounts, times and sizes within what exists. Checked before it is
    /// recorded, so that nothing a journal or a sum cannot hold ever gets in.
    #[must_use]
    pub fn is_admissible(&self, limits: &Limits) -> bool {
        let tx = &self.unsigned_tx;
        let amounts = tx.output.iter().map(|output| output.value);
        let amounts = amounts.chain(self.prevouts.iter().map(|prevout| prevout.value));
        let scripts = tx.output.iter().map(|output| &output.script_pubkey);
        let scripts = scripts.chain(self.prevouts.iter().map(|prevout| &prevout.script));
        (1..=limits.inputs).contains(&tx.input.len())
            && tx.input.len() == self.prevouts.len()
            && (1..=MAX_OUTPUTS).contains(&tx.output.len())
            && tx.input.iter().all(|input| input.script_sig.is_empty() && input.witness.is_empty())
            && amounts.chain([self.amount, self.fee]).all(|amount| amount <= Amount::MAX_MONEY)
            && self.amount > Amount::ZERO
            && self.replaces != Some(tx.compute_txid())
            && scripts.chain([&self.recipient]).all(|script| script.len() <= MAX_SCRIPT_BYTES)
            && self.metadata.as_ref().is_none_or(|metadata| metadata.len() <= limits.metadata_bytes)
            && self.is_truly_named()
            && self.created_at <= LATEST
            && self.expires_at <= LATEST
    }

    /// Whether the name that the payer gave, if any, is this payment's.
    fn is_truly_named(&self) -> bool {
        self.external_id.as_ref().is_none_or(|id| {
            (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()) && self.payment == named_payment(self.cluster, id)
        })
    }

    /// Whether it pays the same recipient the same amount.
    #[must_use]
    pub fn pays_like(&self, other: &Self) -> bool {
        mutant!(ReplacementPaysOther) || (self.recipient == other.recipient && self.amount == other.amount)
    }

    /// The coins it spends.
    pub fn coins(&self) -> impl Iterator<Item = OutPoint> + '_ {
        self.unsigned_tx.input.iter().map(|input| input.previous_output)
    }

    /// The spent outputs, as sighash computation wants them.
    #[must_use]
    pub fn spent_outputs(&self) -> Vec<TxOut> {
        self.prevouts.iter().map(TxOut::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, proposal};

    #[test]
    fn nothing_replaces_itself_or_pays_nothing() {
        let good = proposal(&cluster(5, 4), 1, &[1]);
        assert!(good.is_admissible(&Limits::default()));
        let itself = Proposal { replaces: Some(good.txid()), ..good.clone() };
        assert!(!itself.is_admissible(&Limits::default()));
        let nothing = Proposal { amount: Amount::ZERO, ..good };
        assert!(!nothing.is_admissible(&Limits::default()));
    }

    #[test]
    fn a_name_is_the_payments_or_there_is_no_proposal() {
        let cluster = cluster(5, 4);
        let named = |id: &str, payment: &str| {
            let mut proposal = proposal(&cluster, 1, &[1]);
            proposal.external_id = Some(id.to_owned());
            proposal.payment = named_payment(cluster.id(), payment);
            proposal.is_admissible(&Limits::default())
        };
        assert!(named("order-17", "order-17"));
        assert!(!named("order-17", "order-18"));
        let longest = "x".repeat(MAX_EXTERNAL_ID_BYTES);
        assert!(named(&longest, &longest));
        for wrong in [String::new(), longest + "x"] {
            assert!(!named(&wrong, &wrong), "{wrong}");
        }
    }
}
