//! A coordinator that grants the same coins to everybody, coins that nobody has, and calls for signatures without consent.

use mpc_wallet_byzantine::Deviation;
use mpc_wallet_e2e::cluster::Treason;
use mpc_wallet_e2e::suite::{Insisted, pay_insistently};

use super::{COIN, SOON, check_betrayed, check_the_honest, funded, honest, wait_until_confirmed};

/// The lowest member that is alive coordinates.
const TRAITOR: u16 = 1;

/// Many, so that most of its grants and calls are lies.
const OFTEN: u32 = 3;

#[test]
fn a_lying_coordinator_costs_time_and_tries_and_nothing_is_paid_twice() {
    let (postgres, cluster) = funded(12);
    let honest = honest(TRAITOR);
    cluster
        .betray(TRAITOR, Treason { deviation: Deviation::LyingCoordinator, seed: 1, tries: OFTEN })
        .unwrap();
    assert_eq!(cluster.wait_until_connected().unwrap(), TRAITOR);
    // Two at each honest node, all at once: the lie is that they may have the same coins.
    let orders: Vec<(u16, u64)> = honest.iter().chain(&honest).map(|id| (*id, COIN / 10)).collect();
    let Insisted { paid: payments, .. } = pay_insistently(&cluster, "lied to", &orders, SOON).unwrap();
    check_betrayed(&cluster, TRAITOR);
    wait_until_confirmed(&cluster, &honest, &payments);
    check_the_honest(&postgres, &cluster, TRAITOR, 12, &payments);
}
