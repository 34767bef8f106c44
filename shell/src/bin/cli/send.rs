//! `tx send`: show what will happen, ask, propose, and perhaps wait.

use bitcoin::{Address, Network, address::NetworkUnchecked};
use mpc_wallet_shell::config::{network_name, parse_network};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    amount::{in_fours, show_amount, thousands},
    args::{Output, SendArguments},
    client::Node,
    confirm::confirm,
    failure::{Exit, Failure},
    output::{items, note, number, pairs, print, text},
    reach::reach,
    tx::describe,
};

const PATH: &str = "/api/v1/transactions";

pub(crate) fn run(node: &Node, send: &SendArguments, output: Output) -> Result<(), Failure> {
    let cluster = node.get("/api/v1/cluster/status")?;
    check_recipient(&send.recipient, &text(&cluster, "/network"))?;
    let preview = preview(node, send);
    if send.dry_run {
        return dry_run(&preview?, &cluster, send, output);
    }
    if send.yes {
        // Nobody is asked, so a refusal that the payment may not meet, because it waits for coins, decides nothing.
        note(&summary(&cluster, send, preview.as_ref().ok()));
    } else {
        note(&summary(&cluster, send, Some(&preview?)));
        confirm("Propose this transaction?", "nothing was proposed")?;
    }
    let key = send.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let posted = node.post(PATH, &request(send), &[("Idempotency-Key", &key)]).map_err(|failure| {
        if failure.exit == Exit::OutcomeUnknown {
            failure.detail(format!("repeat with --idempotency-key {key} to be sure not to pay twice"))
        } else {
            failure
        }
    })?;
    if posted.replayed {
        note("this idempotency key was used before: the payment below is the earlier one");
    }
    let Some(target) = send.wait else { return print(&posted.document, output, describe) };
    reach(node, &text(&posted.document, "/txid"), (target, send.timeout), output)
}

/// What the payment would be, or the earlier payment under its idempotency key.
fn preview(node: &Node, send: &SendArguments) -> Result<Value, Failure> {
    let key = send.idempotency_key.as_deref().map(|key| ("Idempotency-Key", key));
    let headers: Vec<_> = key.into_iter().collect();
    Ok(node.preview(&format!("{PATH}?dry_run=true"), &request(send), &headers)?.document)
}

/// The body of the request.
fn request(send: &SendArguments) -> Value {
    let mut body = json!({
        "recipient": send.recipient,
        "amount_sats": send.amount.to_sat(),
        "type": send.wallet_type,
    });
    if let Value::Object(members) = &mut body {
        for (name, value) in [("metadata", &send.metadata), ("fee_rate", &send.fee_rate)] {
            if let Some(value) = value {
                members.insert(name.to_owned(), value.clone().into());
            }
        }
    }
    body
}

/// A wrong address is told before anybody is asked to confirm it.
fn check_recipient(recipient: &str, network: &str) -> Result<(), Failure> {
    let refused = |code, message| Err(Failure::new(Exit::Usage, code, message));
    let Some(network) = parse_network(network) else {
        return refused(
            "wrong_network",
            format!("the node is on `{network}`, which this program does not know"),
        );
    };
    let Ok(address) = recipient.parse::<Address<NetworkUnchecked>>() else {
        return refused("invalid_address", format!("`{recipient}` is not a Bitcoin address"));
    };
    if address.is_valid_for_network(network) {
        return Ok(());
    }
    let theirs: Vec<_> =
        [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest]
            .into_iter()
            .filter(|candidate| address.is_valid_for_network(*candidate))
            .map(network_name)
            .collect();
    let message = format!(
        "{recipient} is an address of {}; this cluster runs on {}",
        theirs.join("/"),
        network_name(network)
    );
    refused("wrong_network", message)
}

fn summary(cluster: &Value, send: &SendArguments, preview: Option<&Value>) -> String {
    let head = format!(
        "{}   {} of {} votes needed   (node {})",
        text(cluster, "/network").to_uppercase(),
        text(cluster, "/threshold"),
        text(cluster, "/total_nodes"),
        text(cluster, "/node_id"),
    );
    let mut rows = vec![
        ("from", format!("{} wallet", send.wallet_type)),
        ("to", in_fours(&send.recipient)),
        ("amount", show_amount(send.amount.to_sat())),
    ];
    match preview.filter(|preview| is_preview(preview)) {
        Some(preview) => rows.extend(costs(preview)),
        None => rows.push((
            "fee rate",
            send.fee_rate.as_ref().map_or_else(|| "estimated".to_owned(), |rate| format!("{rate} sat/vB")),
        )),
    }
    if let Some(metadata) = &send.metadata {
        rows.push(("metadata", metadata.clone()));
    }
    format!("{head}\n{}", pairs(rows))
}

/// Whether a document tells what a payment would be, and not what an earlier one is.
fn is_preview(document: &Value) -> bool {
    document.get("dry_run") == Some(&Value::Bool(true))
}

fn costs(preview: &Value) -> [(&'static str, String); 3] {
    let sats = |member: &str| number(preview, member).unwrap_or_default();
    let (fee, amount) = (sats("/fee_sats"), sats("/amount_sats"));
    let coins = items(preview, "/inputs").len();
    [
        (
            "fee",
            format!(
                "{} sat ({} sat/vB, {} of the amount)",
                thousands(fee),
                text(preview, "/fee_rate_sat_vb"),
                percent(fee, amount)
            ),
        ),
        ("change", format!("{} sat", thousands(sats("/change_sats")))),
        ("spends", if coins == 1 { "1 coin".to_owned() } else { format!("{coins} coins") }),
    ]
}

/// `part` of `whole` with two decimals, rounded down.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = part.saturating_mul(10_000).checked_div(whole).unwrap_or_default();
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// Shows the payment that would be made, or was made under the same idempotency key.
fn dry_run(preview: &Value, cluster: &Value, send: &SendArguments, output: Output) -> Result<(), Failure> {
    if !is_preview(preview) {
        note("this idempotency key was used before: the payment below is the earlier one");
        return print(preview, output, describe);
    }
    print(preview, output, |preview| {
        format!("{}\nnothing was proposed", summary(cluster, send, Some(preview)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_told_as_part_of_the_amount() {
        for (fee, amount, told) in
            [(154, 50_000, "0.30 %"), (1, 3, "33.33 %"), (5, 5, "100.00 %"), (1, 0, "0.00 %")]
        {
            assert_eq!(percent(fee, amount), told);
        }
    }
}
