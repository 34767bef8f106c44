//! The scenarios with a name: told, run, and judged.

use anyhow::bail;

use super::{
    Lane,
    report::{commit, timed},
};
use crate::story::{self, Ending, Story};

/// Runs all stories, or one; says whether all ended well.
pub(super) fn run(name: Option<&str>, lane: Lane) -> anyhow::Result<bool> {
    let stories = match name {
        None => story::all(),
        Some(name) => match story::by_name(name) {
            Some(story) => vec![story],
            None => bail!("there is no story \"{name}\"; without --name all are told"),
        },
    };
    println!("COMMIT={} LANE={}", commit(), lane.name());
    let mut well = true;
    for story in &stories {
        let verdict = tell(story, lane);
        well &= verdict.is_ok();
        println!("\n{}\n  {}\n  {}", story.name, story.proves, verdict.unwrap_or_else(|problem| problem));
    }
    println!("\nSTORIES={} VERDICT={}", stories.len(), if well { "ok" } else { "fail" });
    Ok(well)
}

fn tell(story: &Story, lane: Lane) -> Result<String, String> {
    let (report, wall) = timed(story.plan.clone(), lane, None);
    let report = report.map_err(|error| format!("FAIL: {error}"))?;
    if let Some(breach) = report.breach {
        return Err(format!("FAIL: {breach}"));
    }
    let came = Ending::of(&report.tally);
    if came != story.ending {
        return Err(format!("FAIL: it should end with {:?} and ended with {came:?}", story.ending));
    }
    Ok(format!("ok, {} payments, {} crashes, {wall} ms", came.paid, came.crashes))
}
