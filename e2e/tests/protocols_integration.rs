//! The SegWit wallet on real processes: the library's threshold ECDSA at its full level of security, from the key to the
//! restored node. Only the primes are ready made.
//!
//! Making the key costs a minute of processor time at each node, so one cluster of three tells the whole story.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mpc_wallet_e2e::between::Between;
use mpc_wallet_e2e::cluster::{
    Cluster, ClusterOptions, Kind, NodeProcess, TransactionView, cli_binary, repository, wait_for,
};
use mpc_wallet_e2e::documented::{Step, steps};
use mpc_wallet_e2e::suite::{mining_options, payee};
use serde_json::Value;

/// Stock that is ordered, and payments at once but one.
const STOCK: u16 = 10;
/// A presigning costs each signer seconds, and two share a small machine's processors.
const STOCK_WITHIN: Duration = Duration::from_secs(300);
const PAID_WITHIN: Duration = Duration::from_secs(180);
/// How often a node is killed at work; the environment may ask for more.
const KILLS: u16 = 3;
const KILLS_VARIABLE: &str = "MPC_WALLET_KILLS";

/// Two of three. Nothing is presigned but what is ordered.
fn cluster() -> Cluster {
    let options = ClusterOptions { nodes: 3, threshold: 2, between: Between::Wiretap, ..mining_options() };
    let options = options.set("limits", "presignatures_low", 0).set("limits", "presignatures_high", 0);
    Cluster::start(&options).unwrap()
}

fn pay(cluster: &Cluster, kind: Kind, node: u16, number: u32) -> String {
    let payee = payee("protocols", number).unwrap();
    cluster.pay_from(kind, node, &payee, 50_000).unwrap().txid
}

fn confirmed(cluster: &Cluster, node: u16, txid: &str) -> TransactionView {
    cluster.wait_state(node, txid, "confirmed", PAID_WITHIN).unwrap()
}

fn said(payment: &TransactionView, words: &str) -> bool {
    payment.timeline.iter().any(|step| step.sub_status.contains(words))
}

/// Payments from the Taproot wallet go on while the other wallet's key is made.
fn make_both_keys(cluster: &Cluster) {
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 4).unwrap();
    std::thread::scope(|scope| {
        let ceremony = scope.spawn(|| cluster.make_key(Kind::Segwit, |_| {}));
        let api = cluster.node(1).unwrap().api();
        wait_for("the ceremony to compute", Duration::from_secs(60), || {
            let run = api.dkg()?.keygen;
            anyhow::ensure!(run.as_ref().is_some_and(|run| run.stage.is_some()), "it is {run:?}");
            Ok(())
        })
        .unwrap();
        for number in 0..3 {
            let txid = pay(cluster, Kind::Taproot, 2, number);
            confirmed(cluster, 2, &txid);
        }
        assert!(!api.dkg().unwrap().has(Kind::Segwit), "three payments took longer than the ceremony");
        ceremony.join().unwrap().unwrap();
    });
    cluster.fund_wallet(Kind::Segwit, 1_000_000, u32::from(STOCK) + 4).unwrap();
}

fn order(cluster: &Cluster, count: u16) {
    let ordered = cluster.node(3).unwrap().api().presign(count).unwrap();
    assert_eq!(ordered.status, 202, "{}", ordered.text);
}

/// Ten at once from a stock of ten; the eleventh says what it does without, and completes by itself.
fn pay_one_more_than_there_is_stock(cluster: &Cluster) {
    order(cluster, STOCK);
    cluster.wait_for_stock(usize::from(STOCK), STOCK_WITHIN).unwrap();
    let posted: Vec<String> = (0..=STOCK)
        .map(|number| pay(cluster, Kind::Segwit, 1 + number % 3, 100 + u32::from(number)))
        .collect();
    let paid: Vec<TransactionView> = posted.iter().map(|txid| confirmed(cluster, 1, txid)).collect();
    let without = paid.iter().filter(|payment| said(payment, "without_presignatures")).count();
    assert_eq!(without, 1, "{paid:#?}");
    assert_eq!(cluster.node(1).unwrap().api().presignatures().unwrap().available, 0);
}

/// A node dies while presignatures are made and while payments are signed, at a different moment each time.
fn kill_nodes_at_work(cluster: &Cluster) {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |count| count.parse().unwrap());
    for kill in 0..kills {
        let node = cluster.node(1 + kill % 3).unwrap();
        let payer = 1 + (kill + 1) % 3;
        order(cluster, 1);
        // In turn: in the milliseconds of signing from stock, and in the seconds of presigning.
        let turn = u64::from(kill / 2);
        let moment = if kill % 2 == 0 {
            cluster.wait_for_stock(1, STOCK_WITHIN).unwrap();
            turn * 7 % 60
        } else {
            37 * (1 + turn % 40)
        };
        let txid = pay(cluster, Kind::Segwit, payer, 200 + u32::from(kill));
        std::thread::sleep(Duration::from_millis(moment));
        node.kill9().unwrap();
        confirmed(cluster, payer, &txid);
        node.start().unwrap();
        node.wait_until_up(Duration::from_secs(30)).unwrap();
        cluster.wait_until_connected().unwrap();
        confirmed(cluster, node.id(), &txid);
    }
}

