//! Any bytes as a plan, for fuzzers and property tests.
//!
//! Twelve bytes say how the world is; then each eight bytes are one event: what, who, when (two bytes), and four more
//! that each kind reads in its own way. Events of one size let a fuzzer insert, drop, repeat and splice them without
//! changing the meaning of their neighbours, and let a property test shrink a plan event by event. What is missing is
//! zero, and zero is calm.
//!
//! Every plan made here can be run and can be survived: there are never more liars and restored backups than the
//! cluster tolerates, and always money for every payment.

use mpc_wallet_core::tx::State as TxState;

use super::{
    Bump, ChainPlan, ClockFault, Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, Eviction,
    FaultPlan, FeeSpike, Filter, Freeze, Jump, Lease, Lift, NetworkProfile, Outage, Partition, Payment,
    Reorg, Span, StaleTip, Theft, Traitor, Unsynced,
};
use crate::profile::{LOSABLE, Profile, RECOVERY};

/// Bytes before the first event.
const HEAD: usize = 12;

/// Bytes of one event.
const EVENT: usize = 8;

/// Most events that are read: a run has to take milliseconds.
const MOST_EVENTS: usize = 24;

/// Most payments among them; one more follows in calm.
const MOST_PAYMENTS: usize = 5;

/// n and t; small clusters first, because every member costs time.
const CLUSTERS: [(u16, u16); 5] = [(3, 2), (4, 3), (5, 4), (2, 2), (5, 3)];

/// Events begin within this time.
const HORIZON: u64 = 8_000;

/// When all faults end.
const HEAL_AT: u64 = 10_000;

/// A healed cluster has connected again after this time.
const RECONNECTION: u64 = 5_000;

/// From this value of the first byte on, a plan without traitors makes its key in trouble.
const BORN_IN_TROUBLE: u8 = 192;

impl FaultPlan {
    /// The plan that these bytes mean; [`FaultPlan::check`] passes it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (head, events) = bytes.split_at(bytes.len().min(HEAD));
        let mut plan = world(head);
        let mut unsafe_nodes = 0;
        for event in events.chunks(EVENT).take(MOST_EVENTS) {
            Event::of(event, plan.nodes).enter(&mut plan, &mut unsafe_nodes);
        }
        let early = head.first().is_some_and(|byte| *byte >= BORN_IN_TROUBLE);
        plan.ceremony_in_trouble = early && plan.traitors.is_empty();
        // Asked for in calm: it shows that the cluster still pays.
        plan.payments.push(Payment::new(HEAL_AT + RECONNECTION, 1, 1_000));
        for bump in &mut plan.bumps {
            bump.payment %= plan.payments.len();
        }
        plan.chain.funds = vec![5_000_000; 4 + plan.payments.len() + plan.chain.thefts.len()];
        plan
    }

    /// f: how many members may lie or come back from a backup.
    fn tolerated(&self) -> u16 {
        (self.nodes - self.threshold).min(2 * self.threshold - self.nodes - 1)
    }
}

fn world(head: &[u8]) -> FaultPlan {
    let byte = |index: usize| head.get(index).copied().unwrap_or_default();
    let rate = |index: usize, most: u32| u32::from(byte(index)) * most / 255;
    let (nodes, threshold) = pick(&CLUSTERS, byte(0)).unwrap_or((3, 2));
    let calm = FaultPlan::quiet(u64::from(u16::from_be_bytes([byte(1), byte(2)])));
    FaultPlan {
        profile: Profile::Swarm,
        nodes,
        threshold,
        network: NetworkProfile {
            delay: Span { least: 1, most: 5 + u64::from(byte(3)) },
            tail: rate(4, 300_000),
            loss: rate(5, 100_000),
            duplicate: rate(6, 100_000),
            reorder: rate(7, 500_000),
        },
        fsync: Span { least: 1, most: 4 + u64::from(byte(8)) },
        chain: ChainPlan {
            block_interval: Span { least: 1_000, most: 4_000 },
            answer: Span { least: 5, most: 60 + 8 * u64::from(byte(9)) },
            ..ChainPlan::quiet(Vec::new())
        },
        lost_jobs: rate(10, 50_000),
        heal_at: HEAL_AT,
        until: HEAL_AT + RECOVERY,
        ..calm
    }
}

