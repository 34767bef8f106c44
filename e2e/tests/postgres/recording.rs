//! What is recorded, and who can check it.

use std::process::Command;

use mpc_wallet_e2e::cluster::{cli_binary, repository, wait_for};
use mpc_wallet_e2e::suite::{check_books, pay_at_once};

use super::{SOON, agreed, funded, wait_for_record};

/// The queries that docs/operations.md tells people to type.
fn documented_queries() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let queries: Vec<String> = text
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block has no end").0.to_owned())
        .collect();
    assert!(queries.len() >= 5, "{queries:?}");
    queries
}

#[test]
fn rows_nodes_and_chain_tell_the_same_and_the_audit_chain_holds_until_a_row_is_altered() {
    let (postgres, cluster) = funded(6);
    let payments =
        pay_at_once(&cluster, "recorded", &[(1, 10_000), (2, 11_000), (3, 12_000), (4, 13_000)], SOON)
            .unwrap();
    for payment in &payments {
        for node in cluster.nodes() {
            cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
    }
    let found = agreed(&postgres, &cluster);
    assert_eq!(found.transactions, 4);
    assert!(found.votes >= 16, "{found:?}");
    check_books(&cluster, 6 * 50_000, &payments).unwrap();

    let burnt = "SELECT count(DISTINCT transaction_id) FROM presignature_usage WHERE protocol = 'frost'";
    assert_eq!(postgres.psql(burnt).unwrap().trim(), "4");

    for node in cluster.nodes() {
        let health = wait_for_record(&cluster, node.id(), "up");
        assert_eq!(health["status"], "healthy", "{health}");
        let metrics = node.api().get("/metrics").unwrap().text;
        for line in ["mpc_wallet_postgres_away_seconds 0", "mpc_wallet_postgres_outbox_records 0"] {
            assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
        }
        assert!(metrics.contains("\nmpc_wallet_postgres_connections "), "{metrics}");
        assert!(!node.log().contains(postgres.password()), "node {} logged the password", node.id());
    }
    wait_for("a heartbeat of every node", SOON, || {
        let online = postgres.psql("SELECT count(*) FROM node_health WHERE status = 'online'")?;
        anyhow::ensure!(online.trim() == "5", "{online} nodes are online");
        Ok(())
    })
    .unwrap();

    for query in documented_queries() {
        let answer = postgres.psql_with(&query, &[("txid", &payments[0].txid)]).expect(&query);
        assert!(!answer.trim().is_empty(), "it finds nothing: {query}");
    }

    let compare = || {
        let program = cli_binary().unwrap().with_file_name("mpc-wallet-audit-compare");
        let mut command = Command::new(program);
        command.args(["--database", &postgres.url_with_password(), "--esplora", &cluster.chain().url()]);
        command.args(cluster.nodes().iter().flat_map(|node| ["--node", node.url()]));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(compare(), (Some(0), String::new()));

    let export = cluster.folder().join("audit.jsonl");
    let lines = postgres.psql("SELECT line FROM audit_export ORDER BY id").unwrap();
    std::fs::write(&export, &lines).unwrap();
    let verify = || {
        let output =
            Command::new(cli_binary().unwrap()).args(["audit", "verify"]).arg(&export).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (status, said) = verify();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&found.audit_rows.to_string()), "{said}");
    // With the database's own powers, as a forger would.
    let mut admin = postgres.admin().unwrap();
    admin
        .batch_execute(
            "SET session_replication_role = replica;
             UPDATE audit_log SET details = details || '{\"approve\": false}' WHERE id =
                 (SELECT min(id) FROM audit_log WHERE event_type = 'vote_received')",
        )
        .unwrap();
    let row = postgres.psql("SELECT min(id) FROM audit_log WHERE event_type = 'vote_received'").unwrap();
    std::fs::write(&export, postgres.psql("SELECT line FROM audit_export ORDER BY id").unwrap()).unwrap();
    let (status, said) = verify();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains(&format!("row {} was altered", row.trim())), "{said}");
    let (status, said) = compare();
    assert!(status == Some(1) && said.contains(&format!("row {} was altered", row.trim())), "{said}");
    cluster.stop().unwrap();
}
