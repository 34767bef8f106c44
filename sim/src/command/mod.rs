//! The command line. Every run says first how to repeat it, before anything can go wrong, and last how it ended.

mod coverage;
mod meta;
#[cfg(feature = "mutants")]
mod mutants;
mod report;
mod shrinking;
mod single;
mod stories;
mod sweep;

use std::{path::PathBuf, process::ExitCode, thread};

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::{shrinking::Failing, sweep::Sweep};
use crate::{
    plan::{FaultPlan, Suite},
    profile::Profile,
    trace,
    world::Report,
};

/// Most runs of one shrinking, unless told otherwise.
const SHRINKING: u32 = 3_000;

/// Digits of a commit's name in full.
const COMMIT_DIGITS: usize = 40;

/// Deterministic simulator of a wallet cluster.
#[derive(Parser)]
#[command(name = "mpc-wallet-sim", bin_name = "cargo sim", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the plan that a seed means.
    Run {
        #[command(flatten)]
        seed: Seed,
        /// Which implementation of the threshold schemes runs.
        #[arg(long, value_enum, default_value = "mock")]
        suite: Suite,
        /// How much to tell of the run.
        #[arg(long, value_enum, default_value = "none")]
        log: Log,
        /// Write the plan here, to keep it.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Run a plan from a file.
    Replay {
        /// The plan.
        file: PathBuf,
        /// What runs.
        #[arg(long, value_enum, default_value = "core")]
        lane: Lane,
        /// How much to tell of the run.
        #[arg(long, value_enum, default_value = "none")]
        log: Log,
    },
    /// Run many seeds; name those that fail.
    Sweep {
        /// First seed.
        #[arg(long, value_parser = parse_seed, default_value = "0")]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// What kind of trouble.
        #[arg(long, value_enum, default_value = "swarm")]
        profile: Profile,
        /// All kinds in turn, instead of one.
        #[arg(long, conflicts_with = "profile")]
        all: bool,
        /// What runs.
        #[arg(long, value_enum, default_value = "core")]
        lane: Lane,
        /// On how many threads; one for each processor if absent.
        #[arg(long)]
        jobs: Option<usize>,
        /// Begin no new run after so long, in seconds of real time.
        #[arg(long, value_name = "SECONDS")]
        budget: Option<u64>,
    },
    /// Run a seed in two processes and compare them line by line.
    Meta {
        #[command(flatten)]
        seed: Seed,
        /// Another build of this program to compare with, instead of this one.
        #[arg(long)]
        with: Option<PathBuf>,
    },
    /// Hunt the bugs that can be planted in the core and in this world.
    #[cfg(feature = "mutants")]
    Mutants {
        /// Only this bug, by the name in the table.
        #[arg(long)]
        only: Option<String>,
        /// Most seeds for each bug, in place of its own budget.
        #[arg(long)]
        budget: Option<u64>,
        /// Also measure what escapes without each oracle.
        #[arg(long)]
        removals: bool,
        /// Put the tables into this document, between its markers.
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Count how often rare situations are reached; one that never is fails.
    Coverage {
        /// First seed.
        #[arg(long, value_parser = parse_seed, default_value = "0")]
        from: u64,
        /// How many seeds, all kinds of trouble in turn.
        #[arg(long, default_value_t = coverage::RUNS)]
        count: u64,
    },
    /// Tell and run the scenarios that have a name.
    Stories {
        /// Only this one.
        #[arg(long)]
        name: Option<String>,
        /// What runs.
        #[arg(long, value_enum, default_value = "core")]
        lane: Lane,
    },
    /// Make a failing plan small, and keep it in the corpus.
    Shrink {
        /// The plan of a seed.
        #[arg(long, value_parser = parse_seed, required_unless_present = "plan", conflicts_with = "plan")]
        seed: Option<u64>,
        /// What kind of trouble the seed means.
        #[arg(long, value_enum, default_value = "swarm")]
        profile: Profile,
        /// A plan in a file.
        #[arg(long)]
        plan: Option<PathBuf>,
        /// What runs.
        #[arg(long, value_enum, default_value = "core")]
        lane: Lane,
        /// Most runs.
        #[arg(long, default_value_t = SHRINKING)]
        most: u32,
        /// Where to write it; the next number of the corpus if absent.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

/// The plan that a seed means.
#[derive(Args)]
struct Seed {
    /// Decimal, hexadecimal with 0x, or the full name of a commit.
    #[arg(long, value_parser = parse_seed, env = "SIM_SEED")]
    seed: u64,
    /// What kind of trouble.
    #[arg(long, value_enum, default_value = "swarm")]
    profile: Profile,
    /// What runs.
    #[arg(long, value_enum, default_value = "core")]
    lane: Lane,
}

/// How much to tell of a run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// Nothing.
    None,
    /// One line for each event.
    Short,
}

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lane {
    /// The core in a discrete-event world.
    Core,
    /// The shell's loop on the hosts of a simulated network.
    #[cfg(feature = "turmoil")]
    Turmoil,
}

impl Lane {
    const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            #[cfg(feature = "turmoil")]
            Self::Turmoil => "turmoil",
        }
    }

    /// How it is named on a command line that repeats a run.
    const fn flag(self) -> &'static str {
        match self {
            Self::Core => "",
            #[cfg(feature = "turmoil")]
            Self::Turmoil => " --lane turmoil",
        }
    }

    fn run(self, plan: FaultPlan, log: Option<trace::Log>) -> anyhow::Result<Report> {
        match self {
            Self::Core => crate::run(plan, log),
            #[cfg(feature = "turmoil")]
            Self::Turmoil => crate::hosted::run(plan, log),
        }
    }
}

