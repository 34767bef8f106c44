//! Waiting for a payment to get where it should be.

use std::time::Duration;

use mpc_wallet_core::tx::State;
use serde_json::Value;

use crate::{
    args::Output,
    client::Node,
    failure::{Exit, Failure},
    output::{items, print, text},
    tx::{describe, path_of},
    wait::{Sight, follow},
};

/// Follows a payment until it is in `target` or beyond, has ended otherwise, or time is up.
///
/// # Errors
/// It ended otherwise, or was not there in time; and what asking the node fails with.
pub(crate) fn reach(
    node: &Node,
    txid: &str,
    (target, timeout): (State, Duration),
    output: Output,
) -> Result<(), Failure> {
    let path = path_of(txid);
    let (document, over) = follow(
        timeout,
        || node.get(&path),
        |document| Sight {
            words: format!("{}: {}", text(document, "/state"), text(document, "/sub_status")),
            events: items(document, "/timeline").iter().map(event).collect(),
            done: None,
            over: state_of(document).is_some_and(|state| reached(state, target) || state.is_final()),
        },
    )?;
    print(&document, output, describe)?;
    let state = text(&document, "/state");
    if !over {
        let message = format!("{txid} is {state} after {} s and goes on by itself", timeout.as_secs());
        return Err(Failure::new(Exit::OutcomeUnknown, "timeout", message));
    }
    if state_of(&document).is_some_and(|state| reached(state, target)) {
        return Ok(());
    }
    Err(ended(txid, &document))
}

fn ended(txid: &str, document: &Value) -> Failure {
    let sub_status = text(document, "/sub_status");
    let message = format!("{txid} ended as {} ({sub_status})", text(document, "/state"));
    let failure = Failure::new(Exit::Refused, "payment_ended", message);
    if sub_status == "replaced" {
        return failure.detail("the payment is made: another transaction for it has confirmed");
    }
    failure
}

/// A step of the timeline in a line.
fn event(step: &Value) -> String {
    format!("{}  {}: {}", text(step, "/at"), text(step, "/to"), text(step, "/sub_status"))
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
