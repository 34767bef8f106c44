//! Many seeds, on all processors. Each run is alone on its thread, so the order in which they end changes nothing.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Lane,
    report::{commit, now, ratio, replay_of_seed, seconds, since, timed},
};
use crate::{plan::FaultPlan, profile::Profile, world::Counts};

/// What to run.
pub(super) struct Sweep {
    /// First seed.
    pub(super) from: u64,
    /// How many.
    pub(super) count: u64,
    /// What kind of trouble; all kinds in turn if absent.
    pub(super) profile: Option<Profile>,
    /// Which lane.
    pub(super) lane: Lane,
    /// On how many threads.
    pub(super) jobs: usize,
    /// After so many milliseconds of real time no new run begins.
    pub(super) budget: Option<u64>,
}

/// How one seed ended.
struct Ended {
    seed: u64,
    profile: Profile,
    took: u64,
    simulated: u64,
    tally: Counts,
    problem: Option<String>,
}

impl Sweep {
    /// Runs all; says whether every property held in every run.
    pub(super) fn run(&self) -> bool {
        let Self { from, count, lane, jobs, .. } = *self;
        let kinds = self.profile.map_or("all", Profile::name);
        println!(
            "SEEDS={from:#x}..{:#x} COMMIT={} PROFILE={kinds} LANE={} JOBS={jobs}",
            from.saturating_add(count),
            commit(),
            lane.name()
        );
        let profile =
            self.profile.map_or_else(|| " --all".to_owned(), |kind| format!(" --profile {}", kind.name()));
        println!("REPLAY: cargo sim sweep --from {from:#x} --count {count}{profile}{}", lane.flag());
        let start = now();
        let bar = progress_bar(count);
        let (mut done, mut failed, mut simulated, mut busy) = (0u64, 0u64, 0u64, 0u64);
        let mut tally = Counts::default();
        let next = AtomicU64::new(0);
        thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            for _ in 0..jobs {
                let sender = sender.clone();
                scope.spawn(|| self.work(&next, sender, || since(start)));
            }
            drop(sender);
            for Ended { seed, profile, took, simulated: lived, tally: counts, problem } in ended {
                done += 1;
                simulated += lived;
                busy += took;
                tally.add(&counts);
                if let Some(problem) = problem {
                    failed += 1;
                    bar.suspend(|| {
                        println!("FAIL seed {seed:#x}: {problem}");
                        println!("{}", replay_of_seed("run", seed, profile, lane));
                    });
                }
                bar.set_message(format!("{failed} failed, {}x", ratio(simulated, since(start))));
                bar.inc(1);
                if bar.is_hidden() && done.is_multiple_of(self.count.div_ceil(10)) {
                    eprintln!("{done} of {count} runs, {failed} failed");
                }
            }
        });
        bar.finish_and_clear();
        let wall = since(start);
        println!(
            "RUNS={done} FAILED={failed} {tally} SIM={}s WALL={}s RATIO={}x PER_CORE={}x VERDICT={}",
            seconds(simulated),
            seconds(wall),
            ratio(simulated, wall),
            ratio(simulated, busy),
            if failed == 0 { "ok" } else { "fail" }
        );
        failed == 0
    }

    fn work(&self, next: &AtomicU64, ended: mpsc::Sender<Ended>, elapsed: impl Fn() -> u64) {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count || self.budget.is_some_and(|budget| elapsed() >= budget) {
                return;
            }
            let seed = self.from.wrapping_add(index);
            let profile = self.profile.unwrap_or_else(|| Profile::in_turn(index));
            let (report, took) = timed(FaultPlan::from_seed(seed, profile), self.lane, None);
            let (simulated, tally, problem) = match report {
                Ok(report) => {
                    (report.simulated, report.tally, report.breach.map(|breach| breach.to_string()))
                }
                Err(error) => (0, Counts::default(), Some(error.to_string())),
            };
            // Nobody listens any more only when the sweep itself is over.
            let _ = ended.send(Ended { seed, profile, took, simulated, tally, problem });
        }
    }
}

/// A bar on terminals; elsewhere it stays silent.
pub(super) fn progress_bar(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    let template = "{elapsed_precise} {wide_bar} {pos}/{len} {msg} {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
