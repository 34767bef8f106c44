//! `mpc-wallet-bench`: what a payment costs on this machine, as a table for docs/performance.md.
//!
//! A fresh cluster of five on the embedded chain pays, first one payment after the other, then with twenty in flight.
//! Times from POST to signed are the proposing node's own (its timeline) and the client's (its clock, polling). CPU
//! time and memory are the kernel's, by process. Beside them, in the same run: the same cryptography in one process
//! and one thread, without network, disk or votes of others.

mod cluster;
mod ecdsa;
mod listeners;
mod machine;
mod raw;
mod sample;
mod servers;

use std::io::Write as _;
use std::time::Duration;

use clap::Parser;

/// Measures the cost of payments and prints a Markdown table.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Payments one after the other.
    #[arg(long, default_value_t = 50)]
    sequential: u32,
    /// Payments of each client while several pay at once.
    #[arg(long, default_value_t = 4)]
    each: u32,
    /// Clients that pay at once.
    #[arg(long, default_value_t = 20)]
    in_flight: u32,
    /// Measure the SegWit wallet as well, with this many presignatures; takes minutes.
    #[arg(long, default_value_t = 0)]
    segwit: u32,
    /// Measure instead what PostgreSQL and etcd cost beside the embedded stores, and outages of this many seconds each.
    #[arg(long, value_name = "SECONDS")]
    servers: Option<u64>,
    /// Measure instead how soon this many listeners, spread over the nodes, hear of what happens, and how fast the API
    /// answers meanwhile.
    #[arg(long, value_name = "COUNT", conflicts_with = "servers")]
    listeners: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { sequential, each, in_flight, segwit, servers, listeners } = Arguments::parse();
    anyhow::ensure!(sequential > 0 && each > 0 && in_flight > 0, "every count must be at least 1");
    if let Some(seconds) = servers {
        let report = servers::measure(sequential, Duration::from_secs(seconds))?.table();
        std::io::stdout().write_all(format!("{}\n{report}", machine::facts()?).as_bytes())?;
        return Ok(());
    }
    if let Some(listeners) = listeners {
        let report = listeners::measure(listeners, in_flight, each)?.table();
        std::io::stdout().write_all(format!("{}\n{report}", machine::facts()?).as_bytes())?;
        return Ok(());
    }
    eprintln!("measuring the cryptography alone");
    let raw = raw::measure()?;
    eprintln!("measuring a cluster: {sequential} payments in turn, then {in_flight} × {each}");
    let cluster = cluster::measure(sequential, in_flight, each, segwit)?;
    let mut report = format!("{}\n{}\n{}", machine::facts()?, cluster.table(in_flight), raw.table());
    if segwit > 0 {
        eprintln!("measuring threshold ECDSA alone: {segwit} signatures");
        report.push_str(&format!("\n{}", ecdsa::measure(segwit)?.table()));
    }
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(())
}
