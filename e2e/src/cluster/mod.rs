//! A wallet cluster of real processes: `mpc-wallet-server` n times, joined by QUIC, on a regtest chain in this process.
//!
//! [`Cluster::start`] makes certificates with `scripts/generate-certs.sh`, writes the configuration that an operator
//! would get from `init`, starts the chain and the nodes, and waits until all of them answer. Every cluster has a
//! folder and ports of its own, so clusters do not meet. Dropping it ends its processes; after a panic its folder
//! stays, and its path and the ends of the logs are printed.
//!
//! Parts: `options` is what can be chosen, `ports` and `binary` find what a start needs, `node` is one process, `api`
//! its HTTP face, `stream` its events and `view` what it says, `actions` are the things that wallets are for, `wait` is patience.

mod actions;
mod api;
mod binary;
mod node;
mod options;
mod ports;
mod stream;
mod view;
mod wait;

use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::Network;
use mpc_wallet_shell::config::{ClusterPlan, Manifest, init_cluster};
use tempfile::TempDir;

use crate::between::{Lines, Wires, Wiretap};
use crate::chain::{Regtest, RegtestOptions};

pub use api::{Api, Reply};
pub use binary::{cli_binary, hostile_binary, repository, server_binary};
pub use node::{NodeProcess, Treason};
pub use options::{ClusterOptions, Place, Ports};
pub use stream::{EventStream, EventView};
pub use view::{
    AddressView, BalanceView, ClusterView, CoordinationView, KeygenRun, KeygenView, Kind, NodeView,
    NodesView, PaymentView, StageView, StockView, TransactionView, TransitionView, VoteView,
};
pub use wait::{hold_for, wait_for};

pub use ports::PortBlock;

/// Until a started process must answer HTTP. Only a failing start waits so long.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Until an ordered end must be over; then the process is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Log lines of each node that are shown after a panic.
const LAST_LINES: usize = 15;

/// A running cluster and its chain.
pub struct Cluster {
    nodes: Vec<NodeProcess>,
    chain: Regtest,
    lines: Lines,
    folder: Folder,
    threshold: u16,
    rest: u16,
    _ports: Option<PortBlock>,
}

/// Where a cluster keeps everything.
enum Folder {
    Temporary(Option<TempDir>),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.as_ref().map_or(Path::new(""), TempDir::path),
            Self::Kept(dir) => dir,
        }
    }
}

impl Cluster {
    /// Starts a chain and a cluster on it, or resumes what the folder holds, and waits until every node answers.
    /// Errors when a port is taken, a tool is missing or a node does not come up; the text says what to do.
    pub fn start(options: &ClusterOptions) -> anyhow::Result<Self> {
        Self::start_with(options, |_| {})
    }

    /// As [`Cluster::start`]; `progress` is told what is being done.
    pub fn start_with(options: &ClusterOptions, progress: impl Fn(&str)) -> anyhow::Result<Self> {
        progress("building the server");
        let binary = server_binary()?;
        let folder = match &options.place {
            Place::Temporary => {
                Folder::Temporary(Some(tempfile::Builder::new().prefix("mpc-wallet-cluster-").tempdir()?))
            }
            Place::Folder(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
                Folder::Kept(dir.canonicalize()?)
            }
        };
        let dir = folder.path().to_owned();
        let reservation =
            matches!(options.ports, Ports::Free).then(|| PortBlock::reserve(options.nodes)).transpose()?;
        // A free port for the chain is the system's choice: 0.
        let (rest, quic, face) = match (&options.ports, &reservation) {
            (Ports::Fixed { rest, quic, chain }, _) => {
                ports::check_free(*rest, *quic, options.nodes)?;
                (*rest, *quic, *chain)
            }
            // These were found free. Looking again may meet the first look, which a process that another thread has just forked
            // keeps open until it has become its program.
            (Ports::Free, Some(reserved)) => (reserved.base(), reserved.base(), 0),
            (Ports::Free, None) => anyhow::bail!("no ports were reserved"),
        };

        progress("starting the chain");
        let keep = matches!(folder, Folder::Kept(_)).then(|| dir.join("chain"));
        let chain = Regtest::start(
            options.chain.clone(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, face)),
            RegtestOptions { auto_mine: options.auto_mine, keep },
        )
        .with_context(|| {
            format!("the chain does not start on port {face} (devnet: --chain-port chooses another)")
        })?;

