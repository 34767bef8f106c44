//! What somebody altered by hand, in either server, is found by the comparison and named.

use std::process::{Command, Output};

use mpc_wallet_e2e::cluster::cli_binary;
use mpc_wallet_e2e::record::{compare_cluster, wait_until_agreed};
use mpc_wallet_e2e::suite::pay_at_once;
use serde_json::{Value, json};

use super::{SOON, World};

impl World {
    fn differences(&self) -> String {
        compare_cluster(&self.cluster, &self.postgres, Some(&self.etcd)).unwrap().differences.join("\n")
    }

    /// Writes another value to a key, checks that the comparison says these words of it, and puts it back. Returns what
    /// was there.
    fn alter(&self, key: &str, alter: impl FnOnce(&mut Value), says: &str) -> Value {
        let was = self.etcd.get_json(key).unwrap();
        let mut altered = was.clone();
        alter(&mut altered);
        self.etcd.put(key, &altered.to_string()).unwrap();
        let found = self.differences();
        assert!(found.contains(says), "{key} altered to {altered}: {found}");
        self.etcd.put(key, &was.to_string()).unwrap();
        assert_eq!(self.differences(), "");
        was
    }

    /// The program as an operator runs it.
    fn program(&self) -> Output {
        let mut command = Command::new(cli_binary().unwrap().with_file_name("mpc-wallet-audit-compare"));
        command.args(["--database", &self.postgres.url_with_password()]);
        command.args(["--esplora", &self.cluster.chain().url(), "--etcd", &self.etcd.endpoints()]);
        command.args(self.cluster.nodes().iter().flat_map(|node| ["--node", node.url()]));
        command.output().unwrap()
    }
}

#[test]
fn an_altered_key_or_row_is_found() {
    let world = World::funded(4);
    let payments = pay_at_once(&world.cluster, "altered", &[(1, 10_000), (2, 11_000)], SOON).unwrap();
    for payment in &payments {
        for node in world.cluster.nodes() {
            world.cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
    }
    wait_until_agreed(&world.cluster, &world.postgres, Some(&world.etcd), SOON).unwrap();
    let agreed = world.program();
    assert!(agreed.status.success(), "{agreed:?}");
    assert!(String::from_utf8_lossy(&agreed.stdout).contains("keys in etcd"), "{agreed:?}");

    let txid = &payments[0].txid;
    let (vote, state) = (format!("/mpc/votes/{txid}/1"), format!("/mpc/tx/{txid}/state"));
    world.alter(&vote, |vote| vote["decision"] = json!("reject"), "the vote of node 1 is recorded as");
    world.alter(&vote, |vote| vote["signature"] = json!("00"), "the vote of node 1 is recorded as");
    world.alter(&state, |state| state["state"] = json!("failed"), "etcd shows {");
    let was = world.etcd.get(&vote).unwrap().unwrap();
    world.etcd.ctl(&["del", &vote]).unwrap();
    let found = world.differences();
    assert!(found.contains("the vote of node 1 is recorded; etcd does not show it"), "{found}");
    world.etcd.put(&vote, &was).unwrap();
    let (foreign, of) = ("0".repeat(64), "/mpc/votes/");
    world.etcd.put(&format!("{of}{foreign}/2"), &was).unwrap();
    let found = world.differences();
    assert!(found.contains(&format!("{foreign}: etcd shows a vote of node 2")), "{found}");
    world.etcd.ctl(&["del", &format!("{of}{foreign}/2")]).unwrap();

    // With the database's own powers, past its triggers.
    let mut admin = world.postgres.admin().unwrap();
    admin
        .batch_execute(&format!(
            "SET session_replication_role = replica;
             UPDATE votes SET approve = false WHERE node_id = 1 AND round_id =
                 (SELECT round.id FROM voting_rounds round JOIN transactions tx ON tx.id = round.tx_id WHERE tx.txid = '{txid}')"
        ))
        .unwrap();
    let found = world.program();
    let said = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("the vote of node 1 is recorded as"), "{said}");
    world.cluster.stop().unwrap();
}
