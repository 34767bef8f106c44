//! Hands in the database: clumsy ones, which it refuses, and hostile ones, whom nobody believes.

use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::suite::{check_books, pay_with_patience};

use super::{SOON, agreed, compared, funded};

#[test]
fn direct_sql_that_breaks_a_rule_is_refused_and_says_why() {
    let (postgres, cluster) = funded(2);
    let payment = pay_with_patience(&cluster, "rules", 0, 2, 20_000, SOON).unwrap();
    for node in cluster.nodes() {
        cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
    }
    agreed(&postgres, &cluster);
    let txid = &payment.txid;
    let illegal = "cannot go from confirmed to";
    for (statement, reason) in [
        (format!("UPDATE transactions SET state = 'voting' WHERE txid = '{txid}'"), illegal),
        (format!("UPDATE transactions SET state = 'failed' WHERE txid = '{txid}'"), illegal),
        (format!("UPDATE transactions SET recipient = 'mine' WHERE txid = '{txid}'"), "does not change"),
        (format!("UPDATE transactions SET signed_tx = '\\x00' WHERE txid = '{txid}'"), "do not change"),
        (format!("DELETE FROM transactions WHERE txid = '{txid}'"), "append-only"),
        ("TRUNCATE transactions CASCADE".to_owned(), "append-only"),
        (
            "INSERT INTO votes (round_id, node_id, approve, signature, received_at)
             SELECT round_id, node_id, NOT approve, signature, now() FROM votes LIMIT 1"
                .to_owned(),
            "duplicate key",
        ),
        ("UPDATE votes SET approve = false".to_owned(), "append-only"),
        ("DELETE FROM votes".to_owned(), "append-only"),
        ("UPDATE voting_rounds SET threshold = 2".to_owned(), "check constraint"),
        ("UPDATE audit_log SET event_type = 'nothing'".to_owned(), "append-only"),
        ("DELETE FROM audit_log".to_owned(), "append-only"),
        ("TRUNCATE audit_log".to_owned(), "append-only"),
        ("UPDATE presignature_usage SET used_at = now()".to_owned(), "append-only"),
        ("DELETE FROM byzantine_violations".to_owned(), "append-only"),
    ] {
        let refused = postgres.psql(&statement).expect_err(&statement).to_string();
        assert!(refused.contains(reason), "{statement}: {refused}");
    }
    postgres.psql("UPDATE voting_rounds SET votes_received = 99").unwrap();
    agreed(&postgres, &cluster);

    for fault in 1..=5 {
        let banned = "SELECT count(*) FROM node_status WHERE node_id = 5 AND status = 'banned'
                      AND banned_until BETWEEN now() + interval '23 hours' AND now() + interval '25 hours'";
        assert_eq!(postgres.psql(banned).unwrap().trim(), "0", "before fault {fault}");
        postgres
            .psql(
                "INSERT INTO byzantine_violations (node_id, violation_type) VALUES (5, 'invalid_signature')",
            )
            .unwrap();
        let expected = if fault == 5 { "1" } else { "0" };
        assert_eq!(postgres.psql(banned).unwrap().trim(), expected, "after fault {fault}");
    }
    // It is written; whom the nodes hear is their own decision.
    pay_with_patience(&cluster, "rules", 1, 5, 20_000, SOON).unwrap();
    assert_eq!(cluster.node(1).unwrap().api().cluster().unwrap().online_nodes, 5);
    cluster.stop().unwrap();
}

#[test]
fn hostile_rows_change_no_nodes_decision_and_the_comparison_finds_each() {
    let (postgres, cluster) = funded(4);
    let first = pay_with_patience(&cluster, "hostile", 0, 1, 10_000, SOON).unwrap();
    for node in cluster.nodes() {
        cluster.wait_state(node.id(), &first.txid, "confirmed", SOON).unwrap();
    }
    agreed(&postgres, &cluster);

    // Two nodes down: the next payment waits, and the database says otherwise.
    for node in [4, 5] {
        cluster.node(node).unwrap().kill9().unwrap();
    }
    let waiting = pay_with_patience(&cluster, "hostile", 1, 1, 10_000, SOON).unwrap();
    let mut admin = postgres.admin().unwrap();
    wait_for("the payment to be recorded as being voted on", SOON, || {
        let row = admin
            .query_opt("SELECT 1 FROM transactions WHERE txid = $1 AND state = 'voting'", &[&waiting.txid])?;
        row.ok_or_else(|| anyhow::anyhow!("it is not there")).map(|_| ())
    })
    .unwrap();
    admin
        .batch_execute(&format!(
            "SET session_replication_role = replica;
             INSERT INTO votes (round_id, node_id, approve, signature, received_at)
             SELECT round.id, voter, true, 'forged', now()
               FROM voting_rounds round JOIN transactions tx ON tx.id = round.tx_id, generate_series(4, 5) voter
              WHERE tx.txid = '{0}' ON CONFLICT DO NOTHING;
             UPDATE transactions SET state = 'approved', recipient = 'bcrt1qhostile', amount_sats = 1
              WHERE txid = '{0}';
             UPDATE node_status SET status = 'banned', banned_until = now() + interval '1 day';
             UPDATE transactions SET state = 'voting' WHERE txid = '{1}'",
            waiting.txid, first.txid
        ))
        .unwrap();
    let found = compared(&postgres, &cluster).unwrap().differences.join("\n");
    assert!(found.contains("recipient is recorded as \"bcrt1qhostile\""), "{found}");
    assert!(found.contains("no node tells the recorded vote of node"), "{found}");
    assert!(found.contains(&format!("{} is recorded as voting", first.txid)), "{found}");

    cluster.start_all().unwrap();
    for node in cluster.nodes() {
        cluster.wait_state(node.id(), &waiting.txid, "confirmed", SOON).unwrap();
    }
    check_books(&cluster, 4 * 50_000, &[first, waiting]).unwrap();
    cluster.stop().unwrap();
}
