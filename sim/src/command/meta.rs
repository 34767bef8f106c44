//! Whether a plan has exactly one run: two processes, compared line by line.
//!
//! Two processes see different addresses, hash seeds and clocks: what differs between their traces came from there. With
//! another program in place of the second, built otherwise, it shows what depends on how the code was compiled.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};

use super::{
    Lane,
    report::{headline, replay_of_seed},
};
use crate::{plan::FaultPlan, profile::Profile};

/// How many lines before the first difference are shown.
const CONTEXT: usize = 10;

pub(super) fn meta(seed: u64, profile: Profile, lane: Lane, other: Option<&Path>) -> anyhow::Result<bool> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let spawn = |program: PathBuf| -> anyhow::Result<Child> {
        Command::new(&program)
            .args(["run", "--log", "short", "--profile", profile.name(), "--lane", lane.name()])
            .args(["--seed", &seed.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))
    };
    println!("{}", headline(&FaultPlan::from_seed(seed, profile), lane));
    println!("{}", replay_of_seed("meta", seed, profile, lane));
    let mut one = spawn(this.clone())?;
    let mut two = spawn(other.map_or(this, Path::to_owned))?;
    let verdict = compare(&mut one, &mut two);
    for child in [&mut one, &mut two] {
        // It may have ended already.
        let _ = child.kill();
        child.wait().context("cannot wait for a child process")?;
    }
    match verdict? {
        (lines, None) => {
            println!("LINES={lines} VERDICT=ok");
            Ok(true)
        }
        (lines, Some(difference)) => {
            println!("{difference}\nLINES={lines} VERDICT=fail:determinism");
            Ok(false)
        }
    }
}

/// How many lines agree, and the first difference.
fn compare(one: &mut Child, two: &mut Child) -> anyhow::Result<(u64, Option<String>)> {
    let (Some(one), Some(two)) = (one.stdout.take(), two.stdout.take()) else {
        bail!("a child process has no output");
    };
    let (mut one, mut two) = (BufReader::new(one).lines(), BufReader::new(two).lines());
    let mut before: Vec<String> = vec![];
    let mut agreed = 0;
    loop {
        let (left, right) = (one.next().transpose()?, two.next().transpose()?);
        match (left, right) {
            (None, None) => return Ok((agreed, None)),
            (Some(left), Some(right)) if trace_part(&left) == trace_part(&right) => {
                agreed += 1;
                before.push(left);
                if before.len() > CONTEXT {
                    before.remove(0);
                }
            }
            (left, right) => {
                let end = || String::from("(end)");
                let difference = format!(
                    "{}\nfirst:  {}\nsecond: {}",
                    before.join("\n"),
                    left.unwrap_or_else(end),
                    right.unwrap_or_else(end)
                );
                return Ok((agreed, Some(difference)));
            }
        }
    }
}

/// The last line tells real time, which is nobody's business here.
fn trace_part(line: &str) -> &str {
    line.split(" WALL=").next().unwrap_or(line)
}
