//! The command line against a node whose answers are written here: output, and every exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod rest_support;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command as Process, Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use bitcoin::hex::DisplayHex as _;
use mpc_wallet_core::{
    BootId, FreezeId, KeyId, NodeId, Scheme, SessionId, Timestamp, VoteKey, codec,
    identity::Signed,
    message::MpcMessage,
    mpc::Stage,
    overview::{FreezeView, KeygenPhase, KeygenView},
    policy::PolicyBreach,
    refusal::Refusal,
    step::{Command, Outcome},
    tx::State,
    vote::Evidence,
};
use mpc_wallet_shell::{
    access::Keyring,
    config::{ClusterPlan, init_cluster, read_identity},
    rest::router,
};
use rest_support::{
    Past, REGTEST, Script, ScriptedNode, guarded, healthy, row, scripted, txid_of, with_pool,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Runs the program; nothing is on its standard input.
fn cli(node: SocketAddr, arguments: &[&str]) -> Output {
    Process::new(env!("CARGO_BIN_EXE_mpc-wallet-cli"))
        .args(arguments)
        .env("MPC_WALLET_NODE", format!("http://{node}"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

async fn run(node: SocketAddr, arguments: &[&str]) -> Output {
    let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    tokio::task::spawn_blocking(move || cli(node, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A node with one transaction in a state, and its address.
async fn node(state: State, script: Script) -> (ScriptedNode, SocketAddr) {
    let node = scripted(healthy(), Past { rows: vec![row(1, state)], ..Past::default() }, script);
    let address = listen(router(node.state.clone())).await;
    (node, address)
}

fn proposing() -> Script {
    Box::new(|_| Some(Outcome::Proposed { txid: txid_of(1).parse().unwrap(), replayed: false }))
}

fn refusing(refusal: Refusal) -> Script {
    Box::new(move |_| Some(Outcome::Refused(refusal.clone())))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_command_prints_a_table_and_the_apis_json() {
    let (_node, address) = node(State::Voting, proposing()).await;
    let txid = txid_of(1);
    for (arguments, words) in [
        (vec!["wallet", "balance"], "0.00100000 BTC (100,000 sat)"),
        (vec!["wallet", "address", "--type", "taproot"], "bcrt 1p"),
        (vec!["tx", "status", &txid], "awaiting_votes"),
        (vec!["tx", "list", "--state", "voting,signed", "--type", "taproot"], "voting"),
        (vec!["cluster", "status"], "5 of 5 online, 4 needed (margin 1)"),
        (vec!["cluster", "nodes"], "online"),
        (vec!["dkg", "status"], "taproot-1"),
    ] {
        let output = run(address, &arguments).await;
        assert_exit(&output, 0);
        assert!(stdout(&output).contains(words), "{words} in {}", stdout(&output));
        assert!(!stdout(&output).contains('\u{1b}'), "no colour in a pipe");
        let output = run(address, &[arguments.as_slice(), &["--output", "json"]].concat()).await;
        assert_exit(&output, 0);
        assert!(serde_json::from_str::<Value>(&stdout(&output)).unwrap().is_object());
        assert!(stderr(&output).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shown_in_full_and_proposed_with_an_idempotency_key() {
    let (node, address) = node(State::Voting, proposing()).await;
    let send = ["tx", "send", REGTEST, "0.0005btc", "--fee-rate", "1.5", "--metadata", "invoice 7", "--yes"];
    let output = run(address, &[send.as_slice(), &["--output", "json"]].concat()).await;
    assert_exit(&output, 0);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["txid"], txid_of(1));
    let shown = stderr(&output);
    for words in ["REGTEST", "bcrt 1qw5 08d6", "0.00050000 BTC (50,000 sat)", "1.5 sat/vB", "4 of 5 votes"] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    let commands = node.commands.lock().unwrap();
    let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
    assert_eq!((asked.amount.to_sat(), asked.fee_rate), (50_000, Some(1_500)));
    assert_eq!(asked.idempotency_key.as_ref().unwrap().len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_comes_from_the_wallet_that_was_named() {
    for (arguments, scheme) in [(vec![], Scheme::Taproot), (vec!["--type", "segwit"], Scheme::Segwit)] {
        let (node, address) = node(State::Voting, proposing()).await;
        let send = ["tx", "send", REGTEST, "50000sat", "--yes"];
        let output = run(address, &[send.as_slice(), &arguments].concat()).await;
        assert_exit(&output, 0);
        assert!(stderr(&output).contains(&format!("{scheme} wallet")), "{}", stderr(&output));
        let commands = node.commands.lock().unwrap();
        let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
        assert_eq!(asked.scheme, scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_is_sent_unless_yes_is_said() {
    let (node, address) = node(State::Voting, proposing()).await;
    let output = run(address, &["tx", "send", REGTEST, "50000sat"]).await;
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    let output = run(address, &["tx", "send", REGTEST, "50000sat", "--dry-run"]).await;
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("nothing was proposed"));
    let output = run(address, &["tx", "send", REGTEST, "80000sat", "--dry-run"]).await;
    assert_exit(&output, 3);
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_before_anything_is_asked() {
    let (node, address) = node(State::Voting, proposing()).await;
    for (arguments, words) in [
        (vec!["tx", "send", REGTEST, "50000", "--yes"], "could be satoshis or bitcoin"),
        (vec!["tx", "send", REGTEST, "0sat", "--yes"], "at least 1sat"),
        (vec!["tx", "send", REGTEST, "5sat", "--fee-rate", "fast", "--yes"], "not a fee rate"),
        (vec!["tx", "send", REGTEST, "5sat", "--wait=lost", "--yes"], "the states are"),
        (vec!["tx", "send", "nonsense", "5sat", "--yes"], "not a Bitcoin address"),
        (vec!["tx", "send", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "5sat", "--yes"], "mainnet"),
        (vec!["--node", "127.0.0.1:1", "cluster", "status"], "not an http(s) URL"),
        (vec!["tx", "status", "xyz"], "64 hexadecimal digits"),
        (vec!["wallet", "balance", "--type", "gold"], "must be taproot or segwit"),
    ] {
        let output = run(address, &arguments).await;
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(words), "{words} in {}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_end_with_their_documented_exit_code() {
    let dust = Refusal::Policy(PolicyBreach::Dust { amount: 5, limit: 546 });
    let no_money = Refusal::InsufficientFunds { needed: 9, spendable: 1, locked: 0, unconfirmed: 0 };
    for (refusal, code) in [
        (dust, 3),
        (no_money, 3),
        (Refusal::Policy(PolicyBreach::NotWhitelisted), 3),
        (Refusal::InProgress, 5),
        (Refusal::KeyReused { txid: txid_of(1).parse().unwrap() }, 5),
        (Refusal::NoQuorum { online: 3, total: 5, needed: 4 }, 6),
        (Refusal::Internal("x".to_owned()), 1),
    ] {
        let name = refusal.code();
        let (_node, address) = node(State::Voting, refusing(refusal)).await;
        let output = run(address, &["tx", "send", REGTEST, "5sat", "--yes"]).await;
        assert_exit(&output, code);
        assert!(stderr(&output).contains(&format!("error[{name}]")), "{}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_found_conflict_and_unreachable_are_told_apart() {
    let (_node, address) = node(State::Voting, proposing()).await;
    assert_exit(&run(address, &["tx", "status", &txid_of(2)]).await, 4);
    assert_exit(&run(address, &["tx", "approve", &txid_of(1)]).await, 5);
    assert_exit(&run(address, &["tx", "reject", &txid_of(2)]).await, 4);
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    assert_exit(&run(gone, &["cluster", "status"]).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_an_answer_has_an_unknown_outcome_and_says_how_to_be_sure() {
    let (_node, address) = node(State::Voting, Box::new(|_| None)).await;
    let send = ["tx", "send", REGTEST, "50000sat", "--yes", "--idempotency-key", "order-7"];
    let output = run(address, &send).await;
    assert_exit(&output, 7);
    assert!(stderr(&output).contains("--idempotency-key order-7"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_after_sending_has_an_unknown_outcome() {
    let status = || async { Json(json!({ "network": "regtest" })) };
    let broken = Router::new().route("/api/v1/cluster/status", get(status)).route(
        "/api/v1/transactions",
        // The connection ends in the middle of the answer.
        post(|| async {
            let chunks = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
            (StatusCode::CREATED, axum::body::Body::from_stream(chunks))
        }),
    );
    let address = listen(broken).await;
    let output = run(address, &["tx", "send", REGTEST, "50000sat", "--yes"]).await;
    assert_exit(&output, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_follows_a_payment_to_its_end() {
    let send = ["tx", "send", REGTEST, "50000sat", "--yes"];
    for (state, wait, code) in [
        (State::Confirmed, "--wait", 0),
        (State::Broadcasting, "--wait=signed", 0),
        (State::Rejected, "--wait", 3),
        (State::Voting, "--wait=signed", 7),
    ] {
        let (_node, address) = node(state, proposing()).await;
        let output = run(address, &[send.as_slice(), &[wait, "--timeout", "1"]].concat()).await;
        assert_exit(&output, code);
        assert!(stdout(&output).contains(state.name()), "{}", stdout(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_generation_is_awaited() {
    let key = healthy().wallets[0].key;
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let script: Script = Box::new(move |_| {
        *count.lock().unwrap() += 1;
        Some(Outcome::KeygenStarted { key })
    });
    let (_node, address) = node(State::Voting, script).await;
    let output = run(address, &["dkg", "start", "--wait", "--timeout", "5"]).await;
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("taproot-1"));
    assert_eq!(*seen.lock().unwrap(), 1);
}

/// A node with a stock of presignatures whose key generation is in a phase, and its address.
async fn segwit_node(phase: KeygenPhase, stage: Option<Stage>, script: Script) -> (ScriptedNode, SocketAddr) {
    let key = KeyId { scheme: Scheme::Segwit, epoch: 1 };
    let waiting_for = vec![NodeId::new(2), NodeId::new(5)];
    let mut overview = with_pool();
    overview.keygen = Some(KeygenView { key, phase, waiting_for, started: Timestamp(1_000), stage });
    let node = scripted(overview, Past::default(), script);
    let address = listen(router(node.state.clone())).await;
    (node, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn presignatures_are_ordered_and_the_stock_is_shown() {
    let script: Script = Box::new(|command| match command {
        Command::Presign { count } => Some(Outcome::PresigningOrdered { count }),
        Command::Pay(_) | Command::GenerateKey(_) | Command::Freeze { .. } | Command::Lift { .. } => None,
    });
    let (node, address) = segwit_node(KeygenPhase::Active, None, script).await;
    let output = run(address, &["presig", "generate", "--count", "12"]).await;
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("segwit-1") && stdout(&output).contains("12"), "{}", stdout(&output));
    assert_eq!(*node.commands.lock().unwrap(), [Command::Presign { count: 12 }]);

    let output = run(address, &["presig", "pool-status"]).await;
    assert_exit(&output, 0);
    let shown = stdout(&output);
    let words: Vec<_> = shown.split_whitespace().collect();
    for line in [
        "available 9",
        "kept for a group 4 to 16, at most 256",
        "1 2 3 4 7 8 yes yes 0",
        "2 3 4 5 4 4 no no 0",
    ] {
        assert!(words.join(" ").contains(line), "{line} in {shown}");
    }
    let mut low = with_pool();
    low.presignatures.as_mut().unwrap().groups.truncate(0);
    node.overview.send_replace(low.into());
    let output = run(address, &["presig", "pool-status"]).await;
    assert!(stdout(&output).contains("0, LOW"), "{}", stdout(&output));

    for (count, words) in [("257", "from 1 to 256"), ("0", "0 is not in 1.."), ("many", "invalid digit")] {
        let output = run(address, &["presig", "generate", "--count", count]).await;
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(node.commands.lock().unwrap().len(), 1);
    let (_taproot_only, address) = self::node(State::Voting, proposing()).await;
    assert_exit(&run(address, &["presig", "pool-status"]).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_generation_shows_what_it_does_and_whom_it_waits_for() {
    let stage = Stage { name: "auxiliary information", round: 2, rounds: 3 };
    for (phase, stage, told) in [
        (KeygenPhase::Preparing, None, "preparing: members look for primes"),
        (KeygenPhase::Running, Some(stage), "auxiliary information, round 2 of 3"),
        (KeygenPhase::Confirming, None, "confirming"),
    ] {
        let started: Script = Box::new(|command| match command {
            Command::GenerateKey(scheme) => Some(Outcome::KeygenStarted { key: KeyId { scheme, epoch: 1 } }),
            Command::Pay(_) | Command::Presign { .. } | Command::Freeze { .. } | Command::Lift { .. } => None,
        });
        let (node, address) = segwit_node(phase.clone(), stage, started).await;
        let output = run(address, &["dkg", "status"]).await;
        assert_exit(&output, 0);
        for words in [told, "2, 5"] {
            assert!(stdout(&output).contains(words), "{words} in {}", stdout(&output));
        }
        let output = run(address, &["dkg", "start", "--type", "segwit"]).await;
        assert_exit(&output, 0);
        assert!(stdout(&output).contains(phase.name()), "{}", stdout(&output));
        assert_eq!(*node.commands.lock().unwrap(), [Command::GenerateKey(Scheme::Segwit)]);
    }
}

#[test]
fn what_needs_no_node_works_without_one() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let dir = TempDir::new().unwrap();
    let cluster = dir.path().join("cluster");
    let init = ["cluster", "init", cluster.to_str().unwrap(), "--network", "regtest"];
    let output = cli(nowhere, &init);
    assert_exit(&output, 0);
    assert!(cluster.join("node-5/node.toml").exists());
    assert_exit(&cli(nowhere, &init), 5);

    let identity = dir.path().join("identity.key");
    let generate = ["identity", "generate", identity.to_str().unwrap()];
    let output = cli(nowhere, &generate);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).trim().len(), 64);
    assert_ne!(stdout(&output).trim(), fs::read_to_string(&identity).unwrap().trim());
    assert_exit(&cli(nowhere, &generate), 5);

    // Before a search that takes a minute, and not after it.
    let kept = fs::read(&identity).unwrap();
    assert_exit(&cli(nowhere, &["primes", "generate", identity.to_str().unwrap()]), 5);
    assert_eq!(fs::read(&identity).unwrap(), kept);
    let no_folder = dir.path().join("missing/primes.hex");
    assert_exit(&cli(nowhere, &["primes", "generate", no_folder.to_str().unwrap()]), 2);

    let output = cli(nowhere, &["completions", "bash"]);
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("mpc-wallet-cli"));
    let help = stdout(&cli(nowhere, &["--help"]));
    assert!(help.contains("7  outcome unknown"), "{help}");
}

#[tokio::test]
async fn a_key_is_made_shown_once_taken_by_the_node_and_revoked() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml").display().to_string();
    let nobody: SocketAddr = ([127, 0, 0, 1], 1).into();
    let create = ["key", "create", "--file", &file, "--name", "desk", "--role", "viewer"];
    let made = run(nobody, &create).await;
    assert_exit(&made, 0);
    let token = stdout(&made).trim().to_owned();
    assert!(token.starts_with("mpcw_"), "{token}");
    assert_exit(&run(nobody, &create).await, 5);
    let listed = run(nobody, &["key", "list", "--file", &file]).await;
    assert!(stdout(&listed).contains("desk") && !stdout(&listed).contains(&token), "{}", stdout(&listed));

    let keyring = Some(Arc::new(Keyring::load(file.as_ref(), 600.try_into().unwrap()).unwrap()));
    let node = guarded(healthy(), Past::default(), Box::new(|_| None), keyring);
    let address = listen(router(node.state.clone())).await;
    let without = run(address, &["cluster", "status"]).await;
    assert_exit(&without, 3);
    assert!(
        stderr(&without).contains("error[unauthenticated]: This node asks for an API key"),
        "{}",
        stderr(&without)
    );
    assert_exit(&run(address, &["--api-key", &token, "cluster", "status"]).await, 0);
    let order = run(address, &["--api-key", &token, "presig", "generate", "--count", "1"]).await;
    assert_exit(&order, 3);
    assert!(stderr(&order).contains("Key desk has the role viewer; this needs admin."), "{}", stderr(&order));

    assert_exit(&run(nobody, &["key", "revoke", "--file", &file, "--name", "desk"]).await, 0);
    assert_exit(&run(nobody, &["key", "revoke", "--file", &file, "--name", "desk"]).await, 4);
}

#[test]
fn certificates_are_shown_and_checked_without_a_node() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let dir = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/generate-certs.sh");
    let made = Process::new(script).args(["--nodes", "2", "--out"]).arg(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    let output = cli(nowhere, &["cert", "show", &file("node2.crt"), "--output", "json"]);
    assert_exit(&output, 0);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let shown = &shown["certificates"][0];
    assert_eq!((&shown["subject"], &shown["names"]), (&json!("CN=node-2"), &json!(["node-2"])));
    assert!(shown["issuer"].as_str().unwrap().starts_with("CN=mpc-wallet CA "), "{shown}");
    assert_eq!(shown["is_ca"], json!(false));
    // 365 in the second in which it was made.
    assert!(matches!(shown["days_left"].as_u64(), Some(364 | 365)), "{shown}");
    let both = [fs::read(file("ca.crt")).unwrap(), fs::read(file("node1.crt")).unwrap()].concat();
    fs::write(file("bundle.crt"), both).unwrap();
    let output = cli(nowhere, &["cert", "show", &file("bundle.crt")]);
    assert_exit(&output, 0);
    for words in ["CN=mpc-wallet CA ", "CN=node-1", "days left", "not after"] {
        assert!(stdout(&output).contains(words), "{words} in {}", stdout(&output));
    }

    let check = |cert: &str, key: &str, node: &str| {
        let files = [file(cert), file(key), file("ca.crt")];
        cli(nowhere, &["cert", "check", &files[0], &files[1], "--ca", &files[2], "--node-id", node])
    };
    assert_exit(&check("node1.crt", "node1.key", "1"), 0);
    for (cert, key, node, reason) in [
        ("node1.crt", "node1.key", "2", "does not name node-2"),
        ("node1.crt", "node2.key", "1", "does not belong to certificate"),
        ("ca.crt", "ca.key", "1", "certificate"),
    ] {
        let output = check(cert, key, node);
        assert_exit(&output, 3);
        assert!(stderr(&output).contains(reason), "{reason}: {}", stderr(&output));
    }
    assert_exit(&check("node3.crt", "node1.key", "1"), 2);
    assert_exit(&check("node1.key", "node1.key", "1"), 2);
}

#[test]
fn evidence_is_verified_offline_from_digits_or_a_document_and_a_forgery_convicts_nobody() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let dir = TempDir::new().unwrap();
    let files = init_cluster(&dir.path().join("cluster"), &ClusterPlan::default()).unwrap();
    let liar = read_identity(&files.nodes[2].with_file_name("identity.key")).unwrap();
    let said = |payload: u8, key: &VoteKey| {
        let body = MpcMessage {
            session: SessionId::from_bytes([5; 32]),
            from: NodeId::new(3),
            boot: BootId(1),
            to: None,
            sequence: 1,
            payload: vec![payload],
        };
        Box::new(Signed::new(body, key))
    };
    let verify = |content: String| {
        let file = dir.path().join("evidence");
        fs::write(&file, content).unwrap();
        let manifest = files.manifest.display().to_string();
        cli(nowhere, &["evidence", "verify", &file.display().to_string(), "--manifest", &manifest])
    };
    let digits = |second: Box<Signed<MpcMessage>>| {
        let evidence = Evidence::Equivocation { first: said(1, &liar), second };
        codec::encode(&evidence).unwrap().to_lower_hex_string()
    };
    let proof = digits(said(2, &liar));
    for content in [
        format!("{proof}\n"),
        json!({ "node_id": 3, "evidence": proof }).to_string(),
        json!({ "kind": "equivocation", "proof": proof }).to_string(),
    ] {
        let output = verify(content);
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("protocol_violation by node 3"), "{}", stdout(&output));
    }
    let framed = verify(digits(said(2, &VoteKey::from_bytes(&[9; 32]).unwrap())));
    assert_exit(&framed, 3);
    assert!(stderr(&framed).contains("convicts nobody"), "{}", stderr(&framed));
    assert_exit(&verify(digits(said(1, &liar))), 3);
    assert_exit(&verify("no digits".to_owned()), 2);
    assert_exit(&verify("00ff".to_owned()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_frozen_and_lifted_and_the_status_says_by_whom() {
    let script: Script = Box::new(|command| match command {
        Command::Freeze { .. } => Some(Outcome::Frozen { freeze: FreezeId::from_bytes([1; 32]) }),
        Command::Lift { .. } => Some(Outcome::Lifted { freezes: Vec::new() }),
        Command::Pay(_) | Command::GenerateKey(_) | Command::Presign { .. } => None,
    });
    let (node, address) = segwit_node(KeygenPhase::Active, None, script).await;
    let output = run(address, &["cluster", "freeze", "--reason", "why"]).await;
    assert_exit(&output, 2);
    let asked = stderr(&output);
    assert!(asked.contains("REGTEST") && asked.contains("all nodes stop signing"), "{asked}");
    assert!(node.commands.lock().unwrap().is_empty());

    let mut frozen = with_pool();
    frozen.freezes = vec![FreezeView {
        id: FreezeId::from_bytes([1; 32]),
        node: NodeId::new(3),
        operator: "ops-3".to_owned(),
        reason: "a laptop is lost".to_owned(),
        at: Timestamp(1_700_000_000_000),
        lifted_by: vec![NodeId::new(2)],
    }];
    node.overview.send_replace(frozen.into());
    let output = run(address, &["cluster", "freeze", "--reason", "a laptop is lost", "--yes"]).await;
    assert_exit(&output, 0);
    let line =
        "by ops-3 at node 3 since 2023-11-14T22:13:20Z: a laptop is lost (lifted by nodes 2; 4 nodes must)";
    assert!(stdout(&output).contains(line), "{}", stdout(&output));
    let output = run(address, &["cluster", "status"]).await;
    assert!(stdout(&output).contains(line), "{}", stdout(&output));

    let output = run(address, &["cluster", "lift"]).await;
    assert_exit(&output, 2);
    assert!(stderr(&output).contains(line), "{}", stderr(&output));
    let output = run(address, &["cluster", "lift", "--yes"]).await;
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("others must follow"), "{}", stderr(&output));
    node.overview.send_replace(with_pool().into());
    let output = run(address, &["cluster", "lift", "--yes", "--output", "json"]).await;
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("signing goes on"), "{}", stderr(&output));
    assert_eq!(node.commands.lock().unwrap().len(), 3);
}
