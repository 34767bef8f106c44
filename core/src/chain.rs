//! What the core asks the chain backend and what it may be told. The backend is not trusted with safety: amounts and
//! scripts come from raw parents whose txid the core recomputes.

use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};

use crate::{ids::QueryId, record::BlockRef};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainQuery {
    /// The tip, fee estimates, the wallet's coins and what became of `watch`.
    Poll {
        /// Scripts of the wallet.
        scripts: Vec<ScriptBuf>,
        /// Transactions of interest.
        watch: Vec<Txid>,
    },
    /// Do these coins exist, and are they unspent?
    Coins {
        /// Which.
        outpoints: Vec<OutPoint>,
    },
    /// Send this to the network, after verifying it with consensus code against the outputs it spends.
    Broadcast {
        /// The transaction.
        transaction: Transaction,
        /// Outputs it spends, in order.
        prevouts: Vec<TxOut>,
    },
}

/// An answer to the question with this id; every question gets one, or its asker asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainAnswer {
    /// The question.
    pub query: QueryId,
    /// What the backend says.
    pub observation: ChainObservation,
}

/// What the backend says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainObservation {
    /// Answer to [`ChainQuery::Poll`].
    Poll(ChainView),
    /// Answer to [`ChainQuery::Coins`], in the order asked.
    Coins(Vec<(OutPoint, CoinStatus)>),
    /// Answer to [`ChainQuery::Broadcast`].
    Broadcast {
        /// The transaction.
        txid: Txid,
        /// How it went.
        outcome: BroadcastOutcome,
    },
    /// No usable answer; the reason is for the log.
    Unavailable(String),
}

/// The wallet as the chain shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// Best block.
    pub tip: BlockRef,
    /// Time in the best block's header, seconds since the Unix epoch.
    pub tip_time: u64,
    /// Fee estimates: target in blocks → sat/kvB, ascending targets; may be empty.
    pub fee_estimates: Vec<(u16, u64)>,
    /// Unspent outputs of the wallet's scripts, mempool included.
    pub coins: Vec<Coin>,
    /// What became of the watched transactions.
    pub watched: Vec<(Txid, TxPresence)>,
}

/// An unspent output of the wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// Amount and script.
    pub output: TxOut,
    /// Height of its block; `None` in the mempool.
    pub height: Option<u32>,
    /// Whether it is a block reward, which may be spent only 100 blocks later.
    pub coinbase: bool,
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxPresence {
    /// Neither in the mempool nor in the chain.
    Absent,
    /// Waiting for a block.
    Mempool,
    /// In a block of the best chain.
    Confirmed(BlockRef),
    /// Absent, and this transaction spends one of its inputs.
    Conflicted {
        /// The other spender.
        by: Txid,
        /// Whether the other is in a block of the best chain, and which.
        block: Option<BlockRef>,
    },
}

/// What the backend knows about one output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoinStatus {
    /// The backend does not know its transaction: it may be behind.
    Unknown,
    /// It exists.
    Known {
        /// The transaction that made it, for the core to hash.
        parent: Transaction,
        /// Height of its block; `None` in the mempool.
        height: Option<u32>,
        /// What spends it, if anything does.
        spent_by: Option<Txid>,
    },
}

/// How a broadcast went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BroadcastOutcome {
    /// In the mempool, perhaps already before.
    Accepted,
    /// In a block already.
    AlreadyConfirmed,
    /// An input is missing or spent: the transaction may be in, or may have lost. Ask where it is.
    InputsMissing,
    /// The fee is too low for this mempool now.
    FeeTooLow,
    /// Not now, later.
    Temporary(String),
    /// Never: invalid or against the network's rules. A defect of ours.
    Refused(String),
    /// No telling whether it was sent.
    Unknown(String),
}
