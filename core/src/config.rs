//! What a cluster agrees on before it starts, and the arithmetic that makes it safe.

use std::collections::BTreeMap;

use bitcoin::Network;
use serde::{Deserialize, Serialize};

use crate::{
    codec,
    identity::VotePublicKey,
    ids::{ClusterId, NodeId},
    policy::Policy,
    time::Millis,
};

/// Most members a cluster may have: every pair holds a connection and every payment costs n votes.
pub const MAX_MEMBERS: u16 = 32;

/// Why a cluster cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody, or too many.
    #[error("{0} members; a cluster has 2 to {MAX_MEMBERS}")]
    Members(usize),
    /// Members are numbered 1 to n without gaps.
    #[error("member {found} is listed where node-{expected} belongs; number members 1 to n without gaps")]
    Numbering {
        /// What was found.
        found: NodeId,
        /// What belongs there.
        expected: u16,
    },
    /// More approvals asked for than there are members.
    #[error("threshold {threshold} exceeds the {members} members; choose at most {members}")]
    ThresholdTooHigh {
        /// t
        threshold: u16,
        /// n
        members: u16,
    },
    /// Two disjoint groups could each reach the threshold and sign conflicting payments.
    #[error(
        "threshold {threshold} of {members} is not a majority: two groups could approve conflicting payments; choose at least {least}"
    )]
    ThresholdTooLow {
        /// t
        threshold: u16,
        /// n
        members: u16,
        /// Smallest safe t.
        least: u16,
    },
    /// Two members with one key could vote twice.
    #[error("{first} and {second} have the same vote key; every member needs its own")]
    SharedKey {
        /// The one.
        first: NodeId,
        /// The other.
        second: NodeId,
    },
    /// The node is not in its own cluster.
    #[error("{0} is not a member of this cluster")]
    NotAMember(NodeId),
    /// The secret key does not belong to the listed public key.
    #[error("the identity key of {node} belongs to {actual}, but the manifest lists {listed}")]
    WrongKey {
        /// Who.
        node: NodeId,
        /// Public half of the key at hand.
        actual: VotePublicKey,
        /// What the manifest says.
        listed: VotePublicKey,
    },
}

/// The members, their threshold and network: what every node must hold identically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    id: ClusterId,
    network: Network,
    threshold: u16,
    members: BTreeMap<NodeId, VotePublicKey>,
}

impl Cluster {
    /// Checks the members and the threshold `t` of `n`.
    ///
    /// # Errors
    /// Refuses numbering gaps, shared keys, and any `t` with `f = min(n − t, 2t − n − 1) < 0`.
    pub fn new(
        network: Network,
        threshold: u16,
        members: BTreeMap<NodeId, VotePublicKey>,
    ) -> Result<Self, ConfigError> {
        let count = u16::try_from(members.len())
            .ok()
            .filter(|n| (2..=MAX_MEMBERS).contains(n))
            .ok_or(ConfigError::Members(members.len()))?;
        for (expected, found) in (1..=count).zip(members.keys()) {
            if found.get() != expected {
                return Err(ConfigError::Numbering { found: *found, expected });
            }
        }
        if threshold > count {
            return Err(ConfigError::ThresholdTooHigh { threshold, members: count });
        }
        let least = count / 2 + 1;
        if threshold < least {
            return Err(ConfigError::ThresholdTooLow { threshold, members: count, least });
        }
        let mut seen = BTreeMap::new();
        for (&node, &key) in &members {
            if let Some(first) = seen.insert(key, node) {
                return Err(ConfigError::SharedKey { first, second: node });
            }
        }
        let listed: Vec<_> = members.iter().collect();
        let id = codec::digest("mpc-wallet/cluster", &(network.magic().to_bytes(), threshold, listed));
        Ok(Self { id: ClusterId::from_bytes(id), network, threshold, members })
    }

    /// Digest of all the rest; two nodes with different manifests are in different clusters.
    #[must_use]
    pub const fn id(&self) -> ClusterId {
        self.id
    }

