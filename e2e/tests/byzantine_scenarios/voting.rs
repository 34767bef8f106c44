//! A member that approves to some and refuses to others.

use std::process::Command;

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use mpc_wallet_byzantine::Deviation;
use mpc_wallet_core::vote::{Evidence, EvidenceError};
use mpc_wallet_core::{NodeId, codec};
use mpc_wallet_e2e::cluster::{Cluster, Treason, cli_binary, wait_for};
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::suite::pay_at_any_of;
use mpc_wallet_shell::config::Manifest;

use super::{
    SOON, check_betrayed, check_the_honest, funded, honest, is_banned, pay_each, wait_until_confirmed,
};

/// Dialled by nodes 1 and 2, and dials 4 and 5.
const TRAITOR: u16 = 3;

/// An honest node that is killed now and then.
const UNLUCKY: u16 = 4;

/// Under it the traitor tells two stories about votes alone, and none about commitments.
const VOTES_ONLY: u64 = 19_668;

/// The proof as PostgreSQL has it.
fn recorded_proof(postgres: &Postgres) -> anyhow::Result<Vec<u8>> {
    let proof = postgres.psql(&format!(
        "SELECT evidence->>'proof' FROM byzantine_violations
          WHERE node_id = {TRAITOR} AND violation_type = 'double_vote' AND evidence->>'kind' = 'double_vote' LIMIT 1"
    ))?;
    anyhow::ensure!(!proof.trim().is_empty(), "there is none");
    Ok(Vec::from_hex(proof.trim())?)
}

/// The proof convinces whoever has the manifest, names the traitor, and does not survive a change.
fn check_offline(cluster: &Cluster, proof: &[u8]) {
    let manifest = cluster.folder().join("cluster.toml");
    let file = cluster.folder().join("proof");
    std::fs::write(&file, proof.to_lower_hex_string()).unwrap();
    let mut command = Command::new(cli_binary().unwrap());
    let verified =
        command.args(["evidence", "verify"]).arg(&file).arg("--manifest").arg(&manifest).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(
        verified.status.success() && said.contains(&format!("double_vote by node {TRAITOR}")),
        "{verified:?}"
    );

    let members = Manifest::load(&manifest).unwrap().cluster;
    let evidence: Evidence = codec::decode(proof, proof.len()).unwrap();
    evidence.verify(&members).unwrap();
    assert_eq!(evidence.accused(), NodeId::new(TRAITOR));
    let Evidence::DoubleVote { first, second } = &evidence else { panic!("{evidence:?}") };
    let mut innocent = (first.clone(), second.clone());
    innocent.0.body.voter = NodeId::new(UNLUCKY);
    innocent.1.body.voter = NodeId::new(UNLUCKY);
    let forged = Evidence::DoubleVote { first: innocent.0, second: innocent.1 };
    assert_eq!(forged.verify(&members), Err(EvidenceError::NotSigned(NodeId::new(UNLUCKY))));
}

#[test]
fn a_double_voter_is_proven_recorded_banned_for_a_day_and_refused_while_payments_go_on() {
    let (postgres, cluster) = funded(24);
    let honest = honest(TRAITOR);
    cluster
        .betray(TRAITOR, Treason { deviation: Deviation::Equivocator, seed: VOTES_ONLY, tries: 1 })
        .unwrap();
    cluster.wait_until_connected().unwrap();
    let mut payments = pay_each(&cluster, "double vote", &honest);
    check_betrayed(&cluster, TRAITOR);
    // Who comes back is told everything by everybody: both stories meet at the latest there.
    let unlucky = cluster.node(UNLUCKY).unwrap();
    unlucky.kill9().unwrap();
    unlucky.start().unwrap();

    let proof = wait_for("the double vote to be recorded", SOON, || recorded_proof(&postgres)).unwrap();
    check_offline(&cluster, &proof);
    wait_for("every honest node to shut the traitor out", SOON, || {
        for witness in &honest {
            anyhow::ensure!(is_banned(&cluster, *witness, TRAITOR)?, "node {witness} has not");
        }
        Ok(())
    })
    .unwrap();
    wait_for("the record to have it shut out for a day", SOON, || {
        let found = postgres.psql(&format!(
            "SELECT count(*) FROM node_status WHERE node_id = {TRAITOR} AND status = 'banned'
                AND abs(extract(epoch FROM banned_until - now()) - 86400) < 60"
        ))?;
        anyhow::ensure!(found.trim() == "1", "{found}");
        Ok(())
    })
    .unwrap();

    wait_for("nobody to talk to the traitor", SOON, || {
        for witness in &honest {
            let view = cluster.node(*witness)?.api().cluster()?;
            anyhow::ensure!(view.online_nodes == 4, "node {witness} sees {}", view.online_nodes);
        }
        let alone = cluster.node(TRAITOR)?.api().cluster()?.online_nodes;
        anyhow::ensure!(alone == 1, "it sees {alone}");
        Ok(())
    })
    .unwrap();
    for acceptor in [4, 5] {
        wait_for(&format!("node {acceptor} to refuse the traitor's call"), SOON, || {
            let refused = cluster.node(acceptor)?.logged(&["refused a peer", "node-3 is banned"]);
            anyhow::ensure!(refused > 0, "it has not");
            Ok(())
        })
        .unwrap();
    }

    payments.extend(pay_each(&cluster, "without it", &honest));
    // Three honest ones wait for the fourth, and take it back.
    unlucky.kill9().unwrap();
    let others: Vec<u16> = honest.iter().copied().filter(|id| *id != UNLUCKY).collect();
    let waiting = pay_at_any_of(&cluster, "killed again", 0, &others, 6_000, SOON).unwrap();
    unlucky.start().unwrap();
    payments.push(waiting);
    wait_until_confirmed(&cluster, &honest, &payments);
    check_the_honest(&postgres, &cluster, TRAITOR, 24, &payments);
}
