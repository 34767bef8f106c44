//! `mpc-wallet-audit-compare`: whether PostgreSQL, the nodes, the chain and etcd tell the same. Ends with status 1 if not.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mpc_wallet_e2e::cluster::Api;
use mpc_wallet_e2e::record::{MIRROR_LIFE, Mirrors, compare};
use postgres::{Client, NoTls};

/// Compares the cluster's record in PostgreSQL with every node's own record, with the chain, and with etcd.
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
    /// Client URLs of the etcd that the nodes use, comma-separated; etcdctl asks them, and takes certificates and user from
    /// its environment (ETCDCTL_CACERT, ETCDCTL_USER, …)
    #[arg(long, value_name = "URLS")]
    etcd: Option<String>,
    /// The nodes' etcd.mirror_life_s: younger transactions must be in etcd
    #[arg(long, default_value_t = MIRROR_LIFE.as_secs(), value_name = "SECONDS")]
    mirror_life_s: u64,
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
    let life = Duration::from_secs(arguments.mirror_life_s);
    let mirrors =
        arguments.etcd.as_ref().map(|endpoints| Mirrors::read(life, |prefix| etcdctl(endpoints, prefix)));
    let mirrors = mirrors.transpose().context("etcd")?;
    let found = compare(&mut database, &nodes, &arguments.esplora, mirrors.as_ref())?.agreed()?;
    print!(
        "{} transactions, {} votes and {} rows of the audit chain agree with {} nodes and the chain",
        found.transactions,
        found.votes,
        found.audit_rows,
        nodes.len()
    );
    println!("{}", mirrors.map_or(String::new(), |_| format!(", and with {} keys in etcd", found.mirrors)));
    Ok(())
}

fn etcdctl(endpoints: &str, prefix: &str) -> anyhow::Result<String> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoints, "get", "--prefix", prefix]);
    let output = command.output().context("cannot run etcdctl; install Debian's etcd-client")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
