//! Money in and out.

use mpc_wallet_e2e::suite::payee;

use crate::{browser::Browser, funded};

#[test]
fn the_address_is_shown_with_a_qr_code_for_what_is_asked() {
    let cluster = funded();
    let address = cluster.address().unwrap().to_string();
    let browser = Browser::start().unwrap();
    browser.open(cluster.node(3).unwrap().url(), "#/receive").unwrap();
    browser.wait_text(".address", |text| text.split_whitespace().collect::<String>() == address).unwrap();
    browser.wait_text("#uri", |text| text == format!("bitcoin:{address}")).unwrap();

    browser.fill("input[inputmode=decimal]", "0.0005").unwrap();
    browser.wait_text("#uri", |text| text == format!("bitcoin:{address}?amount=0.0005")).unwrap();
    browser.wait(".qr img[data-path*='amount_sats=50000'][src^='blob:']").unwrap();
    let drawn =
        "const image = document.querySelector('.qr img'); await image.decode(); return image.naturalWidth;";
    let width = browser.ask(&format!("return (async () => {{ {drawn} }})();")).unwrap();
    assert!(width.as_u64().unwrap() > 100, "{width}");
    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn a_payment_is_made_once_and_watched_until_it_confirms() {
    const RECIPIENT: &str = "input.mono";
    const AMOUNT: &str = "input[inputmode=decimal]";
    let cluster = funded();
    let node = cluster.node(2).unwrap();
    let payee = payee("dashboard", 1).unwrap();
    let browser = Browser::start().unwrap();
    browser.open(node.url(), "#/send").unwrap();

    browser.fill(RECIPIENT, &payee.to_string()).unwrap();
    browser.fill(AMOUNT, "0.000001").unwrap();
    browser.click("form .button.main").unwrap();
    browser.wait_text("#warnings", |text| text.contains("dust")).unwrap();
    browser.click(".button.main").unwrap();
    // Refused by the node, and shown at the field that it named.
    browser.wait(&format!("{AMOUNT}[aria-invalid=true]")).unwrap();
    assert!(node.api().transactions().unwrap().is_empty());

    browser.fill(AMOUNT, "0.0125").unwrap();
    browser.click("form .button.main").unwrap();
    browser.wait_text(".headline", |text| text == "0.01250000 BTC").unwrap();
    browser.ask("const send = document.querySelector('.button.main'); send.click(); send.click();").unwrap();

    browser.wait("#state[data-state=confirmed]").unwrap();
    browser.wait(".track .end").unwrap();
    browser.wait_text(".votes", |text| text.matches("Approved").count() >= 4).unwrap();
    let payments = node.api().transactions().unwrap();
    let [payment] = payments.as_slice() else { panic!("one payment, not {payments:?}") };
    assert_eq!(payment.amount_sats, 1_250_000);
    browser.wait_text(".txid", |text| text == payment.txid).unwrap();
    let made = cluster.chain().payments_to(&payee.script_pubkey()).unwrap();
    assert_eq!(made.len(), 1);

    browser.open(node.url(), "#/history").unwrap();
    browser.wait(&format!("tr[data-txid='{}']", payment.txid)).unwrap();
}
