//! `mpc-wallet-cli`: an operator's hands on a cluster, through the REST API of any of its nodes.
//!
//! Data goes to standard output, everything else to standard error; the exit code says what kind of end it was.

mod amount;
mod args;
mod audit;
mod backup;
mod bump;
mod cert;
mod client;
mod cluster;
mod confirm;
mod dkg;
mod doctor;
mod evidence;
mod failure;
mod freeze;
mod key;
mod local;
mod manual;
mod output;
mod presig;
mod reach;
mod send;
mod tx;
mod wait;
mod wallet;

use std::process::ExitCode;

use clap::Parser as _;

use args::{
    Arguments, AuditCommand, CertCommand, ClusterCommand, Command, DEFAULT_NODE, DkgCommand, EvidenceCommand,
    IdentityCommand, PresigCommand, PrimesCommand, TxCommand, WalletCommand,
};
use client::Node;
use failure::Failure;
use mpc_wallet_shell::quic::TlsFiles;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&failure.to_string());
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { node: named, api_key, output, command } = arguments;
    let at = |address: &str| Node::new(address, api_key.as_deref());
    let node = || at(named.as_deref().unwrap_or(DEFAULT_NODE));
    match command {
        Command::Wallet(WalletCommand::Balance { wallet_type }) => {
            wallet::balance(&node()?, &wallet_type, output)
        }
        Command::Wallet(WalletCommand::Address { wallet_type }) => {
            wallet::address(&node()?, &wallet_type, output)
        }
        Command::Tx(TxCommand::Send(send)) => send::run(&node()?, &send, output),
        Command::Tx(TxCommand::Status { txid }) => tx::status(&node()?, &txid, output),
        Command::Tx(TxCommand::List(list)) => tx::list(&node()?, &list, output),
        Command::Tx(TxCommand::Approve(decision)) => tx::decide(&node()?, &decision, "approve", output),
        Command::Tx(TxCommand::Reject(decision)) => tx::decide(&node()?, &decision, "reject", output),
        Command::Tx(TxCommand::Bump(bump)) => bump::run(&node()?, &bump, output),
        Command::Cluster(ClusterCommand::Status) => cluster::status(&node()?, output),
        Command::Cluster(ClusterCommand::Nodes) => cluster::nodes(&node()?, output),
        Command::Cluster(ClusterCommand::Wait { online, timeout }) => {
            cluster::wait(&node()?, online, timeout, output)
        }
        Command::Cluster(ClusterCommand::Freeze { reason, yes }) => {
            freeze::freeze(&node()?, &reason, yes, output)
        }
        Command::Cluster(ClusterCommand::Lift { yes }) => freeze::lift(&node()?, yes, output),
        Command::Cluster(ClusterCommand::Init(init)) => local::init(&init, output),
        Command::Dkg(DkgCommand::Start { wallet_type, wait, timeout }) => {
            let patience = timeout.unwrap_or_else(|| dkg::patience(&wallet_type));
            dkg::start(&node()?, &wallet_type, wait.then_some(patience), output)
        }
        Command::Dkg(DkgCommand::Status) => dkg::status(&node()?, output),
        Command::Presig(PresigCommand::Generate { count, wait, timeout }) => {
            presig::generate(&node()?, count, wait.then_some(timeout), output)
        }
        Command::Presig(PresigCommand::PoolStatus) => presig::status(&node()?, output),
        Command::Audit(AuditCommand::Verify { file, head }) => audit::verify(&file, head.as_deref(), output),
        Command::Evidence(EvidenceCommand::Verify { file, manifest }) => {
            evidence::verify(&file, &manifest, output)
        }
        Command::Key(command) => key::run(command, output),
        Command::Cert(CertCommand::Show { file }) => cert::show(&file, output),
        Command::Cert(CertCommand::Check { cert, key, ca, node_id }) => {
            cert::check(TlsFiles { ca, cert, key }, node_id, output)
        }
        Command::Backup(command) => backup::run(command, output),
        Command::Doctor(arguments) => doctor::run(&arguments, at, named.as_deref(), output),
        Command::Identity(IdentityCommand::Generate { file }) => local::generate_identity(&file, output),
        Command::Primes(PrimesCommand::Generate { file }) => local::generate_primes(&file, output),
        Command::Completions { shell } => local::completions(shell),
        Command::Man { dir } => manual::write(&dir, output),
    }
}
