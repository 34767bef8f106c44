//! The read model: what REST shows of the past. It is a projection of the journal, kept in the same database and
//! updated in the same transaction, so whatever a node has answered for can be read back.

use mpc_wallet_core::{Millis, NodeId, Scheme, Timestamp, tx::State};

/// The read model could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the read model is unavailable: {0}")]
pub struct ReadError(pub String);

/// One transaction, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Order of arrival at this node, ascending; the cursor of lists.
    pub sequence: i64,
    /// Lower-case hex, display order.
    pub txid: String,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub sub_status: String,
    /// Kind of the wallet that pays: `taproot` or `segwit`.
    pub scheme: String,
    /// Recipient's script, hex; the API shows it as an address.
    pub recipient_script: Vec<u8>,
    /// Satoshis to the recipient.
    pub amount_sats: u64,
    /// Satoshis to the miners.
    pub fee_sats: u64,
    /// The payer's own reference.
    pub metadata: Option<String>,
    /// The payer's name of the payment, for good.
    pub external_id: Option<String>,
    /// The node that proposed it.
    pub origin: NodeId,
    /// Digest voted on, hex.
    pub digest: String,
    /// Depth in the chain.
    pub confirmations: u32,
    /// Height of its block.
    pub block_height: Option<u32>,
    /// Hash of its block.
    pub block_hash: Option<String>,
    /// When its origin made it.
    pub created_at: Timestamp,
    /// When this node last learned something about it.
    pub updated_at: Timestamp,
    /// No vote counts after this.
    pub expires_at: Timestamp,
    /// Who asked this node for it, by the name of his API key; `None` at its peers, and where no keys are asked for.
    pub initiator: Option<String>,
    /// The transaction for the same payment that it takes the place of, hex.
    pub replaces: Option<String>,
    /// The transaction that takes its place, or is to, hex.
    pub replaced_by: Option<String>,
}

/// One transaction with its story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDetail {
    /// The transaction.
    pub row: TransactionRow,
    /// Its bytes.
    pub encodings: Encodings,
    /// Votes by node.
    pub votes: Vec<VoteRow>,
    /// States it passed, in order.
    pub timeline: Vec<TransitionRow>,
    /// Presignatures that this node has used for it, the first used first.
    pub presignatures: Vec<PresignatureRow>,
    /// What operators decided, by node.
    pub decisions: Vec<DecisionRow>,
}

/// A transaction in consensus encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encodings {
    /// Without witnesses.
    pub unsigned_tx: Vec<u8>,
    /// The outputs that it spends, in the order of its inputs.
    pub prevouts: Vec<u8>,
    /// With witnesses, as soon as it has them.
    pub signed_tx: Option<Vec<u8>>,
}

/// What an operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// The node at which he did.
    pub node: NodeId,
    /// Who, by the name of his API key.
    pub operator: Option<String>,
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// The node's BIP-340 signature, hex.
    pub signature: String,
    /// When, by that node's clock.
    pub decided_at: Timestamp,
}

/// One vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRow {
    /// Who.
    pub node: NodeId,
    /// Round.
    pub round: u32,
    /// Yes or no.
    pub approve: bool,
    /// Why not.
    pub reason: Option<String>,
    /// BIP-340 signature, hex.
    pub signature: String,
    /// When this node counted it.
    pub received_at: Timestamp,
}

/// One change of state or of its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// From; `None` for the first entry.
    pub from: Option<State>,
    /// To; equal to `from` if only the reason changed.
    pub to: State,
    /// The reason.
    pub sub_status: String,
    /// What caused it.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// One presignature at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignatureRow {
    /// Its name, hex; the same at all its signers.
    pub id: String,
    /// What made it: `cggmp24`.
    pub protocol: String,
    /// How long that took.
    pub generation_time: Millis,
    /// When it was made.
    pub generated_at: Timestamp,
    /// When it was used.
    pub used_at: Timestamp,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViolationRow {
    /// Order of arrival.
    pub sequence: i64,
    /// Who.
    pub node: NodeId,
    /// `double_vote`, …
    pub violation: String,
    /// Transaction concerned, hex.
    pub txid: Option<String>,
    /// In words.
    pub detail: String,
    /// Transferable proof, in the core's encoding.
    pub evidence: Option<Vec<u8>>,
    /// When.
    pub detected_at: Timestamp,
}

/// One fact of the journal, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the journal; the cursor of lists.
    pub sequence: i64,
    /// `state_changed`, …
    pub event: &'static str,
    /// Whose act it was.
    pub node: NodeId,
    /// Transaction concerned, hex.
    pub txid: Option<String>,
    /// By event.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// When this node learned it.
    pub at: Timestamp,
}

/// Which transactions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; empty is all.
    pub states: Vec<State>,
    /// Only from the wallets of this kind; `None` is all.
    pub scheme: Option<Scheme>,
    /// Only for the payment of this name; `None` is all.
    pub external_id: Option<String>,
    /// Only those that wait for people at this node, whatever `states` says.
    pub awaiting_approval: bool,
    /// Continue after (below) this sequence; newest first.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// Questions to the read model. They block for a disk read at most: call them where a thread may wait, never in the driver loop.
pub trait Queries: Send + Sync + 'static {
    /// One transaction; `None` if this node never heard of it.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    fn transaction(&self, txid: &str) -> Result<Option<TransactionDetail>, ReadError>;
    /// Transactions, newest first.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    fn transactions(&self, filter: &Filter) -> Result<Vec<TransactionRow>, ReadError>;
    /// Transactions by state.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    fn counts(&self) -> Result<Vec<(State, u64)>, ReadError>;
    /// Violations, newest first, at most `limit`, below sequence `before`.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails.
    fn violations(&self, before: Option<i64>, limit: usize) -> Result<Vec<ViolationRow>, ReadError>;
    /// Facts of the journal of `me`, newest first, at most `limit`, below position `before`.
    ///
    /// # Errors
    /// [`ReadError`] if the database fails or a record does not decode.
    fn audit(&self, me: NodeId, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, ReadError>;
}
