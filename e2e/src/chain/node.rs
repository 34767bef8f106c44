//! What the face, the faucet and the tests need from a node, and the answers a node gives.

use bitcoin::{ScriptBuf, Transaction, Txid};

use super::ledger::Ledger;

/// A node that keeps a regtest chain. Both backends stand behind this; nothing above it knows which.
pub(crate) trait Node: Send {
    /// The chain and mempool as of the last [`Node::refresh`] or change.
    fn ledger(&self) -> &Ledger;

    /// Brings the ledger up to date with the node. Errors when the node does not answer.
    fn refresh(&mut self) -> anyhow::Result<()>;

    /// Offers a transaction to the mempool, as `sendrawtransaction` does. One that is in the mempool
    /// already is accepted again.
    fn submit(&mut self, tx: &Transaction) -> Result<Txid, SubmitError>;

    /// Mines blocks on the best chain with what the mempool holds; coinbases pay `script`.
    fn mine(&mut self, blocks: u32, script: &ScriptBuf) -> anyhow::Result<()>;

    /// Disconnects the newest `depth` blocks; their transactions return to the mempool where the
    /// shorter chain still allows them.
    fn invalidate(&mut self, depth: u32) -> anyhow::Result<()>;

    /// Drops an unconfirmed transaction with its descendants and returns what was dropped. Errors
    /// when the node cannot do that.
    fn evict(&mut self, txid: &Txid) -> anyhow::Result<Vec<Txid>>;
}

/// Why a transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// The node looked at it and refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The node did not answer; the transaction may or may not be in its mempool.
    #[error("the node did not answer sendrawtransaction: {0:#}")]
    Unreachable(anyhow::Error),
}

/// A refusal in Bitcoin Core's words: an RPC error code and its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub(crate) struct Rejection {
    /// -22 undecodable, -25 missing inputs or excessive fee, -26 refused by rules, -27 in the chain.
    pub(crate) code: i32,
    /// Bitcoin Core's text.
    pub(crate) message: String,
}

impl Rejection {
    /// Refused by consensus or mempool rules.
    pub(crate) fn by_rules(message: impl Into<String>) -> Self {
        Self { code: -26, message: message.into() }
    }

    /// Not even considered: inputs unknown or spent, or a fee that looks like a mistake.
    pub(crate) fn not_considered(message: impl Into<String>) -> Self {
        Self { code: -25, message: message.into() }
    }
}
