//! Whether the runs get anywhere: rare situations, counted.

use super::{
    report::{commit, now, seconds, since},
    sweep::progress_bar,
};
use crate::{
    coverage::{Options, sweep},
    profile::Profile,
};

/// Runs that reach every situation, with room to spare.
pub(super) const RUNS: u64 = 300;

/// Sweeps and prints the table; says whether everything was reached.
pub(super) fn run(from: u64, count: u64) -> bool {
    println!("COMMIT={} LANE=core PROFILE=all", commit());
    println!("REPLAY: cargo sim coverage --from {from:#x} --count {count}");
    let start = now();
    let bar = progress_bar(count);
    let options = Options { from, count, profiles: &Profile::ALL, threads: 0 };
    let coverage = sweep(&options, &|done| bar.set_position(done));
    bar.finish_and_clear();
    print!("{}", coverage.table());
    let missing: Vec<_> = coverage.missing().collect();
    let ok = missing.is_empty() && coverage.failed == 0;
    println!(
        "RUNS={count} FAILED={} SITUATIONS={} MISSING={} WALL={}s VERDICT={}",
        coverage.failed,
        coverage.reached.len(),
        missing.len(),
        seconds(since(start)),
        if ok { "ok" } else { "fail" }
    );
    ok
}
