//! `tx status`, `tx list`, `tx approve`, `tx reject`.

use serde_json::{Value, json};

use crate::{
    amount::{in_fours, show_amount},
    args::Output,
    client::Node,
    failure::Failure,
    output::{items, note, number, pairs, print, rows, text},
};

pub(crate) fn status(node: &Node, txid: &str, output: Output) -> Result<(), Failure> {
    let document = node.get(&path_of(txid))?;
    print(&document, output, describe)
}

pub(crate) fn list(
    node: &Node,
    state: Option<&str>,
    wallet_type: Option<&str>,
    limit: u16,
    cursor: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let mut path = format!("/api/v1/transactions?limit={limit}");
    for (name, value) in [("state", state), ("type", wallet_type), ("cursor", cursor)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", query_value(value)));
        }
    }
    let document = node.get(&path)?;
    print(&document, output, |document| {
        rows(
            ["created", "txid", "state", "amount (sat)", "fee (sat)", "recipient"],
            items(document, "/items").iter().map(|item| {
                ["/created_at", "/txid", "/state", "/amount_sats", "/fee_sats", "/recipient"]
                    .map(|member| text(item, member))
            }),
        )
    })?;
    if let Some(cursor) = document.get("next_cursor").and_then(Value::as_str) {
        note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(())
}

pub(crate) fn decide(node: &Node, txid: &str, decision: &str, output: Output) -> Result<(), Failure> {
    let posted = node.post(&format!("{}/{decision}", path_of(txid)), &json!({}), &[])?;
    print(&posted.document, output, describe)
}

/// Where the API has a transaction.
pub(crate) fn path_of(txid: &str) -> String {
    format!("/api/v1/transactions/{}", query_value(txid))
}

/// A user's text as part of a URL: whatever is not plainly harmless is escaped.
pub(crate) fn query_value(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A transaction with its votes and its timeline.
pub(crate) fn describe(document: &Value) -> String {
    let money = |member: &str| number(document, member).map_or_else(|| "-".to_owned(), show_amount);
    let recipient = text(document, "/recipient");
    let confirmations =
        format!("{} of {}", text(document, "/confirmations"), text(document, "/confirmations_required"));
    let mut parts = vec![pairs([
        ("txid", text(document, "/txid")),
        ("state", format!("{} ({})", text(document, "/state"), text(document, "/sub_status"))),
        ("from", format!("{} wallet", text(document, "/type"))),
        ("recipient", in_fours(&recipient)),
        ("amount", money("/amount_sats")),
        ("fee", money("/fee_sats")),
        ("metadata", text(document, "/metadata")),
        ("confirmations", confirmations),
        ("created", text(document, "/created_at")),
    ])];
    let votes = items(document, "/votes");
    if !votes.is_empty() {
        parts.push(rows(
            ["node", "vote", "reason", "at"],
            votes.iter().map(|vote| {
                let approves = vote.get("approve") == Some(&Value::Bool(true));
                let decision = if approves { "approve" } else { "reject" };
                [
                    text(vote, "/node_id"),
                    decision.to_owned(),
                    text(vote, "/reason"),
                    text(vote, "/received_at"),
                ]
            }),
        ));
    }
    let presignatures = items(document, "/presignatures");
    if !presignatures.is_empty() {
        parts.push(rows(
            ["presignature", "made at", "took (ms)", "used at"],
            presignatures.iter().map(|used| {
                ["/id", "/generated_at", "/generation_time_ms", "/used_at"].map(|member| text(used, member))
            }),
        ));
    }
    let timeline = items(document, "/timeline");
    if !timeline.is_empty() {
        parts.push(rows(
            ["at", "state", "sub-status", "cause"],
            timeline
                .iter()
                .map(|step| ["/at", "/to", "/sub_status", "/cause"].map(|member| text(step, member))),
        ));
    }
    parts.join("\n\n")
}
