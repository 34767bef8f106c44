//! What a payment costs, before it is one.

use mpc_wallet_e2e::{cluster::Api, suite::payee};
use serde_json::{Value, json};

use crate::{browser::Browser, funded};

const RECIPIENT: &str = "input.mono";
const AMOUNT: &str = "input[inputmode=decimal]";

/// The first dry run is answered when `answerFirst()` is called, the others at once. `asked` counts them, `answered` those that
/// the page has dealt with.
const FIRST_ANSWER_WAITS: &str = "const real = window.fetch.bind(window);
    window.asked = window.answered = 0;
    const held = new Promise((resolve) => { window.answerFirst = resolve; });
    window.fetch = async (path, options) => {
        const answer = await real(path, options);
        if (!String(path).includes('dry_run')) return answer;
        window.asked += 1;
        if (window.asked === 1) await held;
        const read = answer.json.bind(answer);
        answer.json = async () => {
            const document = await read();
            setTimeout(() => { window.answered += 1; });
            return document;
        };
        return answer;
    };";

/// What the node says of a payment that is not made, and of members that it has besides.
fn dry_run(api: &Api, recipient: &str, amount_sats: u64, more: &Value) -> Value {
    let mut body = json!({ "type": "taproot", "recipient": recipient, "amount_sats": amount_sats });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.post("/api/v1/transactions?dry_run=true", &body).unwrap().body
}

/// Whether a text says all that a dry run said.
fn tells(text: &str, quote: &Value) -> bool {
    let number = |member: &str| quote[member].as_u64().unwrap();
    let inputs = quote["inputs"].as_array().unwrap();
    let spent = inputs.iter().map(|input| input["amount_sats"].as_u64().unwrap()).sum();
    let coins = if inputs.len() == 1 { "coin" } else { "coins" };
    [
        format!("{} sat,", grouped(number("fee_sats"))),
        format!("{} sat/vB, {} vB", quote["fee_rate_sat_vb"], number("vsize")),
        btc(number("amount_sats") + number("fee_sats")),
        format!("{} {coins}, {}", inputs.len(), btc(spent)),
        format!("{} back to the wallet", btc(number("change_sats"))),
    ]
    .iter()
    .all(|part| text.contains(part))
}

/// A number as the page writes it: 12345 → 12,345.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Satoshis as the page writes bitcoin.
fn btc(sats: u64) -> String {
    format!("{}.{:08} BTC", sats / 100_000_000, sats % 100_000_000)
}

#[test]
fn what_is_written_costs_what_the_node_says_and_the_payment_costs_that() {
    let cluster = funded();
    let node = cluster.node(2).unwrap();
    let payee = payee("dashboard quote", 1).unwrap();
    let browser = Browser::start().unwrap();
    browser.open(node.url(), "#/send").unwrap();
    browser.wait_text(".quote", |text| text.contains("when recipient and amount are given")).unwrap();

    browser.fill(RECIPIENT, &payee.to_string()).unwrap();
    browser.fill(AMOUNT, "0.0125").unwrap();
    let recipient = payee.to_string();
    let quote = dry_run(node.api(), &recipient, 1_250_000, &json!({}));
    assert_eq!(quote["inputs"].as_array().unwrap().len(), 2, "{quote}");
    browser.wait_text("form .quote", |text| tells(text, &quote)).unwrap();

    // Another rate, another fee.
    let dear = dry_run(node.api(), &recipient, 1_250_000, &json!({ "fee_rate": 20 }));
    assert_ne!(dear["fee_sats"], quote["fee_sats"], "{dear}");
    browser.ask("document.querySelector('input[value=own]').click();").unwrap();
    browser.fill("input[placeholder*='2.5']", "20").unwrap();
    browser.wait_text("form .quote", |text| tells(text, &dear)).unwrap();
    browser.ask("document.querySelector('input[value=standard]').click();").unwrap();
    browser.wait_text("form .quote", |text| tells(text, &quote)).unwrap();

    // Refused in the node's own words.
    browser.fill(AMOUNT, "7").unwrap();
    let refusal = dry_run(node.api(), &recipient, 700_000_000, &json!({}));
    assert_eq!(refusal["code"], "insufficient_funds", "{refusal}");
    browser.wait_text("form .quote", |text| text.contains(refusal["detail"].as_str().unwrap())).unwrap();
    browser.fill(AMOUNT, "").unwrap();
    browser.wait_text("form .quote", |text| text.contains("when recipient and amount are given")).unwrap();
    assert!(node.api().transactions().unwrap().is_empty(), "asking for the cost pays nothing");

    browser.fill(AMOUNT, "0.0125").unwrap();
    browser.click("form .button.main").unwrap();
    browser.wait_text("section[aria-labelledby=review] .quote", |text| tells(text, &quote)).unwrap();
    browser.click(".button.main").unwrap();
    browser.wait("#state[data-state=confirmed]").unwrap();
    let payments = node.api().transactions().unwrap();
    let [payment] = payments.as_slice() else { panic!("one payment, not {payments:?}") };
    assert_eq!(Value::from(payment.fee_sats), quote["fee_sats"]);
}

#[test]
fn of_answers_that_overtake_each_other_the_one_to_the_last_question_is_shown() {
    let cluster = funded();
    let node = cluster.node(1).unwrap();
    let payee = payee("dashboard quote", 2).unwrap();
    let browser = Browser::start().unwrap();
    browser.before_each_page(FIRST_ANSWER_WAITS).unwrap();
    browser.open(node.url(), "#/send").unwrap();
    browser.fill(RECIPIENT, &payee.to_string()).unwrap();
    browser.fill(AMOUNT, "0.0012").unwrap();
    browser.wait_until("return window.asked >= 1;").unwrap();

    browser.fill(AMOUNT, "0.0215").unwrap();
    browser.wait_text("form .quote", |text| text.contains("3 coins")).unwrap();
    browser.ask("window.answerFirst();").unwrap();
    browser.wait_until("return window.answered === window.asked;").unwrap();
    let shown = browser.ask("return document.querySelector('form .quote').textContent;").unwrap();
    assert!(shown.as_str().unwrap().contains("3 coins"), "{shown}");
}
