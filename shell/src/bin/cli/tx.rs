//! `tx status`, `tx list`, `tx approve`, `tx reject`.

use serde_json::{Value, json};

use crate::{
    amount::{in_fours, show_amount},
    args::{DecisionArguments, ListArguments, Output},
    client::Node,
    confirm::confirm,
    failure::Failure,
    output::{items, note, number, pairs, print, rows, text},
};

pub(crate) fn status(node: &Node, txid: &str, output: Output) -> Result<(), Failure> {
    let document = node.get(&path_of(txid))?;
    print(&document, output, describe)
}

pub(crate) fn list(node: &Node, list: &ListArguments, output: Output) -> Result<(), Failure> {
    let mut path = format!("/api/v1/transactions?limit={}", list.limit);
    let awaiting = list.awaiting_approval.then(|| "approval".to_owned());
    for (name, value) in [
        ("state", &list.state),
        ("awaiting", &awaiting),
        ("type", &list.wallet_type),
        ("cursor", &list.cursor),
    ] {
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

/// `verb` is `approve` or `reject`. Nobody decides about what he has not seen, as this node decodes it.
pub(crate) fn decide(
    node: &Node,
    decision: &DecisionArguments,
    verb: &str,
    output: Output,
) -> Result<(), Failure> {
    let path = path_of(&decision.txid);
    if !decision.yes {
        note(&describe(&node.get(&path)?));
        let mut question = verb.to_owned();
        if let Some(initial) = question.get_mut(..1) {
            initial.make_ascii_uppercase();
        }
        confirm(&format!("{question} this transaction?"), "nothing was decided")?;
    }
    let body = decision.comment.as_ref().map_or_else(|| json!({}), |comment| json!({ "comment": comment }));
    let posted = node.post(&format!("{path}/{verb}"), &body, &[])?;
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
    let mut first = vec![
        ("txid", text(document, "/txid")),
        ("state", format!("{} ({})", text(document, "/state"), text(document, "/sub_status"))),
        ("from", format!("{} wallet", text(document, "/type"))),
        ("recipient", in_fours(&recipient)),
        ("amount", money("/amount_sats")),
        ("fee", money("/fee_sats")),
        ("metadata", text(document, "/metadata")),
        ("confirmations", confirmations),
        ("created", text(document, "/created_at")),
    ];
    for (name, member) in [("replaces", "/replaces"), ("replaced by", "/replaced_by")] {
        if document.pointer(member).is_some_and(Value::is_string) {
            first.push((name, text(document, member)));
        }
    }
    let mut parts = vec![pairs(first)];
    parts.extend(decoded(document));
    parts.extend(approval(document));
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

/// What the transaction spends and pays, as the node reads it from its bytes.
fn decoded(document: &Value) -> Option<String> {
    let side = |list: &str, name: &str, kind: &str| -> Vec<[String; 4]> {
        let describe = |item: &Value| {
            let what = item.get(kind).and_then(Value::as_str).unwrap_or(name).to_owned();
            let amount = number(item, "/amount_sats").map_or_else(|| "-".to_owned(), show_amount);
            [what, amount, in_fours(&text(item, "/address")), text(item, "/outpoint")]
        };
        items(document, list).iter().map(describe).collect()
    };
    let mut sides = side("/inputs", "spends", "");
    sides.extend(side("/outputs", "pays", "kind"));
    if sides.is_empty() {
        return None;
    }
    let size = pairs([
        ("size", format!("{} vB", text(document, "/vsize"))),
        ("fee rate", format!("{} sat/vB", text(document, "/fee_rate_sat_vb"))),
    ]);
    Some(format!("{}\n\n{size}", rows(["coin", "amount", "address", "outpoint"], sides)))
}

/// What people were asked, and said.
fn approval(document: &Value) -> Option<String> {
    let decisions = items(document, "/approval/decisions");
    let asked = document.pointer("/approval/required") == Some(&Value::Bool(true));
    if !asked && decisions.is_empty() {
        return None;
    }
    let asks = pairs([
        ("approvals needed", text(document, "/approval/operators_required")),
        ("approvals missing", text(document, "/approval/missing")),
    ]);
    let said = rows(
        ["node", "operator", "decision", "comment", "at"],
        decisions.iter().map(|decision| {
            let approves = decision.get("approve") == Some(&Value::Bool(true));
            let verb = if approves { "approve" } else { "reject" };
            [
                text(decision, "/node_id"),
                text(decision, "/operator"),
                verb.to_owned(),
                text(decision, "/comment"),
                text(decision, "/at"),
            ]
        }),
    );
    Some(if decisions.is_empty() { asks } else { format!("{asks}\n\n{said}") })
}
