//! PostgreSQL and etcd together: four accounts of the same payments, that of the nodes, of the chain, of the record and of
//! the copies, agree whatever was killed meanwhile, and a hand that alters one of them is seen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod altering;
mod examining;
mod killing;

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::servers::etcd::Etcd;
use mpc_wallet_e2e::suite::mining_options;

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(120);

/// Both servers, and a cluster on them with a key and `coins` coins of 50,000 sat.
struct World {
    cluster: Cluster,
    postgres: Postgres,
    etcd: Etcd,
}

impl World {
    fn funded(coins: u32) -> Self {
        let (postgres, etcd) = (Postgres::start().unwrap(), Etcd::start().unwrap());
        let cluster = Cluster::start(&mining_options().with_postgres(&postgres).with_etcd(&etcd)).unwrap();
        cluster.run_dkg().unwrap();
        cluster.fund(50_000, coins).unwrap();
        Self { cluster, postgres, etcd }
    }
}
