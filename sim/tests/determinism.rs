//! The same plan is the same run: in one process, in two, and not by hashing nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, process::Command};

use mpc_wallet_sim::{FaultPlan, Profile, run};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_mpc-wallet-sim");

#[test]
fn one_plan_has_one_trace() {
    for profile in Profile::ALL {
        let trace = || run(FaultPlan::from_seed(77, profile), None).unwrap().trace;
        assert_eq!(trace(), trace(), "{}", profile.name());
    }
}

#[test]
fn different_seeds_and_different_plans_have_different_traces() {
    let mut traces = BTreeSet::new();
    for seed in 0..6 {
        traces.insert(run(FaultPlan::from_seed(seed, Profile::Calm), None).unwrap().trace);
    }
    let mut plan = FaultPlan::from_seed(0, Profile::Calm);
    plan.fsync.most += 1;
    traces.insert(run(plan, None).unwrap().trace);
    assert_eq!(traces.len(), 7);
}

#[test]
fn two_processes_agree_line_by_line() {
    for seed in ["5", "0x2a"] {
        let meta = Command::new(SIMULATOR).args(["meta", "--seed", seed]).output().unwrap();
        let text = String::from_utf8(meta.stdout).unwrap();
        assert!(meta.status.success() && text.ends_with("VERDICT=ok\n"), "{text}");
    }
}

#[test]
fn a_run_says_first_how_to_repeat_it_and_last_how_it_ended() {
    let folder = std::env::temp_dir().join(format!("mpc-wallet-sim-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("plan.json");
    let kept = file.to_str().unwrap();
    let of = |arguments: &[&str]| {
        let output = Command::new(SIMULATOR).args(arguments).output().unwrap();
        assert!(output.status.success());
        let lines: Vec<String> =
            String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect();
        (lines.first().cloned().unwrap(), lines.get(1).cloned().unwrap(), lines.last().cloned().unwrap())
    };
    let (head, replay, tail) = of(&["run", "--seed", "0x10", "--profile", "lossy", "--save", kept]);
    assert!(head.starts_with("SEED=0x10 COMMIT="), "{head}");
    assert_eq!(replay, "REPLAY: cargo sim run --seed 0x10 --profile lossy");
    assert!(tail.starts_with("TRACE=sha256:") && tail.ends_with("VERDICT=ok"), "{tail}");
    let (_, replay, again) = of(&["replay", kept]);
    assert_eq!(replay, format!("REPLAY: cargo sim replay {kept}"));
    let trace = |line: &str| line.split(' ').next().map(String::from);
    assert_eq!(trace(&tail), trace(&again), "the file holds the whole run");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_plan_that_fails_exits_with_1_and_names_the_oracle() {
    let mut plan = FaultPlan::from_seed(1, Profile::Calm);
    // More than the wallet holds: the client is refused until time is up.
    plan.chain.funds = vec![10_000];
    plan.until = plan.heal_at + 5_000;
    let file = std::env::temp_dir().join(format!("mpc-wallet-sim-fails-{}.json", std::process::id()));
    std::fs::write(&file, plan.to_json().unwrap()).unwrap();
    let output = Command::new(SIMULATOR).arg("replay").arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("VERDICT=fail:convergence"), "{text}");
}
