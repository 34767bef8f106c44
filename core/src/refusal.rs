//! Why a client's wish is not granted, with the numbers a person needs to do something about it.

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use crate::{
    freeze::WordsError,
    ids::{FreezeId, KeyId, NodeId, Scheme},
    policy::PolicyBreach,
    time::Timestamp,
    tx::State,
    vote::UnfitDecision,
};

/// A refusal; the API turns it into a status, a stable code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The wallet has no key of that kind yet.
    #[error("the cluster has no {0} key yet; start key generation first")]
    NoKey(Scheme),
    /// No machines for that kind of key.
    #[error("this build cannot make {0} keys; use one that can, or another kind of wallet")]
    UnsupportedScheme(Scheme),
    /// Not enough money that may be spent now.
    #[error(
        "need {needed} sat (amount and fee) but only {spendable} sat are spendable; {locked} sat are locked by open transactions and {unconfirmed} sat are unconfirmed"
    )]
    InsufficientFunds {
        /// Amount and fee.
        needed: u64,
        /// Spendable now.
        spendable: u64,
        /// Held by open transactions.
        locked: u64,
        /// Incoming, not confirmed.
        unconfirmed: u64,
    },
    /// Enough money, but in too many small coins.
    #[error("the amount needs more than {limit} coins; consolidate the wallet or send less")]
    TooManyInputs {
        /// Inputs allowed.
        limit: usize,
    },
    /// Against this node's policy.
    #[error("{0}")]
    Policy(PolicyBreach),
    /// The chain backend has not answered for too long.
    #[error("the chain backend has not answered for {age_s} s; nothing is approved on a stale view")]
    ChainStale {
        /// Seconds since the last good answer.
        age_s: u64,
    },
    /// The backend has no fee estimate and the caller named none.
    #[error("there is no fee estimate; give a fee rate explicitly")]
    NoFeeEstimate,
    /// Nobody coordinates and nobody answers.
    #[error("{online} of {total} nodes are reachable, {needed} are needed")]
    NoQuorum {
        /// Reachable, this node included.
        online: u16,
        /// n
        total: u16,
        /// t
        needed: u16,
    },
    /// The coordinator did not answer in time.
    #[error("no coordinator answered in time; nothing was proposed, try again")]
    NoCoordinator,
    /// Too many open transactions.
    #[error("{limit} transactions are open already; wait for some to end")]
    Busy {
        /// Transactions allowed.
        limit: usize,
    },
    /// The idempotency key or the external id was used for another payment.
    #[error("this idempotency key or external id belongs to another request (transaction {txid})")]
    KeyReused {
        /// What it was used for.
        txid: Txid,
    },
    /// The first request with this idempotency key has not been answered yet.
    #[error("the first request with this idempotency key or external id is still in progress")]
    InProgress,
    /// Metadata too long.
    #[error("metadata has {size} bytes, at most {limit} are kept")]
    MetadataTooLong {
        /// Given.
        size: usize,
        /// Allowed.
        limit: usize,
    },
    /// A key generation is running.
    #[error("key generation of {0} is already running")]
    KeygenRunning(KeyId),
    /// The key exists.
    #[error("key {0} exists already")]
    KeyExists(KeyId),
    /// Key generation needs everybody.
    #[error("key generation needs all {total} nodes, {online} are reachable")]
    NotEveryoneOnline {
        /// Reachable, this node included.
        online: u16,
        /// n
        total: u16,
    },
    /// The node has just started and does not know yet whether its journal is complete (I7).
    #[error(
        "this node is asking its peers what they last saw of it: {told} of {needed} have answered; try again"
    )]
    Confirming {
        /// Peers that have answered.
        told: u16,
        /// Answers it waits for.
        needed: u16,
    },
    /// The node's journal was replaced by an older one (I7).
    #[error(
        "this node's journal is older than what its peers have seen; it recovers from them, use another node"
    )]
    Quarantined,
    /// Something only a defect explains; nothing was changed.
    #[error("internal inconsistency: {0}")]
    Internal(String),
    /// Too many requests of one node wait for coins.
    #[error("{limit} requests of this node wait for coins already; wait for some to end")]
    QueueFull {
        /// Requests a node may have waiting: its share of the coordinator's queue.
        limit: usize,
    },
    /// No such transaction.
    #[error("this node knows no transaction {0}; it may not have heard of it yet")]
    UnknownTransaction(Txid),
    /// Nobody is to decide about this transaction.
    #[error(
        "this node's policy asks no person about this payment: every node votes by its own rules; the transaction is {state}"
    )]
    ApprovalNotRequired {
        /// Where it stands.
        state: State,
    },
    /// Too late to decide.
    #[error("it is too late to decide: the transaction is {state}, and its voting is over or being given up")]
    NotVoting {
        /// Where it stands.
        state: State,
    },
    /// The other decision was made before.
    #[error(
        "{} has {} this transaction at this node; a node decides once about a transaction",
        .operator.as_deref().unwrap_or("an operator"),
        if *.approve { "approved" } else { "rejected" }
    )]
    AlreadyDecided {
        /// By whom.
        operator: Option<String>,
        /// How.
        approve: bool,
    },
    /// Whoever asks for a payment does not approve it.
    #[error("{operator} asked for this payment at this node and cannot approve it; somebody else must")]
    OwnPayment {
        /// Who.
        operator: String,
    },
    /// This node was restored from a backup and cannot know whether the opposite was decided at it (I7).
    #[error(
        "this node was restored from a backup after this transaction was proposed and may have decided about it before; decide at another node"
    )]
    MayHaveDecided,
    /// Name or comment cannot be taken down.
    #[error("{0}")]
    UnfitDecision(UnfitDecision),
    /// External id too long.
    #[error("external_id has {size} bytes, at most {limit} are kept")]
    ExternalIdTooLong {
        /// Given.
        size: usize,
        /// Allowed.
        limit: usize,
    },
    /// A member has stopped all signing.
    #[error(
        "the cluster is frozen by {operator} at {node}: {reason}; nothing is signed until {needed} nodes lift it"
    )]
    Frozen {
        /// Where.
        node: NodeId,
        /// Who.
        operator: String,
        /// Why.
        reason: String,
        /// When, by that node's clock.
        at: Timestamp,
        /// t
        needed: u16,
    },
    /// This node has frozen the cluster already.
    #[error("this node's freeze {0} is active already; it is lifted before there is another one")]
    AlreadyFrozen(FreezeId),
    /// There is nothing to lift.
    #[error("nothing is frozen, as far as this node knows")]
    NotFrozen,
    /// A freeze or a lift in words that are not kept.
    #[error("{0}")]
    Words(WordsError),
    /// Its fee cannot be raised where it stands.
    #[error("the fee of a transaction is raised while it is broadcast and in no block; {txid} is {state}")]
    NotReplaceable {
        /// Which.
        txid: Txid,
        /// Where it stands.
        state: State,
    },
    /// It is in a block.
    #[error("{txid} is in block {height} already; its fee cannot be raised any more")]
    InBlock {
        /// Which.
        txid: Txid,
        /// Height of the block.
        height: u32,
    },
    /// It has a replacement.
    #[error("{by} takes the place of this transaction already; to pay more, raise the fee of that one")]
    ReplacedBefore {
        /// Which.
        by: Txid,
    },
    /// What it makes is being spent.
    #[error("{by} spends the change of this transaction; raise the fee of that one, it carries both")]
    ChangeSpent {
        /// By which transaction.
        by: Txid,
    },
    /// Too little more for the network to prefer it.
    #[error(
        "a replacement at {rate} sat/kvB pays {fee} sat; the network takes none below {least} sat, ask for at least {least_rate} sat/kvB"
    )]
    ReplacementTooCheap {
        /// Asked, sat/kvB.
        rate: u64,
        /// What that makes, in satoshis.
        fee: u64,
        /// Least fee, in satoshis.
        least: u64,
        /// The rate that makes it, sat/kvB.
        least_rate: u64,
    },
    /// The higher fee comes out of the change, and there is too little.
    #[error(
        "a replacement needs a fee of {fee} sat, and the transaction's coins leave at most {available} sat: its change is too small"
    )]
    ChangeTooSmall {
        /// Needed, in satoshis.
        fee: u64,
        /// What coins and amount leave, in satoshis.
        available: u64,
    },
}