        progress("making keys and certificates");
        prepare(&dir, options, (rest, quic), &chain.url())?;
        std::fs::create_dir_all(dir.join("logs"))?;
        let mut environment = options.environment.clone();
        environment.push(("MPC_WALLET_CHAIN_ESPLORA".into(), chain.url()));
        environment.push(("MPC_WALLET_NODE_LOG_FORMAT".into(), "json".into()));
        let lines = Lines::lay(options.between, &dir.join("certs"), quic, options.nodes)?;
        let nodes = (1..=options.nodes)
            .map(|id| {
                let mut environment = with_primes(&environment, &dir, id)?;
                if let Some(manifest) = through(&lines, &dir, id)? {
                    environment.push(("MPC_WALLET_CLUSTER_MANIFEST".to_owned(), manifest));
                }
                if options.operations {
                    let address = ports::operations(rest, id)?.to_string();
                    environment.push(("MPC_WALLET_REST_OPERATIONS_LISTEN".to_owned(), address));
                }
                Ok(NodeProcess::new(id, &dir, &binary, (rest, quic), environment))
            })
            .collect::<anyhow::Result<_>>()?;
        let threshold = options.threshold;
        let cluster = Self { nodes, chain, lines, folder, threshold, rest, _ports: reservation };
        progress("starting the nodes");
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Starts every node that is not running, and waits until all answer.
    pub fn start_all(&self) -> anyhow::Result<()> {
        for node in self.nodes.iter().filter(|node| !node.is_running()) {
            node.start()?;
        }
        for node in &self.nodes {
            node.wait_until_up(START_WITHIN)?;
        }
        Ok(())
    }

    /// Ends a node in order and has the hostile program take its place, with its keys and journal; waits until it answers.
    pub fn betray(&self, node: u16, treason: Treason) -> anyhow::Result<()> {
        let node = self.node(node)?;
        node.terminate(STOP_WITHIN)?;
        node.corrupt(treason);
        node.start()?;
        node.wait_until_up(START_WITHIN)
    }

    /// Where each node answers probes and scrapes, if the options asked for that.
    pub fn operations(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.nodes.iter().map(|node| ports::operations(self.rest, node.id())).collect()
    }

    /// The wires between the nodes. Errors unless the options asked for them.
    pub fn wires(&self) -> anyhow::Result<&Wires> {
        match &self.lines {
            Lines::Wires(wires) => Ok(wires),
            Lines::Direct | Lines::Tapped(_) => anyhow::bail!("no wires; see ClusterOptions::between"),
        }
    }

    /// What reads all that the nodes say. Errors unless the options asked for it.
    pub fn wiretap(&self) -> anyhow::Result<&Wiretap> {
        match &self.lines {
            Lines::Tapped(wiretap) => Ok(wiretap),
            Lines::Direct | Lines::Wires(_) => anyhow::bail!("no wiretap; see ClusterOptions::between"),
        }
    }

    /// All nodes, node 1 first.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// Node `id`, from 1. Errors when there is none.
    pub fn node(&self, id: u16) -> anyhow::Result<&NodeProcess> {
        let found = self.nodes.iter().find(|node| node.id() == id);
        found.with_context(|| format!("there is no node {id}; the cluster has 1 to {}", self.nodes.len()))
    }

    /// The chain.
    pub fn chain(&self) -> &Regtest {
        &self.chain
    }

