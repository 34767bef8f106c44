//! Pages that the node tells what happens.

use std::time::Duration;

use mpc_wallet_e2e::suite::payee;

use crate::{browser::Browser, funded};

/// Timers of a second and more never fire: nothing is asked for because time has passed.
const NO_POLLING: &str = "const timer = window.setTimeout.bind(window);
    window.setTimeout = (work, wait, ...more) => wait >= 1000 ? 0 : timer(work, wait, ...more);";

#[test]
fn what_happens_is_shown_without_asking_again_and_again() {
    let cluster = funded();
    let node = cluster.node(3).unwrap();
    let browser = Browser::start().unwrap();
    browser.before_each_page(NO_POLLING).unwrap();
    browser.open(node.url(), "#/").unwrap();
    browser.wait("#connection[data-state=live][data-by=events]").unwrap();
    browser.wait_text(".headline", |text| text == "0.03000000 BTC").unwrap();

    // Of another node's client, so that nothing in the page knows.
    let payee = payee("dashboard events", 1).unwrap();
    let payment = cluster.pay(1, &payee, 20_000).unwrap();
    browser.wait_text(".latest", |text| text.contains("Confirmed")).unwrap();
    browser.wait_text(".headline", |text| text.starts_with("0.0297")).unwrap();
    assert!(cluster.transaction(3, &payment.txid).unwrap().is_final());

    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn a_lost_stream_is_found_again_and_goes_on_where_it_was() {
    let cluster = funded();
    let node = cluster.node(2).unwrap();
    let browser = Browser::start().unwrap();
    browser.open(node.url(), "#/").unwrap();
    browser.wait("#connection[data-state=live][data-by=events]").unwrap();
    cluster.pay(1, &payee("dashboard events", 2).unwrap(), 20_000).unwrap();
    browser.wait_text(".latest", |text| text.contains("Confirmed")).unwrap();
    let resumed_from = browser.sent("/api/v1/events", "last-event-id").unwrap();
    assert_eq!(resumed_from, [""], "the first stream begins now");

    node.terminate(Duration::from_secs(10)).unwrap();
    browser.wait("#connection[data-by=looks]").unwrap();
    browser.wait_text("#connection", |text| text.contains("Reconnecting")).unwrap();
    let meanwhile = cluster.pay(1, &payee("dashboard events", 3).unwrap(), 20_000).unwrap();
    cluster.wait_state(1, &meanwhile.txid, "confirmed", Duration::from_secs(60)).unwrap();
    node.start().unwrap();
    browser.wait("#connection[data-state=live][data-by=events]").unwrap();
    browser.wait_text(".latest", |text| text.matches("Confirmed").count() == 2).unwrap();

    let resumed_from = browser.sent("/api/v1/events", "last-event-id").unwrap();
    let last = resumed_from.last().unwrap();
    // An id of node 2, past everything that the page had heard before.
    assert!(last.starts_with("2-"), "{resumed_from:?}");
}
