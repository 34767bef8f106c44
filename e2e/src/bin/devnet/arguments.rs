//! The command line of `cargo devnet`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mpc_wallet_e2e::between::Between;
use mpc_wallet_e2e::chain::Backend;
use mpc_wallet_e2e::cluster::{ClusterOptions, Place, Ports};

use super::tour::PAYMENT_SATS;

/// People that a devnet's policy asks.
const OPERATORS: u16 = 2;

#[derive(Clone, Copy, ValueEnum)]
enum ChainName {
    /// A chain inside this process; nothing to download.
    Embedded,
    /// A real node, unpacked by scripts/install-bitcoind.sh.
    Bitcoind,
}

/// Starts a wallet cluster on this machine, makes the keys of its two wallets, funds them, sends a payment from each, and
/// stays up until Ctrl-C.
#[derive(Parser)]
#[command(name = "cargo devnet", version)]
pub(crate) struct Arguments {
    /// Keep everything in this folder, and resume what is there; without it a temporary folder is used and removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Number of nodes.
    #[arg(long, default_value_t = 5)]
    nodes: u16,
    /// Approvals and signers that a payment needs.
    #[arg(long, default_value_t = 4)]
    threshold: u16,
    /// Which node keeps the chain.
    #[arg(long, value_enum, default_value = "embedded")]
    chain: ChainName,
    /// The folder that scripts/install-bitcoind.sh filled; needed by the bitcoind chain.
    #[arg(long, value_name = "DIR", env = "MPC_WALLET_BITCOIND_DIR")]
    bitcoind_dir: Option<PathBuf>,
    /// Node N serves REST at this plus N.
    #[arg(long, value_name = "PORT", default_value_t = 8_080)]
    rest_base_port: u16,
    /// Node N listens for its peers (QUIC, UDP) at this plus N.
    #[arg(long, value_name = "PORT", default_value_t = 9_100)]
    quic_base_port: u16,
    /// The chain answers as an Esplora server at this port.
    #[arg(long, value_name = "PORT", default_value_t = 3_002)]
    chain_port: u16,
    /// End after the confirmed payment, for scripts.
    #[arg(long)]
    pub(crate) once: bool,
    /// Make the keys and fund the wallets, but pay nobody.
    #[arg(long)]
    no_payment: bool,
    /// While transactions wait, a block comes this often, in seconds; seldom leaves time to raise a fee.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    block_every: u64,
    /// Ask people at two nodes about payments of more than this many satoshis; the devnet's own payment is no more than the least
    /// amount that can be given here.
    #[arg(long, value_name = "SATS", value_parser = clap::value_parser!(u64).range(PAYMENT_SATS..))]
    approval_above: Option<u64>,
    /// Leave the SegWit wallet out, whose key takes minutes to make on a small machine.
    #[arg(long)]
    pub(crate) taproot_only: bool,
    /// Keep the cluster's record in a PostgreSQL of the devnet's own, which must be installed; it ends with the devnet.
    #[arg(long)]
    pub(crate) postgres: bool,
}

impl Arguments {
    /// Whether to send the first payment.
    pub(crate) fn payment(&self) -> bool {
        !self.no_payment
    }

    /// How often a block comes while transactions wait.
    pub(crate) fn block_every(&self) -> Duration {
        Duration::from_secs(self.block_every)
    }

    /// What the launcher is to do.
    pub(crate) fn cluster(&self) -> anyhow::Result<ClusterOptions> {
        let chain = match self.chain {
            ChainName::Embedded => Backend::Embedded,
            ChainName::Bitcoind => {
                let dir = self.bitcoind_dir.clone();
                let remedy =
                    "--chain bitcoind needs --bitcoind-dir DIR; scripts/install-bitcoind.sh DIR fills it";
                Backend::Bitcoind { dir: dir.context(remedy)? }
            }
        };
        let options = ClusterOptions {
            nodes: self.nodes,
            threshold: self.threshold,
            chain,
            ports: Ports::Fixed {
                rest: self.rest_base_port,
                quic: self.quic_base_port,
                chain: self.chain_port,
            },
            place: self.data.clone().map_or(Place::Temporary, Place::Folder),
            auto_mine: Some(self.block_every()),
            environment: Vec::new(),
            between: Between::Nothing,
            operations: false,
        };
        Ok(match self.approval_above {
            Some(sats) => options.set("policy", "approval_above_sats", sats).set(
                "policy",
                "approval_operators",
                OPERATORS,
            ),
            None => options,
        })
    }
}