impl Refusal {
    /// Stable code of the API.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKey(_) => "no_key",
            Self::UnsupportedScheme(_) => "unsupported_wallet",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::TooManyInputs { .. } => "too_many_inputs",
            Self::Policy(breach) => match breach {
                PolicyBreach::Amount { .. } => "amount_limit",
                PolicyBreach::NotWhitelisted => "destination_not_whitelisted",
                PolicyBreach::FeeRateTooLow { .. } => "fee_below_floor",
                PolicyBreach::FeeRateTooHigh { .. } | PolicyBreach::FeeTooHigh { .. } => "fee_too_high",
                PolicyBreach::Dust { .. } => "amount_below_dust",
            },
            Self::ChainStale { .. } => "chain_backend_stale",
            Self::NoFeeEstimate => "fee_estimate_unavailable",
            Self::NoQuorum { .. } => "no_quorum",
            Self::NoCoordinator => "no_coordinator",
            Self::Busy { .. } | Self::QueueFull { .. } => "busy",
            Self::KeyReused { .. } => "idempotency_key_reused",
            Self::InProgress => "idempotency_in_progress",
            Self::MetadataTooLong { .. } => "metadata_too_long",
            Self::ExternalIdTooLong { .. } => "external_id_too_long",
            Self::KeygenRunning(_) => "keygen_running",
            Self::KeyExists(_) => "key_exists",
            Self::NotEveryoneOnline { .. } => "not_everyone_online",
            Self::Confirming { .. } => "confirming",
            Self::Quarantined => "quarantined",
            Self::Internal(_) => "internal",
            Self::UnknownTransaction(_) => "not_found",
            Self::ApprovalNotRequired { .. } => "approval_not_required",
            Self::NotVoting { .. } => "invalid_state",
            Self::AlreadyDecided { .. } => "already_decided",
            Self::OwnPayment { .. } => "own_payment",
            Self::MayHaveDecided => "may_have_decided",
            Self::UnfitDecision(_) => "validation_failed",
            Self::Frozen { .. } => "cluster_frozen",
            Self::AlreadyFrozen(_) => "already_frozen",
            Self::NotFrozen => "not_frozen",
            Self::Words(_) => "validation_failed",
            Self::NotReplaceable { .. } | Self::InBlock { .. } => "not_replaceable",
            Self::ReplacedBefore { .. } => "replaced_before",
            Self::ChangeSpent { .. } => "change_spent",
            Self::ReplacementTooCheap { .. } => "replacement_too_cheap",
            Self::ChangeTooSmall { .. } => "change_too_small",
        }
    }
}
