//! What needs no node: new keys, primes, new clusters, completions.

use std::{io, path::Path, time::Instant};

use bitcoin::Network;
use clap::CommandFactory as _;
use indicatif::{ProgressBar, ProgressStyle};
use mpc_wallet_shell::config::{self, ClusterPlan, KeyFileError, init_cluster};
use serde_json::json;

use crate::{
    args::{Arguments, InitArguments, Output},
    failure::{Exit, Failure},
    output::{self, note, pairs, print, text},
    wait::FRAME,
};

pub(crate) fn generate_identity(file: &Path, output: Output) -> Result<(), Failure> {
    let public = config::generate_identity(file).map_err(|error| no_key_file(&error))?;
    note("list this vote_key in the manifest; keep the file to this node");
    let document = json!({ "file": file.display().to_string(), "vote_key": public.to_string() });
    print(&document, output, |document| text(document, "/vote_key"))
}

pub(crate) fn generate_primes(file: &Path, output: Output) -> Result<(), Failure> {
    note("looking for four safe primes of 1536 bits: a minute of processor time, sometimes several");
    let begin = Instant::now();
    let spinner = ProgressBar::new_spinner().with_style(searching());
    spinner.enable_steady_tick(FRAME);
    let made = config::generate_primes(file);
    spinner.finish_and_clear();
    made.map_err(|error| no_key_file(&error))?;
    note(
        "name the file in [dkg] primes_file of one node of a test cluster; other nodes need primes of their own",
    );
    let document = json!({ "file": file.display().to_string(), "seconds": begin.elapsed().as_secs() });
    print(&document, output, |document| {
        pairs([("file", text(document, "/file")), ("took", format!("{} s", text(document, "/seconds")))])
    })
}

/// How long it has taken so far: nobody knows how long it will.
fn searching() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed} gone")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn no_key_file(error: &KeyFileError) -> Failure {
    let exists =
        matches!(error, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists);
    let exit = if exists { Exit::Conflict } else { Exit::Usage };
    Failure::new(exit, "key_file", error.to_string())
}

pub(crate) fn init(init: &InitArguments, output: Output) -> Result<(), Failure> {
    let plan = ClusterPlan {
        nodes: init.nodes,
        threshold: init.threshold,
        network: init.network,
        host: init.host,
        quic_base_port: init.quic_base_port,
        rest_base_port: init.rest_base_port,
        esplora: init.esplora.clone(),
    };
    let files = init_cluster(&init.dir, &plan).map_err(|error| {
        let exit = match &error {
            config::InitError::Exists(_) => Exit::Conflict,
            config::InitError::Plan(_)
            | config::InitError::Ports { .. }
            | config::InitError::Io { .. }
            | config::InitError::Identity(_)
            | config::InitError::Access(_)
            | config::InitError::Secrets(_) => Exit::Usage,
        };
        Failure::new(exit, "cluster_init", error.to_string())
    })?;
    note(&format!("next: make certificates in {} (scripts/generate-certs.sh)", files.certs.display()));
    if init.network != Network::Regtest {
        note(
            "next: make API keys, or nobody gets in (mpc-wallet-cli key create --file node-1/api-keys.toml …)",
        );
    }
    let nodes: Vec<_> = files.nodes.iter().map(|path| path.display().to_string()).collect();
    let document = json!({
        "manifest": files.manifest.display().to_string(),
        "certs": files.certs.display().to_string(),
        "nodes": nodes,
    });
    print(&document, output, |document| {
        let manifest = ("manifest", text(document, "/manifest"));
        pairs(std::iter::once(manifest).chain(nodes.iter().map(|node| ("node", node.clone()))))
    })
}

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    // The generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output::write(&String::from_utf8_lossy(&script))
}