/// One of the items; `None` if there are none.
fn pick<T: Copy>(items: &[T], choice: u8) -> Option<T> {
    usize::from(choice).checked_rem(items.len()).and_then(|index| items.get(index)).copied()
}

/// One event's bytes, read.
struct Event {
    kind: u8,
    node: u16,
    from: u64,
    /// `from` and up to eleven seconds, by the square of its byte: a short fault is as likely as a long one.
    to: u64,
    strength: u8,
    choice: u8,
    mask: u8,
}

impl Event {
    fn of(bytes: &[u8], nodes: u16) -> Self {
        let byte = |index: usize| bytes.get(index).copied().unwrap_or_default();
        let from = u64::from(u16::from_be_bytes([byte(2), byte(3)])) % HORIZON;
        let strength = byte(4);
        Self {
            kind: byte(0) % 16,
            node: 1 + u16::from(byte(1)) % nodes,
            from,
            to: from + u64::from(strength).pow(2) / 6,
            strength,
            choice: byte(5),
            mask: byte(6),
        }
    }

    fn enter(&self, plan: &mut FaultPlan, unsafe_nodes: &mut u16) {
        let Self { node, from, to, strength, choice, .. } = *self;
        match self.kind {
            0 | 1 if plan.payments.len() < MOST_PAYMENTS => plan.payments.push(self.payment(plan)),
            0 | 1 => {}
            2 | 3 => plan.crashes.push(self.crash()),
            4 | 5 => plan.partitions.push(self.partition(plan.nodes)),
            6 => plan.filters.push(self.filter(plan.nodes)),
            7 => plan.disks.extend(self.disk(plan.tolerated(), unsafe_nodes)),
            8 => plan.clocks.push(self.clock()),
            9 => {
                let holder = (choice < 200).then(|| 1 + u16::from(choice) % plan.nodes);
                plan.leases.push(Lease { at: from, node, holder });
            }
            10 => plan.chain.outages.push(Outage { from, to }),
            11 if choice < 128 => plan.bumps.push(self.bump()),
            11 => plan.chain.stale.push(StaleTip { from, to, node }),
            12 => {
                let depth = 1 + u32::from(strength % 3);
                plan.chain.reorgs.push(Reorg { at: from, depth, forgets: choice % 2 == 1 });
            }
            13 if choice < 128 => plan.chain.evictions.push(Eviction { at: from }),
            13 => {
                plan.freezes.push(Freeze { at: from, node });
                let lifted = (node..).take(usize::from(plan.threshold)).map(|node| 1 + node % plan.nodes);
                plan.lifts.extend(lifted.map(|node| Lift { at: to, node }));
            }
            14 if choice < 64 => plan.chain.thefts.push(Theft { at: from }),
            14 => plan.chain.fee_spikes.push(FeeSpike { from, to, times: 1 + u32::from(choice % 16) }),
            _ => plan.traitors.extend(self.traitor(plan, unsafe_nodes)),
        }
    }

    fn payment(&self, plan: &FaultPlan) -> Payment {
        let keyed = self.mask % 4 != 3;
        let named = || format!("key-{}", plan.payments.len());
        Payment {
            idempotency_key: keyed.then(named),
            // A request without a key that is made twice is two payments.
            also_at: (keyed && self.mask & 0x10 != 0).then(|| 1 + u16::from(self.choice) % plan.nodes),
            altered: (keyed && self.mask & 0x20 != 0).then_some(777),
            ..Payment::new(self.from, self.node, 1_000 * (1 + u64::from(self.strength)))
        }
    }

    /// Which payment it means is clear when all are read.
    fn bump(&self) -> Bump {
        let fee_rate = (self.mask & 1 == 1).then(|| 2_000 + 500 * u64::from(self.mask));
        Bump { at: self.to, payment: usize::from(self.choice), node: self.node, fee_rate }
    }

