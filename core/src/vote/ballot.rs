//! The two things a member says about a proposal: a vote, and the promise never to sign.

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use crate::{
    identity::{Signed, Statement},
    ids::{ClusterId, KeyId, NodeId, PolicyVersion, ProposalDigest},
    policy::PolicyBreach,
    time::Timestamp,
};

/// Rounds count from 1.
pub const FIRST_ROUND: u32 = 1;

/// A vote, and the voter's signature over all of it.
pub type Vote = Signed<Ballot>;

/// The content of a vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// The cluster it is cast in.
    pub cluster: ClusterId,
    /// The key that would sign.
    pub key: KeyId,
    /// The transaction.
    pub txid: Txid,
    /// Everything promised about it.
    pub digest: ProposalDigest,
    /// Voting round, from [`FIRST_ROUND`].
    pub round: u32,
    /// Who votes.
    pub voter: NodeId,
    /// What it decided.
    pub decision: Decision,
    /// The policy it judged by.
    pub policy: PolicyVersion,
    /// The proposal's expiry, repeated so that the vote alone says how long it is good.
    pub expires_at: Timestamp,
}

impl Statement for Ballot {
    const TAG: &'static str = "mpc-wallet/vote";

    fn author(&self) -> NodeId {
        self.voter
    }
}

/// Approve, or refuse and say why. A refusal is also a promise never to sign this proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The voter's own checks passed.
    Approve,
    /// They did not.
    Reject(RejectReason),
}

/// Longest text in a refusal's reason, in bytes; honest ones have a tenth of it.
const MAX_REASON_BYTES: usize = 512;

impl Decision {
    /// Whether its reason is longer than any honest one.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        match self {
            Self::Approve => false,
            Self::Reject(reason) => reason.text_bytes() > MAX_REASON_BYTES,
        }
    }
}

/// Why a member refuses a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RejectReason {
    /// The transaction is not what the proposal says it is.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Another transaction holds the coin (I2).
    #[error("coin {coin} is committed to {holder}")]
    CoinCommitted {
        /// The coin.
        coin: String,
        /// The transaction that holds it.
        holder: Txid,
    },
    /// Another transaction already serves this payment (I1).
    #[error("this payment is already served by {0}")]
    PaymentServed(Txid),
    /// An input does not exist, is spent, is not the wallet's, or differs from what was claimed.
    #[error("input {coin}: {problem}")]
    Input {
        /// The coin.
        coin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Against this node's policy.
    #[error("policy: {0}")]
    Policy(PolicyBreach),
    /// Too late.
    #[error("the proposal has expired")]
    Expired,
    /// Signed with a key this node does not hold as current.
    #[error("key {0} is not the current key")]
    Key(KeyId),
    /// A person said no.
    #[error("an operator rejected it at {0}")]
    OperatorRejected(NodeId),
    /// It may not take the place of the transaction that it names.
    #[error("replacement: {0}")]
    Replacement(String),
}

impl RejectReason {
    const fn text_bytes(&self) -> usize {
        match self {
            Self::Malformed(text) | Self::CoinCommitted { coin: text, .. } | Self::Replacement(text) => {
                text.len()
            }
            Self::Input { coin, problem } => coin.len().saturating_add(problem.len()),
            Self::PaymentServed(_)
            | Self::Policy(_)
            | Self::Expired
            | Self::Key(_)
            | Self::OperatorRejected(_) => 0,
        }
    }

    /// Short code for sub-statuses and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::CoinCommitted { .. } => "coin_committed",
            Self::PaymentServed(_) => "payment_served",
            Self::Input { .. } => "input",
            Self::Policy(_) => "policy",
            Self::Expired => "expired",
            Self::Key(_) => "key",
            Self::OperatorRejected(_) => "operator_rejected",
            Self::Replacement(_) => "replacement",
        }
    }
}

/// "I have given no share of a signature on this, and never will" (I6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The cluster.
    pub cluster: ClusterId,
    /// The transaction given up.
    pub txid: Txid,
    /// The proposal of it that the promiser holds.
    pub digest: ProposalDigest,
    /// Who promises.
    pub node: NodeId,
}

impl Statement for Promise {
    const TAG: &'static str = "mpc-wallet/promise-to-abandon";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// A promise and its author's signature.
pub type SignedPromise = Signed<Promise>;
