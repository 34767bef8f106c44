//! Which rare situations a sweep reached. What none of its runs reached, none of its runs says anything about.
//!
//! Besides its seeds a sweep plays the [`scenes`]: a few plans for situations that chance reaches too seldom.

mod scenes;

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use mpc_wallet_core::sometimes::{Situation, take};

use crate::{FaultPlan, Profile, run};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// First seed.
    pub from: u64,
    /// How many seeds.
    pub count: u64,
    /// Profiles, taken in turn.
    pub profiles: &'a [Profile],
    /// Threads; 0 for as many as there are processors.
    pub threads: usize,
}

/// How often a situation was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub situation: Situation,
    /// How often.
    pub times: u64,
    /// In how many runs.
    pub runs: u64,
    /// The lowest seed that reached it, and of which profile or scene.
    pub first: Option<(u64, &'static str)>,
}

/// What a sweep reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// By situation, in the order of [`Situation::ALL`].
    pub reached: Vec<Reached>,
    /// Runs that ended in a breach: what they reached counts all the same.
    pub failed: u64,
}

impl Coverage {
    fn new() -> Self {
        let reached =
            |situation: &Situation| Reached { situation: *situation, times: 0, runs: 0, first: None };
        Self { reached: Situation::ALL.iter().map(reached).collect(), failed: 0 }
    }

    fn add(&mut self, seed: u64, kind: &'static str, counts: &[u64]) {
        for (reached, times) in self.reached.iter_mut().zip(counts).filter(|(_, times)| **times > 0) {
            reached.times += times;
            reached.runs += 1;
            if reached.first.is_none_or(|(first, _)| seed < first) {
                reached.first = Some((seed, kind));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.failed += other.failed;
        for (mine, theirs) in self.reached.iter_mut().zip(&other.reached) {
            mine.times += theirs.times;
            mine.runs += theirs.runs;
            mine.first = match (mine.first, theirs.first) {
                (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
                (one, other) => one.or(other),
            };
        }
    }

    /// Situations that no run reached.
    pub fn missing(&self) -> impl Iterator<Item = Situation> + '_ {
        self.reached.iter().filter(|reached| reached.times == 0).map(|reached| reached.situation)
    }

    /// A table for people, the rarest first.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows: Vec<&Reached> = self.reached.iter().collect();
        rows.sort_by_key(|reached| reached.runs);
        let mut text = format!("{:<30} {:>10} {:>7}  first\n", "situation", "times", "runs");
        for Reached { situation, times, runs, first } in rows {
            let first = first.map_or_else(
                || format!("never; needs {:?}", situation.needs()),
                |(seed, kind)| format!("seed {seed:#x} of {kind}"),
            );
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{:<30} {times:>10} {runs:>7}  {first}", situation.name());
        }
        text
    }
}

/// Runs the seeds, then the scenes, and counts. `progress` gets the number of runs that are over, from any thread.
pub fn sweep(options: &Options<'_>, progress: &(dyn Fn(u64) + Sync)) -> Coverage {
    run_all(options, &scenes::plans(options.from.saturating_add(options.count)), progress)
}

fn run_all(
    options: &Options<'_>,
    scenes: &[(u64, &'static str, FaultPlan)],
    progress: &(dyn Fn(u64) + Sync),
) -> Coverage {
    let nth = |index: u64| {
        if index >= options.count {
            return scenes.get(usize::try_from(index - options.count).ok()?).cloned();
        }
        let turn = options.profiles.iter().cycle().nth(usize::try_from(index).ok()?)?;
        let seed = options.from.saturating_add(index);
        Some((seed, turn.name(), FaultPlan::from_seed(seed, *turn)))
    };
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (next, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let toil = || {
        let mut coverage = Coverage::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((seed, kind, plan)) = nth(index) else { return coverage };
            // What an earlier run in this thread left behind is not this one's.
            drop(take());
            let clean = run(plan, None).is_ok_and(|report| report.breach.is_none());
            coverage.failed += u64::from(!clean);
            coverage.add(seed, kind, &take());
            progress(over.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(toil)).collect();
        let mut coverage = toil();
        for helper in helpers {
            // Runs catch their own panics; what else could end a thread loses only counts.
            coverage.merge(&helper.join().unwrap_or_else(|_| Coverage::new()));
        }
        coverage
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn one_thread_or_two_count_the_same() {
        let options = Options { from: 3, count: 4, profiles: &[Profile::Lossy, Profile::Crashy], threads: 1 };
        let scenes = &scenes::plans(7)[..1];
        let one = run_all(&options, scenes, &|_| {});
        assert_eq!(one, run_all(&Options { threads: 2, ..options }, scenes, &|_| {}));
        assert!(one.reached.iter().any(|reached| reached.times > 0));
    }

    #[test]
    fn what_was_never_reached_is_named_with_what_it_needs() {
        let nothing = Coverage::new();
        assert_eq!(nothing.missing().count(), Situation::ALL.len());
        assert!(nothing.table().contains("never; needs Traitors"));
    }
}
