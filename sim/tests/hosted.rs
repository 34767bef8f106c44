//! The hosted lane: production's loop on simulated hosts, under the plans of the core lane.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{cell::RefCell, collections::BTreeSet, env, fs, path::PathBuf, process::Command, rc::Rc};

use mpc_wallet_sim::{
    FaultPlan, Profile, hosted,
    plan::{
        Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, Partition, Payment, Stop, Traitor,
        Unsynced,
    },
    world::Report,
};

/// Runs a plan that must hold, and gives its report and its lines.
fn hold(plan: &FaultPlan) -> (Report, Vec<String>) {
    let lines = Rc::new(RefCell::new(vec![]));
    let kept = Rc::clone(&lines);
    let report =
        hosted::run(plan.clone(), Some(Box::new(move |line| kept.borrow_mut().push(line.to_owned()))));
    let report = report.unwrap();
    assert_eq!(report.breach, None, "{}", plan.to_json().unwrap());
    (report, lines.take())
}

fn paying(seed: u64, payments: &[(u64, u16)]) -> FaultPlan {
    let payments = payments.iter().enumerate().map(|(index, (at, node))| Payment {
        idempotency_key: Some(format!("key-{index}")),
        ..Payment::new(*at, *node, 50_000 + *at)
    });
    FaultPlan { payments: payments.collect(), ..FaultPlan::quiet(seed) }
}

fn crash(at: u64, node: u16, when: CrashPoint) -> Crash {
    Crash { at, node, down_for: 2_000, when, entering: None, unsynced: Unsynced::Prefix }
}

fn count(lines: &[String], words: &str) -> usize {
    lines.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn in_calm_every_payment_is_confirmed() {
    let (report, _) = hold(&paying(1, &[(100, 2), (100, 4), (3_000, 1)]));
    assert_eq!((report.tally.accepted, report.tally.paid, report.tally.crashes), (3, 3, 0));
}

#[test]
fn payments_outlive_a_cut_around_the_coordinator() {
    let mut plan = paying(2, &[(900, 1), (1_500, 3), (2_500, 4)]);
    plan.partitions.push(Partition { from: 1_000, to: 12_000, group: vec![1], direction: Direction::Both });
    let (report, lines) = hold(&plan);
    assert_eq!(report.tally.paid, 3);
    assert!(count(&lines, "lost node-1") >= 4, "all four others notice");
}

#[test]
fn a_cut_of_one_direction_ends_the_connection_and_harms_nobody() {
    for direction in [Direction::Outward, Direction::Inward] {
        let mut plan = paying(3, &[(1_100, 1), (1_500, 3)]);
        plan.partitions.push(Partition { from: 1_000, to: 9_000, group: vec![1, 2], direction });
        plan.payments.push(Payment::new(65_000, 2, 10_000));
        let (report, lines) = hold(&plan);
        // Three of five cannot decide, so what was asked for meanwhile may fail; what comes after it may not.
        assert!(report.tally.accepted == 3 && report.tally.paid > 0, "{direction:?}");
        assert!(count(&lines, "node-1 lost node-5") > 0 && count(&lines, "node-5 lost node-1") > 0);
    }
}

#[test]
fn a_node_that_dies_at_any_point_of_its_loop_comes_back_as_it_was() {
    let points = [
        (CrashPoint::Now, "crash now"),
        (CrashPoint::BeforeAppend, "crash before append"),
        (CrashPoint::AfterAppend, "crash after append"),
        (CrashPoint::BetweenEffects, "crash between effects"),
    ];
    for (when, words) in points {
        let mut plan = paying(4, &[(1_000, 2), (1_200, 3)]);
        plan.crashes.push(crash(1_010, 2, when));
        plan.crashes.push(crash(5_000, 4, when));
        let (report, lines) = hold(&plan);
        assert_eq!((report.tally.crashes, report.tally.paid), (2, 2), "{words}");
        assert_eq!(count(&lines, words), 2);
    }
}

#[test]
fn a_voter_that_dies_after_its_vote_does_not_vote_twice() {
    let mut plan = paying(5, &[(1_000, 1)]);
    let crashes = [2, 3, 4].map(|node| crash(1_000, node, CrashPoint::AfterAppend));
    plan.crashes.extend(crashes);
    let (report, lines) = hold(&plan);
    assert_eq!((report.tally.crashes, report.tally.paid), (3, 1));
    for node in 2..=4 {
        let own = format!("node-{node} durable Voted node-{node} ");
        assert_eq!(count(&lines, &own), 1, "{own}");
    }
}

#[test]
fn the_whole_cluster_may_go_dark_in_the_middle_of_payments() {
    let mut plan = paying(6, &[(1_000, 1), (1_000, 3), (1_050, 5)]);
    for node in 1..=5 {
        plan.crashes.push(Crash { down_for: 700 * u64::from(node), ..crash(1_150, node, CrashPoint::Now) });
    }
    let (report, _) = hold(&plan);
    assert_eq!((report.tally.crashes, report.tally.paid), (5, 3));
}

#[test]
fn a_process_whose_disk_fails_ends_and_reads_back_what_is_there() {
    let mut plan = paying(7, &[(1_000, 2), (8_000, 3), (16_000, 4)]);
    let faults = [
        (1_000, 2, DiskTrouble::Refuses),
        (8_000, 3, DiskTrouble::Unknown { kept: true }),
        (16_000, 4, DiskTrouble::Unknown { kept: false }),
        (20_000, 5, DiskTrouble::Stalls { millis: 3_000 }),
    ];
    plan.disks = faults.map(|(at, node, fault)| DiskFault { at, node, fault }).into();
    let (report, lines) = hold(&plan);
    assert_eq!((report.tally.crashes, report.tally.paid), (3, 3), "a stall is no crash");
    assert_eq!(count(&lines, "the process ends: journal: the disk "), 3);
}

#[test]
fn a_node_that_is_told_to_stop_lets_its_loop_end_and_comes_back() {
    let mut plan = paying(14, &[(1_000, 2), (1_200, 3), (9_000, 4)]);
    plan.chain.segwit_funds = vec![5_000_000; 3];
    plan.payments = plan.payments.into_iter().map(Payment::from_segwit).collect();
    plan.stops = [(1_100, 2), (3_000, 1)].map(|(at, node)| Stop { at, node, down_for: 2_000 }).into();
    let (report, lines) = hold(&plan);
    assert_eq!((report.tally.stops, report.tally.crashes, report.tally.paid), (2, 0, 3));
    assert_eq!(count(&lines, "the process ends: it was told to stop"), 2);
}

#[test]
fn a_few_seeds_of_every_profile_hold() {
    let mut held = 0;
    for profile in Profile::ALL {
        let plans = (1..=8).map(|seed| FaultPlan::from_seed(seed, profile));
        for plan in plans.take(2) {
            hold(&plan);
            held += 1;
        }
    }
    assert!(held >= 10, "plans that were not run test nothing: {held}");
}

#[test]
fn every_kept_plan_holds_here_too() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut crashes = 0;
    for file in files {
        let plan = FaultPlan::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
        if plan.expect.is_none() {
            crashes += hold(&plan).0.tally.crashes;
        }
    }
    assert!(crashes > 20, "crashes that never happened test nothing: {crashes}");
}

