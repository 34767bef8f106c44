//! `tx bump`: show the payment and its fee, ask, propose a dearer transaction in its place, and perhaps wait.

use serde_json::{Value, json};

use crate::{
    amount::{in_fours, show_amount, thousands},
    args::{BumpArguments, Output},
    client::Node,
    confirm::confirm,
    failure::{Exit, Failure},
    output::{items, note, number, pairs, print, text},
    reach::reach,
    tx::{describe, path_of},
};

pub(crate) fn run(node: &Node, bump: &BumpArguments, output: Output) -> Result<(), Failure> {
    let path = path_of(&bump.txid);
    let original = node.get(&path)?;
    note(&summary(&original, bump));
    if !bump.yes {
        confirm("Propose a transaction in its place?", "nothing was proposed")?;
    }
    let body = bump.fee_rate.as_ref().map_or_else(|| json!({}), |rate| json!({ "fee_rate": rate }));
    let posted = node.post(&format!("{path}/bump"), &body, &[]).map_err(|failure| {
        if failure.exit == Exit::OutcomeUnknown {
            failure.detail(
                "look at the payment before you repeat: `replaced by` names what was proposed in its place",
            )
        } else {
            failure
        }
    })?;
    let Some(target) = bump.wait else { return print(&posted.document, output, describe) };
    reach(node, &text(&posted.document, "/txid"), (target, bump.timeout), output)
}

/// What stays, and what may change.
fn summary(original: &Value, bump: &BumpArguments) -> String {
    let money = |member: &str| number(original, member).map_or_else(|| "-".to_owned(), show_amount);
    let rate = bump.fee_rate.as_ref().map_or_else(
        || "estimated, and no less than the network takes".to_owned(),
        |rate| format!("{rate} sat/vB"),
    );
    pairs([
        ("replaces", text(original, "/txid")),
        ("state", format!("{} ({})", text(original, "/state"), text(original, "/sub_status"))),
        ("to", in_fours(&text(original, "/recipient"))),
        ("amount", format!("{}, as before", money("/amount_sats"))),
        ("fee now", fee(original)),
        ("fee rate then", rate),
        ("change now", format!("{} sat, out of which the higher fee comes", thousands(change(original)))),
    ])
}

fn fee(original: &Value) -> String {
    let sats = number(original, "/fee_sats").unwrap_or_default();
    format!("{} sat ({} sat/vB)", thousands(sats), text(original, "/fee_rate_sat_vb"))
}

/// What comes back to the wallet, in satoshis.
fn change(original: &Value) -> u64 {
    let is_change = |output: &&Value| output.get("kind").and_then(Value::as_str) == Some("change");
    items(original, "/outputs")
        .iter()
        .filter(is_change)
        .filter_map(|output| number(output, "/amount_sats"))
        .sum()
}