    fn crash(&self) -> Crash {
        const POINTS: [CrashPoint; 4] =
            [CrashPoint::Now, CrashPoint::BeforeAppend, CrashPoint::AfterAppend, CrashPoint::BetweenEffects];
        const LOSSES: [Unsynced; 3] = [Unsynced::Prefix, Unsynced::Subset, Unsynced::Lost];
        Crash {
            at: self.from,
            node: self.node,
            down_for: self.to - self.from,
            when: pick(&POINTS, self.choice).unwrap_or(CrashPoint::Now),
            entering: TxState::ALL.get(usize::from(self.mask % 32)).copied(),
            unsynced: pick(&LOSSES, self.choice / 4).unwrap_or_default(),
        }
    }

    fn partition(&self, nodes: u16) -> Partition {
        let bits = u16::from(self.mask);
        let mut group: Vec<u16> = (1..=nodes).filter(|node| bits >> (node - 1) & 1 == 1).collect();
        if group.is_empty() {
            group.push(self.node);
        }
        let ways = [Direction::Both, Direction::Outward, Direction::Inward];
        let direction = pick(&ways, self.choice).unwrap_or_default();
        Partition { from: self.from, to: self.to, group, direction }
    }

    fn filter(&self, nodes: u16) -> Filter {
        Filter {
            from: self.from,
            to: self.to,
            sender: (self.mask & 1 == 1).then_some(self.node),
            receiver: (self.mask & 2 == 2).then(|| 1 + u16::from(self.mask >> 2) % nodes),
            kind: pick(&LOSABLE, self.choice).unwrap_or("Vote").to_owned(),
        }
    }

    fn disk(&self, tolerated: u16, unsafe_nodes: &mut u16) -> Option<DiskFault> {
        let fault = match self.choice % 5 {
            0 => DiskTrouble::Refuses,
            1 => DiskTrouble::Unknown { kept: false },
            2 => DiskTrouble::Unknown { kept: true },
            3 => DiskTrouble::Stalls { millis: u64::from(self.strength) * 20 },
            _ if *unsafe_nodes < tolerated => {
                *unsafe_nodes += 1;
                DiskTrouble::Restored { age: self.to - self.from }
            }
            _ => return None,
        };
        Some(DiskFault { at: self.from, node: self.node, fault })
    }

    fn clock(&self) -> ClockFault {
        let signed = |byte: u8, unit: i64| (i64::from(byte) - 128) * unit;
        let jumps = if self.mask & 1 == 1 {
            vec![Jump { at: self.from, by: signed(self.strength, 200) }]
        } else {
            Vec::new()
        };
        ClockFault {
            node: self.node,
            offset: if self.mask & 2 == 2 { signed(self.choice, 200) } else { 0 },
            drift_ppm: if self.mask & 4 == 4 { i32::from(self.choice) * 4 - 512 } else { 0 },
            jumps,
            late: if self.mask & 8 == 8 { u64::from(self.strength) * 4 } else { 0 },
            spurious: if self.mask & 16 == 16 { 50 + u64::from(self.choice) } else { 0 },
        }
    }

