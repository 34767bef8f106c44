//! The command line.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use bitcoin::{Amount, Network};
use clap::{Args, Parser, Subcommand, ValueEnum};
use mpc_wallet_core::tx::State;
use mpc_wallet_shell::{
    access::Role,
    config::{ClusterPlan, parse_network},
    units::fee_rate_from_decimal,
};

use crate::{amount::parse_amount, backup::BackupCommand, doctor::DoctorArguments};

/// The node that is asked if none is named.
pub(crate) const DEFAULT_NODE: &str = "http://127.0.0.1:8081";

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  unexpected error, or `doctor` found something that is broken
  2  usage: the arguments, the request or an answer to a prompt
  3  refused: by policy, votes, fee limits or lack of funds; or the payment failed, or what was verified does not hold
  4  not found
  5  conflict with the present state
  6  unavailable: node, quorum or chain backend; nothing was changed
  7  outcome unknown: time ran out; look before you repeat, or repeat with the same --idempotency-key";

/// Operates a threshold Bitcoin wallet through any of its nodes.
#[derive(Parser)]
#[command(name = "mpc-wallet-cli", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// REST address of a node; http://127.0.0.1:8081 if not given
    #[arg(long, global = true, env = "MPC_WALLET_NODE", value_name = "URL")]
    pub(crate) node: Option<String>,
    /// API key, where the node asks for one; better in the environment than on the command line, which others can read
    #[arg(long, global = true, env = "MPC_WALLET_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: the API's own documents
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Money and where to send it
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Payments
    #[command(subcommand)]
    Tx(TxCommand),
    /// Members and their health; making a new cluster
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Distributed key generation
    #[command(subcommand)]
    Dkg(DkgCommand),
    /// Presignatures of the SegWit wallet, made ahead of payments
    #[command(subcommand)]
    Presig(PresigCommand),
    /// The audit log of the cluster's record
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Proof that a member misbehaved
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Keys of a node's API, on the node's machine
    #[command(subcommand)]
    Key(KeyCommand),
    /// Certificates of nodes and of their CA
    #[command(subcommand)]
    Cert(CertCommand),
    /// Copies of a node's data, to bring the node back after its disk is lost
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Check a node: configuration, files, certificates, clocks, servers, chain and peers
    Doctor(DoctorArguments),
    /// A node's vote key
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Primes for the SegWit key of a test cluster
    #[command(subcommand)]
    Primes(PrimesCommand),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// Folder to write them to; made if there is none
        dir: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum WalletCommand {
    /// Show the balance
    Balance {
        /// Which wallet: taproot or segwit
        #[arg(long = "type", default_value = "taproot", value_name = "TYPE")]
        wallet_type: String,
    },
    /// Show the address that receives
    Address {
        /// Which wallet: taproot or segwit
        #[arg(long = "type", default_value = "taproot", value_name = "TYPE")]
        wallet_type: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum TxCommand {
    /// Pay somebody
    Send(SendArguments),
    /// Show one payment with its votes and timeline
    Status {
        /// Transaction id
        txid: String,
    },
    /// List payments, newest first
    List(ListArguments),
    /// Approve a payment that waits for people, in the name of your API key
    Approve(DecisionArguments),
    /// Reject a payment that waits for people, in the name of your API key; one rejection is enough
    Reject(DecisionArguments),
    /// Raise the fee of a payment that no block takes: propose a dearer transaction in its place
    Bump(BumpArguments),
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Only these states, comma-separated
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only those that wait for people at this node
    #[arg(long, conflicts_with = "state")]
    pub(crate) awaiting_approval: bool,
    /// Only from this wallet: taproot or segwit
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) wallet_type: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) limit: u16,
    /// Continue where an earlier list ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Args)]
pub(crate) struct DecisionArguments {
    /// Transaction id
    pub(crate) txid: String,
    /// Why, for the audit trail: at most 256 bytes
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct BumpArguments {
    /// Transaction id of the payment
    pub(crate) txid: String,
    /// Fee rate in sat/vB, at most three decimals; estimated if not given, and no less than the network takes
    #[arg(long, value_parser = parse_fee_rate)]
    pub(crate) fee_rate: Option<String>,
    /// Wait for a state of the replacement, `confirmed` if none is named
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "confirmed", value_name = "STATE",
          value_parser = parse_state)]
    pub(crate) wait: Option<State>,
    /// How long to wait
    #[arg(long, default_value = "600", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct SendArguments {
    /// Bitcoin address to pay
    pub(crate) recipient: String,
    /// Amount with its unit: 50000sat or 0.0005btc
    #[arg(value_parser = parse_amount)]
    pub(crate) amount: Amount,
    /// Which wallet pays: taproot or segwit
    #[arg(long = "type", default_value = "taproot", value_name = "TYPE")]
    pub(crate) wallet_type: String,
    /// Fee rate in sat/vB, at most three decimals; estimated if not given
    #[arg(long, value_parser = parse_fee_rate)]
    pub(crate) fee_rate: Option<String>,
    /// Your own reference, kept with the payment
    #[arg(long)]
    pub(crate) metadata: Option<String>,
    /// Same key, same payment, however often it is sent; generated if not given
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
    /// Wait for a state, `confirmed` if none is named
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "confirmed", value_name = "STATE",
          value_parser = parse_state)]
    pub(crate) wait: Option<State>,
    /// How long to wait
    #[arg(long, default_value = "600", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Check and show the payment, propose nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the cluster as the node sees it
    Status,
    /// Show every member
    Nodes,
    /// Wait until a node has caught up, sees the chain and enough members
    Wait {
        /// Members that must be online, this one included; as many as sign if not given
        #[arg(long, value_name = "N")]
        online: Option<u16>,
        /// How long to wait
        #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = parse_seconds)]
        timeout: Duration,
    },
    /// Emergency: stop all signing of the cluster at once, from any node; `cluster lift` at t nodes ends it
    Freeze {
        /// Why, for all operators and the record: at most 256 bytes
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Lift every freeze that the node knows; signing goes on when t nodes have lifted
    Lift {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Write the files of a new cluster
    Init(InitArguments),
}

#[derive(Args)]
pub(crate) struct InitArguments {
    /// Folder to make
    pub(crate) dir: PathBuf,
    /// Members
    #[arg(long, default_value_t = ClusterPlan::default().nodes)]
    pub(crate) nodes: u16,
    /// Approvals that a payment needs
    #[arg(long, default_value_t = ClusterPlan::default().threshold)]
    pub(crate) threshold: u16,
    /// Bitcoin network: mainnet, testnet, testnet4, signet or regtest
    #[arg(long, value_parser = network)]
    pub(crate) network: Network,
    /// IP address the nodes listen on
    #[arg(long, default_value_t = ClusterPlan::default().host)]
    pub(crate) host: IpAddr,
    /// Node N listens for peers at this port plus N
    #[arg(long, default_value_t = ClusterPlan::default().quic_base_port)]
    pub(crate) quic_base_port: u16,
    /// Node N listens for clients at this port plus N
    #[arg(long, default_value_t = ClusterPlan::default().rest_base_port)]
    pub(crate) rest_base_port: u16,
    /// Esplora API of the chain
    #[arg(long, default_value_t = ClusterPlan::default().esplora, value_name = "URL")]
    pub(crate) esplora: String,
}

#[derive(Subcommand)]
pub(crate) enum DkgCommand {
    /// Have the members make a key
    Start {
        /// Which kind: taproot or segwit
        #[arg(long = "type", default_value = "taproot", value_name = "TYPE")]
        wallet_type: String,
        /// Wait until the key is active
        #[arg(long)]
        wait: bool,
        /// How long to wait: 300 if not given, 3600 for segwit, whose members look for primes first
        #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
        timeout: Option<Duration>,
    },
    /// Show the key generation under way or the last one
    Status,
}

#[derive(Subcommand)]
pub(crate) enum PresigCommand {
    /// Order presignatures beyond what is kept in stock, for a rush of payments to come
    Generate {
        /// How many, at most what limits.presignatures_most allows
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        count: u16,
        /// Wait until all that are ordered are made
        #[arg(long)]
        wait: bool,
        /// How long to wait
        #[arg(long, default_value = "3600", value_name = "SECONDS", value_parser = parse_seconds)]
        timeout: Duration,
    },
    /// Show the stock, by group of signers
    PoolStatus,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify an export of the audit log: no row altered, inserted or taken out; needs neither node nor database
    ///
    /// Export with: psql -XAtq -c 'SELECT line FROM audit_export ORDER BY id' URL > FILE
    Verify {
        /// The export
        file: PathBuf,
        /// The head that an earlier verification printed; the chain must still have it
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Verify a proof offline: that the member it accuses signed two statements that contradict each other
    ///
    /// FILE holds what a violation has as `evidence` (GET /api/v1/violations, the dashboard) or a row of
    /// byzantine_violations as `proof`: its hexadecimal digits alone, or the JSON document around them.
    Verify {
        /// The proof
        file: PathBuf,
        /// cluster.toml, whose members' keys the signatures are checked with
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it; it is shown this once
    Create {
        /// The file that rest.api_keys of the node names; made if there is none
        #[arg(long)]
        file: PathBuf,
        /// Who will hold it
        #[arg(long)]
        name: String,
        /// What it allows: viewer, initiator, approver or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
    },
    /// Take a key out; the node refuses it within seconds
    Revoke {
        /// The file that rest.api_keys of the node names
        #[arg(long)]
        file: PathBuf,
        /// Who holds it
        #[arg(long)]
        name: String,
    },
    /// Show who has a key
    List {
        /// The file that rest.api_keys of the node names
        #[arg(long)]
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum CertCommand {
    /// Show what the certificates of a file say; verifies nothing
    Show {
        /// PEM file
        file: PathBuf,
    },
    /// Check what a node checks before it uses new files: a pair, the right name, valid now, signed by a CA that is trusted
    Check {
        /// The certificate, PEM
        cert: PathBuf,
        /// Its private key, PEM
        key: PathBuf,
        /// The trusted CAs, PEM
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
        /// Number of the node that the certificate must name
        #[arg(long, value_name = "N")]
        node_id: u16,
    },
}

#[derive(Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make a vote key; prints the public half for the manifest
    Generate {
        /// File to make, readable by its owner alone
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum PrimesCommand {
    /// Find primes for one node, for dkg.primes_file; takes a minute or more of processor time
    ///
    /// A node finds its own primes, unseen, before it makes a SegWit key. A file of them spares test clusters the wait, and
    /// is refused on mainnet: whoever reads it can compute the node's key share.
    Generate {
        /// File to make, readable by its owner alone
        file: PathBuf,
    },
}

/// Kept as text: the API takes the same decimals.
fn parse_fee_rate(text: &str) -> Result<String, String> {
    fee_rate_from_decimal(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn parse_state(name: &str) -> Result<State, String> {
    State::ALL
        .into_iter()
        .find(|state| state.name() == name)
        .ok_or_else(|| format!("the states are {}", State::ALL.map(State::name).join(", ")))
}

fn parse_role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| format!("the roles are {}", Role::ALL.map(Role::name).join(", ")))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "write a whole number of seconds".to_owned())
}

fn network(name: &str) -> Result<Network, String> {
    parse_network(name)
        .ok_or_else(|| "the networks are mainnet, testnet, testnet4, signet, regtest".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    const DOCUMENT: &str = include_str!("../../../../docs/cli.md");

    /// The full names of the commands that do something themselves.
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        if command.get_subcommands().next().is_none() {
            found.push(name.to_owned());
        }
        for below in command.get_subcommands() {
            leaves(below, &format!("{name} {}", below.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_a_suite_types() {
        let mut commands = Vec::new();
        leaves(&Arguments::command(), "mpc-wallet-cli", &mut commands);
        assert!(commands.len() > 20, "{commands:?}");
        let examples: Vec<_> = DOCUMENT.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
        for command in commands {
            let typed = |example: &&str| {
                example.split_once(&command).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(' '))
            };
            assert!(examples.iter().any(typed), "docs/cli.md has no `$ {command}`");
        }
    }
}
