//! `wallet balance` and `wallet address`.

use serde_json::Value;

use crate::{
    amount::{in_fours, show_amount},
    args::Output,
    client::Node,
    failure::Failure,
    output::{number, pairs, print, text},
    tx::query_value,
};

pub(crate) fn balance(node: &Node, wallet_type: &str, output: Output) -> Result<(), Failure> {
    let document = node.get(&format!("/api/v1/wallet/balance?type={}", query_value(wallet_type)))?;
    print(&document, output, |document| {
        let money = |member: &str| number(document, member).map_or_else(|| "-".to_owned(), show_amount);
        let as_of =
            format!("block {} ({})", text(document, "/as_of/height"), text(document, "/as_of/observed_at"));
        let stale = document.get("stale") == Some(&Value::Bool(true));
        let mut rows = vec![
            ("network", text(document, "/network").to_uppercase()),
            ("confirmed", money("/confirmed_balance_sats")),
            ("unconfirmed", money("/unconfirmed_balance_sats")),
            ("total", money("/total_balance_sats")),
            ("locked", money("/locked_sats")),
            ("spendable", money("/spendable_sats")),
            ("as of", if stale { format!("{as_of}, STALE") } else { as_of }),
        ];
        let lost = document.get("lost_coins").and_then(Value::as_array);
        rows.extend(lost.into_iter().flatten().map(|lost| ("LOST", lost_coin(lost))));
        pairs(rows)
    })
}

/// One coin that left the wallet without the cluster, in words.
fn lost_coin(lost: &Value) -> String {
    let amount = number(lost, "amount_sats").map_or_else(|| "-".to_owned(), show_amount);
    let coin = text(lost, "/coin");
    match lost.get("spent_by").and_then(Value::as_str) {
        Some(by) => format!("{amount}: coin {coin} is spent by {by}, which this cluster has not signed"),
        None => format!("{amount}: coin {coin} left the chain with the transaction that paid it"),
    }
}

pub(crate) fn address(node: &Node, wallet_type: &str, output: Output) -> Result<(), Failure> {
    let document = node.get(&format!("/api/v1/wallet/address?type={}", query_value(wallet_type)))?;
    print(&document, output, |document| {
        let address = text(document, "/address");
        pairs([
            ("network", text(document, "/network").to_uppercase()),
            ("address", address.clone()),
            ("compare", in_fours(&address)),
            ("type", text(document, "/script_type")),
            ("key", text(document, "/key")),
            ("descriptor", text(document, "/descriptor")),
            ("uri", text(document, "/uri")),
        ])
    })
}
