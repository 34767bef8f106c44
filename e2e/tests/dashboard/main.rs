//! The dashboard in a real browser, on a real cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod browser;
mod bumping;
mod deciding;
mod keys;
mod looking;
mod outage;
mod paying;
mod quoting;
mod telling;
mod webdriver;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::suite::mining_options;

/// A cluster with three coins in its Taproot wallet; blocks come while a payment waits.
fn funded() -> Cluster {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 3).unwrap();
    cluster
}
