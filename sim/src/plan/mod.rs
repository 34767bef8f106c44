//! The fault plan: everything that distinguishes one run from another, as data.
//!
//! Seeds, property tests and files in `corpus/` all produce a plan, and the world knows nothing else. A seed means
//! something only to the generator that reads it today; a plan keeps its meaning as long as its format version does,
//! so seeds explore and plans remember.
//!
//! Times are milliseconds of virtual time after the cluster is ready: five nodes up, a key made, the wallet funded.
//! Until then the world is calm, because a key generation needs every member and every message. From `heal_at` on it
//! is calm again, and the cluster has until `until` to finish what it accepted.

mod arbitrary;
mod bumps;
mod faults;
mod people;

use mpc_wallet_core::Scheme;
use serde::{Deserialize, Serialize};

pub use self::bumps::Bump;
pub use self::faults::{
    ClockFault, Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, Eviction, FeeSpike, Filter,
    Freeze, Jump, Lease, Lift, Outage, Partition, Reorg, StaleTip, Stop, Theft, Traitor, Unsynced,
};
pub use self::people::{People, Visit};
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
    /// What found it, if it was found and not written: the command that made the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
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
    /// Which links lose which kind of message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Who dies, when, and for how long.
    #[serde(default)]
    pub crashes: Vec<Crash>,
    /// Who is stopped in order, when, and for how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<Stop>,
    /// Whose disk fails, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskFault>,
    /// Whose clock is wrong, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<ClockFault>,
    /// Who is told what about the coordinator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// Who stops all signing, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// Who lifts that, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lifts: Vec<Lift>,
    /// Chance that a worker dies with its job, in parts per million.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost_jobs: u32,
    /// Who does not follow the protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traitors: Vec<Traitor>,
    /// What clients want.
    pub payments: Vec<Payment>,
    /// Whose fees are raised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bumps: Vec<Bump>,
    /// Whom the policy asks; without them it asks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// Whether trouble begins with the first boot, so that the key is made in it; else all is calm until the wallet holds
    /// its funds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ceremony_in_trouble: bool,
    /// When all faults end.
    pub heal_at: u64,
    /// When everything must be over.
    pub until: u64,
}

/// Implementation of the threshold schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
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
    /// Whose backend lags behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<StaleTip>,
    /// When blocks are undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reorgs: Vec<Reorg>,
    /// When the mempool forgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evictions: Vec<Eviction>,
    /// When a coin is stolen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thefts: Vec<Theft>,
    /// When fees rise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fee_spikes: Vec<FeeSpike>,
    /// What the wallet is given at the start: one coin of this many satoshis each.
    pub funds: Vec<u64>,
    /// What the SegWit wallet is given, likewise. Without funds there is no such wallet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segwit_funds: Vec<u64>,
}

/// A kind of wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wallet {
    /// Every cluster has it.
    #[default]
    Taproot,
    /// There if the plan funds it: its signatures take presignatures.
    Segwit,
}

impl Wallet {
    /// The core's name for it.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Taproot => Scheme::Taproot,
            Self::Segwit => Scheme::Segwit,
        }
    }
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
    /// From which wallet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wallet: Wallet,
    /// A client without a key never asks again after it lost its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The same request also goes to this node at the same moment, as from a client behind a nervous proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also_at: Option<u16>,
    /// The amount of a second request under the same key: a client's mistake, which must be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altered: Option<u64>,
}

/// Whether a field need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// A single member can keep a key from being made, so nothing could be demanded.
    #[error(
        "a plan with traitors cannot make its key in trouble; remove `ceremony_in_trouble` or `traitors`"
    )]
    CeremonyWithTraitor,
    /// A payment from a wallet that is not there.
    #[error("payment {0} is to come from the SegWit wallet, which has no funds; give it `segwit_funds`")]
    NoSegwit(usize),
    /// A payment that nobody asks for.
    #[error("the fee of payment {found} is to be raised, and the plan has {payments}, counted from 0")]
    NoPayment {
        /// Which.
        found: usize,
        /// How many there are.
        payments: usize,
    },
    /// Too long to run.
    #[error("the plan runs for {found} ms, at most {MAX_UNTIL} ms are simulated")]
    TooLong {
        /// How long.
        found: u64,
    },
}

