//! What every command says of a run: first how to repeat it, last how it ended.

use std::{fmt::Write, path::Path, process::Command, time::Instant};

use super::Lane;
use crate::{plan::FaultPlan, profile::Profile, trace, world::Report};

/// The command that repeats a run of a seed.
pub(super) fn replay_of_seed(action: &str, seed: u64, profile: Profile, lane: Lane) -> String {
    format!("REPLAY: cargo sim {action} --seed {seed:#x} --profile {}{}", profile.name(), lane.flag())
}

/// The command that repeats a run of a file.
pub(super) fn replay_of_file(action: &str, file: &Path, lane: Lane) -> String {
    format!("REPLAY: cargo sim {action} {}{}", file.display(), lane.flag())
}

/// The commit of the sources: a seed means something only to the code that reads it.
pub(super) fn commit() -> String {
    if let Ok(commit) = std::env::var("SIM_COMMIT") {
        return commit;
    }
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => String::from("unknown"),
    }
}

/// What a plan holds, in a line.
pub(super) fn headline(plan: &FaultPlan, lane: Lane) -> String {
    let mut line = format!(
        "SEED={:#x} COMMIT={} PROFILE={} LANE={} n={} t={}",
        plan.seed,
        commit(),
        plan.profile.name(),
        lane.name(),
        plan.nodes,
        plan.threshold,
    );
    let network = plan.network;
    for (what, rate) in
        [("loss", network.loss), ("duplicate", network.duplicate), ("reorder", network.reorder)]
    {
        // Writing into a string cannot fail.
        let _ = write!(line, " {what}={rate}ppm");
    }
    let chain = &plan.chain;
    for (what, count) in [
        ("payments", plan.payments.len()),
        ("crashes", plan.crashes.len()),
        ("cuts", plan.partitions.len()),
        ("filters", plan.filters.len()),
        ("disks", plan.disks.len()),
        ("clocks", plan.clocks.len()),
        ("leases", plan.leases.len()),
        ("traitors", plan.traitors.len()),
        ("outages", chain.outages.len() + chain.stale.len()),
        ("reorgs", chain.reorgs.len()),
        ("thefts", chain.thefts.len()),
    ] {
        let _ = write!(line, " {what}={count}");
    }
    line
}

/// How a run ended, in a line.
pub(super) fn bottom_line(report: &Report, wall: u64) -> String {
    let verdict = match &report.breach {
        None => String::from("ok"),
        Some(breach) => format!("fail:{} {}", breach.oracle, breach.detail),
    };
    format!(
        "TRACE=sha256:{} EVENTS={} {} SIM={}s WALL={}s RATIO={}x VERDICT={verdict}",
        report.trace,
        report.events,
        report.tally,
        seconds(report.simulated),
        seconds(wall),
        ratio(report.simulated, wall),
    )
}

/// Simulated over real time.
pub(super) fn ratio(simulated: u64, wall: u64) -> u64 {
    simulated.checked_div(wall).unwrap_or(simulated)
}

/// Milliseconds as seconds.
pub(super) fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Real time since a moment, in milliseconds.
pub(super) fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Now, by the real clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the speed of the simulator is measured outside the simulation"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Runs a plan and takes the time, in milliseconds.
pub(super) fn timed(plan: FaultPlan, lane: Lane, log: Option<trace::Log>) -> (anyhow::Result<Report>, u64) {
    let start = now();
    let report = lane.run(plan, log);
    (report, since(start))
}
