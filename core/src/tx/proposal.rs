//! The proposal: one exact unsigned transaction and everything a voter must know to judge it.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, consensus},
    identity::{Signed, Statement},
    ids::{ClusterId, KeyId, NodeId, PaymentId, ProposalDigest},
    time::Timestamp,
};

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
    /// When the origin made it, by its clock.
    pub created_at: Timestamp,
    /// No vote is cast after this moment.
    pub expires_at: Timestamp,
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
