//! The second wallet: payments of both, orderly stops, and plans that do not have it.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, rc::Rc};

use mpc_wallet_sim::{
    FaultPlan, Profile, Report,
    plan::{DiskFault, DiskTrouble, Payment, Stop, Wallet},
    run,
};

/// Payments at these moments from a SegWit wallet of as many coins.
fn paying(seed: u64, moments: &[u64]) -> FaultPlan {
    let mut plan = FaultPlan::quiet(seed);
    plan.chain.segwit_funds = vec![2_000_000; moments.len()];
    plan.payments = moments.iter().map(|at| Payment::new(*at, 3, 100_000 + at).from_segwit()).collect();
    plan
}

/// Runs a plan that must hold, and gives its report and its lines.
fn hold(plan: FaultPlan) -> (Report, Vec<String>) {
    let lines = Rc::new(RefCell::new(vec![]));
    let kept = Rc::clone(&lines);
    let report =
        run(plan, Some(Box::new(move |line: &str| kept.borrow_mut().push(line.to_owned())))).unwrap();
    assert_eq!(report.breach, None);
    (report, lines.take())
}

fn count(lines: &[String], words: &str) -> usize {
    lines.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn either_wallet_pays_and_one_presignature_of_each_signer_goes_with_each_input() {
    let mut plan = paying(1, &[12_000, 16_000]);
    plan.payments.push(Payment::new(12_000, 2, 50_000));
    let (report, lines) = hold(plan);
    assert_eq!(report.tally.paid, 3);
    assert_eq!(count(&lines, "durable PresignaturesUsed"), 8, "four signers, two payments");
}

#[test]
fn what_an_orderly_stop_keeps_is_used_after_it() {
    let mut plan = paying(2, &[14_000]);
    plan.stops = (1..=5).map(|node| Stop { at: 10_000, node, down_for: 1_000 }).collect();
    let (report, lines) = hold(plan);
    assert_eq!((report.tally.stops, report.tally.crashes, report.tally.paid), (5, 0, 1));
    let (kept, none) = (count(&lines, "stops in order and keeps"), count(&lines, "keeps 0 presignatures"));
    assert_eq!((kept, none), (5, 0));
    assert_eq!(count(&lines, "durable PresignaturesUsed"), 4);
    let stopped = lines.iter().rposition(|line| line.contains("crash by order")).unwrap();
    let used = lines.iter().position(|line| line.contains("durable PresignaturesUsed")).unwrap();
    // Those that sign the payment are asked, and nobody to make others first.
    assert_eq!(count(lines.get(stopped..used).unwrap(), "got SignRequest"), 3);
}

#[test]
fn a_backup_from_the_time_of_a_stop_brings_nothing_back_that_is_used() {
    let mut plan = paying(3, &[14_000, 15_000, 30_000, 31_000]);
    plan.stops = vec![Stop { at: 10_000, node: 2, down_for: 2_000 }];
    plan.disks = vec![DiskFault { at: 20_000, node: 2, fault: DiskTrouble::Restored { age: 9_000 } }];
    let (report, lines) = hold(plan);
    assert_eq!(report.tally.paid, 4);
    assert_eq!(count(&lines, "presignatures are dropped: this node's journal is behind"), 1);
}

#[test]
fn some_plans_of_mixed_trouble_have_a_second_wallet_and_no_others() {
    for profile in Profile::ALL {
        let plans: Vec<_> = (0..200).map(|seed| FaultPlan::from_seed(seed, profile)).collect();
        let with = plans.iter().filter(|plan| plan.has_segwit()).count();
        let pays = |plan: &&FaultPlan| plan.payments.iter().any(|payment| payment.wallet == Wallet::Segwit);
        match profile {
            Profile::Swarm => {
                assert!((20..60).contains(&with), "{with}");
                assert!(plans.iter().filter(pays).count() > with / 2);
                assert!(plans.iter().any(|plan| !plan.stops.is_empty()));
            }
            Profile::Calm | Profile::Lossy | Profile::Crashy | Profile::Partition | Profile::Byzantine => {
                assert_eq!(with, 0, "{}", profile.name());
            }
        }
    }
}