/// Five pay while one of them deviates.
fn betrayed(seed: u64, node: u16, deviation: Deviation) -> FaultPlan {
    let mut plan = paying(seed, &[(1_000, 2), (6_000, 1), (12_000, 4)]);
    plan.traitors.push(Traitor { node, deviation, from: 0 });
    plan
}

#[test]
fn whatever_one_member_does_the_others_pay_and_agree() {
    for deviation in Deviation::ALL {
        let (report, lines) = hold(&betrayed(8, 5, deviation));
        // A flood may cost a payment that was asked for in it; oracles see that nothing else is lost.
        let least = if deviation == Deviation::Flooder { 1 } else { 3 };
        assert!(report.tally.paid >= least, "{deviation:?}: {}", report.tally);
        assert_eq!(count(&lines, &format!("node-5 turns {deviation:?}")), 1, "{deviation:?}");
    }
}

#[test]
fn whoever_votes_twice_is_shut_out_by_all_and_his_connections_end() {
    let (report, lines) = hold(&betrayed(9, 5, Deviation::Equivocator));
    assert_eq!((report.tally.bans, report.tally.proofs > 0), (4, true));
    for node in 1..=4 {
        let ended = format!("node-{node} connection to node-5 ends: replaced or banned");
        assert_eq!(count(&lines, &ended), 1, "{ended}");
    }
}

#[test]
fn bytes_that_are_no_message_reach_production_as_garbage() {
    let (report, lines) = hold(&betrayed(10, 5, Deviation::Mutator));
    assert!(count(&lines, "got garbage from node-5") > 0 && report.tally.strikes > 0);
}

#[test]
fn an_alarm_of_production_is_counted() {
    let (report, _) = hold(&betrayed(12, 5, Deviation::StaleEpoch));
    assert!(report.tally.alarms > 0, "{}", report.tally);
}

#[test]
fn nothing_is_demanded_for_the_client_of_a_traitor_and_all_is_for_the_others() {
    let (report, _) = hold(&betrayed(11, 2, Deviation::Withholder));
    assert!(report.tally.paid >= 2, "{}", report.tally);
}

/// Plans with every kind of trouble, for the tests of repetition.
fn repeated() -> Vec<FaultPlan> {
    vec![
        FaultPlan::from_seed(11, Profile::Lossy),
        FaultPlan::from_seed(12, Profile::Crashy),
        FaultPlan::from_seed(13, Profile::Swarm),
    ]
}

fn traces() -> Vec<String> {
    repeated().into_iter().map(|plan| hosted::run(plan, None).unwrap().trace.to_string()).collect()
}

/// Set in the second process of the test below.
const SECOND: &str = "MPC_WALLET_SIM_SECOND_PROCESS";

#[test]
fn one_plan_has_one_trace_in_one_process_and_in_two() {
    let here = traces();
    if env::var_os(SECOND).is_some() {
        println!("traces {here:?}");
        return;
    }
    assert_eq!(here, traces(), "twice in this process");
    let this = "one_plan_has_one_trace_in_one_process_and_in_two";
    let second = Command::new(env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(SECOND, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(second.stdout).unwrap();
    assert!(text.contains(&format!("traces {here:?}")), "{text}");
}

#[test]
fn different_seeds_have_different_traces() {
    let trace = |seed| hosted::run(FaultPlan::quiet(seed), None).unwrap().trace;
    let traces: BTreeSet<_> = (0..3).map(trace).collect();
    assert_eq!(traces.len(), 3);
}
