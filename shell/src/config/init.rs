//! Writes the files of a new cluster: manifest, and for each node a folder with settings and keys.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bitcoin::Network;
use mpc_wallet_core::{Cluster, NodeId, VotePublicKey, config::ConfigError};
use toml::Value;

use super::{
    keys::{KeyFileError, generate_identity},
    manifest::network_name,
};
use crate::{
    access::{AccessError, KeyFile},
    secrets::{SealedSecrets, SecretsError},
};

/// The file of API keys in a node's folder.
const API_KEYS: &str = "api-keys.toml";

/// What the new cluster should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPlan {
    /// n
    pub nodes: u16,
    /// t
    pub threshold: u16,
    /// The Bitcoin network.
    pub network: Network,
    /// IP address that all nodes listen on and are dialled at.
    pub host: std::net::IpAddr,
    /// Node N listens for peers at this plus N.
    pub quic_base_port: u16,
    /// Node N listens for clients at this plus N.
    pub rest_base_port: u16,
    /// Base URL of the Esplora API.
    pub esplora: String,
}

impl Default for ClusterPlan {
    /// Five nodes on this machine, four of them needed, on a private chain.
    fn default() -> Self {
        Self {
            nodes: 5,
            threshold: 4,
            network: Network::Regtest,
            host: std::net::Ipv4Addr::LOCALHOST.into(),
            quic_base_port: 9_100,
            rest_base_port: 8_080,
            esplora: "http://127.0.0.1:3002".to_owned(),
        }
    }
}

/// The files written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFiles {
    /// `cluster.toml`
    pub manifest: PathBuf,
    /// Where the certificates belong: `ca.crt` and `nodeN.{crt,key}`.
    pub certs: PathBuf,
    /// Each node's `node.toml`, node 1 first.
    pub nodes: Vec<PathBuf>,
}

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The plan is unsafe.
    #[error(transparent)]
    Plan(#[from] ConfigError),
    /// A port beyond 65535.
    #[error("ports {base} + 1 to {base} + {nodes} do not all exist; choose a lower base port")]
    Ports {
        /// The base.
        base: u16,
        /// n
        nodes: u16,
    },
    /// There is a cluster already.
    #[error("{} exists; a cluster's keys are never overwritten, choose another folder", .0.display())]
    Exists(PathBuf),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An identity could not be made.
    #[error(transparent)]
    Identity(#[from] KeyFileError),
    /// The file for API keys could not be made.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The key that seals shares could not be made.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

/// Makes `dir` with `cluster.toml` and `node-N/{node.toml, identity.key, secrets.key}`. Certificates are expected in
/// `dir/certs`, as `scripts/generate-certs.sh` makes them. The manifest is written last: with it the folder is
/// complete.
///
/// # Errors
/// If the plan is unsafe, the folder holds a cluster already, or the file system refuses.
pub fn init_cluster(dir: &Path, plan: &ClusterPlan) -> Result<ClusterFiles, InitError> {
    for base in [plan.quic_base_port, plan.rest_base_port] {
        if base.checked_add(plan.nodes).is_none() {
            return Err(InitError::Ports { base, nodes: plan.nodes });
        }
    }
    check_threshold(plan)?;
    let files = ClusterFiles {
        manifest: dir.join("cluster.toml"),
        certs: dir.join("certs"),
        nodes: (1..=plan.nodes).map(|id| dir.join(format!("node-{id}")).join("node.toml")).collect(),
    };
    if files.manifest.exists() {
        return Err(InitError::Exists(files.manifest));
    }
    let mut keys = Vec::new();
    for (id, file) in (1..=plan.nodes).zip(&files.nodes) {
        let folder = file.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(|source| InitError::Io { path: folder.to_owned(), source })?;
        keys.push(generate_identity(&folder.join("identity.key"))?);
        SealedSecrets::generate_key_file(&folder.join("secrets.key"))?;
        if !is_private(plan) {
            KeyFile::default().write(&folder.join(API_KEYS))?;
        }
        write(file, &node_file(plan, id))?;
    }
    write(&files.manifest, &manifest_file(plan, &keys))?;
    Ok(files)
}

/// Refuses an unsafe plan before any file exists. The keys do not matter to that, so simple ones serve.
fn check_threshold(plan: &ClusterPlan) -> Result<(), InitError> {
    let stand_in = |id: u16| {
        let secret = [id.to_be_bytes(); 16].concat().try_into().ok()?;
        mpc_wallet_core::VoteKey::from_bytes(&secret).ok().map(|key| (NodeId::new(id), key.public()))
    };
    Cluster::new(plan.network, plan.threshold, (1..=plan.nodes).filter_map(stand_in).collect())?;
    Ok(())
}

/// Whether its coins are worth nothing. On all other networks the API is for those with a key, of which there are none yet.
fn is_private(plan: &ClusterPlan) -> bool {
    plan.network == Network::Regtest
}

fn write(path: &Path, text: &str) -> Result<(), InitError> {
    fs::write(path, text).map_err(|source| InitError::Io { path: path.to_owned(), source })
}

/// A TOML string, quoted and escaped.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn address(plan: &ClusterPlan, base: u16, id: u16) -> String {
    quoted(&std::net::SocketAddr::new(plan.host, base.saturating_add(id)).to_string())
}

fn manifest_file(plan: &ClusterPlan, keys: &[VotePublicKey]) -> String {
    let mut text = format!(
        "# The cluster. This file is the same on every node and names the cluster: change it and it is another one.\n\
         network = {}\n\
         threshold = {}\n",
        quoted(network_name(plan.network)),
        plan.threshold,
    );
    for (id, key) in (1..=plan.nodes).zip(keys) {
        text.push_str(&format!(
            "\n[[members]]\nid = {id}\naddress = {}\nvote_key = \"{key}\"\n",
            address(plan, plan.quic_base_port, id),
        ));
    }
    text
}

fn node_file(plan: &ClusterPlan, id: u16) -> String {
    // A private chain gets a block whenever somebody wants one; look often.
    let poll = if is_private(plan) { "poll_ms = 500\n" } else { "" };
    let keys = if is_private(plan) { String::new() } else { format!("api_keys = \"{API_KEYS}\"\n") };
    format!(
        r#"# node-{id}. Any key of any section is overridden by MPC_WALLET_<SECTION>_<KEY> in the environment.

[node]
id = {id}
data_dir = "data"
identity = "identity.key"
log = "info"
log_format = "auto"

[cluster]
manifest = "../cluster.toml"

[quic]
listen = {quic}

[tls]
ca = "../certs/ca.crt"
cert = "../certs/node{id}.crt"
key = "../certs/node{id}.key"

[rest]
listen = {rest}
{keys}
[chain]
esplora = {esplora}
{poll}
[secrets]
key_file = "secrets.key"
"#,
        quic = address(plan, plan.quic_base_port, id),
        rest = address(plan, plan.rest_base_port, id),
        esplora = quoted(&plan.esplora),
    )
}
