//! The hunt for planted bugs: a simulator that finds none of them would find none of the real ones either.
//!
//! Each bug has a field: the kind of plans under which it is looked for, seed after seed, with a stated budget, and the
//! oracles that are to find it. A bug counts as found when one of these objects to a run, and does not object to the
//! same run without the bug. What the hunt took is measured and kept in `docs/simulation.md`.
//!
//! The oracles are measured too: for each there must be a bug that nobody finds without it.

mod fields;
mod table;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use mpc_wallet_core::mutant::{Mutant, plant};

pub use self::{
    fields::{Field, Hunt, hunt},
    table::{MarkerError, markdown, rewrite},
};
use crate::{FaultPlan, oracle::Watch, run_watched, world::Report};

/// Names of all oracles whose removal is tried; `contract` and `panic`, which the world itself says, are none.
pub const ORACLES: [&str; 20] = [
    "dead_stays_dead",
    "within_limits",
    "durable_before_sent",
    "replay_equals_live",
    "lifecycle",
    "one_key",
    "no_double_vote",
    "no_false_accusation",
    "liars_accused",
    "threshold",
    "once",
    "presignature_once",
    "one_coin_one_family",
    "paid_once",
    "no_secret_leaves",
    "freeze",
    "losses",
    "convergence",
    "conservation",
    "human_approval",
];

/// What to measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Only this bug.
    pub only: Option<Mutant>,
    /// Most seeds for each bug, in place of its own budget.
    pub budget: Option<u64>,
    /// Threads; 0 for as many as there are processors.
    pub threads: usize,
    /// Whether to find out what escapes without each oracle; takes about twice as long.
    pub removals: bool,
}

/// How the hunt for one bug ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The bug.
    pub mutant: Mutant,
    /// How it was hunted.
    pub hunt: Hunt,
    /// Most seeds tried.
    pub budget: u64,
    /// What came of it.
    pub end: End,
}

/// What came of a hunt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A named oracle objected.
    Caught {
        /// After how many seeds, the one that found it included.
        seeds: u64,
        /// Which.
        oracle: &'static str,
        /// What it said.
        detail: String,
    },
    /// Somebody objected who was not named.
    CaughtByAnother {
        /// After how many seeds.
        seeds: u64,
        /// Who.
        oracle: &'static str,
        /// What it said.
        detail: String,
    },
    /// Somebody objects to the seed without the bug too.
    ObjectsAnyway {
        /// The seed.
        seed: u64,
        /// What was said.
        detail: String,
    },
    /// Nobody objected within the budget.
    Escaped,
}

impl Finding {
    /// Whether the bug was found as it should be.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self.end, End::Caught { .. })
    }
}

/// What escapes without an oracle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The oracle that was absent.
    pub oracle: &'static str,
    /// A bug that nobody else objected to within its whole budget.
    pub escape: Option<Mutant>,
}

/// Everything measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// By bug, in the order of [`Mutant::ALL`].
    pub hunts: Vec<Finding>,
    /// By oracle; empty if it was not asked for.
    pub removals: Vec<Removal>,
}

impl Findings {
    /// What is not as it should be, a line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .hunts
            .iter()
            .filter(|finding| !finding.is_good())
            .map(|finding| format!("{}: {}", finding.mutant.name(), table::describe(finding)))
            .collect();
        problems.extend(
            self.removals
                .iter()
                .filter(|removal| removal.escape.is_none())
                .map(|removal| format!("without {} no planted bug escapes", removal.oracle)),
        );
        problems
    }
}

