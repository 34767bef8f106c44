//! Every story ends well, in every lane, and what it tells of really happens.
#![allow(clippy::unwrap_used)]

use mpc_wallet_sim::{
    FaultPlan, Report,
    story::{Ending, Story, all},
};

fn ends_well(story: &Story, run: impl Fn(FaultPlan) -> anyhow::Result<Report>) -> Result<(), String> {
    let report = run(story.plan.clone()).map_err(|error| error.to_string())?;
    if let Some(breach) = report.breach {
        return Err(breach.to_string());
    }
    let came = Ending::of(&report.tally);
    if came == story.ending { Ok(()) } else { Err(format!("expected {:?}, came {came:?}", story.ending)) }
}

fn tell_all(run: impl Fn(FaultPlan) -> anyhow::Result<Report>) {
    let failures: Vec<String> = all()
        .iter()
        .filter_map(|story| ends_well(story, &run).err().map(|why| format!("{}: {why}", story.name)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_story_ends_well_in_the_discrete_event_lane() {
    tell_all(|plan| mpc_wallet_sim::run(plan, None));
}

#[test]
#[cfg(feature = "turmoil")]
fn every_story_ends_well_in_the_hosted_lane() {
    tell_all(|plan| mpc_wallet_sim::hosted::run(plan, None));
}
