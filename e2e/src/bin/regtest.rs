//! `mpc-wallet-regtest`: a regtest chain with an Esplora face, run by hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mpc_wallet_e2e::chain::{Backend, Regtest, RegtestOptions};

#[derive(Clone, Copy, ValueEnum)]
enum BackendName {
    /// A chain inside this process; nothing to download.
    Embedded,
    /// A real node, unpacked by scripts/install-bitcoind.sh.
    Bitcoind,
}

/// Runs a regtest chain with an Esplora HTTP face until Ctrl-C.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Which node extends the chain.
    #[arg(long, value_enum, default_value = "embedded")]
    backend: BackendName,
    /// The folder that scripts/install-bitcoind.sh filled; needed by the bitcoind backend.
    #[arg(long, env = "MPC_WALLET_BITCOIND_DIR")]
    bitcoind_dir: Option<PathBuf>,
    /// Where the HTTP face listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// Mine a block this often while transactions wait; without it blocks come only on request.
    #[arg(long, value_name = "MS")]
    auto_mine_ms: Option<u64>,
    /// Folder in which the chain is kept; without it every start is a new chain.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let backend = match arguments.backend {
        BackendName::Embedded => Backend::Embedded,
        BackendName::Bitcoind => Backend::Bitcoind {
            dir: arguments
                .bitcoind_dir
                .context("the bitcoind backend needs --bitcoind-dir (see scripts/install-bitcoind.sh)")?,
        },
    };
    let options =
        RegtestOptions { auto_mine: arguments.auto_mine_ms.map(Duration::from_millis), keep: arguments.data };
    let regtest = Regtest::start(backend, arguments.listen, options)?;
    let url = regtest.url();
    eprintln!("Esplora face on {url} (Ctrl-C ends)");
    eprintln!(
        "  fund: curl -H 'content-type: application/json' -d '{{\"address\":\"bcrt1…\",\"amount_sats\":100000}}' {url}/regtest/faucet"
    );
    eprintln!("  mine: curl -H 'content-type: application/json' -d '{{\"blocks\":1}}' {url}/regtest/mine");
    tokio::signal::ctrl_c().await?;
    regtest.stop();
    Ok(())
}
