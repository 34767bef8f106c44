//! What a payment would be, as `?dry_run=true` of `POST /api/v1/transactions` shows it.

use bitcoin::{Amount, Network};
use mpc_wallet_core::step::{PaymentRequest, Quote};
use serde_json::{Number, Value, json};

use super::address;
use crate::units::fee_rate_to_decimal;

/// The members of a transaction that are known before it is made, under the same names; there is no txid, because the payment
/// itself may be made of other coins.
pub(super) fn document(quote: &Quote, payment: &PaymentRequest, network: Network) -> Value {
    let inputs = quote.inputs.iter().map(
        |coin| json!({ "outpoint": coin.outpoint.to_string(), "amount_sats": coin.output.value.to_sat() }),
    );
    let recipient = address::show(&payment.recipient, network);
    let mut outputs =
        vec![json!({ "address": recipient, "amount_sats": payment.amount.to_sat(), "kind": "recipient" })];
    let wallet = quote.inputs.first().map(|coin| address::show(&coin.output.script, network));
    if quote.change > Amount::ZERO {
        outputs.push(json!({ "address": wallet, "amount_sats": quote.change.to_sat(), "kind": "change" }));
    }
    let rate = fee_rate_to_decimal(quote.fee_rate()).parse::<Number>().ok();
    json!({
        "dry_run": true,
        "type": payment.scheme.to_string(),
        "key": quote.key.to_string(),
        "recipient": recipient,
        "amount_sats": payment.amount.to_sat(),
        "fee_sats": quote.fee.to_sat(),
        "fee_rate_sat_vb": rate,
        "vsize": quote.vsize,
        "change_sats": quote.change.to_sat(),
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs,
        "metadata": payment.metadata,
    })
}
