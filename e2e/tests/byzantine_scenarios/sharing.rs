//! A member that signs with bad shares.

use mpc_wallet_byzantine::Deviation;
use mpc_wallet_e2e::cluster::{Treason, wait_for};

use super::{SOON, check_betrayed, check_the_honest, funded, honest, is_banned, pay_each};

const TRAITOR: u16 = 2;

/// Under it every share is bad for all signers.
const BAD_FOR_ALL: u64 = 1_043;

#[test]
fn a_bad_share_names_its_author_and_the_payment_completes_with_others() {
    let (postgres, cluster) = funded(24);
    let honest = honest(TRAITOR);
    cluster.betray(TRAITOR, Treason { deviation: Deviation::BadShare, seed: BAD_FOR_ALL, tries: 1 }).unwrap();
    cluster.wait_until_connected().unwrap();

    let mut payments = Vec::new();
    let mut turn = 0;
    // Signers are drawn for each payment: it takes a few until the traitor is one of them.
    let witness = wait_for("a signer to see a bad share", SOON, || {
        turn += 1;
        payments.extend(pay_each(&cluster, &format!("bad share {turn}"), &honest));
        for witness in &honest {
            if is_banned(&cluster, *witness, TRAITOR)? {
                return Ok(*witness);
            }
        }
        anyhow::bail!("{} payments, and nobody has", payments.len())
    })
    .unwrap();
    check_betrayed(&cluster, TRAITOR);

    let held = cluster.node(witness).unwrap().api().violations().unwrap();
    let named = held.iter().find(|one| one["node_id"] == TRAITOR).expect("a violation of the traitor");
    assert_eq!(named["violation_type"], "protocol_violation", "{named}");
    let txid = named["txid"].as_str().unwrap();
    assert!(payments.iter().any(|payment| payment.txid == txid), "{named} is about no payment");
    assert!(cluster.node(witness).unwrap().logged(&["a member misbehaved", "node-2"]) > 0);
    wait_for("the fault and the ban to be recorded", SOON, || {
        let found = postgres.psql(&format!(
            "SELECT count(*) FROM byzantine_violations fault JOIN node_status member USING (node_id)
              WHERE node_id = {TRAITOR} AND violation_type = 'protocol_violation' AND txid = '{txid}'
                AND reported_by = {witness} AND member.banned_until > now() + interval '23 hours'"
        ))?;
        anyhow::ensure!(found.trim() != "0", "they are not");
        Ok(())
    })
    .unwrap();

    payments.extend(pay_each(&cluster, "after the bad share", &honest));
    check_the_honest(&postgres, &cluster, TRAITOR, 24, &payments);
}