    /// Where configuration, journals and logs lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// t
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// Ends every node in order (SIGTERM, patience, SIGKILL) and then the chain. Errors when a node had to be killed
    /// or ended with an error.
    pub fn stop(self) -> anyhow::Result<()> {
        let mut complaints = String::new();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            node.signal("TERM")?;
        }
        for node in &self.nodes {
            if let Err(error) = node.await_end(STOP_WITHIN) {
                write!(complaints, "{error:#}; ")?;
            }
        }
        anyhow::ensure!(complaints.is_empty(), "not every node ended in order: {complaints}");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            // A process that cannot be killed has ended.
            let _ = node.kill9();
        }
        if !std::thread::panicking() {
            return;
        }
        if let Folder::Temporary(dir) = &mut self.folder
            && let Some(dir) = dir.take()
        {
            eprintln!("the cluster's folder is kept: {}", dir.keep().display());
        }
        for node in &self.nodes {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- node {} ended with these log lines", node.id());
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                eprintln!("{line}");
            }
        }
    }
}

/// The environment of a node, with primes of its own as far as there are any. Found once and public ever since, they save
/// each cluster minutes of search; keys made with them protect nothing, and a node of a network with money takes none.
fn with_primes(
    environment: &[(String, String)],
    dir: &Path,
    id: u16,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut environment = environment.to_vec();
    let public = repository().join(format!("e2e/data/primes/node-{id}.hex"));
    if public.exists() {
        let own = dir.join(format!("node-{id}")).join("primes.hex");
        std::fs::copy(&public, &own).with_context(|| format!("cannot copy {}", public.display()))?;
        std::fs::set_permissions(&own, Permissions::from_mode(0o600))?;
        environment.push(("MPC_WALLET_DKG_PRIMES_FILE".to_owned(), own.display().to_string()));
    }
    Ok(environment)
}

/// Writes the manifest of a node that reaches its peers through these lines, and returns its path; `None` if it needs none.
fn through(lines: &Lines, dir: &Path, id: u16) -> anyhow::Result<Option<String>> {
    let dialled = lines.dialled_by(id);
    if dialled.is_empty() {
        return Ok(None);
    }
    let mut manifest = std::fs::read_to_string(dir.join("cluster.toml"))?;
    for (address, line) in dialled {
        manifest = manifest.replace(&format!("\"{address}\""), &format!("\"{line}\""));
    }
    let own = dir.join(format!("node-{id}")).join("cluster.toml");
    std::fs::write(&own, manifest)?;
    Ok(Some(own.display().to_string()))
}

/// Writes configuration and certificates, or checks that what is there fits the options.
fn prepare(
    dir: &Path,
    options: &ClusterOptions,
    (rest, quic): (u16, u16),
    esplora: &str,
) -> anyhow::Result<()> {
    let manifest = dir.join("cluster.toml");
    if manifest.exists() {
        let cluster = Manifest::load(&manifest)?.cluster;
        anyhow::ensure!(
            (cluster.total(), cluster.threshold()) == (options.nodes, options.threshold),
            "{} holds a cluster of {} nodes with threshold {}, not {} with {}; use other options or another folder",
            dir.display(),
            cluster.total(),
            cluster.threshold(),
            options.nodes,
            options.threshold,
        );
        return Ok(());
    }
    make_certificates(&dir.join("certs"), options.nodes)?;
    let plan = ClusterPlan {
        nodes: options.nodes,
        threshold: options.threshold,
        network: Network::Regtest,
        host: Ipv4Addr::LOCALHOST.into(),
        quic_base_port: quic,
        rest_base_port: rest,
        esplora: esplora.to_owned(),
    };
    init_cluster(dir, &plan)?;
    Ok(())
}

/// Makes the CA and a certificate for each node, as an operator would; what is there is never replaced.
fn make_certificates(dir: &Path, nodes: u16) -> anyhow::Result<()> {
    let script = repository().join("scripts").join("generate-certs.sh");
    let output = Command::new(&script)
        .arg("--out")
        .arg(dir)
        .args(["--nodes", &nodes.to_string()])
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
