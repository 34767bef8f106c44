//! Kinds of trouble, and how a seed becomes a plan of that kind.
//!
//! `swarm` draws first which classes of fault exist in the run at all and then how strong each is, uniformly in
//! magnitude: a run with every fault always on visits few of the states that a run with two of them reaches.

mod bumps;
mod freezes;
mod people;
mod segwit;

use clap::ValueEnum;
use mpc_wallet_core::tx::State as TxState;
use serde::{Deserialize, Serialize};

use crate::{
    plan::{
        ChainPlan, ClockFault, Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, Eviction,
        FaultPlan, FeeSpike, Filter, Jump, Lease, NetworkProfile, Outage, Partition, Payment, Reorg, Span,
        StaleTip, Theft, Traitor, Unsynced,
    },
    rng::Stream,
};

/// What kind of trouble a plan holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// None.
    Calm,
    /// Messages vanish, arrive twice, late and out of order.
    Lossy,
    /// Nodes die and restart, singly and together.
    Crashy,
    /// The network is cut.
    Partition,
    /// A member lies, alone or while other things go wrong.
    Byzantine,
    /// A random selection of everything.
    Swarm,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Calm, Self::Lossy, Self::Crashy, Self::Partition, Self::Byzantine, Self::Swarm];

    /// The kind for the run of this number, when all kinds take turns.
    #[must_use]
    pub fn in_turn(number: u64) -> Self {
        let kinds = u64::try_from(Self::ALL.len()).unwrap_or(1);
        usize::try_from(number % kinds)
            .ok()
            .and_then(|kind| Self::ALL.get(kind).copied())
            .unwrap_or(Self::Swarm)
    }

    /// Its name on the command line and in plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Lossy => "lossy",
            Self::Crashy => "crashy",
            Self::Partition => "partition",
            Self::Byzantine => "byzantine",
            Self::Swarm => "swarm",
        }
    }
}

/// A network that loses nothing, as between machines of one data centre.
pub const CALM_NETWORK: NetworkProfile =
    NetworkProfile { delay: Span { least: 1, most: 5 }, tail: 0, loss: 0, duplicate: 0, reorder: 0 };

/// How long faults last.
pub(crate) const TROUBLE: u64 = 45_000;

/// How long the cluster has to finish once they are over: a voting round of 30 s may have begun just before, its
/// abandonment and a few signing attempts follow, then two blocks.
pub(crate) const RECOVERY: u64 = 240_000;

/// How long a healed cluster needs before all members see each other again, and the chain as it is: they look at it
/// every ten seconds.
const LOOK: u64 = 12_000;

/// Which classes of fault a plan has.
#[derive(Clone, Copy, Default)]
struct Classes {
    delays: bool,
    loss: bool,
    duplicates: bool,
    reordering: bool,
    crashes: bool,
    blackouts: bool,
    cuts: bool,
    one_way: bool,
    filters: bool,
    outages: bool,
    stale: bool,
    reorgs: bool,
    evictions: bool,
    thefts: bool,
    fee_spikes: bool,
    slow_disk: bool,
    bad_disk: bool,
    clocks: bool,
    leases: bool,
    lost_jobs: bool,
    nervous: bool,
}

pub(crate) fn generate(seed: u64, profile: Profile) -> FaultPlan {
    let mut draw = Stream::new(seed, "plan");
    let classes = classes(profile, &mut draw);
    let (nodes, threshold) = match profile {
        Profile::Swarm => {
            *draw.pick(&[(5, 4), (5, 4), (5, 4), (5, 3), (3, 2), (4, 3), (7, 5)]).unwrap_or(&(5, 4))
        }
        Profile::Byzantine => *draw.pick(&[(5, 4), (5, 4), (5, 4), (4, 3), (7, 5)]).unwrap_or(&(5, 4)),
        Profile::Calm | Profile::Lossy | Profile::Crashy | Profile::Partition => (5, 4),
    };
    let payments = payments(classes, nodes, &mut draw);
    let mut treason = Stream::new(seed, "plan/traitors");
    let traitors = traitors(profile, (nodes, threshold), &mut treason);
    let mut crashes = crashes(classes, nodes, &payments, &mut draw);
    crashes.extend(traitors.iter().filter_map(|traitor| relapse(traitor, &mut treason)));
    let mut plan = FaultPlan {
        profile,
        nodes,
        threshold,
        network: network(classes, &mut draw),
        fsync: Span { least: 1, most: if classes.slow_disk { draw.log_uniform(400) + 1 } else { 4 } },
        chain: chain(classes, nodes, &mut draw),
        partitions: partitions(classes, nodes, &mut draw),
        crashes,
        filters: filters(classes, nodes, &mut draw),
        disks: disks(classes, nodes, &payments, &mut draw),
        clocks: clocks(classes, nodes, &mut draw),
        leases: leases(classes, nodes, &mut draw),
        ceremony_in_trouble: traitors.is_empty() && is_born_in_trouble(seed, profile),
        lost_jobs: if classes.lost_jobs { u32::try_from(draw.log_uniform(100_000)).unwrap_or(0) } else { 0 },
        payments,
        traitors,
        ..FaultPlan::quiet(seed)
    };
    if profile == Profile::Swarm {
        segwit::enter(&mut plan, classes);
    }
    if matches!(profile, Profile::Swarm | Profile::Byzantine) {
        people::enter(&mut plan);
    }
    freezes::enter(&mut plan);
    bumps::enter(&mut plan);
    plan
}