impl Payment {
    /// A payment asked for once, without an idempotency key.
    #[must_use]
    pub const fn new(at: u64, node: u16, amount: u64) -> Self {
        Self {
            at,
            node,
            amount,
            wallet: Wallet::Taproot,
            idempotency_key: None,
            also_at: None,
            altered: None,
        }
    }

    /// The same from the SegWit wallet.
    #[must_use]
    pub const fn from_segwit(mut self) -> Self {
        self.wallet = Wallet::Segwit;
        self
    }
}

impl ChainPlan {
    /// A chain and a backend that work, and a wallet with these coins.
    #[must_use]
    pub const fn quiet(funds: Vec<u64>) -> Self {
        Self {
            block_interval: Span { least: 3_000, most: 15_000 },
            answer: Span { least: 5, most: 60 },
            outages: vec![],
            stale: vec![],
            reorgs: vec![],
            evictions: vec![],
            thefts: vec![],
            fee_spikes: vec![],
            funds,
            segwit_funds: vec![],
        }
    }

    /// What a wallet is given at the start.
    #[must_use]
    pub fn funds_of(&self, scheme: Scheme) -> &[u64] {
        match scheme {
            Scheme::Taproot => &self.funds,
            Scheme::Segwit => &self.segwit_funds,
        }
    }
}

impl FaultPlan {
    /// A plan in which nothing goes wrong and nobody pays: four of five nodes sign, the wallet has four coins, and there
    /// is a minute until `heal_at`. Scenarios start from it.
    #[must_use]
    pub fn quiet(seed: u64) -> Self {
        Self {
            version: VERSION,
            why: None,
            found_by: None,
            expect: None,
            seed,
            profile: Profile::Calm,
            nodes: 5,
            threshold: 4,
            suite: Suite::Mock,
            network: profile::CALM_NETWORK,
            fsync: Span { least: 1, most: 4 },
            job: Span { least: 1, most: 40 },
            chain: ChainPlan::quiet(vec![5_000_000; 4]),
            partitions: vec![],
            filters: vec![],
            crashes: vec![],
            stops: vec![],
            disks: vec![],
            clocks: vec![],
            leases: vec![],
            freezes: vec![],
            lifts: vec![],
            lost_jobs: 0,
            traitors: vec![],
            payments: vec![],
            bumps: vec![],
            people: None,
            ceremony_in_trouble: false,
            heal_at: profile::TROUBLE,
            until: profile::TROUBLE + profile::RECOVERY,
        }
    }

    /// The plan that this seed means under this profile, today.
    #[must_use]
    pub fn from_seed(seed: u64, profile: Profile) -> Self {
        profile::generate(seed, profile)
    }

