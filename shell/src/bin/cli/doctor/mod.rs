//! `doctor`: is everything in place that a node needs? Looks, and changes nothing.
//!
//! With the node's configuration it looks at the machine ([`machine`]) and at the servers that the node depends on
//! ([`servers`]); through the API at the running node and at the cluster as that node sees it ([`cluster`]).

mod cluster;
mod machine;
mod servers;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use mpc_wallet_shell::config::Settings;
use serde_json::{Value, json};

use crate::{
    args::{DEFAULT_NODE, Output},
    client::Node,
    failure::{Exit, Failure},
    output::{items, print, rows, text},
};

#[derive(Args)]
pub(crate) struct DoctorArguments {
    /// The node's node.toml: also checks its files and its servers, from this machine
    #[arg(long, env = "MPC_WALLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Nothing stands still yet, and somebody should look.
    Warn,
    /// The node cannot do its part, or cannot be trusted to.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing looked at.
#[derive(Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found, and, unless it is fine, what to do.
    detail: String,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into() }
    }

    fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, detail: detail.into() }
    }

    fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, detail: detail.into() }
    }
}

/// Checks; `node` makes the client of an address, and `named` is the one that was given.
pub(crate) fn run(
    arguments: &DoctorArguments,
    node: impl Fn(&str) -> Result<Node, Failure>,
    named: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let mut checks = Vec::new();
    let settings = arguments.config.as_deref().and_then(|file| machine::configuration(file, &mut checks));
    if let (Some(settings), Some(file)) = (&settings, arguments.config.as_deref()) {
        machine::check(settings, file, &mut checks);
        servers::check(settings, &mut checks);
    }
    let asked = match (named, &settings) {
        (Some(named), _) => Some((named.to_owned(), Verdict::Fail)),
        // Before the first start there is no node yet.
        (None, Some(settings)) => Some((address_of(settings), Verdict::Warn)),
        (None, None) if arguments.config.is_some() => None,
        (None, None) => Some((DEFAULT_NODE.to_owned(), Verdict::Fail)),
    };
    if let Some((address, if_silent)) = asked {
        let running = cluster::Running { node: node(&address)?, address, if_silent };
        running.check(settings.as_ref(), &mut checks);
    }
    report(&checks, output)
}

/// Where the node of a configuration answers on its own machine.
fn address_of(settings: &Settings) -> String {
    let mut listen = settings.rest.listen;
    if listen.ip().is_unspecified() {
        let loopback = match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        listen.set_ip(loopback);
    }
    format!("http://{listen}")
}

fn report(checks: &[Check], output: Output) -> Result<(), Failure> {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (warned, failed) = (count(Verdict::Warn), count(Verdict::Fail));
    let listed: Vec<_> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "result": check.verdict.name(), "detail": check.detail }))
        .collect();
    let document =
        json!({ "healthy": failed == 0, "warnings": warned, "failures": failed, "checks": listed });
    print(&document, output, table)?;
    if failed == 0 {
        return Ok(());
    }
    let message = format!("{failed} of {} checks failed", checks.len());
    Err(Failure::new(Exit::Unexpected, "unhealthy", message))
}

fn table(document: &Value) -> String {
    rows(
        ["check", "result", "detail"],
        items(document, "/checks")
            .iter()
            .map(|check| ["/check", "/result", "/detail"].map(|member| text(check, member))),
    )
}

/// A span of seconds, for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_unit_that_people_would_use() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
            (864_000, "10 days"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
