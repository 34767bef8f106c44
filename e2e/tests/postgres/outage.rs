//! PostgreSQL goes away, in order and by a crash, and comes back.

use std::time::Duration;

use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::suite::{Expected, check_books, pay_with_patience};

use super::{SOON, agreed, funded, wait_for_record};

/// The time that payments without PostgreSQL take must not grow: its own time limits are longer than this.
const UNHINDERED: Duration = Duration::from_secs(20);

#[test]
fn payments_go_on_while_postgresql_is_away_and_every_fact_arrives_afterwards() {
    let (postgres, cluster) = funded(12);
    let mut payments: Vec<Expected> = Vec::new();
    let mut pay = |node: u16| {
        let number = u32::try_from(payments.len()).unwrap();
        let payment = pay_with_patience(&cluster, "away", number, node, 9_000, UNHINDERED).unwrap();
        cluster.wait_state(node, &payment.txid, "confirmed", UNHINDERED).unwrap();
        payments.push(payment);
    };
    pay(1);
    agreed(&postgres, &cluster);

    postgres.stop().unwrap();
    for node in [2, 3] {
        pay(node);
    }
    let health = wait_for_record(&cluster, 1, "degraded");
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(health["postgres"]["records_waiting"].as_u64().unwrap() > 0, "{health}");
    let detail = health["postgres"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("PostgreSQL away for ") && detail.ends_with("records waiting"), "{detail}");
    let ready = cluster.node(1).unwrap().api().get("/health/ready").unwrap();
    assert_eq!(
        (ready.status, &ready.body["postgres"]["status"]),
        (200, &"degraded".into()),
        "{}",
        ready.text
    );
    // A node that dies meanwhile has lost nothing that it was to tell.
    cluster.node(4).unwrap().kill9().unwrap();
    pay(5);
    cluster.start_all().unwrap();
    pay(4);

    postgres.resume().unwrap();
    wait_for_record(&cluster, 1, "up");
    // A crash between and within batches: what was not committed is told again, what was is not.
    for node in [1, 2, 3] {
        postgres.kill().unwrap();
        pay(node);
        postgres.resume().unwrap();
        wait_for_record(&cluster, 1, "up");
        pay(node);
    }
    for node in cluster.nodes() {
        for payment in &payments {
            cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
        wait_for_record(&cluster, node.id(), "up");
    }
    let found = agreed(&postgres, &cluster);
    assert_eq!(found.transactions, payments.len());
    check_books(&cluster, 12 * 50_000, &payments).unwrap();
    wait_for("the log to tell when it went and when it came", SOON, || {
        let node = cluster.node(1)?;
        let (went, came) = (node.logged(&["PostgreSQL is away"]), node.logged(&["PostgreSQL is up"]));
        // Four outages, and the start.
        anyhow::ensure!((went, came) == (4, 5), "it went {went} times and came {came} times");
        Ok(())
    })
    .unwrap();
    cluster.stop().unwrap();
}
