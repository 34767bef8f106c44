//! Real clusters on one machine: what `devnet`, the benchmark and the end-to-end suites stand on.
//!
//! - [`chain`]: a regtest chain with an Esplora face.
//! - [`cluster`]: five server processes on it, and the handles by which a test or a person drives them.
//! - [`servers`]: PostgreSQL and etcd beside the nodes.
//! - [`record`]: PostgreSQL compared with the nodes and the chain.
//! - [`suite`]: what the suites share: their chain, payees, and oracles that read the chain and not the wallet.
//! - [`documented`]: documents whose examples are run.
//! - [`hostile`]: a peer that follows no rule.
//! - [`between`]: what may stand between the nodes: wires that can be cut, ears that read all they say.

pub mod between;
pub mod chain;
pub mod cluster;
pub mod documented;
pub mod hostile;
pub mod record;
pub mod servers;
pub mod suite;
