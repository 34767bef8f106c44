//! Plans that are kept: each shows a scenario that must hold for ever, or a defect that must not come back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::PathBuf};

use mpc_wallet_sim::{FaultPlan, run};

fn plans() -> Vec<(PathBuf, FaultPlan)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the corpus folder").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let plan = FaultPlan::from_json(&fs::read_to_string(&file).unwrap());
            (file.clone(), plan.unwrap_or_else(|e| panic!("{}: {e}", file.display())))
        })
        .collect()
}

#[test]
fn every_kept_plan_ends_as_it_says_and_its_faults_really_happen() {
    let plans = plans();
    assert!(!plans.is_empty());
    for (file, plan) in plans {
        let crashes = u64::try_from(plan.crashes.len()).unwrap();
        let payments = u64::try_from(plan.payments.len()).unwrap();
        let known = plan.expect.clone();
        let written = plan.found_by.is_none();
        let report = run(plan, None).unwrap();
        let replay = format!("cargo sim replay {}", file.display());
        let objects = report.breach.as_ref().map(|breach| breach.oracle.to_owned());
        assert_eq!(objects, known, "{replay}: {:?}", report.breach);
        if known.is_none() && written {
            let tally = report.tally;
            assert_eq!(tally.crashes, crashes, "{replay}: crashes that never happened test nothing");
            assert_eq!(tally.paid, payments, "{replay}: all these payments are possible");
        }
    }
}

#[test]
fn every_kept_plan_says_why() {
    for (file, plan) in plans() {
        assert!(plan.why.is_some_and(|why| why.len() > 20), "{}", file.display());
    }
}
