//! What can be chosen about a cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::between::Between;
use crate::chain::Backend;
use crate::servers::Postgres;

/// How a cluster is made. The default is five nodes, four of them needed, on a chain that mines only on request, in
/// a temporary folder and on free ports.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// n
    pub nodes: u16,
    /// t
    pub threshold: u16,
    /// The chain's node.
    pub chain: Backend,
    /// Where it listens.
    pub ports: Ports,
    /// Where it keeps its files.
    pub place: Place,
    /// Mine a block this often while transactions wait; `None`: only on request.
    pub auto_mine: Option<Duration>,
    /// What stands between the nodes.
    pub between: Between,
    /// Overrides of `node.toml` for every node, `MPC_WALLET_<SECTION>_<KEY>`.
    pub environment: Vec<(String, String)>,
    /// Whether probes and metrics are answered at an address of their own, and `/metrics` nowhere else.
    pub operations: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            nodes: 5,
            threshold: 4,
            chain: Backend::Embedded,
            ports: Ports::Free,
            place: Place::Temporary,
            auto_mine: None,
            between: Between::Nothing,
            environment: Vec::new(),
            operations: false,
        }
    }
}

impl ClusterOptions {
    /// Overrides `key` of `[section]` in every node's configuration.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl ToString) -> Self {
        let variable = format!("MPC_WALLET_{section}_{key}").to_ascii_uppercase();
        self.environment.push((variable, value.to_string()));
        self
    }
}

impl ClusterOptions {
    /// Gives every node the same PostgreSQL database.
    #[must_use]
    pub fn with_postgres(self, server: &Postgres) -> Self {
        self.set("postgres", "url", server.url()).set("postgres", "password", server.password())
    }
}

/// Which ports the nodes listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Ports that nobody uses and that no other cluster gets meanwhile.
    Free,
    /// Node N listens at base plus N.
    Fixed {
        /// Base of the REST ports (TCP).
        rest: u16,
        /// Base of the QUIC ports (UDP).
        quic: u16,
        /// Port of the chain's Esplora face (TCP).
        chain: u16,
    },
}

/// Where a cluster keeps configuration, keys, journals, logs and chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A new folder that is removed at the end.
    Temporary,
    /// This folder, which stays; a cluster that is there already is resumed.
    Folder(PathBuf),
}
