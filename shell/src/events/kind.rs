//! Kinds of events.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A payment was proposed.
    TransactionCreated,
    /// State, reason, block or depth of a transaction changed.
    TransactionUpdated,
    /// A vote was counted.
    TransactionVote,
    /// Its block left the best chain.
    TransactionReorged,
    /// An operator decided about a payment that waits for people.
    TransactionDecision,
    /// A member did wrong.
    ViolationRecorded,
    /// A member is shut out.
    NodeBanned,
    /// An operator stopped all signing.
    ClusterFrozen,
    /// A member lifted that; it is over when as many have as the threshold.
    ClusterLifted,
    /// A wallet's key is proven to sign.
    KeyActivated,
    /// A key generation ended without a key.
    KeyFailed,
    /// A coin of a wallet is gone, and not by a transaction of the cluster.
    CoinLost,
    /// Money of a wallet.
    WalletBalance,
    /// A member came, went, or changed how it is doing.
    ClusterNode,
    /// Whether enough members are here, and who coordinates.
    ClusterQuorum,
    /// Another best block.
    ChainTip,
    /// Presignatures in stock.
    PresigStock,
    /// Events may be missing: read everything anew.
    Reset,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::TransactionCreated,
        Self::TransactionUpdated,
        Self::TransactionVote,
        Self::TransactionReorged,
        Self::TransactionDecision,
        Self::ViolationRecorded,
        Self::NodeBanned,
        Self::ClusterFrozen,
        Self::ClusterLifted,
        Self::KeyActivated,
        Self::KeyFailed,
        Self::CoinLost,
        Self::WalletBalance,
        Self::ClusterNode,
        Self::ClusterQuorum,
        Self::ChainTip,
        Self::PresigStock,
        Self::Reset,
    ];

    /// Whether its events are records of the journal: they have ids, and webhooks get them.
    #[must_use]
    pub const fn lasts(self) -> bool {
        match self {
            Self::TransactionCreated
            | Self::TransactionUpdated
            | Self::TransactionVote
            | Self::TransactionReorged
            | Self::TransactionDecision
            | Self::ClusterFrozen
            | Self::ClusterLifted
            | Self::ViolationRecorded
            | Self::NodeBanned
            | Self::KeyActivated
            | Self::KeyFailed
            | Self::CoinLost => true,
            Self::WalletBalance
            | Self::ClusterNode
            | Self::ClusterQuorum
            | Self::ChainTip
            | Self::PresigStock
            | Self::Reset => false,
        }
    }

    /// Its name in streams, webhooks and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TransactionCreated => "transaction.created",
            Self::TransactionUpdated => "transaction.updated",
            Self::TransactionVote => "transaction.vote",
            Self::TransactionReorged => "transaction.reorged",
            Self::TransactionDecision => "transaction.decision",
            Self::ClusterFrozen => "cluster.frozen",
            Self::ClusterLifted => "cluster.lifted",
            Self::ViolationRecorded => "violation.recorded",
            Self::NodeBanned => "node.banned",
            Self::KeyActivated => "key.activated",
            Self::KeyFailed => "key.failed",
            Self::CoinLost => "wallet.coin_lost",
            Self::WalletBalance => "wallet.balance",
            Self::ClusterNode => "cluster.node",
            Self::ClusterQuorum => "cluster.quorum",
            Self::ChainTip => "chain.tip",
            Self::PresigStock => "presig.stock",
            Self::Reset => "reset",
        }
    }
}
