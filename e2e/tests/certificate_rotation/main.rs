//! Certificates and their CA are replaced while payments flow; bad ones are refused, expired ones end visibly.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod authority;
mod documented;
mod expiring;
mod papers;
mod refusing;
mod renewal;
mod traffic;

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::suite::mining_options;

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);
/// Coins that a funded wallet has, and satoshi of each.
const COINS: u32 = 60;
const COIN: u64 = 50_000;

/// A cluster with a key and coins that looks at its certificate files this often.
fn funded(check_s: u32) -> Cluster {
    let cluster = Cluster::start(&mining_options().set("tls", "check_s", check_s)).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(COIN, COINS).unwrap();
    cluster
}
