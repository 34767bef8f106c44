//! A node's configuration: `node.toml`, the cluster's manifest beside it, and overrides from the environment.
//!
//! [`Settings::load`] reads all of it and either returns settings that are complete and consistent, or every problem
//! at once. Unknown keys are refused, because a misspelt limit is no limit. Any `key` of `[section]` in `node.toml`
//! is overridden by `MPC_WALLET_<SECTION>_<KEY>`. Relative paths are relative to the file they stand in.
//!
//! The manifest (`cluster.toml`) is the same on every node; what is in it names the cluster, so nothing there can be
//! overridden.

mod etcd;
mod init;
mod keys;
mod manifest;
mod node;
mod policy;
mod postgres;
mod problem;
mod reader;
mod webhook;

pub use etcd::EtcdSettings;
pub use init::{ClusterFiles, ClusterPlan, InitError, init_cluster};
pub use keys::{
    KeyFileError, generate_identity, generate_primes, read_identity, read_password, read_primes, read_secret,
};
pub use manifest::{Manifest, network_name, parse_network};
pub use node::{ChainSettings, LogFormat, LogSettings, QuicSettings, RestSettings, Settings, TlsSettings};
pub use postgres::PostgresSettings;
pub use problem::{ConfigErrors, ConfigProblem};
pub use webhook::WebhookSettings;