    /// The Bitcoin network.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// `n`
    #[must_use]
    pub fn total(&self) -> u16 {
        // `new` refuses more than MAX_MEMBERS.
        u16::try_from(self.members.len()).unwrap_or(MAX_MEMBERS)
    }

    /// `t`: approvals needed, and signers of each signature.
    #[must_use]
    pub const fn threshold(&self) -> u16 {
        self.threshold
    }

    /// `f`: Byzantine members under which everything promised still holds.
    #[must_use]
    pub fn faults_tolerated(&self) -> u16 {
        let (n, t) = (self.total(), self.threshold);
        // 2t > n by construction.
        (n - t).min(2 * t - n - 1)
    }

    /// Refusals after which `t` approvals are impossible: more than `n − t`.
    #[must_use]
    pub fn blocking_rejections(&self) -> u16 {
        self.total() - self.threshold + 1
    }

    /// Promises after which no signature can ever exist, `n − t + 1 + f`: even if `f` promisers lie, fewer than
    /// `t` signers remain (I6).
    #[must_use]
    pub fn promises_to_release(&self) -> u16 {
        self.blocking_rejections() + self.faults_tolerated()
    }

    /// All members, in order.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.keys().copied()
    }

    /// A member's vote key; `None` for strangers.
    #[must_use]
    pub fn key(&self, node: NodeId) -> Option<&VotePublicKey> {
        self.members.get(&node)
    }
}

/// Time allowances, all in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Between two heartbeats to a peer.
    pub heartbeat: Millis,
    /// Silence after which a peer counts as offline.
    pub offline_after: Millis,
    /// How long a new coordinator listens before it hands out coins, so that grants of the old one have arrived.
    pub coordinator_grace: Millis,
    /// How long a voting round may take while a quorum is reachable.
    pub voting_round: Millis,
    /// How long a proposal may wait for a quorum before it expires.
    pub proposal_life: Millis,
    /// How long one signing attempt may take.
    pub signing_session: Millis,
    /// How long a key generation may take.
    pub key_generation: Millis,
    /// The same where auxiliary information is exchanged, which costs each member about a minute of processor time.
    pub ecdsa_key_generation: Millis,
    /// How long one presigning, or one signing without presignatures, may take.
    pub presigning: Millis,
    /// After this long without progress a node tells its peers all it knows of a transaction.
    pub stalled: Millis,
    /// How long a client waits for coins before it is told why there are none.
    pub coin_wait: Millis,
    /// Between two looks at the chain.
    pub chain_poll: Millis,
    /// After this long without a good look at the chain nothing new is approved.
    pub chain_stale: Millis,
    /// Oldest chain view a decision may rest on without asking again.
    pub recheck_after: Millis,
    /// How long a proven liar stays banned.
    pub ban: Millis,
    /// How long a voting round may take where the policy asks people; it lasts [`Timing::voting_round`] once they have
    /// decided.
    pub approval_wait: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Millis(250),
            offline_after: Millis(1_500),
            coordinator_grace: Millis(600),
            voting_round: Millis(30_000),
            proposal_life: Millis(24 * 3_600_000),
            signing_session: Millis(3_000),
            key_generation: Millis(120_000),
            ecdsa_key_generation: Millis(30 * 60_000),
            presigning: Millis(60_000),
            stalled: Millis(1_000),
            coin_wait: Millis(8_000),
            chain_poll: Millis(10_000),
            chain_stale: Millis(120_000),
            recheck_after: Millis(10_000),
            ban: Millis(24 * 3_600_000),
            approval_wait: Millis(24 * 3_600_000),
        }
    }
}

