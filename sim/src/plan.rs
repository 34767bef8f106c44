//! The fault plan: everything that distinguishes one run from another, as data.
//!
//! Seeds, property tests and files in `corpus/` all produce a plan, and the world knows nothing else. A seed means
//! something only to the generator that reads it today; a plan keeps its meaning as long as its format version does,
//! so seeds explore and plans remember.
//!
//! Times are milliseconds of virtual time after the cluster is ready: five nodes up, a key made, the wallet funded.
//! Until then the world is calm, because a key generation needs every member and every message. From `heal_at` on it
//! is calm again, and the cluster has until `until` to finish what it accepted.

use mpc_wallet_core::tx::State as TxState;
use serde::{Deserialize, Serialize};

use crate::profile::{self, Profile};

/// Format of [`FaultPlan`]; a change of meaning must change it.
pub const VERSION: u32 = 1;

/// Most members of a simulated cluster.
pub const MAX_NODES: u16 = 9;

/// Most payments, partitions, crashes or outages of one plan: beyond this a failure cannot be read by a person.
pub const MAX_EVENTS: usize = 200;

/// Longest run, in milliseconds of virtual time.
pub const MAX_UNTIL: u64 = 24 * 3_600_000;

/// One run of the world, completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// Format, [`VERSION`].
    pub version: u32,
    /// Why this plan is kept, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The oracle that objects to this run: set while a defect is known and not mended, so that mending it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Key of all random streams.
    pub seed: u64,
    /// What kind of trouble it holds.
    pub profile: Profile,
    /// n
    pub nodes: u16,
    /// t
    pub threshold: u16,
    /// Which implementation of the threshold schemes runs.
    pub suite: Suite,
    /// How links behave until `heal_at`.
    pub network: NetworkProfile,
    /// How long an fsync takes.
    pub fsync: Span,
    /// How long a worker takes for one job.
    pub job: Span,
    /// How the chain behaves.
    pub chain: ChainPlan,
    /// When the network is cut, and how.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// Who dies, when, and for how long.
    #[serde(default)]
    pub crashes: Vec<Crash>,
    /// What clients want.
    pub payments: Vec<Payment>,
    /// When all faults end.
    pub heal_at: u64,
    /// When everything must be over.
    pub until: u64,
}

/// Implementation of the threshold schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// Same message flow, no security, thousands of times cheaper.
    Mock,
    /// The real one.
    Givre,
}

/// A range of milliseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Shortest.
    pub least: u64,
    /// Longest.
    pub most: u64,
}

/// How a link treats messages. Probabilities are in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkProfile {
    /// Ordinary delay.
    pub delay: Span,
    /// Chance that a delay is doubled, and doubled again with the same chance, up to 1024 times: the heavy tail.
    pub tail: u32,
    /// Chance that a message vanishes.
    pub loss: u32,
    /// Chance that a message arrives twice.
    pub duplicate: u32,
    /// Chance that a message does not queue behind earlier ones of its link.
    pub reorder: u32,
}

/// The chain and its backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainPlan {
    /// Between two blocks.
    pub block_interval: Span,
    /// How long the backend takes to answer.
    pub answer: Span,
    /// When the backend answers nobody.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// What the wallet is given at the start: one coin of this many satoshis each.
    pub funds: Vec<u64>,
}

/// The backend is down from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
}

/// Between two moments the nodes of a group reach each other and nobody else does reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
    /// Node numbers of one side.
    pub group: Vec<u16>,
}

/// A node dies and comes back from its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// From when on.
    pub at: u64,
    /// Which node.
    pub node: u16,
    /// How long it stays down.
    pub down_for: u64,
    /// At which point of its work.
    pub when: CrashPoint,
    /// Only in a step that moves a transaction into this state; any step with records if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entering: Option<TxState>,
}

/// Where a crash hits the loop of step, append, commit, act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashPoint {
    /// At the very moment, whatever the node does.
    Now,
    /// The step was computed, nothing of it reached the disk.
    BeforeAppend,
    /// Its records are durable, none of its effects happened.
    AfterAppend,
    /// Some of its effects happened.
    BetweenEffects,
}

/// A client asks for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// When.
    pub at: u64,
    /// At which node first.
    pub node: u16,
    /// How much, in satoshis.
    pub amount: u64,
    /// A client without a key never asks again after it lost its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not JSON of this format.
    #[error("not a fault plan: {0}")]
    Malformed(String),
    /// Another format.
    #[error("fault plan version {found}, this simulator reads {VERSION}; convert the plan")]
    Version {
        /// What it says.
        found: u32,
    },
    /// A cluster that cannot be.
    #[error("threshold {threshold} of {nodes} nodes: use 2 to {MAX_NODES} nodes and a majority threshold")]
    Cluster {
        /// n
        nodes: u16,
        /// t
        threshold: u16,
    },
    /// It names a node that is not there.
    #[error("node {0} is not in the cluster; nodes count from 1 to {1}")]
    UnknownNode(u16, u16),
    /// Too many events of one kind.
    #[error("{found} {what}, at most {MAX_EVENTS} make sense in one plan")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// A span whose end lies before its start.
    #[error("{what} ends at {to} ms before it begins at {from} ms")]
    Backwards {
        /// Which.
        what: &'static str,
        /// Start.
        from: u64,
        /// End.
        to: u64,
    },
    /// Too long to run.
    #[error("the plan runs for {found} ms, at most {MAX_UNTIL} ms are simulated")]
    TooLong {
        /// How long.
        found: u64,
    },
}

