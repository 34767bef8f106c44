//! A node's view of the present, for people and probes. What lasts is in the journal's read model instead.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Txid};

use crate::{
    ids::{BootId, FreezeId, KeyId, Lease, LogIndex, NodeId, PolicyVersion, Scheme},
    mpc::Stage,
    policy::Approval,
    record::BlockRef,
    time::{Millis, Timestamp},
    wallet_key::WalletKey,
};

/// The present as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Who sees it.
    pub me: NodeId,
    /// When.
    pub now: Timestamp,
    /// n
    pub total: u16,
    /// t
    pub threshold: u16,
    /// f
    pub faults_tolerated: u16,
    /// Members reachable and not banned, this node included.
    pub online: u16,
    /// The coordinator, by this node's view.
    pub coordinator: Option<NodeId>,
    /// The lease that makes it so; `None` under the embedded rule.
    pub lease: Option<Lease>,
    /// This node's policy.
    pub policy: PolicyVersion,
    /// When that policy asks people.
    pub approval: Option<Approval>,
    /// How often its journal was opened.
    pub boot: BootId,
    /// Journal position.
    pub position: LogIndex,
    /// Whether this node takes part.
    pub standing: StandingView,
    /// Every member, this node included.
    pub members: Vec<MemberView>,
    /// Every wallet with an active key.
    pub wallets: Vec<WalletView>,
    /// A key generation under way or the last one that ended.
    pub keygen: Option<KeygenView>,
    /// Presignatures in stock; `None` without a key that uses any.
    pub presignatures: Option<PoolView>,
    /// The chain as last seen.
    pub chain: Option<ChainTip>,
    /// Transactions by state name that have not ended.
    pub open_transactions: usize,
    /// Signing sessions alive.
    pub sessions: usize,
    /// Freezes that are not lifted; while there is one, nothing is signed.
    pub freezes: Vec<FreezeView>,
}

impl Overview {
    /// Whether enough members are here to sign, this node included.
    #[must_use]
    pub const fn has_quorum(&self) -> bool {
        self.standing.is_sound() && self.online >= self.threshold
    }
}

/// A freeze that is not lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeView {
    /// Its name.
    pub id: FreezeId,
    /// The member that made it.
    pub node: NodeId,
    /// On whose behalf.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When, by that member's clock.
    pub at: Timestamp,
    /// Members that lift it; t must.
    pub lifted_by: Vec<NodeId>,
}

/// Whether a node takes part (I7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingView {
    /// It does.
    Sound,
    /// It has just started and asks what its peers have seen of it.
    Confirming {
        /// Peers that have answered.
        told: usize,
        /// Answers it waits for.
        needed: usize,
    },
    /// Its journal was replaced by an older one; it recovers from its peers.
    Quarantined {
        /// Peers that have told everything.
        told: usize,
        /// How many must have, at least.
        needed: usize,
    },
}

impl StandingView {
    /// Whether it takes part.
    #[must_use]
    pub const fn is_sound(self) -> bool {
        matches!(self, Self::Sound)
    }

    /// The API's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Confirming { .. } => "confirming",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}

/// How a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStatus {
    /// Heartbeats arrive.
    Online,
    /// None for too long.
    Offline,
    /// Heartbeats arrive, but it judges by another policy, its chain view is behind, or it does not take part (yet).
    Degraded,
    /// Shut out.
    Banned,
}

impl MemberStatus {
    /// The record's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Degraded => "degraded",
            Self::Banned => "banned",
        }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub node: NodeId,
    /// How it is doing.
    pub status: MemberStatus,
    /// When its last heartbeat arrived, by this node's clock.
    pub last_heartbeat: Option<Timestamp>,
    /// Its software.
    pub version: Option<String>,
    /// Its chain tip.
    pub tip_height: Option<u32>,
    /// Its policy.
    pub policy: Option<PolicyVersion>,
    /// Votes seen of it.
    pub total_votes: u64,
    /// Violations recorded of it.
    pub total_violations: u64,
    /// End of its ban.
    pub banned_until: Option<Timestamp>,
    /// What its own clock said when it sent its last heartbeat.
    pub clock: Option<Timestamp>,
}

