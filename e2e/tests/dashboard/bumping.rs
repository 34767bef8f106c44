//! A payment that no block takes.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, PaymentView};
use mpc_wallet_e2e::suite::{options, payee};
use serde_json::json;

use crate::browser::Browser;

const WITHIN: Duration = Duration::from_secs(60);
const RATE: &str = "details[data-key=bump] input";

#[test]
fn the_fee_of_a_stuck_payment_is_raised_and_the_two_transactions_lead_to_each_other() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 1).unwrap();
    let node = cluster.node(3).unwrap();
    let body =
        json!({ "recipient": payee("raised", 0).unwrap().to_string(), "amount_sats": 50_000, "fee_rate": 1 });
    let posted = node.api().post("/api/v1/transactions", &body).unwrap();
    let original = posted.read::<PaymentView>().unwrap().txid;
    let browser = Browser::start().unwrap();
    browser.open(node.url(), &format!("#/tx/{original}")).unwrap();

    browser.click("details[data-key=bump] > summary").unwrap();
    let deed = "details[data-key=bump]";
    for (rate, words) in [("fast", "Write a number of sat/vB"), ("1", "the network takes none below")] {
        browser.fill(RATE, rate).unwrap();
        browser.click("[data-key=bump-sure]").unwrap();
        browser.wait_text(deed, |text| text.contains(words)).unwrap();
    }
    browser.fill(RATE, "7.5").unwrap();
    browser.click("[data-key=bump-sure]").unwrap();
    browser.wait_text(".txid", |text| text.len() == 64 && text != original).unwrap();
    let replacement = node.api().transaction(&original).unwrap().replaced_by.unwrap();
    browser.wait_text(".txid", |text| text == replacement).unwrap();
    browser.wait("#state[data-state=broadcasting]").unwrap();
    cluster.wait_on_chain(&replacement, WITHIN).unwrap();
    cluster.chain().mine(1).unwrap();
    browser.wait("#state[data-state=confirmed]").unwrap();

    browser.click(&format!("a[href='#/tx/{original}']")).unwrap();
    browser.wait("#state[data-state=failed]").unwrap();
    browser.wait_text("main", |text| text.contains("has confirmed instead")).unwrap();
    browser.wait(&format!("a[href='#/tx/{replacement}']")).unwrap();
}