fn classes(profile: Profile, draw: &mut Stream) -> Classes {
    let none = Classes::default();
    match profile {
        Profile::Calm => none,
        Profile::Lossy => Classes { delays: true, loss: true, duplicates: true, reordering: true, ..none },
        Profile::Crashy => Classes { crashes: true, blackouts: draw.chance(300_000), ..none },
        Profile::Partition => Classes { cuts: true, one_way: draw.chance(300_000), ..none },
        Profile::Byzantine => {
            let mild = draw.chance(500_000);
            let mut coin = || mild && draw.chance(400_000);
            Classes {
                delays: coin(),
                loss: coin(),
                duplicates: coin(),
                reordering: coin(),
                crashes: coin(),
                cuts: coin(),
                outages: coin(),
                ..none
            }
        }
        // One run in twenty is calm: a fault that hides another must not hide it always.
        Profile::Swarm if draw.chance(50_000) => none,
        Profile::Swarm => {
            let mut coin = || draw.chance(500_000);
            Classes {
                delays: coin(),
                loss: coin(),
                duplicates: coin(),
                reordering: coin(),
                crashes: coin(),
                blackouts: coin(),
                cuts: coin(),
                one_way: coin(),
                filters: coin(),
                outages: coin(),
                stale: coin(),
                reorgs: coin(),
                evictions: coin(),
                // A stolen coin fails payments that would otherwise show a defect.
                thefts: coin() && coin() && coin(),
                fee_spikes: coin(),
                slow_disk: coin(),
                bad_disk: coin(),
                clocks: coin(),
                leases: coin(),
                lost_jobs: coin(),
                nervous: coin(),
            }
        }
    }
}

/// Whether the key is made in trouble. Nobody lies in such a plan: a single member can keep a key from being made.
fn is_born_in_trouble(seed: u64, profile: Profile) -> bool {
    let faulty = !matches!(profile, Profile::Calm | Profile::Byzantine);
    faulty && Stream::new(seed, "plan/ceremony").chance(150_000)
}

fn network(classes: Classes, draw: &mut Stream) -> NetworkProfile {
    let mut rate = |on: bool, most: u64| {
        let drawn = u32::try_from(draw.log_uniform(most)).unwrap_or(u32::MAX);
        if on { drawn } else { 0 }
    };
    NetworkProfile {
        tail: rate(classes.delays, 300_000),
        loss: rate(classes.loss, 100_000),
        duplicate: rate(classes.duplicates, 100_000),
        reorder: rate(classes.reordering, 500_000),
        delay: Span { least: 1, most: if classes.delays { 1 + draw.log_uniform(100) } else { 5 } },
    }
}

fn chain(classes: Classes, nodes: u16, draw: &mut Stream) -> ChainPlan {
    let mut some = |on: bool, most: u64| if on { draw.between(1, most) } else { 0 };
    let outages = some(classes.outages, 3);
    let (stale, reorgs) = (some(classes.stale, 3), some(classes.reorgs, 4));
    let (evictions, thefts, spikes) =
        (some(classes.evictions, 3), some(classes.thefts, 2), some(classes.fee_spikes, 2));
    ChainPlan {
        answer: Span { least: 5, most: if classes.outages { 2_000 } else { 60 } },
        outages: (0..outages)
            .map(|_| {
                let from = draw.below(TROUBLE);
                Outage { from, to: from + draw.between(500, 25_000) }
            })
            .collect(),
        stale: (0..stale)
            .map(|_| {
                let from = draw.below(TROUBLE);
                StaleTip { from, to: from + draw.between(500, 30_000), node: any_node(nodes, draw) }
            })
            .collect(),
        reorgs: (0..reorgs)
            .map(|_| Reorg {
                at: draw.below(TROUBLE),
                depth: u32::try_from(draw.between(1, 4)).unwrap_or(1),
                forgets: draw.chance(300_000),
            })
            .collect(),
        evictions: (0..evictions).map(|_| Eviction { at: draw.below(TROUBLE) }).collect(),
        thefts: (0..thefts).map(|_| Theft { at: draw.below(TROUBLE - LOOK) }).collect(),
        fee_spikes: (0..spikes)
            .map(|_| {
                let from = draw.below(TROUBLE);
                let times = u32::try_from(draw.log_uniform(100)).unwrap_or(1);
                FeeSpike { from, to: from + draw.between(500, 30_000), times }
            })
            .collect(),
        ..ChainPlan::quiet((0..draw.between(3, 12)).map(|_| draw.between(2_000_000, 20_000_000)).collect())
    }
}

