//! Who is in a plan's cluster, and how each member is configured.

use std::collections::BTreeMap;

use bitcoin::{Amount, Network};
use mpc_wallet_core::{
    Cluster, Config, Limits, Millis, NodeId, Timing, VoteKey, mpc,
    policy::{Approval, Policy},
};
use rand_core::RngCore;

use crate::{
    plan::{FaultPlan, Suite},
    rng::Stream,
};

/// Confirmations a payment needs in this world.
pub(crate) const CONFIRMATIONS: u32 = 2;

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

/// What serves the wallets of a plan. Only where there is a SegWit wallet do members get ready for its key.
pub(crate) const fn suites(plan: &FaultPlan) -> mpc::Suites {
    let taproot = match plan.suite {
        Suite::Mock => mpc::Suite::Mock,
        Suite::Givre => mpc::Suite::Givre,
    };
    mpc::Suites { taproot, segwit: if plan.has_segwit() { mpc::Suite::MockEcdsa } else { taproot } }
}

/// Where there are presignatures there are few, so that stock runs out and is filled up in every run.
fn limits(plan: &FaultPlan) -> Limits {
    if plan.has_segwit() {
        Limits { presignatures_low: 2, presignatures_high: 4, ..Limits::default() }
    } else {
        Limits::default()
    }
}

/// The jobs of a mock take milliseconds where production's take seconds, and so do presignings and ceremonies.
fn timing(plan: &FaultPlan) -> Timing {
    let patient = Timing::default();
    let approval_wait = plan.people.as_ref().map_or(patient.approval_wait, |people| Millis(people.wait));
    let timing = Timing { approval_wait, ..patient };
    if plan.has_segwit() {
        let ecdsa_key_generation = timing.key_generation;
        Timing { presigning: Millis(20_000), ecdsa_key_generation, ..timing }
    } else {
        timing
    }
}

fn policy(plan: &FaultPlan) -> Policy {
    let approval = plan
        .people
        .as_ref()
        .map(|people| Approval { above: Amount::from_sat(people.above), operators: people.operators });
    Policy { approval, ..Policy::default() }
}

/// A member's configuration.
pub(crate) fn config(plan: &FaultPlan, cluster: &Cluster, me: NodeId) -> Config {
    Config {
        me,
        cluster: cluster.clone(),
        policy: policy(plan),
        timing: timing(plan),
        limits: limits(plan),
        confirmations_required: CONFIRMATIONS,
        suites: suites(plan),
    }
}
