//! `doctor` beside real servers: what it says while all are well, and of each that goes.

use std::process::Command;

use mpc_wallet_e2e::cluster::{NodeProcess, cli_binary, wait_for};
use serde_json::Value;

use super::{SOON, World};

/// What `doctor` says of a node's machine and servers: exit code, and result and detail of each check.
fn examine(node: &NodeProcess) -> (Option<i32>, Vec<(String, String, String)>) {
    let settings = node.command();
    let settings = settings.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new(cli_binary().unwrap())
        .envs(settings)
        .args(["--output", "json", "doctor", "--config"])
        .arg(node.config())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let member = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap().iter();
    let checks =
        checks.map(|check| (member(check, "check"), member(check, "result"), member(check, "detail")));
    (output.status.code(), checks.collect())
}

/// Waits until a check has this result and these words.
fn wait_for_finding(node: &NodeProcess, name: &str, result: &str, words: &str) -> Option<i32> {
    wait_for(&format!("{name} to be {result}"), SOON, || {
        let (code, checks) = examine(node);
        let found = checks.iter().find(|check| check.0 == name);
        let fits = found.is_some_and(|check| check.1 == result && check.2.contains(words));
        anyhow::ensure!(fits, "{checks:?}");
        Ok(code)
    })
    .unwrap()
}

#[test]
fn doctor_finds_each_server_well_and_names_each_that_is_not() {
    let World { cluster, postgres, etcd } = World::funded(1);
    let node = cluster.node(1).unwrap();
    let code = wait_for_finding(node, "etcd", "ok", "3 of 3 members have a quorum");
    let (_, checks) = examine(node);
    assert_eq!(code, Some(0), "{checks:?}");
    for (name, words) in [
        ("postgres", "it answers, and takes this node's user"),
        ("migrations", "the newest"),
        ("postgres clock", "PostgreSQL's clock is"),
    ] {
        let found = checks.iter().find(|check| check.0 == name).unwrap();
        assert!(found.1 == "ok" && found.2.contains(words), "{found:?}");
    }

    etcd.kill(1).unwrap();
    assert_eq!(wait_for_finding(node, "etcd", "warn", "2 of 3 members have a quorum"), Some(0));
    etcd.kill(2).unwrap();
    let failed = wait_for_finding(node, "etcd", "fail", "the lowest live node coordinates meanwhile");
    assert_eq!(failed, Some(1));
    for member in [1, 2] {
        etcd.start_member(member).unwrap();
    }
    assert_eq!(wait_for_finding(node, "etcd", "ok", "3 of 3"), Some(0));

    postgres.psql("UPDATE refinery_schema_history SET version = version + 1000").unwrap();
    assert_eq!(wait_for_finding(node, "migrations", "fail", "upgrade it"), Some(1));
    postgres.psql("UPDATE refinery_schema_history SET version = version - 1000").unwrap();
    assert_eq!(wait_for_finding(node, "migrations", "ok", "the newest"), Some(0));
    postgres.stop().unwrap();
    let failed = wait_for_finding(node, "postgres", "fail", "payments go on without it, the record waits");
    assert_eq!(failed, Some(1));
}
