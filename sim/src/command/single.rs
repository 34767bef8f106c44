//! One run: a seed's, or a file's.

use std::{fs, io::Write, path::Path};

use anyhow::Context;

use super::{
    Lane, Log,
    report::{bottom_line, headline, replay_of_file, replay_of_seed, timed},
};
use crate::{
    plan::{FaultPlan, Suite},
    profile::Profile,
    trace,
};

pub(super) fn run(
    seed: u64,
    profile: Profile,
    lane: Lane,
    suite: Suite,
    log: Log,
    save: Option<&Path>,
) -> anyhow::Result<bool> {
    let plan = FaultPlan { suite, ..FaultPlan::from_seed(seed, profile) };
    if let Some(path) = save {
        write(path, &plan)?;
    }
    let real = if suite == Suite::Givre { " --suite givre" } else { "" };
    perform(plan, lane, &(replay_of_seed("run", seed, profile, lane) + real), log)
}

pub(super) fn replay(file: &Path, lane: Lane, log: Log) -> anyhow::Result<bool> {
    perform(read(file)?, lane, &replay_of_file("replay", file, lane), log)
}

/// Reads a plan from a file.
pub(super) fn read(file: &Path) -> anyhow::Result<FaultPlan> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    FaultPlan::from_json(&text).with_context(|| format!("cannot use {}", file.display()))
}

/// Writes a plan to a file.
pub(super) fn write(file: &Path, plan: &FaultPlan) -> anyhow::Result<()> {
    fs::write(file, plan.to_json()? + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// A panic may scroll the first lines away.
fn repeat_on_panic(replay: String) {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        standard(info);
        eprintln!("{replay}");
    }));
}

/// A reader that has seen enough closes the pipe; the run goes on without it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn perform(plan: FaultPlan, lane: Lane, replay: &str, log: Log) -> anyhow::Result<bool> {
    say(&headline(&plan, lane));
    say(replay);
    repeat_on_panic(replay.to_owned());
    let expected = plan.expect.clone();
    let log: Option<trace::Log> = match log {
        Log::None => None,
        Log::Short => Some(Box::new(say)),
    };
    let (report, wall) = timed(plan, lane, log);
    let report = report?;
    say(&bottom_line(&report, wall));
    let objects = report.breach.map(|breach| breach.oracle.to_owned());
    if let Some(oracle) = expected.filter(|_| objects.is_some()) {
        say(&format!("this plan is kept because {oracle} objects: a known defect that is not mended"));
    }
    Ok(objects.is_none())
}
