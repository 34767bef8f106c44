//! Everything that nodes say to operators, searched for what nobody may read.
//!
//! The product's own code logs at `trace`, so that no level hides anything; the QUIC library at `debug`, because below that it
//! writes several lines for each packet, with numbers of packets and never their content.

use std::time::Duration;

use bitcoin::hex::FromHex as _;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use mpc_wallet_e2e::cluster::{Cluster, NodeProcess, wait_for};
use mpc_wallet_e2e::suite::{mining_options, pay_at_once, payee};
use mpc_wallet_shell::access::{KeyFile, Role};
use mpc_wallet_shell::config::Settings;
use mpc_wallet_shell::secrets::SealedSecrets;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::needles::Needles;

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(120);

const LEVELS: &str = "trace,quinn=debug,quinn_proto=debug,quinn_udp=debug";

#[test]
fn no_key_share_or_vote_is_in_any_log_metric_or_error() {
    let mut options = mining_options();
    options.environment.push(("RUST_LOG".to_owned(), LEVELS.to_owned()));
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 3).unwrap();
    let mut needles = Needles::default();
    for payment in pay_at_once(&cluster, "secret", &[(1, 10_000), (2, 20_000)], SOON).unwrap() {
        for node in 1..=5 {
            let seen = cluster.wait_state(node, &payment.txid, "confirmed", SOON).unwrap();
            for vote in &seen.votes {
                needles.text(format!("vote of node {}", vote.node_id), &vote.signature);
            }
        }
    }
    assert!(needles.0.len() >= 2 * 4, "each payment took four votes at least");

    let mut said = errors(&cluster);
    said.push_str(&behind_keys(&cluster, &mut needles));
    for node in cluster.nodes() {
        said.push_str(&node.api().get("/metrics").map(|reply| reply.text).unwrap_or_default());
    }
    for node in cluster.nodes() {
        node.terminate(SOON).unwrap();
        let log = node.log();
        assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""), "a quiet log");
        check_form(&log);
        said.push_str(&log);
        keys_of(&cluster, node, &mut needles);
    }

    assert_eq!(needles.found_in(&said), Vec::<&str>::new());
    // The search does find each of them, between what was really said.
    let excerpt: String = said.chars().take(10_000).collect();
    for planted in &needles.0 {
        let said = format!("{excerpt}{}{excerpt}", planted.text);
        assert!(needles.found_in(&said).contains(&planted.what.as_str()), "{}", planted.what);
    }
}

/// Each line is a JSON object that says when, how bad, where and what.
fn check_form(log: &str) {
    for line in log.lines().take(2_000) {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["fields"].is_object(), "{line}");
        for member in ["timestamp", "level", "target"] {
            assert!(entry[member].is_string(), "{member} in {line}");
        }
    }
}

/// Answers to requests that are wrong in many ways.
fn errors(cluster: &Cluster) -> String {
    let api = cluster.node(3).unwrap().api();
    let recipient = payee("secret", 9).unwrap().to_string();
    let mut bodies = String::new();
    for path in ["/api/v1/transactions/00", "/api/v1/nothing", "/api/v1/transactions?cursor=x"] {
        bodies.push_str(&api.get(path).unwrap().text);
    }
    for body in [
        json!({ "recipient": "nobody", "amount_sats": 1 }),
        json!({ "recipient": recipient, "amount_sats": 21_000_000_u64 * 100_000_000 }),
        json!([]),
    ] {
        let reply = api.post("/api/v1/transactions", &body).unwrap();
        assert!(reply.status >= 400, "{}", reply.text);
        bodies.push_str(&reply.text);
    }
    bodies
}

/// What node 1 says to those with a key, with a wrong one, and with none.
fn behind_keys(cluster: &Cluster, needles: &mut Needles) -> String {
    let node = cluster.node(1).unwrap();
    node.terminate(SOON).unwrap();
    let file = node.config().with_file_name("given-keys.toml");
    let mut keys = KeyFile::default();
    let mut make = |role: Role| keys.create(role.name(), role, OffsetDateTime::now_utc()).unwrap();
    let (viewer, other) = (make(Role::Viewer), make(Role::Admin));
    keys.revoke(Role::Admin.name()).unwrap();
    keys.write(&file).unwrap();
    let settings = std::fs::read_to_string(node.config()).unwrap();
    let named = format!("[rest]\napi_keys = \"{}\"\n", file.display());
    std::fs::write(node.config(), settings.replace("[rest]\n", &named)).unwrap();
    node.start().unwrap();
    node.wait_until_up(SOON).unwrap();

    let mut said = String::new();
    for (key, expected) in [(viewer.reveal(), 200), (other.reveal(), 401)] {
        needles.text("API key", key);
        let reply = node.api().get_with_key("/metrics", key).unwrap();
        assert_eq!(reply.status, expected, "{}", reply.text);
        said.push_str(&reply.text);
        let header = format!("Bearer {key}");
        let reply = node.api().post_raw("/api/v1/dkg", b"{}", &[("authorization", &header)]).unwrap();
        assert!(reply.status >= 400, "{}", reply.text);
        said.push_str(&reply.text);
        // A client that puts its key where it does not belong.
        let wrong = node.api().post_raw("/api/v1/dkg", b"{}", &[("authorization", key)]).unwrap();
        said.push_str(&wrong.text);
    }
    said.push_str(&node.api().get("/metrics").unwrap().text);
    wait_for("the log to tell of a refusal", SOON, || {
        anyhow::ensure!(node.logged(&["answered", "401"]) > 0, "no line");
        Ok(())
    })
    .unwrap();
    said
}

/// Every secret on a node's disk: sealing key, vote key, key share, the certificate's key.
fn keys_of(cluster: &Cluster, node: &NodeProcess, needles: &mut Needles) {
    let id = node.id();
    let digits = |file: &str| {
        let text = std::fs::read_to_string(node.config().with_file_name(file)).unwrap();
        Vec::<u8>::from_hex(text.trim()).unwrap()
    };
    needles.bytes(&format!("sealing key of node {id}"), &digits("secrets.key"));
    needles.bytes(&format!("vote key of node {id}"), &digits("identity.key"));

    let pem = std::fs::read_to_string(cluster.folder().join(format!("certs/node{id}.key"))).unwrap();
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("---") && line.len() >= 16).collect();
    assert!(!lines.is_empty(), "{pem}");
    for line in lines {
        needles.text(format!("certificate's key of node {id}"), line);
    }

    let settings = Settings::load_with(node.config(), []).unwrap();
    let (core, file) = (&settings.core, &settings.secret_key_file);
    let sealed = SealedSecrets::open(&settings.data_dir, file, core.cluster.id(), core.me).unwrap();
    let shares = sealed.load_all().unwrap();
    assert_eq!(shares.len(), 1, "one key was made");
    for (_, _, share) in &shares {
        needles.bytes(&format!("key share of node {id}"), &scalar(&share.to_secret_bytes().unwrap()));
    }
}

/// The secret number of a share: the 32 bytes whose public point is in the share as well.
fn scalar(share: &[u8]) -> Vec<u8> {
    let curve = Secp256k1::new();
    let is_secret = |candidate: &&[u8]| {
        SecretKey::from_slice(candidate).is_ok_and(|key| {
            let point = key.public_key(&curve).serialize();
            share.windows(point.len()).any(|part| part == point)
        })
    };
    share.windows(32).find(is_secret).expect("a share has its secret").to_vec()
}
