//! Members that speak in others' names, repeat others' words, or send what is no message.

use mpc_wallet_byzantine::Deviation;
use mpc_wallet_e2e::cluster::{Cluster, Treason, wait_for};
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::suite::Expected;

use super::{
    SOON, STRIKES, check_betrayed, check_the_honest, funded, honest, is_banned, pay_each, violations,
};

/// So many that hardly a message is left as it is.
const NEARLY_ALL: u32 = 100;

/// Pays until every honest node has shut the traitor out, none before the configured count of faults.
fn pay_until_banned(cluster: &Cluster, traitor: u16, tag: &str) -> Vec<Expected> {
    let honest = honest(traitor);
    let (mut payments, mut turn) = (Vec::new(), 0);
    wait_for("every honest node to shut the traitor out", SOON, || {
        let mut patient = Vec::new();
        for witness in &honest {
            if !is_banned(cluster, *witness, traitor)? {
                patient.push(*witness);
            }
        }
        turn += 1;
        // The traitor hears of payments from these alone, and answers with more of the same.
        payments.extend(pay_each(cluster, &format!("{tag} {turn}"), &patient));
        anyhow::ensure!(patient.is_empty(), "after {turn} turns nodes {patient:?} have not");
        Ok(())
    })
    .unwrap();
    for witness in &honest {
        let held = violations(cluster, *witness, traitor).unwrap();
        let faults = held.iter().filter(|kind| *kind != "timeout").count();
        assert!(faults >= STRIKES, "node {witness} shut it out for {held:?}");
    }
    payments
}

/// How many faults of a type the record has of the traitor.
fn recorded(postgres: &Postgres, traitor: u16, kind: &str) -> anyhow::Result<usize> {
    let count = postgres.psql(&format!(
        "SELECT count(*) FROM byzantine_violations WHERE node_id = {traitor} AND violation_type = '{kind}'"
    ))?;
    Ok(count.trim().parse()?)
}

#[test]
fn who_signs_in_others_names_is_shut_out_at_the_configured_count() {
    const TRAITOR: u16 = 4;
    let (postgres, cluster) = funded(24);
    let treason = Treason { deviation: Deviation::Impersonator, seed: 1, tries: NEARLY_ALL };
    cluster.betray(TRAITOR, treason).unwrap();
    cluster.wait_until_connected().unwrap();
    let mut payments = pay_until_banned(&cluster, TRAITOR, "forged");
    check_betrayed(&cluster, TRAITOR);
    wait_for("the forged signatures to be recorded", SOON, || {
        let found = recorded(&postgres, TRAITOR, "invalid_signature")?;
        anyhow::ensure!(found > 0, "none");
        Ok(())
    })
    .unwrap();
    payments.extend(pay_each(&cluster, "after the forgery", &honest(TRAITOR)));
    check_the_honest(&postgres, &cluster, TRAITOR, 24, &payments);
}

#[test]
fn who_sends_what_is_no_message_is_shut_out() {
    const TRAITOR: u16 = 5;
    let (postgres, cluster) = funded(24);
    let treason = Treason { deviation: Deviation::Mutator, seed: 1, tries: NEARLY_ALL };
    cluster.betray(TRAITOR, treason).unwrap();
    let mut payments = pay_until_banned(&cluster, TRAITOR, "garbage");
    check_betrayed(&cluster, TRAITOR);
    wait_for("the garbage to be recorded", SOON, || {
        let found = recorded(&postgres, TRAITOR, "protocol_violation")?;
        anyhow::ensure!(found > 0, "none");
        Ok(())
    })
    .unwrap();
    payments.extend(pay_each(&cluster, "after the garbage", &honest(TRAITOR)));
    check_the_honest(&postgres, &cluster, TRAITOR, 24, &payments);
}

#[test]
fn words_repeated_to_whom_they_were_never_meant_for_harm_nobody_but_who_repeats_them() {
    const TRAITOR: u16 = 3;
    let (postgres, cluster) = funded(24);
    let treason = Treason { deviation: Deviation::Replayer, seed: 1, tries: NEARLY_ALL };
    cluster.betray(TRAITOR, treason).unwrap();
    cluster.wait_until_connected().unwrap();
    let mut payments = pay_each(&cluster, "repeated", &honest(TRAITOR));
    payments.extend(pay_each(&cluster, "repeated again", &honest(TRAITOR)));
    check_betrayed(&cluster, TRAITOR);
    check_the_honest(&postgres, &cluster, TRAITOR, 24, &payments);
}