/// Hunts all bugs. `progress` gets a line whenever something is known, from any thread.
///
/// # Errors
/// A plan that cannot be run.
pub fn measure(options: &Options, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Findings> {
    let wanted: Vec<Mutant> = Mutant::ALL
        .iter()
        .copied()
        .filter(|mutant| options.only.is_none_or(|only| only == *mutant))
        .collect();
    let hunts = spread(options.threads, &wanted, |mutant| {
        let finding = chase(*mutant, options.budget)?;
        progress(&format!("{}: {}", mutant.name(), table::describe(&finding)));
        Ok(finding)
    })?;
    let removals = if options.removals { removals(options, &hunts, progress)? } else { vec![] };
    Ok(Findings { hunts, removals })
}

/// Runs a plan with a bug or without; a panic is an objection like any other.
fn try_out(plan: FaultPlan, mutant: Option<Mutant>, watch: Watch) -> anyhow::Result<Result<Report, String>> {
    plan.check()?;
    let _planted = plant(mutant);
    Ok(run_watched(plan, watch, None).map_err(|panic| panic.to_string()))
}

/// Who objects first to a plan, and in which words.
fn objection(
    hunt: &Hunt,
    seed: u64,
    mutant: Option<Mutant>,
    watch: Watch,
) -> anyhow::Result<Option<(&'static str, String)>> {
    let plan = hunt.field.plan(seed);
    let report = match try_out(plan.clone(), mutant, watch)? {
        Ok(report) => report,
        Err(panic) => return Ok(Some(("panic", panic))),
    };
    if let Some(breach) = report.objections.first() {
        return Ok(Some((breach.oracle, breach.detail.clone())));
    }
    if hunt.twice {
        let again = try_out(plan, mutant, watch)?;
        if again.as_ref().map(|report| report.trace) != Ok(report.trace) {
            return Ok(Some(("determinism", String::from("one plan, two traces"))));
        }
    }
    Ok(None)
}

fn chase(mutant: Mutant, budget: Option<u64>) -> anyhow::Result<Finding> {
    let hunt = hunt(mutant);
    let budget = budget.unwrap_or(hunt.budget);
    let finding = |end| Finding { mutant, hunt, budget, end };
    for seed in 0..budget {
        let Some((oracle, detail)) = objection(&hunt, seed, Some(mutant), Watch::All)? else { continue };
        if let Some((_, detail)) = objection(&hunt, seed, None, Watch::All)? {
            return Ok(finding(End::ObjectsAnyway { seed, detail }));
        }
        let seeds = seed.saturating_add(1);
        return Ok(finding(if hunt.oracles.contains(&oracle) {
            End::Caught { seeds, oracle, detail }
        } else {
            End::CaughtByAnother { seeds, oracle, detail }
        }));
    }
    Ok(finding(End::Escaped))
}

/// For each oracle a bug that escapes without it. Who objects in the first seeds says where to look; then the whole
/// budget is run without the oracle.
fn removals(
    options: &Options,
    hunts: &[Finding],
    progress: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Vec<Removal>> {
    let caught: Vec<&Finding> = hunts.iter().filter(|finding| finding.is_good()).collect();
    let seen = spread(options.threads, &caught, |finding| {
        let End::Caught { seeds, .. } = &finding.end else { return Ok(BTreeSet::new()) };
        let mut names = BTreeSet::new();
        for seed in 0..*seeds {
            let plan = finding.hunt.field.plan(seed);
            match try_out(plan, Some(finding.mutant), Watch::ToTheEnd)? {
                Ok(report) => names.extend(report.objections.iter().map(|breach| breach.oracle)),
                Err(_) => {
                    names.insert("panic");
                }
            }
        }
        Ok(names)
    })?;
    spread(options.threads, &ORACLES, |oracle| {
        let mut candidates: Vec<&Finding> = caught
            .iter()
            .zip(&seen)
            .filter(|(_, names)| names.len() == 1 && names.contains(oracle))
            .map(|(finding, _)| *finding)
            .collect();
        candidates.sort_by_key(|finding| finding.budget);
        for finding in candidates {
            if escapes_without(oracle, finding)? {
                progress(&format!("without {oracle} {} escapes", finding.mutant.name()));
                return Ok(Removal { oracle, escape: Some(finding.mutant) });
            }
        }
        Ok(Removal { oracle, escape: None })
    })
}

fn escapes_without(oracle: &'static str, finding: &Finding) -> anyhow::Result<bool> {
    for seed in 0..finding.budget {
        let watch = Watch::Without(oracle);
        if objection(&finding.hunt, seed, Some(finding.mutant), watch)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Does the work for each item on several threads; answers in the order of the items. A bug is planted for one thread
/// only, so the threads do not see each other's.
fn spread<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let threads = if threads == 0 { thread::available_parallelism().map_or(1, usize::from) } else { threads };
    let next = AtomicUsize::new(0);
    let toil = || {
        let mut done = vec![];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(toil)).collect();
        let mut done = toil();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_default());
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    anyhow::ensure!(done.len() == items.len(), "a thread of the hunt ended early");
    done.into_iter().map(|(_, result)| result).collect()
}
