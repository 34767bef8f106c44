//! A failing run becomes a small plan in the corpus.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::{Lane, report::timed, single};
use crate::{plan::FaultPlan, profile::Profile, shrink};

/// What to shrink.
pub(super) enum Failing {
    /// The plan of a seed.
    Seed(u64, Profile),
    /// The plan in a file.
    File(PathBuf),
}

impl Failing {
    fn plan(&self) -> anyhow::Result<FaultPlan> {
        match self {
            Self::Seed(seed, profile) => Ok(FaultPlan::from_seed(*seed, *profile)),
            Self::File(file) => single::read(file),
        }
    }

    fn found_by(&self) -> String {
        match self {
            Self::Seed(seed, profile) => {
                format!("cargo sim run --seed {seed:#x} --profile {}", profile.name())
            }
            Self::File(file) => format!("{}", file.display()),
        }
    }
}

/// Shrinks a failing plan and writes it to `output`, or into the corpus under the next number.
pub(super) fn run(failing: &Failing, lane: Lane, most: u32, output: Option<&Path>) -> anyhow::Result<bool> {
    let plan = failing.plan()?;
    let Some((oracle, detail)) = objection(&plan, lane) else {
        bail!("this plan does not fail in lane {}: there is nothing to shrink", lane.name());
    };
    println!("{oracle}: {detail}");
    let bar = ProgressBar::new_spinner();
    let small = shrink::shrink(&plan, most, |candidate| {
        bar.inc(1);
        bar.set_message(format!("{} of at most {most} runs", bar.position()));
        objection(candidate, lane).is_some_and(|(other, _)| other == oracle)
    })?;
    bar.finish_and_clear();
    let small = FaultPlan {
        why: Some(format!("{oracle} objects: {detail}")),
        found_by: Some(failing.found_by()),
        expect: Some(oracle.clone()),
        ..small
    };
    let file = match output {
        Some(file) => file.to_owned(),
        None => next_in_corpus(&oracle)?,
    };
    single::write(&file, &small)?;
    println!("{} bytes of plan became {}", plan.to_json()?.len(), small.to_json()?.len());
    println!("{}", file.display());
    println!("REPLAY: cargo sim replay {}{}", file.display(), lane.flag());
    println!("Say in `why` what it shows; when the defect is mended, remove `expect`.");
    Ok(true)
}

/// Which oracle objects, and its words; a panic objects under its own name.
fn objection(plan: &FaultPlan, lane: Lane) -> Option<(String, String)> {
    match timed(plan.clone(), lane, None).0 {
        Ok(report) => report.breach.map(|breach| (breach.oracle.to_owned(), breach.detail)),
        Err(error) => Some((String::from("panic"), error.to_string())),
    }
}

fn next_in_corpus(oracle: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut last = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.split('-').next()).and_then(|text| text.parse().ok());
        last = last.max(number.unwrap_or(0));
    }
    let number: u32 = last + 1;
    Ok(folder.join(format!("{number:04}-{}.json", oracle.replace('_', "-"))))
}
