//! What needs no node: new keys, new clusters, completions.

use std::{io, path::Path};

use clap::CommandFactory as _;
use mpc_wallet_shell::config::{self, ClusterPlan, KeyFileError, init_cluster};
use serde_json::json;

use crate::{
    args::{Arguments, InitArguments, Output},
    failure::{Exit, Failure},
    output::{note, pairs, print, text},
};

pub(crate) fn generate_identity(file: &Path, output: Output) -> Result<(), Failure> {
    let public = config::generate_identity(file).map_err(|error| {
        let exists = matches!(&error, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists);
        let exit = if exists { Exit::Conflict } else { Exit::Usage };
        Failure::new(exit, "key_file", error.to_string())
    })?;
    note("list this vote_key in the manifest; keep the file to this node");
    let document = json!({ "file": file.display().to_string(), "vote_key": public.to_string() });
    print(&document, output, |document| text(document, "/vote_key"))
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
            | config::InitError::Secrets(_) => Exit::Usage,
        };
        Failure::new(exit, "cluster_init", error.to_string())
    })?;
    note(&format!("next: make certificates in {} (scripts/generate-certs.sh)", files.certs.display()));
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

pub(crate) fn completions(shell: clap_complete::Shell) {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut io::stdout());
}
