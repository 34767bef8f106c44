//! `tx send`: show what will happen, ask, propose, and perhaps wait.

use bitcoin::{Address, Network, address::NetworkUnchecked};
use mpc_wallet_core::tx::State;
use mpc_wallet_shell::config::{network_name, parse_network};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    amount::{in_fours, show_amount},
    args::{Output, SendArguments},
    client::Node,
    confirm::confirm,
    failure::{Exit, Failure},
    output::{note, number, pairs, print, text},
    tx::{describe, path_of, query_value},
    wait::follow,
};

pub(crate) fn run(node: &Node, send: &SendArguments, output: Output) -> Result<(), Failure> {
    let cluster = node.get("/api/v1/cluster/status")?;
    check_recipient(&send.recipient, &text(&cluster, "/network"))?;
    if send.dry_run {
        return dry_run(node, &cluster, send, output);
    }
    note(&summary(&cluster, send));
    if !send.yes {
        confirm("Propose this transaction?", "nothing was proposed")?;
    }
    let key = send.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let posted = node.post("/api/v1/transactions", &request(send), &[("Idempotency-Key", &key)]).map_err(
        |failure| {
            if failure.exit == Exit::OutcomeUnknown {
                failure.detail(format!("repeat with --idempotency-key {key} to be sure not to pay twice"))
            } else {
                failure
            }
        },
    )?;
    if posted.replayed {
        note("this idempotency key was used before: the payment below is the earlier one");
    }
    let Some(target) = send.wait else { return print(&posted.document, output, describe) };
    wait_for(node, &text(&posted.document, "/txid"), target, send, output)
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

fn summary(cluster: &Value, send: &SendArguments) -> String {
    let head = format!(
        "{}   {} of {} votes needed   (node {})",
        text(cluster, "/network").to_uppercase(),
        text(cluster, "/threshold"),
        text(cluster, "/total_nodes"),
        text(cluster, "/node_id"),
    );
    let fee = send.fee_rate.as_ref().map_or_else(|| "estimated".to_owned(), |rate| format!("{rate} sat/vB"));
    let mut rows = vec![
        ("from", format!("{} wallet", send.wallet_type)),
        ("to", in_fours(&send.recipient)),
        ("amount", show_amount(send.amount.to_sat())),
        ("fee rate", fee),
    ];
    if let Some(metadata) = &send.metadata {
        rows.push(("metadata", metadata.clone()));
    }
    format!("{head}\n{}", pairs(rows))
}

/// Shows the payment and whether the money for it is there.
fn dry_run(node: &Node, cluster: &Value, send: &SendArguments, output: Output) -> Result<(), Failure> {
    let balance = node.get(&format!("/api/v1/wallet/balance?type={}", query_value(&send.wallet_type)))?;
    let spendable = number(&balance, "/spendable_sats").unwrap_or_default();
    let enough = spendable > send.amount.to_sat();
    let document = json!({
        "dry_run": true,
        "network": cluster.get("network"),
        "request": request(send),
        "spendable_sats": spendable,
        "sufficient_before_fee": enough,
    });
    print(&document, output, |_| {
        let spendable = pairs([("spendable", show_amount(spendable))]);
        format!("{}\n{spendable}\nnothing was proposed", summary(cluster, send))
    })?;
    if enough {
        return Ok(());
    }
    let message = format!("only {spendable} sat are spendable, the amount and a fee are needed");
    Err(Failure::new(Exit::Refused, "insufficient_funds", message))
}

fn wait_for(
    node: &Node,
    txid: &str,
    target: State,
    send: &SendArguments,
    output: Output,
) -> Result<(), Failure> {
    let path = path_of(txid);
    let (document, over) = follow(
        send.timeout,
        || node.get(&path),
        |document| {
            let words = format!("{}: {}", text(document, "/state"), text(document, "/sub_status"));
            (words, state_of(document).is_some_and(|state| reached(state, target) || state.is_final()))
        },
    )?;
    print(&document, output, describe)?;
    let state = text(&document, "/state");
    if !over {
        let message = format!("{txid} is {state} after {} s and goes on by itself", send.timeout.as_secs());
        return Err(Failure::new(Exit::OutcomeUnknown, "timeout", message));
    }
    if state_of(&document).is_some_and(|state| reached(state, target)) {
        return Ok(());
    }
    let message = format!("{txid} ended as {state} ({})", text(&document, "/sub_status"));
    Err(Failure::new(Exit::Refused, "payment_ended", message))
}

fn state_of(document: &Value) -> Option<State> {
    let name = document.get("state")?.as_str()?;
    State::ALL.into_iter().find(|state| state.name() == name)
}

/// Whether `state` is the target or lies beyond it on the way to `confirmed`.
fn reached(state: State, target: State) -> bool {
    state == target || (target < state && state <= State::Confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_that_went_further_has_reached_the_target_but_a_failed_one_has_not() {
        assert!(reached(State::Broadcasting, State::Signed));
        assert!(reached(State::Confirmed, State::Confirmed));
        assert!(reached(State::Rejected, State::Rejected));
        assert!(!reached(State::Rejected, State::Signed));
        assert!(!reached(State::Failed, State::Rejected));
        assert!(!reached(State::Voting, State::Signed));
    }
}