/// A commit's first 64 bits are as good a seed as any: every commit explores something new, and can be repeated for ever.
fn parse_seed(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let is_commit = digits.len() == COMMIT_DIGITS && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    match (digits.strip_prefix("0x"), digits.get(..16)) {
        (Some(hex), _) => u64::from_str_radix(hex, 16),
        (None, Some(front)) if is_commit => u64::from_str_radix(front, 16),
        (None, _) => digits.parse(),
    }
    .map_err(|e| format!("{text} is no seed: {e}"))
}

/// Reads the command line and obeys. Exit code 0: everything held; 1: something did not; 2: bad arguments.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().action {
        Action::Run { seed: Seed { seed, profile, lane }, suite, log, save } => {
            single::run(seed, profile, lane, suite, log, save.as_deref())
        }
        Action::Replay { file, lane, log } => single::replay(&file, lane, log),
        Action::Sweep { from, count, profile, all, lane, jobs, budget } => {
            let profile = Some(profile).filter(|_| !all);
            let jobs = jobs.unwrap_or_else(processors).max(1);
            let budget = budget.map(|seconds| seconds.saturating_mul(1_000));
            Ok(Sweep { from, count, profile, lane, jobs, budget }.run())
        }
        Action::Meta { seed: Seed { seed, profile, lane }, with } => {
            meta::meta(seed, profile, lane, with.as_deref())
        }
        #[cfg(feature = "mutants")]
        Action::Mutants { only, budget, removals, write } => {
            mutants::run(only.as_deref(), budget, removals, write.as_deref())
        }
        Action::Coverage { from, count } => Ok(coverage::run(from, count)),
        Action::Stories { name, lane } => stories::run(name.as_deref(), lane),
        Action::Shrink { seed, profile, plan, lane, most, output } => {
            let failing = match (plan, seed) {
                (Some(file), _) => Failing::File(file),
                (None, seed) => Failing::Seed(seed.unwrap_or_default(), profile),
            };
            shrinking::run(&failing, lane, most, output.as_deref())
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_a_commit() {
        assert_eq!(parse_seed("12"), Ok(12));
        assert_eq!(parse_seed("0x2a"), Ok(42));
        assert_eq!(parse_seed("0x0123_4567"), Ok(0x0123_4567));
        assert_eq!(parse_seed("0123456789abcdef0123456789abcdef01234567"), Ok(0x0123_4567_89ab_cdef));
        assert!(parse_seed("0123456789abcdef").unwrap_err().contains("0123456789abcdef is no seed"));
        assert!(parse_seed("").is_err());
    }
}