    /// Whether nothing goes wrong in it: with this seed, these members and these payments the quiet plan is the same.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        let quiet = Self::quiet(self.seed);
        let chain = ChainPlan {
            block_interval: self.chain.block_interval,
            answer: self.chain.answer,
            segwit_funds: self.chain.segwit_funds.clone(),
            ..ChainPlan::quiet(self.chain.funds.clone())
        };
        let same = Self {
            why: self.why.clone(),
            found_by: self.found_by.clone(),
            expect: self.expect.clone(),
            profile: self.profile,
            nodes: self.nodes,
            threshold: self.threshold,
            suite: self.suite,
            fsync: self.fsync,
            job: self.job,
            chain,
            payments: self.payments.clone(),
            bumps: self.bumps.clone(),
            heal_at: self.heal_at,
            until: self.until,
            ..quiet
        };
        same == *self
    }

    /// When somebody looks at what waits for people.
    #[must_use]
    pub fn visits(&self) -> &[Visit] {
        self.people.as_ref().map_or(&[], |people| &people.visits)
    }

    /// Whether the cluster has a SegWit wallet.
    #[must_use]
    pub const fn has_segwit(&self) -> bool {
        !self.chain.segwit_funds.is_empty()
    }

    /// The wallets that the cluster has.
    pub(crate) fn schemes(&self) -> impl Iterator<Item = Scheme> {
        let segwit = self.has_segwit();
        Scheme::ALL.into_iter().filter(move |scheme| *scheme == Scheme::Taproot || segwit)
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
            ("raised fees", self.bumps.len()),
            ("partitions", self.partitions.len()),
            ("crashes", self.crashes.len()),
            ("stops", self.stops.len()),
            ("filters", self.filters.len()),
            ("disk faults", self.disks.len()),
            ("clock faults", self.clocks.len()),
            ("clock jumps", self.clocks.iter().map(|clock| clock.jumps.len()).sum()),
            ("leases", self.leases.len()),
            ("freezes", self.freezes.len()),
            ("lifts", self.lifts.len()),
            ("traitors", self.traitors.len()),
            ("outages", self.chain.outages.len()),
            ("stale tips", self.chain.stale.len()),
            ("reorganisations", self.chain.reorgs.len()),
            ("evictions", self.chain.evictions.len()),
            ("thefts", self.chain.thefts.len()),
            ("fee spikes", self.chain.fee_spikes.len()),
            ("visits", self.visits().len()),
            ("coins", self.chain.funds.len()),
            ("coins of the SegWit wallet", self.chain.segwit_funds.len()),
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
            .chain(self.payments.iter().filter_map(|payment| payment.also_at))
            .chain(self.partitions.iter().flat_map(|partition| partition.group.iter().copied()))
            .chain(self.filters.iter().flat_map(|filter| filter.sender.into_iter().chain(filter.receiver)))
            .chain(self.stops.iter().map(|stop| stop.node))
            .chain(self.disks.iter().map(|disk| disk.node))
            .chain(self.clocks.iter().map(|clock| clock.node))
            .chain(
                self.leases.iter().flat_map(|lease| [Some(lease.node), lease.holder].into_iter().flatten()),
            )
            .chain(self.bumps.iter().map(|bump| bump.node))
            .chain(self.freezes.iter().map(|freeze| freeze.node))
            .chain(self.lifts.iter().map(|lift| lift.node))
            .chain(self.chain.stale.iter().map(|stale| stale.node))
            .chain(self.traitors.iter().map(|traitor| traitor.node))
            .chain(self.visits().iter().map(|visit| visit.node))
            .chain(self.people.iter().map(|people| people.operators));
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
            .chain(self.chain.stale.iter().map(|stale| ("stale tip", stale.from, stale.to)))
            .chain(self.chain.fee_spikes.iter().map(|spike| ("fee spike", spike.from, spike.to)))
            .chain(self.filters.iter().map(|filter| ("filter", filter.from, filter.to)))
            .chain([("plan", self.heal_at, self.until)]);
        for (what, from, to) in spans.into_iter().chain(windows) {
            if from > to {
                return Err(PlanError::Backwards { what, from, to });
            }
        }
        if self.until > MAX_UNTIL {
            return Err(PlanError::TooLong { found: self.until });
        }
        if self.ceremony_in_trouble && !self.traitors.is_empty() {
            return Err(PlanError::CeremonyWithTraitor);
        }
        let from_segwit = |payment: &Payment| payment.wallet == Wallet::Segwit;
        if let Some(payment) = self.payments.iter().position(from_segwit).filter(|_| !self.has_segwit()) {
            return Err(PlanError::NoSegwit(payment));
        }
        let payments = self.payments.len();
        if let Some(bump) = self.bumps.iter().find(|bump| bump.payment >= payments) {
            return Err(PlanError::NoPayment { found: bump.payment, payments });
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
            plan.payments.push(Payment::new(0, 6, 1));
        });
        assert_eq!(stranger, PlanError::UnknownNode(6, 5));
        let penniless = refusal(|plan| plan.payments = vec![Payment::new(0, 1, 1).from_segwit()]);
        assert_eq!(penniless, PlanError::NoSegwit(0));
        let too_dear = refusal(|plan| {
            plan.payments.truncate(1);
            plan.bumps = vec![Bump { at: 0, payment: 1, node: 1, fee_rate: None }];
        });
        assert_eq!(too_dear, PlanError::NoPayment { found: 1, payments: 1 });
    }
}
