//! The chain backend goes away for a while.

use std::time::Duration;

use mpc_wallet_e2e::chain::{ErrorFault, Faults};
use mpc_wallet_e2e::cluster::hold_for;
use mpc_wallet_e2e::suite::{check_books, pay_with_patience};

use super::{SOON, check_logs, funded, log_lengths};

/// Lines that a node may log in three seconds without a backend.
const QUIET: usize = 90;

#[test]
fn a_payment_outlives_an_outage_of_the_chain_backend() {
    let cluster = funded(4);
    let mut payments = Vec::new();
    for (number, errors) in (0..).zip([ErrorFault::Unavailable, ErrorFault::Garbage]) {
        cluster.chain().set_faults(Faults { errors, delay_ms: 0 });
        let lengths = log_lengths(&cluster);
        let payment = pay_with_patience(&cluster, "outage", number, 3, 20_000, SOON).unwrap();
        hold_for("the payment is open and the nodes are well", Duration::from_secs(3), || {
            let seen = cluster.transaction(3, &payment.txid)?;
            anyhow::ensure!(!seen.is_final(), "it is {}", seen.standing());
            let online = cluster.node(3)?.api().cluster()?.online_nodes;
            anyhow::ensure!(online == 5, "{online} nodes are online");
            Ok(())
        })
        .unwrap();
        check_logs(&cluster, &lengths, QUIET);
        cluster.chain().set_faults(Faults::default());
        for node in cluster.nodes() {
            cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
        payments.push(payment);
    }
    check_books(&cluster, 4 * 50_000, &payments).unwrap();
}