fn partitions(classes: Classes, nodes: u16, draw: &mut Stream) -> Vec<Partition> {
    let cuts = if classes.cuts { draw.between(1, 4) } else { 0 };
    (0..cuts)
        .map(|_| {
            let from = draw.below(TROUBLE - 5_000);
            let to = from + draw.between(200, 30_000);
            let mut group: Vec<u16> = (1..=nodes).filter(|_| draw.chance(400_000)).collect();
            if group.is_empty() {
                // The coordinator alone is the cut that hurts most.
                group.push(1);
            }
            let direction = match draw.below(2) {
                _ if !classes.one_way => Direction::Both,
                0 => Direction::Outward,
                _ => Direction::Inward,
            };
            Partition { from, to, group, direction }
        })
        .collect()
}

fn crashes(classes: Classes, nodes: u16, payments: &[Payment], draw: &mut Stream) -> Vec<Crash> {
    let points =
        [CrashPoint::Now, CrashPoint::BeforeAppend, CrashPoint::AfterAppend, CrashPoint::BetweenEffects];
    let mut crashes = Vec::new();
    let single = if classes.crashes { draw.between(1, 12) } else { 0 };
    for _ in 0..single {
        // A crash of an idle node shows little: two of three come soon after a client asked.
        let busy = draw.pick(payments).filter(|_| draw.chance(660_000));
        let at = match busy {
            Some(payment) => payment.at + draw.log_uniform(3_000),
            None => draw.below(TROUBLE - 5_000),
        };
        crashes.push(Crash {
            at,
            node: any_node(nodes, draw),
            down_for: draw.log_uniform(20_000),
            when: *draw.pick(&points).unwrap_or(&CrashPoint::Now),
            entering: if draw.chance(400_000) { draw.pick(&WORKING_STATES).copied() } else { None },
            unsynced: unsynced(draw),
        });
    }
    if classes.blackouts {
        let busy = draw.pick(payments).map_or(0, |payment| payment.at);
        let at = busy + draw.log_uniform(5_000);
        for node in 1..=nodes {
            let down_for = draw.log_uniform(10_000);
            let unsynced = unsynced(draw);
            crashes.push(Crash { at, node, down_for, when: CrashPoint::Now, entering: None, unsynced });
        }
    }
    crashes
}

/// One traitor, if the cluster bears one: `f = min(n − t, 2t − n − 1)`.
fn traitors(profile: Profile, (nodes, threshold): (u16, u16), draw: &mut Stream) -> Vec<Traitor> {
    let tolerated = (nodes - threshold).min((2 * threshold).saturating_sub(nodes + 1));
    let wanted = match profile {
        Profile::Byzantine => true,
        Profile::Swarm => draw.chance(200_000),
        Profile::Calm | Profile::Lossy | Profile::Crashy | Profile::Partition => false,
    };
    if !wanted || tolerated == 0 {
        return vec![];
    }
    // Every deviation is alike likely.
    let deviation = *draw.pick(&Deviation::ALL).unwrap_or(&Deviation::Equivocator);
    // The first member coordinates unless it is away: only there are some lies heard.
    let node = if draw.chance(500_000) { 1 } else { any_node(nodes, draw) };
    let from = if draw.chance(500_000) { 0 } else { draw.below(TROUBLE / 2) };
    vec![Traitor { node, deviation, from }]
}

/// A member that forgets at a restart must restart.
fn relapse(traitor: &Traitor, draw: &mut Stream) -> Option<Crash> {
    (traitor.deviation == Deviation::Forgetter).then(|| Crash {
        at: traitor.from + draw.between(500, 25_000),
        node: traitor.node,
        down_for: draw.log_uniform(3_000),
        when: CrashPoint::Now,
        entering: None,
        unsynced: Unsynced::Prefix,
    })
}

fn unsynced(draw: &mut Stream) -> Unsynced {
    *draw.pick(&[Unsynced::Prefix, Unsynced::Subset, Unsynced::Lost]).unwrap_or(&Unsynced::Prefix)
}

