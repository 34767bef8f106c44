//! The command line. Every run says first how to repeat it, before anything can go wrong, and last how it ended.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    plan::FaultPlan,
    profile::Profile,
    run, trace,
    world::{Counts, Report},
};

/// Every how many seeds a sweep tells how far it is.
const PROGRESS: u64 = 10;

/// How many lines before the first difference `meta` shows.
const CONTEXT: usize = 10;

/// Deterministic simulator of a wallet cluster.
#[derive(Parser)]
#[command(name = "mpc-wallet-sim", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the plan that a seed means.
    Run {
        /// Decimal, or hexadecimal with 0x.
        #[arg(long, value_parser = parse_seed, env = "SIM_SEED")]
        seed: u64,
        /// What kind of trouble.
        #[arg(long, value_enum, default_value = "swarm")]
        profile: Profile,
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
        /// What kind of trouble; all kinds in turn if absent.
        #[arg(long, value_enum)]
        profile: Option<Profile>,
    },
    /// Run a seed in two processes and compare them line by line.
    Meta {
        /// Decimal, or hexadecimal with 0x.
        #[arg(long, value_parser = parse_seed, env = "SIM_SEED")]
        seed: u64,
        /// What kind of trouble.
        #[arg(long, value_enum, default_value = "swarm")]
        profile: Profile,
    },
}

/// How much to tell of a run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// Nothing.
    None,
    /// One line for each event.
    Short,
}

fn parse_seed(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .map_err(|e| format!("{text} is no seed: {e}"))
}

/// Reads the command line and obeys. Exit code 0: everything held; 1: something did not; 2: bad arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.action {
        Action::Run { seed, profile, log, save } => run_seed(seed, profile, log, save.as_deref()),
        Action::Replay { file, log } => replay(&file, log),
        Action::Sweep { from, count, profile } => sweep(from, count, profile),
        Action::Meta { seed, profile } => meta(seed, profile),
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

fn replay_line(seed: u64, profile: Profile) -> String {
    format!("REPLAY: cargo sim run --seed {seed:#x} --profile {}", profile.name())
}

