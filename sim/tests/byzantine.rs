//! Each deviation alone, in calm: the honest members pay, see the lie for what it is, and blame nobody else.
#![allow(clippy::unwrap_used)]

use mpc_wallet_sim::{
    FaultPlan,
    plan::{Crash, CrashPoint, Deviation, Payment, Traitor, Unsynced},
    run,
    world::Counts,
};

/// Runs of each deviation in each place: what depends on chance happens in one of them.
const SEEDS: u64 = 4;

/// Where the traitor stands: among the rest, or where the coordinator stands.
const PLACES: [u16; 2] = [3, 1];

/// Twelve payments asked for at honest nodes within half a minute, with one member that deviates from the start; three times as
/// many where it takes many occasions to be shut out.
fn plan(seed: u64, node: u16, deviation: Deviation) -> FaultPlan {
    let count = if deviation == Deviation::Impersonator { 36 } else { 12 };
    let payments = (0..count)
        .map(|number: u16| Payment {
            idempotency_key: Some(format!("key-{number}")),
            ..Payment::new(
                u64::from(number) * 30_000 / u64::from(count),
                if number.is_multiple_of(3) { 2 } else { 3 + number % 3 },
                20_000,
            )
        })
        .collect();
    let crashes = if deviation == Deviation::Forgetter {
        let when = CrashPoint::Now;
        vec![Crash { at: 9_000, node, down_for: 500, when, entering: None, unsynced: Unsynced::Prefix }]
    } else {
        vec![]
    };
    let traitors = vec![Traitor { node, deviation, from: 0 }];
    FaultPlan { payments, crashes, traitors, ..FaultPlan::quiet(seed) }
}

fn tell(deviation: Deviation) -> [Counts; 2] {
    PLACES.map(|node| {
        let mut tally = Counts::default();
        for seed in 1..=SEEDS {
            let report = run(plan(seed, node, deviation), None).unwrap();
            assert_eq!(report.breach, None, "{deviation:?} at node-{node}, seed {seed}");
            tally.add(&report.tally);
        }
        tally
    })
}

/// Four honest members, each of which shuts the liar out in each run.
const ALL_SHUT_OUT: u64 = 4 * SEEDS;

#[test]
fn an_equivocator_is_proven_a_liar_and_shut_out_by_all() {
    for tally in tell(Deviation::Equivocator) {
        assert_eq!((tally.proofs, tally.bans), (ALL_SHUT_OUT, ALL_SHUT_OUT), "{tally}");
        assert!(tally.paid > 0, "{tally}");
    }
}

#[test]
fn a_voter_that_forgot_is_proven_a_liar_and_shut_out_by_all() {
    for tally in tell(Deviation::Forgetter) {
        assert_eq!((tally.proofs, tally.bans), (ALL_SHUT_OUT, ALL_SHUT_OUT), "{tally}");
        assert!(tally.paid > 0, "{tally}");
    }
}

#[test]
fn a_withheld_share_costs_time_and_nobody_is_banned_for_silence() {
    for tally in tell(Deviation::Withholder) {
        assert_eq!((tally.strikes, tally.bans, tally.paid), (0, 0, tally.asked), "{tally}");
    }
}

#[test]
fn a_bad_share_gets_its_author_banned_by_whoever_saw_it() {
    for tally in tell(Deviation::BadShare) {
        assert!(tally.bans > 0 && tally.bans <= ALL_SHUT_OUT && tally.proofs <= tally.bans, "{tally}");
        assert!(tally.paid > 0, "{tally}");
    }
}

#[test]
fn old_words_change_nothing_that_new_words_have_settled() {
    for tally in tell(Deviation::Replayer) {
        assert!(tally.paid > 0, "{tally}");
    }
}

#[test]
fn words_of_an_earlier_epoch_convince_nobody() {
    for tally in tell(Deviation::StaleEpoch) {
        assert!(tally.alarms > 0 && tally.paid > 0, "{tally}");
    }
}

#[test]
fn a_member_that_sends_garbage_is_shut_out_by_count() {
    for tally in tell(Deviation::Mutator) {
        assert!(tally.strikes > 0 && tally.bans > 0 && tally.proofs == 0, "{tally}");
    }
}

#[test]
fn forged_statements_are_held_against_whoever_brings_them() {
    let [among_the_rest, coordinating] = tell(Deviation::Impersonator);
    for tally in [among_the_rest, coordinating] {
        assert!(tally.strikes > 0 && tally.proofs == 0, "{tally}");
    }
    // A ban takes five strikes of one node, and not every run gives one of them so many occasions.
    assert!(among_the_rest.bans + coordinating.bans > 0, "{among_the_rest}, {coordinating}");
}

#[test]
fn one_identity_on_two_machines_pays_nothing_twice() {
    for tally in tell(Deviation::Twin) {
        assert!(tally.paid > 0, "{tally}");
    }
}

#[test]
fn a_coordinator_that_gives_everybody_the_same_coins_stops_no_payment() {
    for tally in tell(Deviation::LyingCoordinator) {
        assert_eq!(tally.paid, tally.asked, "{tally}");
    }
}

#[test]
fn payments_to_a_liar_in_the_place_of_others_are_approved_by_nobody() {
    for tally in tell(Deviation::Diverter) {
        assert_eq!((tally.paid, tally.bans), (tally.asked, 0), "{tally}");
    }
}

#[test]
fn a_flood_drowns_nobody() {
    for tally in tell(Deviation::Flooder) {
        assert!(tally.paid > 0, "{tally}");
    }
}