    fn traitor(&self, plan: &FaultPlan, unsafe_nodes: &mut u16) -> Option<Traitor> {
        let free = plan.traitors.iter().all(|traitor| traitor.node != self.node);
        if !free || *unsafe_nodes >= plan.tolerated() {
            return None;
        }
        *unsafe_nodes += 1;
        let deviation = pick(&Deviation::ALL, self.choice)?;
        Some(Traitor { node: self.node, deviation, from: self.from })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::profile::CALM_NETWORK;

    /// Any plan.
    fn any_plan() -> impl Strategy<Value = FaultPlan> {
        prop::collection::vec(any::<u8>(), 0..HEAD + (MOST_EVENTS + 2) * EVENT)
            .prop_map(|bytes| FaultPlan::from_bytes(&bytes))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_bytes_are_a_plan_that_can_be_run_and_kept(plan in any_plan()) {
            prop_assert_eq!(plan.check(), Ok(()));
            prop_assert_eq!(FaultPlan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
        }

        #[test]
        fn no_plan_asks_for_more_than_the_cluster_tolerates_or_owns(plan in any_plan()) {
            let restored = |disk: &&DiskFault| matches!(disk.fault, DiskTrouble::Restored { .. });
            let unsafe_nodes = plan.traitors.len() + plan.disks.iter().filter(restored).count();
            let (n, t) = (i64::from(plan.nodes), i64::from(plan.threshold));
            prop_assert!(i64::try_from(unsafe_nodes).unwrap() <= (n - t).min(2 * t - n - 1));
            prop_assert!(plan.payments.len() <= MOST_PAYMENTS + 1);
            let asked: u64 = plan.payments.iter().map(|payment| payment.amount).sum();
            prop_assert!(asked * 2 < plan.chain.funds.iter().skip(plan.chain.thefts.len()).sum());
            prop_assert!(plan.until <= 300_000, "a run has to take milliseconds");
        }
    }

    #[test]
    fn nothing_is_calm_with_one_payment() {
        let plan = FaultPlan::from_bytes(&[]);
        assert_eq!((plan.network, plan.payments.len()), (CALM_NETWORK, 1));
        assert!(plan.crashes.is_empty() && plan.partitions.is_empty() && plan.traitors.is_empty());
    }

    #[test]
    fn every_kind_of_event_is_within_reach() {
        let mut bytes = vec![0; HEAD];
        let mut plans = Vec::new();
        for kind in 0..16 {
            for choice in [0, 1, 4, 70, 200] {
                bytes.truncate(HEAD);
                // Four of five: one may lie.
                bytes[0] = 2;
                bytes.extend([kind, 1, 0, 9, 30, choice, 0b1_1111, 0]);
                plans.push(FaultPlan::from_bytes(&bytes));
            }
        }
        plans.push(FaultPlan::from_bytes(&[BORN_IN_TROUBLE]));
        type Reach = (&'static str, fn(&FaultPlan) -> bool);
        let reached: [Reach; 18] = [
            ("payments", |plan| plan.payments.len() > 1),
            ("crashes", |plan| !plan.crashes.is_empty()),
            ("partitions", |plan| !plan.partitions.is_empty()),
            ("filters", |plan| !plan.filters.is_empty()),
            ("disks", |plan| !plan.disks.is_empty()),
            ("backups", |plan| plan.disks.iter().any(|d| matches!(d.fault, DiskTrouble::Restored { .. }))),
            ("clocks", |plan| plan.clocks.iter().any(|clock| !clock.jumps.is_empty())),
            ("leases", |plan| !plan.leases.is_empty()),
            ("outages", |plan| !plan.chain.outages.is_empty()),
            ("raised fees", |plan| !plan.bumps.is_empty()),
            ("stale tips", |plan| !plan.chain.stale.is_empty()),
            ("reorganisations", |plan| !plan.chain.reorgs.is_empty()),
            ("evictions", |plan| !plan.chain.evictions.is_empty()),
            ("freezes", |plan| !plan.freezes.is_empty() && !plan.lifts.is_empty()),
            ("thefts", |plan| !plan.chain.thefts.is_empty()),
            ("fee spikes", |plan| !plan.chain.fee_spikes.is_empty()),
            ("traitors", |plan| !plan.traitors.is_empty()),
            ("ceremonies", |plan| plan.ceremony_in_trouble),
        ];
        for (what, reached) in reached {
            assert!(plans.iter().any(reached), "no plan has {what}");
        }
    }

    #[test]
    fn an_event_means_the_same_wherever_it_stands() {
        let crash = [2, 1, 0, 9, 30, 0, 0, 0];
        let cut = [4, 1, 0, 9, 30, 0, 0, 0];
        let plan =
            |events: [[u8; EVENT]; 2]| FaultPlan::from_bytes(&[vec![0; HEAD], events.concat()].concat());
        assert_eq!(plan([crash, cut]), plan([cut, crash]));
    }
}
