//! The API against its own description: a schema-driven tester makes requests from it, right ones and wrong ones, and checks what
//! comes back.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, ClusterOptions, Kind};
use mpc_wallet_e2e::suite::{mining_options, payee};
use mpc_wallet_shell::access::{KeyFile, Role, Token};
use tempfile::TempDir;
use time::OffsetDateTime;

/// Where `scripts/install-schemathesis.sh` put the tester.
const TESTER: &str = "MPC_WALLET_SCHEMATHESIS";
/// For each operation; the environment may ask for more.
const EXAMPLES: &str = "25";
const EXAMPLES_VARIABLE: &str = "MPC_WALLET_EXAMPLES";

/// What the tester cannot know. A body of the right form may still be an address of another network: 422.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"#;

fn tester() -> PathBuf {
    let tester = std::env::var_os(TESTER).map(PathBuf::from);
    tester.unwrap_or_else(|| {
        panic!("{TESTER} is not set: scripts/install-schemathesis.sh DIR, then {TESTER}=DIR/bin/schemathesis")
    })
}

/// Two nodes with keys of both kinds and a payment, the first of which asks for an API key.
fn closed_cluster(keys: &Path) -> Cluster {
    let options = ClusterOptions { nodes: 2, threshold: 2, ..mining_options() };
    let options = options.set("limits", "presignatures_low", 0).set("limits", "presignatures_high", 0).set(
        "limits",
        "presignatures_most",
        1,
    );
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.make_key(Kind::Segwit, |_| {}).unwrap();
    cluster.fund(1_000_000, 2).unwrap();
    let paid = cluster.pay(1, &payee("openapi", 1).unwrap(), 50_000).unwrap();
    cluster.wait_state(1, &paid.txid, "confirmed", Duration::from_secs(60)).unwrap();
    close(&cluster, keys);
    cluster
}

fn close(cluster: &Cluster, keys: &Path) {
    let node = cluster.node(1).unwrap();
    node.terminate(Duration::from_secs(10)).unwrap();
    let settings = fs::read_to_string(node.config()).unwrap();
    let named = format!("[rest]\napi_keys = \"{}\"\nrequests_per_minute = 1000000\n", keys.display());
    fs::write(node.config(), settings.replace("[rest]\n", &named)).unwrap();
    node.start().unwrap();
    node.wait_until_up(Duration::from_secs(30)).unwrap();
}

fn key(file: &Path) -> Token {
    let mut keys = KeyFile::default();
    let token = keys.create("tester", Role::Admin, OffsetDateTime::now_utc()).unwrap();
    keys.write(file).unwrap();
    token
}

#[test]
fn the_api_does_what_its_description_says() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let token = key(&file);
    let cluster = closed_cluster(&file);
    fs::write(dir.path().join("schemathesis.toml"), SETTINGS).unwrap();

    let (url, key) = (cluster.node(1).unwrap().url(), token.reveal());
    // Streams do not end, and the tester reads answers to their end; the shell's tests have them. A frozen cluster is not ready,
    // which 503 says.
    test(dir.path(), url, key, &["--exclude-path-regex", "/events$|/freeze$"]);
    test(dir.path(), url, key, &["--include-path-regex", "/cluster/(freeze|lift|status)$"]);
}

/// Lets the tester loose on some of the operations.
fn test(dir: &Path, url: &str, key: &str, operations: &[&str]) {
    let tested = Command::new(tester())
        .current_dir(dir)
        .args(["run", &format!("{url}/api/v1/openapi.json"), "--url", url])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(operations)
        .args(["--checks", "all", "--mode", "all", "--seed", "1", "--no-color", "--continue-on-failure"])
        .args(["--max-examples", &std::env::var(EXAMPLES_VARIABLE).unwrap_or_else(|_| EXAMPLES.to_owned())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    println!("{said}");
    assert!(tested.status.success(), "{said}{}", String::from_utf8_lossy(&tested.stderr));
    // A tester that found nothing to test is content, too.
    assert!(said.contains("Fuzzing"), "{said}");
}