/// Bounds on everything a peer or client could make grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Transactions that have not ended.
    pub open_transactions: usize,
    /// Requests waiting for coins at the coordinator; each member has an equal share of them.
    pub waiting_requests: usize,
    /// Signing sessions alive at once.
    pub sessions: usize,
    /// Messages kept for a session that has not started here yet.
    pub early_messages: usize,
    /// Inputs of one transaction.
    pub inputs: usize,
    /// Bytes of metadata of one payment.
    pub metadata_bytes: usize,
    /// Longest chain of unconfirmed change that may be spent.
    pub unconfirmed_chain: usize,
    /// Circumstantial faults of a member before it is banned.
    pub strikes: u32,
    /// Presignatures of a group of signers below which more are made.
    pub presignatures_low: usize,
    /// How many are made then; a group that only stands by has `presignatures_low`.
    pub presignatures_high: usize,
    /// Most presignatures of a group that this node holds.
    pub presignatures_most: usize,
    /// Presignings of a group that end in a fault before it presigns no more with this key.
    pub presigning_faults: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_transactions: 1_000,
            waiting_requests: 200,
            sessions: 200,
            early_messages: 64,
            inputs: 25,
            metadata_bytes: 1_024,
            // Nodes before cluster mempools refuse a chain of more than 25; leave room for foreign descendants.
            unconfirmed_chain: 20,
            strikes: 5,
            presignatures_low: 4,
            presignatures_high: 16,
            presignatures_most: 256,
            presigning_faults: 3,
        }
    }
}

/// Everything a node needs to know about itself and its cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this node is.
    pub me: NodeId,
    /// Whom it belongs to.
    pub cluster: Cluster,
    /// What it will approve.
    pub policy: Policy,
    /// How long it waits.
    pub timing: Timing,
    /// How much it holds.
    pub limits: Limits,
    /// Blocks, the including one counted, before a payment is final enough to be called confirmed.
    pub confirmations_required: u32,
    /// Which implementation of the threshold schemes runs; simulators may choose the cheap ones.
    pub suites: crate::mpc::Suites,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::VoteKey;

    fn members(n: u16) -> BTreeMap<NodeId, VotePublicKey> {
        (1..=n)
            .map(|i| {
                let mut secret = [1; 32];
                secret[0] = u8::try_from(i).unwrap();
                (NodeId::new(i), VoteKey::from_bytes(&secret).unwrap().public())
            })
            .collect()
    }

    #[test]
    fn threshold_arithmetic_is_the_papers() {
        for (n, t, f, blocking, release) in [
            (5, 4, 1, 2, 3),
            (5, 3, 0, 3, 3),
            (5, 5, 0, 1, 1),
            (3, 2, 0, 2, 2),
            (4, 3, 1, 2, 3),
            (7, 5, 2, 3, 5),
        ] {
            let cluster = Cluster::new(Network::Regtest, t, members(n)).unwrap();
            assert_eq!(cluster.faults_tolerated(), f, "{t} of {n}");
            assert_eq!(cluster.blocking_rejections(), blocking, "{t} of {n}");
            assert_eq!(cluster.promises_to_release(), release, "{t} of {n}");
        }
    }

    #[test]
    fn unsafe_clusters_are_refused_with_the_remedy() {
        let minority = Cluster::new(Network::Regtest, 2, members(5)).unwrap_err();
        assert_eq!(
            minority.to_string(),
            "threshold 2 of 5 is not a majority: two groups could approve conflicting payments; choose at least 3"
        );
        assert!(Cluster::new(Network::Regtest, 6, members(5)).is_err());
        assert!(Cluster::new(Network::Regtest, 1, members(1)).is_err());
        let mut gap = members(5);
        gap.remove(&NodeId::new(2));
        assert!(Cluster::new(Network::Regtest, 3, gap).is_err());
        let mut twins = members(5);
        let key = *twins.get(&NodeId::new(1)).unwrap();
        twins.insert(NodeId::new(5), key);
        assert!(Cluster::new(Network::Regtest, 4, twins).is_err());
    }

    #[test]
    fn a_cluster_id_changes_with_anything_in_it() {
        let base = Cluster::new(Network::Regtest, 4, members(5)).unwrap().id();
        assert_ne!(base, Cluster::new(Network::Signet, 4, members(5)).unwrap().id());
        assert_ne!(base, Cluster::new(Network::Regtest, 3, members(5)).unwrap().id());
        assert_ne!(base, Cluster::new(Network::Regtest, 4, members(6)).unwrap().id());
    }
}
