//! A few seeds of every profile, on every change. Exploring is the command line's work: `cargo sim sweep`.
#![allow(clippy::unwrap_used)]

use mpc_wallet_sim::{FaultPlan, Profile, plan::Suite, run, world::Counts};

const SEEDS: u64 = 8;

fn sweep(profile: Profile) -> Counts {
    let mut tally = Counts::default();
    for seed in 0..SEEDS {
        let report = run(FaultPlan::from_seed(seed, profile), None).unwrap();
        assert_eq!(report.breach, None, "cargo sim run --seed {seed:#x} --profile {}", profile.name());
        tally.add(&report.tally);
    }
    assert!(tally.asked > SEEDS && tally.accepted > 0 && tally.records > 0, "{tally}");
    tally
}

#[test]
fn in_calm_every_payment_is_paid() {
    let tally = sweep(Profile::Calm);
    assert_eq!((tally.accepted, tally.paid, tally.crashes), (tally.asked, tally.asked, 0));
}

#[test]
fn over_lossy_links_every_invariant_holds() {
    assert!(sweep(Profile::Lossy).paid > 0);
}

#[test]
fn through_crashes_every_invariant_holds() {
    let tally = sweep(Profile::Crashy);
    assert!(tally.crashes >= SEEDS && tally.paid > 0, "{tally}");
}

#[test]
fn across_cuts_every_invariant_holds() {
    assert!(sweep(Profile::Partition).paid > 0);
}

#[test]
fn with_a_liar_among_them_every_invariant_holds() {
    let tally = sweep(Profile::Byzantine);
    assert!(tally.paid > 0 && tally.bans > 0, "{tally}");
}

#[test]
fn in_any_mixture_of_faults_every_invariant_holds() {
    assert!(sweep(Profile::Swarm).paid > 0);
}

#[test]
fn with_real_signatures_every_invariant_holds() {
    for (seed, profile) in [(0, Profile::Calm), (1, Profile::Crashy), (0, Profile::Byzantine)] {
        let plan = FaultPlan { suite: Suite::Givre, ..FaultPlan::from_seed(seed, profile) };
        let report = run(plan, None).unwrap();
        let again = format!("cargo sim run --seed {seed:#x} --profile {} --suite givre", profile.name());
        assert_eq!(report.breach, None, "{again}");
        assert!(report.tally.paid > 0, "{again}");
    }
}
