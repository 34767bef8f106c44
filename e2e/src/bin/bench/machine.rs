//! Facts about the machine and its processes, as Linux tells them.

use std::fs::read_to_string;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

/// A Markdown list of what the numbers depend on.
pub(crate) fn facts() -> anyhow::Result<String> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let cpu = field(&read_to_string("/proc/cpuinfo")?, "model name").unwrap_or_else(unknown);
    let memory = field(&read_to_string("/proc/meminfo")?, "MemTotal").unwrap_or_else(unknown);
    let kernel = read_to_string("/proc/sys/kernel/osrelease")?;
    let processors = std::thread::available_parallelism()?;
    let profile = if cfg!(debug_assertions) { "dev (dependencies optimised)" } else { "release" };
    Ok(format!(
        "- machine: {cpu}, {processors} processors, {memory} of memory, Linux {}\n\
         - build: {profile}; five nodes, the chain and the clients share this machine\n",
        kernel.trim()
    ))
}

/// CPU time that a process has used so far, in user and kernel mode.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may hold anything; fields 14 and 15 follow it.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_micros(ticks.saturating_mul(1_000_000).checked_div(ticks_per_second()?).unwrap_or(0)))
}

/// Memory of a process in kilobytes: now, and at its highest.
pub(crate) fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = |name: &str| {
        let line =
            status.lines().find(|line| line.starts_with(name)).context("no such line in /proc/PID/status")?;
        Ok::<u64, anyhow::Error>(line.split_whitespace().nth(1).context("no number")?.parse()?)
    };
    Ok((kilobytes("VmRSS:")?, kilobytes("VmHWM:")?))
}

fn ticks_per_second() -> anyhow::Result<u64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("getconf is missing")?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