/// Kinds of messages whose loss alone a cluster must bear: each has another way to arrive, or is said again.
pub(crate) const LOSABLE: [&str; 14] = [
    "Heartbeat",
    "CoinRequest",
    "CoinGrant",
    "CoinRefusal",
    "VoteRequest",
    "Vote",
    "Promise",
    "Finished",
    "SignRequest",
    "Mpc",
    "SessionAbort",
    "Bundle",
    "SyncPage",
    "Freezes",
];

fn filters(classes: Classes, nodes: u16, draw: &mut Stream) -> Vec<Filter> {
    let filters = if classes.filters { draw.between(1, 4) } else { 0 };
    (0..filters)
        .map(|_| {
            let from = draw.below(TROUBLE - 5_000);
            Filter {
                from,
                to: from + draw.between(500, 30_000),
                sender: draw.chance(500_000).then(|| any_node(nodes, draw)),
                receiver: draw.chance(500_000).then(|| any_node(nodes, draw)),
                kind: (*draw.pick(&LOSABLE).unwrap_or(&"Vote")).to_owned(),
            }
        })
        .collect()
}

fn disks(classes: Classes, nodes: u16, payments: &[Payment], draw: &mut Stream) -> Vec<DiskFault> {
    let faults = if classes.bad_disk { draw.between(1, 4) } else { 0 };
    (0..faults)
        .map(|_| {
            let busy = draw.pick(payments).map_or(0, |payment| payment.at);
            let at = busy + draw.log_uniform(3_000);
            let fault = match draw.below(5) {
                0 => DiskTrouble::Refuses,
                1 => DiskTrouble::Unknown { kept: true },
                2 => DiskTrouble::Unknown { kept: false },
                3 => DiskTrouble::Restored { age: draw.log_uniform(at.max(1)) },
                _ => DiskTrouble::Stalls { millis: draw.log_uniform(5_000) },
            };
            DiskFault { at, node: any_node(nodes, draw), fault }
        })
        .collect()
}

/// Clocks differ by what a neglected time service leaves, and are set while the node is down.
fn clocks(classes: Classes, nodes: u16, draw: &mut Stream) -> Vec<ClockFault> {
    if !classes.clocks {
        return vec![];
    }
    let mut faults = vec![];
    for node in 1..=nodes {
        if draw.chance(500_000) {
            continue;
        }
        let mut signed = |most: u64| {
            let size = i64::try_from(draw.log_uniform(most)).unwrap_or(0);
            if draw.chance(500_000) { size } else { -size }
        };
        let (offset, by) = (signed(30_000), signed(20_000));
        let drift_ppm = i32::try_from(signed(300)).unwrap_or(0);
        let jumps = if draw.chance(300_000) { vec![Jump { at: draw.below(TROUBLE), by }] } else { vec![] };
        let late = if draw.chance(500_000) { draw.log_uniform(300) } else { 0 };
        let spurious = if draw.chance(300_000) { draw.between(50, 2_000) } else { 0 };
        faults.push(ClockFault { node, offset, drift_ppm, jumps, late, spurious });
    }
    faults
}

fn leases(classes: Classes, nodes: u16, draw: &mut Stream) -> Vec<Lease> {
    let told = if classes.leases { draw.between(1, 10) } else { 0 };
    (0..told)
        .map(|_| Lease {
            at: draw.below(TROUBLE),
            node: any_node(nodes, draw),
            holder: draw.chance(800_000).then(|| any_node(nodes, draw)),
        })
        .collect()
}

/// States that a transaction enters while there is still something to do for it.
const WORKING_STATES: [TxState; 7] = [
    TxState::Voting,
    TxState::ThresholdReached,
    TxState::Approved,
    TxState::Signing,
    TxState::Signed,
    TxState::Broadcasting,
    TxState::Confirmed,
];

fn any_node(nodes: u16, draw: &mut Stream) -> u16 {
    u16::try_from(draw.between(1, u64::from(nodes))).unwrap_or(1)
}

fn payments(classes: Classes, nodes: u16, draw: &mut Stream) -> Vec<Payment> {
    let window = if draw.chance(400_000) { 500 } else { TROUBLE - 10_000 };
    let count = draw.between(2, 12);
    let mut payments: Vec<Payment> = (0..count)
        .map(|index| Payment {
            idempotency_key: draw.chance(800_000).then(|| format!("key-{index}")),
            also_at: (classes.nervous && draw.chance(500_000)).then(|| any_node(nodes, draw)),
            altered: (classes.nervous && draw.chance(300_000)).then(|| draw.between(300_001, 400_000)),
            // Together far below the least funds, so that every payment is admissible in the end.
            ..Payment::new(draw.below(window), any_node(nodes, draw), draw.between(1_000, 300_000))
        })
        .collect();
    // The last is asked for in calm: it shows that the cluster still pays.
    payments.push(Payment::new(TROUBLE + LOOK, any_node(nodes, draw), 1_000));
    payments
}
