//! A node's disk is lost, and a backup brings the node back: with its share, without what is used once, and without saying
//! anything that contradicts what it said after the backup.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, cli_binary, wait_for};
use mpc_wallet_e2e::suite::{mining_options, payee};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

fn cli(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(cli_binary().unwrap())
        .args(arguments)
        .args(["--output", "json"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> Value {
    let output = cli(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn pay(cluster: &Cluster, node: u16, number: u32) -> String {
    let txid = cluster.pay(node, &payee("backup", number).unwrap(), 30_000).unwrap().txid;
    cluster.wait_state(node, &txid, "confirmed", SOON).unwrap();
    txid
}

#[test]
fn a_lost_disk_is_restored_from_a_backup_that_was_taken_at_work_and_the_cluster_needs_the_node_again() {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(200_000, 6).unwrap();
    let before = pay(&cluster, 5, 0);
    let folder = cluster.folder();
    let made = done(folder, &["backup", "create", "backup", "--config", "node-5/node.toml"]);
    assert!(folder.join("node-5/data/last-backup").exists());
    let verify = ["backup", "verify", "backup", "--secret-key", "node-5/secrets.key"];
    let verified = done(folder, &verify);
    assert_eq!((&verified["shares_opened"], &verified["keys"][0]), (&1.into(), &"taproot-1".into()));
    assert_eq!(made["journal_position"], verified["journal_position"]);
    // The node says and signs more than the backup knows.
    let after = pay(&cluster, 5, 1);

    let node = cluster.node(5).unwrap();
    node.kill9().unwrap();
    fs::remove_dir_all(folder.join("node-5/data")).unwrap();
    done(folder, &["backup", "restore", "backup", "--config", "node-5/node.toml"]);
    cluster.start_all().unwrap();
    cluster.wait_until_connected().unwrap();
    wait_for("the node to know what it did after the backup", SOON, || {
        let status: Value = node.api().get("/api/v1/cluster/status")?.read()?;
        anyhow::ensure!(status["standing"]["name"] == "sound", "it is {}", status["standing"]);
        for txid in [&before, &after] {
            let seen = node.api().transaction(txid)?;
            anyhow::ensure!(seen.state == "confirmed", "{txid} is {}", seen.standing());
        }
        Ok(())
    })
    .unwrap();

    // Four of five sign, and one is away: without the restored node nothing would be signed.
    cluster.node(1).unwrap().terminate(SOON).unwrap();
    wait_for("the others to miss node 1", SOON, || {
        let online = node.api().cluster()?.online_nodes;
        anyhow::ensure!(online == 4, "{online} online");
        Ok(())
    })
    .unwrap();
    pay(&cluster, 5, 2);
    for witness in 2..=4 {
        let members = cluster.node(witness).unwrap().api().members().unwrap().nodes;
        let restored = members.iter().find(|member| member.node_id == 5).unwrap();
        assert_eq!((restored.total_violations, &restored.banned_until), (0, &None), "node {witness}");
    }
    cluster.stop().unwrap();
}

#[test]
fn a_backup_without_the_share_of_a_key_is_refused() {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    let folder = cluster.folder();
    done(folder, &["backup", "create", "backup", "--config", "node-2/node.toml"]);
    // As if the file had never been copied: the document does not list it either.
    let path = folder.join("backup/backup.json");
    let mut contents: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let files = contents["files"].as_array_mut().unwrap();
    let share = files.iter().position(|file| file["name"].as_str().unwrap().ends_with(".share")).unwrap();
    let share = files.remove(share);
    fs::remove_file(folder.join("backup").join(share["name"].as_str().unwrap())).unwrap();
    fs::write(&path, contents.to_string()).unwrap();

    let refused = cli(folder, &["backup", "verify", "backup"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("the share of key taproot-1 is not in the backup"), "{told}");
}
