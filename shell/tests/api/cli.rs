//! The command line against a node whose answers are written here: output, and every exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command as Process, Output, Stdio},
    sync::{Arc, Mutex},
};

use crate::support::{
    Past, REGTEST, Script, ScriptedNode,
    client::{ordered, proposed},
    guarded, healthy, row, scripted, txid_of, with_pool,
};
use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use bitcoin::hex::DisplayHex as _;
use mpc_wallet_core::{
    BootId, FreezeId, KeyId, NodeId, PolicyVersion, Scheme, SessionId, Timestamp, VoteKey, codec,
    identity::Signed,
    message::MpcMessage,
    mpc::Stage,
    overview::{FreezeView, KeygenPhase, KeygenView, StandingView},
    policy::PolicyBreach,
    refusal::Refusal,
    step::{Command, Outcome, PaymentRequest},
    tx::State,
    vote::Evidence,
};
use mpc_wallet_shell::{
    access::Keyring,
    config::{ClusterPlan, init_cluster, read_identity},
    rest::router,
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

/// Takes payments, and says what they would be.
fn proposing() -> Script {
    Box::new(|command| Some(proposed(&command)))
}

/// The payments that the node was asked for; what it was only asked about does not count.
fn payments(node: &ScriptedNode) -> Vec<PaymentRequest> {
    let commands = node.commands.lock().unwrap();
    commands
        .iter()
        .filter_map(|command| if let Command::Pay(request) = command { Some(request.clone()) } else { None })
        .collect()
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
    for words in [
        "REGTEST",
        "bcrt 1qw5 08d6",
        "0.00050000 BTC (50,000 sat)",
        "213 sat (1.5 sat/vB, 0.42 % of the amount)",
        "49,787 sat",
        "1 coin",
        "4 of 5 votes",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    let payments = payments(&node);
    let [asked] = payments.as_slice() else { panic!("one payment: {payments:?}") };
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
        let payments = payments(&node);
        let [asked] = payments.as_slice() else { panic!("one payment: {payments:?}") };
        assert_eq!(asked.scheme, scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_is_sent_unless_yes_is_said() {
    let (node, address) = node(State::Voting, proposing()).await;
    let output = run(address, &["tx", "send", REGTEST, "50000sat"]).await;
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    assert!(stderr(&output).contains("213 sat"), "{}", stderr(&output));
    assert!(payments(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_the_node_would_do_and_proposes_nothing() {
    let (node, address) = node(State::Voting, proposing()).await;
    let dry_run = ["tx", "send", REGTEST, "50000sat", "--dry-run"];
    let output = run(address, &dry_run).await;
    assert_exit(&output, 0);
    for words in ["nothing was proposed", "213 sat (1.5 sat/vB, 0.42 % of the amount)", "49,787 sat"] {
        assert!(stdout(&output).contains(words), "{words} in {}", stdout(&output));
    }
    let output = run(address, &[dry_run.as_slice(), &["--output", "json"]].concat()).await;
    assert_exit(&output, 0);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&document["dry_run"], &document["fee_sats"]), (&json!(true), &json!(213)));
    assert!(payments(&node).is_empty());

    let no_money = Refusal::InsufficientFunds { needed: 9, spendable: 1, locked: 0, unconfirmed: 0 };
    let (node, address) = self::node(State::Voting, refusing(no_money)).await;
    let output = run(address, &dry_run).await;
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("error[insufficient_funds]"), "{}", stderr(&output));
    assert!(payments(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_a_payment_that_would_be_refused() {
    let dust = Refusal::Policy(PolicyBreach::Dust { amount: 5, limit: 546 });
    let (node, address) = node(State::Voting, refusing(dust)).await;
    let output = run(address, &["tx", "send", REGTEST, "5sat"]).await;
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("error[amount_below_dust]"), "{}", stderr(&output));
    assert!(payments(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_confirmed_beforehand_may_wait_for_coins_that_are_not_there_yet() {
    let no_money = Refusal::InsufficientFunds { needed: 9, spendable: 1, locked: 0, unconfirmed: 0 };
    let script: Script = Box::new(move |command| {
        let quote = matches!(command, Command::Quote(_));
        Some(if quote { Outcome::Refused(no_money.clone()) } else { proposed(&command) })
    });
    let (node, address) = node(State::Voting, script).await;
    let output = run(address, &["tx", "send", REGTEST, "50000sat", "--yes"]).await;
    assert_exit(&output, 0);
    assert_eq!(payments(&node).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_a_payment_that_is_waited_for_is_told_once() {
    let (_node, address) = node(State::Confirmed, proposing()).await;
    let output = run(address, &["tx", "send", REGTEST, "50000sat", "--yes", "--wait"]).await;
    assert_exit(&output, 0);
    let told = stderr(&output).lines().filter(|line| line.ends_with("pending: awaiting_votes")).count();
    assert_eq!(told, 1, "{}", stderr(&output));
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
    assert_exit(&run(address, &["tx", "approve", &txid_of(1), "--yes"]).await, 5);
    assert_exit(&run(address, &["tx", "reject", &txid_of(2), "--yes"]).await, 4);
    assert_exit(&run(address, &["tx", "reject", &txid_of(2)]).await, 4);
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    assert_exit(&run(gone, &["cluster", "status"]).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_decides_is_shown_the_payment_first_and_asked() {
    let script = Box::new(|_| Some(Outcome::Decided { txid: txid_of(1).parse().unwrap() }));
    let (node, address) = node(State::Voting, script).await;
    // Nobody is there to ask.
    let output = run(address, &["tx", "approve", &txid_of(1)]).await;
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("0.00050000 BTC (50,000 sat)"), "{}", stderr(&output));
    assert!(stderr(&output).contains("add --yes if you are sure"), "{}", stderr(&output));
    assert!(node.commands.lock().unwrap().is_empty());
    let reject = ["tx", "reject", &txid_of(1), "--yes", "--comment", "not ours"];
    let output = run(address, &reject).await;
    assert_exit(&output, 0);
    assert!(stdout(&output).contains(&txid_of(1)));
    let commands = node.commands.lock().unwrap();
    let [Command::Decide(decision)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((decision.approve, decision.comment.as_deref()), (false, Some("not ours")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_people_is_listed_alone() {
    let (node, address) = node(State::Voting, proposing()).await;
    let output = run(address, &["tx", "list", "--awaiting-approval"]).await;
    assert_exit(&output, 0);
    assert!(!stdout(&output).contains(&txid_of(1)));
    node.memory.0.lock().unwrap().rows[0].sub_status = "awaiting_approval".to_owned();
    let output = run(address, &["tx", "list", "--awaiting-approval"]).await;
    assert!(stdout(&output).contains(&txid_of(1)));
    assert_exit(&run(address, &["tx", "list", "--awaiting-approval", "--state", "voting"]).await, 2);
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
    let script: Script = Box::new(|command| Some(ordered(&command)));
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
        let started: Script = Box::new(|command| {
            let Command::GenerateKey(scheme) = command else { return None };
            Some(Outcome::KeygenStarted { key: KeyId { scheme, epoch: 1 } })
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
async fn a_node_that_lacks_nothing_is_waited_for_no_longer_and_one_that_does_says_what() {
    let (node, address) = node(State::Voting, proposing()).await;
    assert_exit(&run(address, &["cluster", "wait", "--online", "5", "--timeout", "0"]).await, 0);
    let mut lacking = healthy();
    lacking.online = 3;
    lacking.standing = StandingView::Quarantined { told: 1, needed: 3 };
    node.overview.send_replace(lacking.into());
    let output = run(address, &["cluster", "wait", "--timeout", "1"]).await;
    assert_exit(&output, 6);
    for words in ["quarantined: 1 of 3 peers have told it", "3 of 5 nodes are online, 4 are wanted"] {
        assert!(stderr(&output).contains(words), "{words} in {}", stderr(&output));
    }
    node.overview.send_replace(healthy().into());
    assert_exit(&run(address, &["cluster", "wait", "--timeout", "5"]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_broken_and_ends_with_1() {
    let (node, address) = node(State::Voting, proposing()).await;
    let output = run(address, &["doctor", "--output", "json"]).await;
    assert_exit(&output, 0);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["healthy"], &report["failures"]), (&json!(true), &json!(0)), "{report}");
    let mut sick = healthy();
    sick.online = 3;
    sick.members[2].version = Some("0.0.1".to_owned());
    sick.members[3].policy = Some(PolicyVersion::from_bytes([8; 32]));
    sick.members[4].clock = Some(Timestamp(1_000));
    node.overview.send_replace(sick.into());
    let output = run(address, &["doctor", "--output", "json"]).await;
    assert_exit(&output, 1);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let result = |check: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|found| found["check"] == check).unwrap()["result"].clone()
    };
    for (check, expected) in [
        ("node", "ok"),
        ("quorum", "fail"),
        ("versions", "warn"),
        ("policies", "fail"),
        ("peers' clocks", "warn"),
        ("keys", "ok"),
    ] {
        assert_eq!(result(check), expected, "{check}: {report}");
    }
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    assert_exit(&run(gone, &["doctor"]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn presignatures_are_waited_for_until_none_is_left_to_be_made() {
    let script: Script = Box::new(|command| Some(ordered(&command)));
    let (node, address) = segwit_node(KeygenPhase::Active, None, script).await;
    let order = ["presig", "generate", "--count", "3", "--wait", "--timeout", "1"];
    let output = run(address, &order).await;
    assert_exit(&output, 7);
    assert!(stderr(&output).contains("3 presignatures are not made after 1 s"), "{}", stderr(&output));
    let mut made = with_pool();
    made.presignatures.as_mut().unwrap().ordered = 0;
    node.overview.send_replace(made.into());
    assert_exit(&run(address, &order).await, 0);
}

#[test]
fn the_manual_has_a_page_for_each_command_and_scripts_complete_them() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let dir = TempDir::new().unwrap();
    let pages = dir.path().join("man1");
    let output = cli(nowhere, &["man", pages.to_str().unwrap()]);
    assert_exit(&output, 0);
    for page in ["mpc-wallet-cli.1", "mpc-wallet-cli-tx-send.1", "mpc-wallet-cli-backup-restore.1"] {
        assert!(stdout(&output).lines().any(|line| line.trim() == page), "{page} in {}", stdout(&output));
    }
    let page = fs::read_to_string(pages.join("mpc-wallet-cli-tx-send.1")).unwrap();
    assert!(page.contains("Bitcoin address to pay"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        let output = cli(nowhere, &["completions", shell]);
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("pool-status"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_frozen_and_lifted_and_the_status_says_by_whom() {
    let script: Script = Box::new(|command| {
        let freeze = matches!(command, Command::Freeze { .. });
        Some(if freeze {
            Outcome::Frozen { freeze: FreezeId::from_bytes([1; 32]) }
        } else {
            Outcome::Lifted { freezes: Vec::new() }
        })
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

#[tokio::test(flavor = "multi_thread")]
async fn who_raises_a_fee_is_shown_the_old_one_first_and_asked() {
    let script = Box::new(|_| Some(Outcome::Proposed { txid: txid_of(1).parse().unwrap(), replayed: false }));
    let (node, address) = node(State::Broadcasting, script).await;
    // Nobody is there to ask.
    let output = run(address, &["tx", "bump", &txid_of(1), "--fee-rate", "7.5"]).await;
    assert_exit(&output, 2);
    for words in
        ["154 sat", "0.00050000 BTC (50,000 sat), as before", "7.5 sat/vB", "add --yes if you are sure"]
    {
        assert!(stderr(&output).contains(words), "{words} in {}", stderr(&output));
    }
    assert!(node.commands.lock().unwrap().is_empty());
    let output = run(address, &["tx", "bump", &txid_of(1), "--fee-rate", "7.5", "--yes"]).await;
    assert_exit(&output, 0);
    assert_exit(&run(address, &["tx", "bump", &txid_of(1), "-y"]).await, 0);
    let commands = node.commands.lock().unwrap();
    let [Command::Bump(rated), Command::Bump(estimated)] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!((rated.txid.to_string(), rated.fee_rate), (txid_of(1), Some(7_500)));
    assert_eq!(estimated.fee_rate, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_to_raise_a_fee_end_with_their_documented_exit_code() {
    let txid = txid_of(1).parse().unwrap();
    let cheap = Refusal::ReplacementTooCheap { rate: 1_500, fee: 231, least: 308, least_rate: 2_000 };
    for (refusal, code) in [
        (Refusal::NotReplaceable { txid, state: State::Signing }, 5),
        (Refusal::InBlock { txid, height: 7 }, 5),
        (Refusal::ReplacedBefore { by: txid }, 5),
        (Refusal::ChangeSpent { by: txid }, 5),
        (cheap, 3),
        (Refusal::ChangeTooSmall { fee: 900, available: 300 }, 3),
        (Refusal::NoQuorum { online: 3, total: 5, needed: 4 }, 6),
    ] {
        let name = refusal.code();
        let (_node, address) = node(State::Broadcasting, refusing(refusal)).await;
        let output = run(address, &["tx", "bump", &txid_of(1), "--yes"]).await;
        assert_exit(&output, code);
        assert!(stderr(&output).contains(&format!("error[{name}]")), "{}", stderr(&output));
    }
    let (_node, address) = node(State::Broadcasting, proposing()).await;
    assert_exit(&run(address, &["tx", "bump", &txid_of(2), "--yes"]).await, 4);
    assert_exit(&run(address, &["tx", "bump", &txid_of(1), "--fee-rate", "fast", "--yes"]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_other_transaction_confirmed_is_told_as_made() {
    let (node, address) = node(State::Failed, proposing()).await;
    {
        let mut past = node.memory.0.lock().unwrap();
        past.rows[0].sub_status = "replaced".to_owned();
        past.rows[0].replaces = Some(txid_of(2));
    }
    let output = run(address, &["tx", "bump", &txid_of(1), "--yes", "--wait"]).await;
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("the payment is made"), "{}", stderr(&output));
    let shown = stdout(&output);
    let named = |line: &str| line.trim_start().starts_with("replaces ") && line.ends_with(&txid_of(2));
    assert!(shown.lines().any(named), "{shown}");
}
