//! Scenes: plans made for situations that chance reaches too seldom to ask for them of every sweep.

mod bumps;
mod freezes;
mod people;
mod segwit;

use mpc_wallet_core::sometimes::Situation;

use crate::{
    FaultPlan,
    plan::{
        ChainPlan, ClockFault, Crash, CrashPoint, Deviation, Filter, Jump, Lease, NetworkProfile, Payment,
        Span, Theft, Traitor, Unsynced,
    },
    profile::{CALM_NETWORK, TROUBLE},
};

/// How often each is played, with another seed each time.
const TIMES: u64 = 5;

/// A name, what it is played for, and, for a seed, a plan.
type Scene = (&'static str, Situation, fn(u64) -> FaultPlan);

const ALL: [Scene; 27] = [
    ("scene `stolen under way`", Situation::ApprovedCoinGoesBad, stolen_under_way),
    ("scene `back in a moment`", Situation::HeartbeatOfEarlierBoot, back_in_a_moment),
    ("scene `false witness`", Situation::FalseAccusation, false_witness),
    ("scene `asked too late`", Situation::PromiseRefused, asked_too_late),
    ("scene `new coordinator`", Situation::GrantFromAnother, new_coordinator),
    ("scene `earlier term`", Situation::AnswerOfEarlierTerm, earlier_term),
    ("scene `restless role`", Situation::LeasesIgnored, restless_role),
    ("scene `outvoted`", Situation::RefusalBesideCertificate, outvoted),
    ("scene `taken already`", Situation::GrantOfTakenCoin, taken_already),
    ("scene `second wallet`", Situation::SignsWithoutStock, segwit::second_wallet),
    ("scene `many small coins`", Situation::FewerInputsForStock, segwit::many_small_coins),
    ("scene `stopped in order`", Situation::KeptPresignaturesReturn, segwit::stopped_in_order),
    ("scene `replaced machine`", Situation::PresignaturesDropped, segwit::replaced_machine),
    ("scene `cheat in presigning`", Situation::PresigningFaults, segwit::cheat_in_presigning),
    ("scene `two leaders`", Situation::PresignatureMissing, segwit::two_leaders),
    ("scene `two approve`", Situation::PeopleApprove, people::approved),
    ("scene `one refuses`", Situation::PeopleReject, people::rejected),
    ("scene `one is not enough`", Situation::PeopleAreLate, people::late),
    ("scene `hearsay`", Situation::DecisionFromAnother, people::hearsay),
    ("scene `in others' names`", Situation::DecisionForged, people::forged),
    ("scene `frozen after a share`", Situation::FrozenAfterShare, freezes::frozen_after_share),
    ("scene `frozen in a session`", Situation::FrozenInsideSession, freezes::frozen_inside_session),
    ("scene `frozen and asleep`", Situation::LiftLearntLate, freezes::frozen_and_asleep),
    ("scene `raised twice`", Situation::ReplacementWins, bumps::raised_twice),
    ("scene `block in between`", Situation::OriginalWins, bumps::block_in_between),
    ("scene `without the original`", Situation::ReplacementBeforeOriginal, bumps::without_the_original),
    ("scene `behind the chain`", Situation::ReplacementTooLate, bumps::behind_the_chain),
];

/// All plans, under the seeds from this one on.
pub(super) fn plans(from: u64) -> Vec<(u64, &'static str, FaultPlan)> {
    let played = ALL.iter().flat_map(|scene| (0..TIMES).map(move |_| scene));
    (from..).zip(played).map(|(seed, (name, _, plan))| (seed, *name, plan(seed))).collect()
}

/// Payments need not all be paid: a network that may reorder is no calm one.
fn quiet(seed: u64) -> FaultPlan {
    let network = NetworkProfile { reorder: 1, ..CALM_NETWORK };
    FaultPlan { network, ..FaultPlan::quiet(seed) }
}

/// All must sign, the last approval is heard late, and the only coin is stolen before.
fn stolen_under_way(seed: u64) -> FaultPlan {
    let deaf =
        |kind: &str| Filter { from: 0, to: 25_000, sender: Some(5), receiver: None, kind: kind.to_owned() };
    FaultPlan {
        threshold: 5,
        payments: vec![Payment::new(5_000, 1, 900_000)],
        filters: ["Vote", "Bundle", "SyncPage"].map(deaf).into(),
        chain: ChainPlan { thefts: vec![Theft { at: 10_000 }], ..ChainPlan::quiet(vec![5_000_000]) },
        ..quiet(seed)
    }
}

/// A node dies again and again and is back before its last words have arrived, over links that bring some of them late.
fn back_in_a_moment(seed: u64) -> FaultPlan {
    let crash = |at| Crash {
        at,
        node: 2,
        down_for: 50,
        when: CrashPoint::Now,
        entering: None,
        unsynced: Unsynced::Prefix,
    };
    FaultPlan {
        network: NetworkProfile { delay: Span { least: 1, most: 2_000 }, reorder: 500_000, ..CALM_NETWORK },
        crashes: (0..8).map(|n| crash(5_000 + 3_000 * n)).collect(),
        ..quiet(seed)
    }
}

/// A member accuses others on signatures of its own.
fn false_witness(seed: u64) -> FaultPlan {
    FaultPlan {
        payments: (0..12).map(|n| Payment::new(5_000 + 2_000 * n, 1, 100_000)).collect(),
        traitors: vec![Traitor { node: 2, deviation: Deviation::Impersonator, from: 0 }],
        ..quiet(seed)
    }
}

/// All must sign, one does not hear another, and a clock leaps over the expiry of what is being signed: it must give it
/// up, and its share has left.
fn asked_too_late(seed: u64) -> FaultPlan {
    let jumps = vec![Jump { at: 5_200, by: 25 * 3_600_000 }];
    FaultPlan {
        threshold: 5,
        payments: vec![Payment::new(5_000, 1, 900_000)],
        clocks: vec![ClockFault { node: 1, offset: 0, drift_ppm: 0, jumps, late: 0, spurious: 0 }],
        crashes: vec![Crash {
            at: 6_500,
            node: 1,
            down_for: 300,
            when: CrashPoint::Now,
            entering: None,
            unsynced: Unsynced::Prefix,
        }],
        filters: vec![Filter {
            from: 0,
            to: TROUBLE,
            sender: Some(2),
            receiver: Some(3),
            kind: String::from("Mpc"),
        }],
        ..quiet(seed)
    }
}

/// The coordinator changes while its grants are on their way.
fn new_coordinator(seed: u64) -> FaultPlan {
    FaultPlan {
        network: NetworkProfile { delay: Span { least: 50, most: 300 }, ..quiet(seed).network },
        leases: (1..=5).map(|node| Lease { at: 5_300, node, holder: Some(5) }).collect(),
        payments: (0..12_u16).map(|n| Payment::new(5_000 + 20 * u64::from(n), 2 + n % 3, 100_000)).collect(),
        chain: ChainPlan::quiet(vec![2_000_000; 12]),
        ..quiet(seed)
    }
}

/// The coordinator has heard of an earlier term of its own than those who ask it: a moment later it is told a lower epoch.
fn earlier_term(seed: u64) -> FaultPlan {
    let told = |node: u16| if node == 5 { 5_305 } else { 5_300 };
    FaultPlan {
        leases: (1..=5).map(|node| Lease { at: told(node), node, holder: Some(5) }).collect(),
        payments: (0..4_u16).map(|n| Payment::new(6_500 + 20 * u64::from(n), 1 + n, 100_000)).collect(),
        chain: ChainPlan::quiet(vec![2_000_000; 12]),
        ..quiet(seed)
    }
}

/// The role changes hands ten times a second while payments are made.
fn restless_role(seed: u64) -> FaultPlan {
    let turns = (0..30_u16).flat_map(|turn| (1..=5).map(move |node| (turn, node)));
    let told = |(turn, node): (u16, u16)| Lease {
        at: 5_000 + 100 * u64::from(turn),
        node,
        holder: Some(turn % 5 + 1),
    };
    FaultPlan {
        leases: turns.map(told).collect(),
        payments: (0..4_u16).map(|n| Payment::new(5_500 + 20 * u64::from(n), 1 + n, 100_000)).collect(),
        chain: ChainPlan::quiet(vec![2_000_000; 12]),
        ..quiet(seed)
    }
}

/// Two members each believe to coordinate, and there is one coin.
fn one_coin(seed: u64) -> FaultPlan {
    FaultPlan {
        leases: (1..=5)
            .map(|node| Lease { at: 1_000, node, holder: Some(if node <= 2 { 1 } else { 5 }) })
            .collect(),
        chain: ChainPlan::quiet(vec![5_000_000]),
        ..quiet(seed)
    }
}

/// One member has given the coin to a payment that nobody else hears of, and refuses the one that all others approve.
fn outvoted(seed: u64) -> FaultPlan {
    let mute =
        |kind: &str| Filter { from: 0, to: 12_000, sender: Some(5), receiver: None, kind: kind.to_owned() };
    FaultPlan {
        payments: vec![Payment::new(5_000, 5, 900_000), Payment::new(6_000, 1, 900_000)],
        filters: ["VoteRequest", "Bundle", "SyncPage"].map(mute).into(),
        ..one_coin(seed)
    }
}

/// A coordinator that has not heard of a payment grants its coin again, to a member that has approved it.
fn taken_already(seed: u64) -> FaultPlan {
    let deaf =
        |kind: &str| Filter { from: 0, to: 12_000, sender: None, receiver: Some(5), kind: kind.to_owned() };
    FaultPlan {
        payments: vec![Payment::new(5_000, 1, 900_000), Payment::new(5_300, 4, 900_000)],
        filters: ["VoteRequest", "Vote", "Finished", "Bundle", "SyncPage"].map(deaf).into(),
        ..one_coin(seed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mpc_wallet_core::sometimes::take;

    use super::*;

    #[test]
    fn each_scene_reaches_what_it_is_played_for_and_breaks_nothing() {
        for (name, situation, plan) in ALL {
            drop(take());
            for seed in 0..TIMES {
                plan(seed).check().unwrap();
                assert_eq!(crate::run(plan(seed), None).unwrap().breach, None, "{name}, seed {seed}");
            }
            let reached =
                Situation::ALL.iter().zip(take()).any(|(known, times)| *known == situation && times > 0);
            assert!(reached, "{name} does not reach {}", situation.name());
        }
    }
}