/// One wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletView {
    /// Its key.
    pub key: KeyId,
    /// The key that the members share, before any tweak.
    pub public_key: WalletKey,
    /// Money by kind.
    pub balance: Balance,
    /// Its coins.
    pub coins: Vec<CoinView>,
    /// Coins that left it, and not by a transaction of the cluster.
    pub lost: Vec<LostCoinView>,
}

/// Money by kind, all in satoshis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// In blocks.
    pub confirmed: Amount,
    /// Our own change, waiting for a block.
    pub trusted_pending: Amount,
    /// Incoming, waiting for a block.
    pub untrusted_pending: Amount,
    /// Block rewards too young to spend.
    pub immature: Amount,
    /// Of all these, held by open transactions.
    pub locked: Amount,
    /// What a new payment may use now.
    pub spendable: Amount,
}

/// One coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinView {
    /// Which.
    pub outpoint: OutPoint,
    /// How much.
    pub value: Amount,
    /// Depth; 0 in the mempool.
    pub confirmations: u32,
    /// The transaction that holds it.
    pub locked_by: Option<Txid>,
}

/// A coin that is gone, and not by a transaction of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostCoinView {
    /// Which.
    pub outpoint: OutPoint,
    /// How much it was.
    pub value: Amount,
    /// What spends it; `None` if its own transaction left the chain.
    pub by: Option<Txid>,
    /// When this node put that on record.
    pub at: Timestamp,
}

/// The chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// Best block.
    pub tip: BlockRef,
    /// Its header's time, seconds since the Unix epoch.
    pub tip_time: u64,
    /// When it was last heard of.
    pub as_of: Timestamp,
    /// Age beyond which nothing is approved on it.
    pub stale_after: Millis,
    /// Fee estimates: target in blocks → sat/kvB.
    pub fee_estimates: BTreeMap<u16, u64>,
}

/// A key generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeygenView {
    /// The key.
    pub key: KeyId,
    /// How far it is.
    pub phase: KeygenPhase,
    /// Who has not spoken yet in this phase.
    pub waiting_for: Vec<NodeId>,
    /// When it began.
    pub started: Timestamp,
    /// Where the protocol stands, if it runs and says so.
    pub stage: Option<Stage>,
}

/// Presignatures in stock at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The key they sign for.
    pub key: KeyId,
    /// Stock of a group below which more are made.
    pub low: usize,
    /// How many are made then.
    pub high: usize,
    /// Most of a group.
    pub most: usize,
    /// Ordered by a person and not made yet.
    pub ordered: usize,
    /// Whether one is being made with this node.
    pub making: bool,
    /// Used by this node, ever.
    pub used: usize,
    /// By group of signers, the one in use first.
    pub groups: Vec<GroupView>,
}

impl PoolView {
    /// Presignatures that a payment could use now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.groups.iter().filter(|group| group.alive).map(|group| group.ready).sum()
    }
}

/// Presignatures of one group of signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The signers.
    pub signers: Vec<NodeId>,
    /// Those that every signer says it holds.
    pub ready: usize,
    /// Those that this node holds.
    pub held: usize,
    /// Whether all signers are here.
    pub alive: bool,
    /// Whether payments use this group first.
    pub in_use: bool,
    /// Presignings of it that ended in a fault.
    pub faults: u32,
}

/// How far a key generation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeygenPhase {
    /// The members find primes; it begins by itself when all have theirs.
    Preparing,
    /// The members compute.
    Running,
    /// They seal their shares and say so.
    Confirming,
    /// A test signature is made.
    Proving,
    /// The key is active.
    Active,
    /// It ended without a key.
    Failed(String),
}

impl KeygenPhase {
    /// The API's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Confirming => "confirming",
            Self::Proving => "proving",
            Self::Active => "active",
            Self::Failed(_) => "failed",
        }
    }
}

impl WalletView {
    /// Its scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.key.scheme
    }
}
