//! Nodes and PostgreSQL are killed at work, again and again; in the end record, nodes and chain agree.

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::suite::{check_books, pay_at_once};

use super::{agreed, funded};

/// Payments, unless this variable says how many.
const PAYMENTS: u16 = 24;
const PAYMENTS_VARIABLE: &str = "MPC_WALLET_KILLED_PAYMENTS";
/// Clients that pay at once while somebody is killed.
const CLIENTS: u16 = 4;
/// Longest that a payment may take meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
/// From the posting of payments to a kill, and from there to the return: payments under way have come to different places.
const STEPS: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(300)];

/// Kills a node, and every other time PostgreSQL with it, and has them return.
fn kill(cluster: &Cluster, postgres: &Postgres, turn: u16) -> anyhow::Result<()> {
    let step = STEPS[usize::from(turn) % STEPS.len()];
    let node = cluster.node(turn % 5 + 1)?;
    let postgres_too = turn.is_multiple_of(2);
    std::thread::sleep(step);
    node.kill9()?;
    if postgres_too {
        postgres.kill()?;
    }
    std::thread::sleep(step);
    cluster.start_all()?;
    if postgres_too {
        postgres.resume()?;
    }
    Ok(())
}

#[test]
fn nothing_is_lost_or_told_twice_while_nodes_and_postgresql_are_killed_at_work() {
    let asked = std::env::var(PAYMENTS_VARIABLE).ok().and_then(|count| count.parse().ok());
    let turns = asked.unwrap_or(PAYMENTS).div_ceil(CLIENTS);
    let coins = u32::from((turns * CLIENTS).min(40));
    let (postgres, cluster) = funded(coins);
    let mut payments = Vec::new();
    for turn in 0..turns {
        let orders: Vec<(u16, u64)> =
            (0..CLIENTS).map(|client| ((turn + client) % 5 + 1, 3_000 + u64::from(client))).collect();
        let tag = format!("killed {turn}");
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| kill(&cluster, &postgres, turn));
            payments.extend(pay_at_once(&cluster, &tag, &orders, PATIENCE).unwrap());
            killer.join().unwrap().unwrap();
        });
    }
    for payment in &payments {
        for node in cluster.nodes() {
            cluster.wait_final(node.id(), &payment.txid, PATIENCE).unwrap();
        }
    }
    let found = agreed(&postgres, &cluster);
    assert_eq!(found.transactions, payments.len());
    check_books(&cluster, u64::from(coins) * 50_000, &payments).unwrap();
    cluster.stop().unwrap();
}
