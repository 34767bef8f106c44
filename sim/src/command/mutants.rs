//! The hunt for planted bugs: tables for people and for the documentation.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use mpc_wallet_core::mutant::Mutant;

use super::report::{commit, now, seconds, since};
use crate::mutants::{Options, markdown, measure, rewrite};

/// Hunts; says whether every bug was found as it should be, and whether every oracle is needed if that was asked.
pub(super) fn run(
    only: Option<&str>,
    budget: Option<u64>,
    removals: bool,
    write: Option<&Path>,
) -> anyhow::Result<bool> {
    let only = only.map(find).transpose()?;
    if write.is_some() && (only.is_some() || !removals) {
        bail!("--write takes the whole measurement: all bugs, and --removals");
    }
    println!("COMMIT={} LANE=core", commit());
    let start = now();
    // A planted bug may panic, and is expected to.
    std::panic::set_hook(Box::new(|_| {}));
    let findings = measure(&Options { only, budget, removals, threads: 0 }, &|line| eprintln!("{line}"))?;
    println!("{}", markdown(&findings));
    if let Some(file) = write {
        let document = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let document = rewrite(&document, &findings).with_context(|| format!("{}", file.display()))?;
        fs::write(file, document).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let problems = findings.problems();
    for problem in &problems {
        println!("PROBLEM {problem}");
    }
    let verdict = if problems.is_empty() { "ok" } else { "fail" };
    println!("BUGS={} WALL={}s VERDICT={verdict}", findings.hunts.len(), seconds(since(start)));
    Ok(problems.is_empty())
}

fn find(name: &str) -> anyhow::Result<Mutant> {
    let known = || Mutant::ALL.iter().map(|mutant| mutant.name()).collect::<Vec<_>>().join(", ");
    Mutant::ALL
        .iter()
        .copied()
        .find(|mutant| mutant.name() == name)
        .with_context(|| format!("there is no bug {name}; there are {}", known()))
}