fn run_seed(seed: u64, profile: Profile, log: Log, save: Option<&Path>) -> anyhow::Result<bool> {
    let plan = FaultPlan::from_seed(seed, profile);
    if let Some(path) = save {
        fs::write(path, plan.to_json()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    perform(plan, &replay_line(seed, profile), log)
}

fn replay(file: &Path, log: Log) -> anyhow::Result<bool> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let plan = FaultPlan::from_json(&text).with_context(|| format!("cannot use {}", file.display()))?;
    perform(plan, &format!("REPLAY: cargo sim replay {}", file.display()), log)
}

fn perform(plan: FaultPlan, replay: &str, log: Log) -> anyhow::Result<bool> {
    println!("{}", headline(&plan));
    println!("{replay}");
    let repeat = replay.to_owned();
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        standard(info);
        eprintln!("{repeat}");
    }));
    let log: Option<trace::Log> = match log {
        Log::None => None,
        Log::Short => Some(Box::new(|line| {
            // A reader that has seen enough closes the pipe; the run goes on without it.
            let _ = writeln!(std::io::stdout(), "{line}");
        })),
    };
    let (report, wall) = timed(plan, log);
    let report = report?;
    println!("{}", bottom_line(&report, wall));
    Ok(report.breach.is_none())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the speed of the simulator is measured outside the simulation"
)]
fn timed(plan: FaultPlan, log: Option<trace::Log>) -> (anyhow::Result<Report>, u64) {
    let start = Instant::now();
    let report = run(plan, log);
    (report, u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

fn headline(plan: &FaultPlan) -> String {
    let commit =
        std::env::var("SIM_COMMIT").map_or_else(|_| String::new(), |commit| format!(" COMMIT={commit}"));
    format!(
        "SEED={:#x} PROFILE={} LANE=core{commit} n={} t={} loss={}ppm duplicate={}ppm reorder={}ppm crashes={} cuts={} outages={} payments={}",
        plan.seed,
        plan.profile.name(),
        plan.nodes,
        plan.threshold,
        plan.network.loss,
        plan.network.duplicate,
        plan.network.reorder,
        plan.crashes.len(),
        plan.partitions.len(),
        plan.chain.outages.len(),
        plan.payments.len(),
    )
}

fn bottom_line(report: &Report, wall: u64) -> String {
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
        report.simulated.checked_div(wall).unwrap_or(report.simulated),
    )
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

fn sweep(from: u64, count: u64, profile: Option<Profile>) -> anyhow::Result<bool> {
    let profiles = profile.map_or_else(|| Profile::ALL.to_vec(), |profile| vec![profile]);
    let (mut failed, mut simulated, mut wall, mut done) = (0u64, 0u64, 0u64, 0u64);
    let mut tally = Counts::default();
    for (seed, profile) in (from..from.saturating_add(count)).zip(profiles.into_iter().cycle()) {
        let (report, took) = timed(FaultPlan::from_seed(seed, profile), None);
        wall += took;
        let problem = match report {
            Ok(report) => {
                simulated += report.simulated;
                tally.add(&report.tally);
                report.breach.map(|breach| breach.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            failed += 1;
            println!("FAIL seed {seed:#x}: {problem}");
            println!("{}", replay_line(seed, profile));
        }
        done += 1;
        if done.is_multiple_of(PROGRESS) || done == count {
            eprintln!("{done} of {count} seeds, {failed} failed");
        }
    }
    let ratio = simulated.checked_div(wall).unwrap_or(simulated);
    println!(
        "SEEDS={count} FAILED={failed} {tally} SIM={}s WALL={}s RATIO={ratio}x VERDICT={}",
        seconds(simulated),
        seconds(wall),
        if failed == 0 { "ok" } else { "fail" }
    );
    Ok(failed == 0)
}

/// Two processes see different addresses, hash seeds and clocks: what differs between their traces came from there.
fn meta(seed: u64, profile: Profile) -> anyhow::Result<bool> {
    let spawn = || -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program")?;
        Command::new(program)
            .args(["run", "--log", "short", "--profile", profile.name(), "--seed", &seed.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a second process")
    };
    println!("{}", headline(&FaultPlan::from_seed(seed, profile)));
    println!("REPLAY: cargo sim meta --seed {seed:#x} --profile {}", profile.name());
    let (mut one, mut two) = (spawn()?, spawn()?);
    let verdict = compare(&mut one, &mut two);
    for child in [&mut one, &mut two] {
        // It may have ended already.
        let _ = child.kill();
        child.wait().context("cannot wait for a child process")?;
    }
    match verdict? {
        None => {
            println!("VERDICT=ok");
            Ok(true)
        }
        Some(difference) => {
            println!("{difference}\nVERDICT=fail:determinism");
            Ok(false)
        }
    }
}

fn compare(one: &mut Child, two: &mut Child) -> anyhow::Result<Option<String>> {
    let (Some(one), Some(two)) = (one.stdout.take(), two.stdout.take()) else {
        bail!("a child process has no output");
    };
    let (mut one, mut two) = (BufReader::new(one).lines(), BufReader::new(two).lines());
    let mut before: Vec<String> = vec![];
    loop {
        let (left, right) = (one.next().transpose()?, two.next().transpose()?);
        match (left, right) {
            (None, None) => return Ok(None),
            (Some(left), Some(right)) if trace_part(&left) == trace_part(&right) => {
                before.push(left);
                if before.len() > CONTEXT {
                    before.remove(0);
                }
            }
            (left, right) => {
                let end = || String::from("(end)");
                return Ok(Some(format!(
                    "{}\nfirst:  {}\nsecond: {}",
                    before.join("\n"),
                    left.unwrap_or_else(end),
                    right.unwrap_or_else(end)
                )));
            }
        }
    }
}

/// The last line tells real time, which is nobody's business here.
fn trace_part(line: &str) -> &str {
    line.split(" WALL=").next().unwrap_or(line)
}
