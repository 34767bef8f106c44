//! What only people decide: payments that wait for them, and the emergency stop.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, ClusterOptions};
use mpc_wallet_e2e::suite::{mining_options, payee};

use crate::browser::Browser;

const WITHIN: Duration = Duration::from_secs(60);

fn started(options: &ClusterOptions) -> Cluster {
    let cluster = Cluster::start(options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 3).unwrap();
    cluster
}

/// Opens a deed on the page, says something if it asks for that, and does it.
fn act(browser: &Browser, deed: &str, words: Option<&str>) {
    browser.click(&format!("details[data-key={deed}] > summary")).unwrap();
    if let Some(words) = words {
        browser.fill(&format!("details[data-key={deed}] input"), words).unwrap();
    }
    browser.click(&format!("[data-key={deed}-sure]")).unwrap();
}

#[test]
fn a_payment_that_waits_for_a_person_is_approved_and_another_rejected() {
    let options = mining_options().set("policy", "approval_above_sats", 100_000);
    let cluster = started(&options.set("policy", "approval_operators", 1));
    let pay = |number| cluster.pay(1, &payee("deciding", number).unwrap(), 200_000).unwrap().txid;
    let node = cluster.node(2).unwrap();
    let browser = Browser::start().unwrap();

    let good = pay(1);
    browser.open(node.url(), "#/approvals").unwrap();
    browser.wait_text("#awaiting", |text| text == "1").unwrap();
    browser.click(&format!("[data-key='decide-{good}']")).unwrap();
    browser.wait_text("main", |text| text.contains("Operators must approve it")).unwrap();
    act(&browser, "approve", Some("invoice 7 is right"));
    browser.wait("#state[data-state=confirmed]").unwrap();
    browser.wait_text("main", |text| text.contains("invoice 7 is right")).unwrap();
    cluster.wait_state(4, &good, "confirmed", WITHIN).unwrap();

    let bad = pay(2);
    browser.open(node.url(), &format!("#/tx/{bad}")).unwrap();
    act(&browser, "reject", None);
    browser.wait("#state[data-state=rejected]").unwrap();
    cluster.wait_state(4, &bad, "rejected", WITHIN).unwrap();
    browser.open(node.url(), "#/approvals").unwrap();
    browser.wait_text("main", |text| text.contains("Nothing waits for a decision")).unwrap();
    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn one_node_stops_all_signing_and_enough_nodes_lift_it() {
    let cluster = started(&mining_options());
    let browser = Browser::start().unwrap();
    let open = |node: u16| browser.open(cluster.node(node).unwrap().url(), "#/cluster").unwrap();
    open(3);
    browser.click("details[data-key=freeze] > summary").unwrap();
    browser.click("[data-key=freeze-sure]").unwrap();
    browser.wait("details[data-key=freeze] input[aria-invalid=true]").unwrap();
    browser.fill("details[data-key=freeze] input", "a laptop is missing").unwrap();
    browser.click("[data-key=freeze-sure]").unwrap();
    browser.wait_text("#frozen", |text| text.contains("node 3: a laptop is missing")).unwrap();

    open(1);
    browser.wait_text("#frozen", |text| text.contains("a laptop is missing")).unwrap();
    let payee = payee("frozen", 1).unwrap();
    let refused = cluster.pay(1, &payee, 50_000).unwrap_err().to_string();
    assert!(refused.contains("a laptop is missing"), "{refused}");
    for node in 1..=4 {
        open(node);
        act(&browser, "lift", None);
        if node < 4 {
            browser.wait_text("main", |text| text.contains("This node has.")).unwrap();
        }
    }
    browser.wait_text("main", |text| text.contains("Not frozen")).unwrap();
    let paid = cluster.pay(1, &payee, 50_000).unwrap().txid;
    cluster.wait_state(1, &paid, "confirmed", WITHIN).unwrap();
}