/// The node's own record: for which payment it used each presignature. It names none twice.
fn recorded_uses(node: &NodeProcess) -> BTreeMap<String, String> {
    let mut uses = BTreeMap::new();
    for payment in node.api().transactions().unwrap() {
        let path = format!("/api/v1/transactions/{}", payment.txid);
        let document = node.api().get(&path).unwrap().body;
        let used = document.get("presignatures").and_then(Value::as_array).into_iter().flatten();
        for used in used.filter(|used| used["protocol"] == "cggmp24") {
            let presignature = used["id"].as_str().unwrap();
            let before = uses.insert(presignature.to_owned(), payment.txid.clone());
            assert_eq!(before, None, "node {} used {presignature} twice", node.id());
        }
    }
    uses
}

/// Whoever reads all traffic finds that each node spent its part of a presignature at most once, and that what was spent
/// is in its record. A record may know more: a node that dies between the burn and the send has said nothing.
fn compare_records_with_traffic(cluster: &Cluster) {
    let wiretap = cluster.wiretap().unwrap();
    let records: BTreeMap<u16, _> =
        cluster.nodes().iter().map(|node| (node.id(), recorded_uses(node))).collect();
    wiretap.read(|reading| {
        for ((presignature, node), uses) in reading.uses() {
            assert_eq!(uses.len(), 1, "node {node} spent {presignature} for {uses:?}");
            let recorded = records[node].get(presignature);
            assert_eq!(recorded, uses.first().map(|used| &used.txid), "node {node}, {presignature}");
        }
        let (spent, recorded) = (reading.uses().len(), records.values().map(BTreeMap::len).sum::<usize>());
        // Two signers for each of the payments from stock.
        assert!(spent >= 2 * usize::from(STOCK), "{spent} parts spent");
        assert_eq!((reading.unreadable, reading.without_partial), (0, 0), "of {} frames", reading.frames);
        println!("{} frames; {spent} parts of presignatures spent, {recorded} recorded", reading.frames);
    });
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Yesterday's data directory is put back: the node notices, drops what could be used twice, and pays again.
fn restore_a_node(cluster: &Cluster) {
    order(cluster, 1);
    cluster.wait_for_stock(1, STOCK_WITHIN).unwrap();
    let node = cluster.node(2).unwrap();
    node.terminate(Duration::from_secs(10)).unwrap();
    let data = node.config().parent().unwrap().join("data");
    let backup = data.with_extension("backup");
    copy(&data, &backup);
    let restart = || {
        node.start().unwrap();
        node.wait_until_up(Duration::from_secs(30)).unwrap();
        cluster.wait_until_connected().unwrap();
    };
    restart();
    cluster.wait_for_stock(1, STOCK_WITHIN).unwrap();
    // A member that was slow to come back is chosen last for some seconds, and what it holds is of no use then.
    let from_stock = (310..318).any(|number| {
        let txid = pay(cluster, Kind::Segwit, 1, number);
        !said(&confirmed(cluster, 2, &txid), "without_presignatures")
    });
    assert!(from_stock, "the stock of a node that was stopped in order and started is not used");
    node.terminate(Duration::from_secs(10)).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    restart();
    assert!(node.logged(&["presignatures are dropped"]) > 0, "{}", node.log());
    let txid = pay(cluster, Kind::Segwit, 1, 301);
    confirmed(cluster, 1, &txid);
    confirmed(cluster, 2, &txid);
    let txid = pay(cluster, Kind::Segwit, 2, 302);
    confirmed(cluster, 2, &txid);
}

/// What docs/cli.md shows of this wallet; the suite `cli_documented` types the rest.
fn type_the_documents_examples(cluster: &Cluster) {
    let document = std::fs::read_to_string(repository().join("docs/cli.md")).unwrap();
    let programs = cli_binary().unwrap().parent().unwrap().to_owned();
    let node = [("MPC_WALLET_NODE".to_owned(), cluster.node(1).unwrap().url().to_owned())];
    let examples: Vec<_> = steps(&document, "console segwit")
        .into_iter()
        .filter_map(|step| match step {
            Step::Run(example) => Some(example),
            Step::Prepare(_) => None,
        })
        .collect();
    assert!(examples.len() >= 2, "{examples:?}");
    for example in examples {
        example.run(cluster.folder(), &programs, &node).unwrap();
    }
}

#[test]
fn the_segwit_wallet_from_its_key_to_a_restored_node() {
    let cluster = cluster();
    make_both_keys(&cluster);
    pay_one_more_than_there_is_stock(&cluster);
    kill_nodes_at_work(&cluster);
    compare_records_with_traffic(&cluster);
    restore_a_node(&cluster);
    type_the_documents_examples(&cluster);
    for kind in [Kind::Taproot, Kind::Segwit] {
        let script = cluster.address_of(kind).unwrap().script_pubkey();
        let held = cluster.chain().balance(&script).unwrap().to_sat();
        cluster.wait_for_balance(kind, held).unwrap();
    }
    cluster.stop().unwrap();
}