impl FaultPlan {
    /// The plan that this seed means under this profile, today.
    #[must_use]
    pub fn from_seed(seed: u64, profile: Profile) -> Self {
        profile::generate(seed, profile)
    }

    /// Reads a plan and checks it.
    ///
    /// # Errors
    /// The first reason it cannot be run.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(|e| PlanError::Malformed(e.to_string()))?;
        plan.check()?;
        Ok(plan)
    }

    /// Writes it for people and files.
    ///
    /// # Errors
    /// None for plans of this type.
    pub fn to_json(&self) -> Result<String, PlanError> {
        serde_json::to_string_pretty(self).map_err(|e| PlanError::Malformed(e.to_string()))
    }

    /// Whether the world can run it.
    ///
    /// # Errors
    /// The first reason it cannot.
    pub fn check(&self) -> Result<(), PlanError> {
        let (nodes, threshold) = (self.nodes, self.threshold);
        if self.version != VERSION {
            return Err(PlanError::Version { found: self.version });
        }
        if !(2..=MAX_NODES).contains(&nodes) || threshold > nodes || threshold <= nodes / 2 {
            return Err(PlanError::Cluster { nodes, threshold });
        }
        for (what, found) in [
            ("payments", self.payments.len()),
            ("partitions", self.partitions.len()),
            ("crashes", self.crashes.len()),
            ("outages", self.chain.outages.len()),
            ("coins", self.chain.funds.len()),
        ] {
            if found > MAX_EVENTS {
                return Err(PlanError::TooMany { what, found });
            }
        }
        let named = self
            .payments
            .iter()
            .map(|payment| payment.node)
            .chain(self.crashes.iter().map(|crash| crash.node))
            .chain(self.partitions.iter().flat_map(|partition| partition.group.iter().copied()));
        for node in named {
            if !(1..=nodes).contains(&node) {
                return Err(PlanError::UnknownNode(node, nodes));
            }
        }
        let spans = [
            ("message delay", self.network.delay),
            ("fsync", self.fsync),
            ("job", self.job),
            ("block interval", self.chain.block_interval),
            ("chain answer", self.chain.answer),
        ]
        .map(|(what, span)| (what, span.least, span.most));
        let windows = self
            .partitions
            .iter()
            .map(|cut| ("partition", cut.from, cut.to))
            .chain(self.chain.outages.iter().map(|outage| ("outage", outage.from, outage.to)))
            .chain([("plan", self.heal_at, self.until)]);
        for (what, from, to) in spans.into_iter().chain(windows) {
            if from > to {
                return Err(PlanError::Backwards { what, from, to });
            }
        }
        if self.until > MAX_UNTIL {
            return Err(PlanError::TooLong { found: self.until });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_generated_plan_is_runnable_and_reads_back() {
        for profile in Profile::ALL {
            for seed in 0..200 {
                let plan = FaultPlan::from_seed(seed, profile);
                plan.check().unwrap();
                assert_eq!(FaultPlan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
                assert_eq!(FaultPlan::from_seed(seed, profile), plan);
            }
        }
    }

    #[test]
    fn unfit_plans_are_refused_with_the_reason() {
        let good = FaultPlan::from_seed(1, Profile::Calm);
        let refusal = |edit: fn(&mut FaultPlan)| {
            let mut plan = good.clone();
            edit(&mut plan);
            FaultPlan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap_err()
        };
        assert_eq!(refusal(|plan| plan.version = 9), PlanError::Version { found: 9 });
        assert_eq!(refusal(|plan| plan.threshold = 1), PlanError::Cluster { nodes: 5, threshold: 1 });
        assert!(matches!(refusal(|plan| plan.until = 0), PlanError::Backwards { .. }));
        assert!(matches!(refusal(|plan| plan.until = u64::MAX), PlanError::TooLong { .. }));
        assert!(matches!(FaultPlan::from_json("{\"version\":1,\"x\":2}"), Err(PlanError::Malformed(_))));
        let stranger = refusal(|plan| {
            plan.payments.push(Payment { at: 0, node: 6, amount: 1, idempotency_key: None });
        });
        assert_eq!(stranger, PlanError::UnknownNode(6, 5));
    }
}
