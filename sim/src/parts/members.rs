//! Who is in a plan's cluster, and how each member is configured.

use std::collections::BTreeMap;

use bitcoin::Network;
use mpc_wallet_core::{Cluster, Config, Limits, NodeId, Timing, VoteKey, mpc, policy::Policy};
use rand_core::RngCore;

use crate::{
    plan::{FaultPlan, Suite},
    rng::Stream,
};

/// Confirmations a payment needs in this world.
const CONFIRMATIONS: u32 = 2;

/// A cluster and its members' secret keys.
pub(crate) struct Members {
    pub(crate) cluster: Cluster,
    pub(crate) identities: BTreeMap<NodeId, [u8; 32]>,
}

/// The cluster that a plan means.
///
/// # Errors
/// A cluster that cannot be.
pub(crate) fn of(plan: &FaultPlan) -> anyhow::Result<Members> {
    let mut identities = BTreeMap::new();
    let mut members = BTreeMap::new();
    for number in 1..=plan.nodes {
        let node = NodeId::new(number);
        let mut secret = [0; 32];
        Stream::new(plan.seed, &format!("identity/{node}")).fill_bytes(&mut secret);
        members.insert(node, VoteKey::from_bytes(&secret)?.public());
        identities.insert(node, secret);
    }
    let cluster = Cluster::new(Network::Regtest, plan.threshold, members)?;
    Ok(Members { cluster, identities })
}

/// What serves the wallets of a plan.
const fn suites(plan: &FaultPlan) -> mpc::Suites {
    mpc::Suites { taproot: suite(plan), segwit: suite(plan) }
}

/// The schemes' implementation that a plan means.
pub(crate) const fn suite(plan: &FaultPlan) -> mpc::Suite {
    match plan.suite {
        Suite::Mock => mpc::Suite::Mock,
        Suite::Givre => mpc::Suite::Givre,
    }
}

/// A member's configuration.
pub(crate) fn config(plan: &FaultPlan, cluster: &Cluster, me: NodeId) -> Config {
    Config {
        me,
        cluster: cluster.clone(),
        policy: Policy::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        confirmations_required: CONFIRMATIONS,
        suites: suites(plan),
    }
}
