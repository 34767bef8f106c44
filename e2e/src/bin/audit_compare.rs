//! `mpc-wallet-audit-compare`: whether PostgreSQL, the nodes and the chain tell the same. Ends with status 1 if not.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use mpc_wallet_e2e::cluster::Api;
use mpc_wallet_e2e::record::compare;
use postgres::{Client, NoTls};

/// Compares the cluster's record in PostgreSQL with every node's own record and with the chain.
#[derive(Parser)]
#[command(name = "mpc-wallet-audit-compare", version)]
struct Arguments {
    /// The database, as in postgres://user:password@127.0.0.1:5432/mpc_wallet
    #[arg(long, env = "MPC_WALLET_COMPARE_DATABASE", hide_env_values = true, value_name = "URL")]
    database: String,
    /// REST address of each node that feeds it, in order: the first is node 1
    #[arg(long = "node", required = true, value_name = "URL")]
    nodes: Vec<String>,
    /// Esplora API of the chain
    #[arg(long, value_name = "URL")]
    esplora: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mpc-wallet-audit-compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut database = Client::connect(&arguments.database, NoTls).context("PostgreSQL")?;
    let nodes: Vec<(u16, Api)> = (1..)
        .zip(&arguments.nodes)
        .map(|(id, url)| (id, Api::new(url.trim_end_matches('/').to_owned())))
        .collect();
    let found = compare(&mut database, &nodes, &arguments.esplora)?.agreed()?;
    println!(
        "{} transactions, {} votes and {} rows of the audit chain agree with {} nodes and the chain",
        found.transactions,
        found.votes,
        found.audit_rows,
        nodes.len()
    );
    Ok(())
}
