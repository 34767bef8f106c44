//! What a payment would be, as `?dry_run=true` of `POST /api/v1/transactions` shows it.

use bitcoin::{Amount, Network};
use mpc_wallet_core::step::{PaymentRequest, Quote};
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::{
    address,
    schema::WalletType,
    transactions::document::{Input, Output},
};
use crate::units::fee_rate_to_decimal;

/// The members of a transaction that are known before it is made, under the same names; there is no txid, because the payment
/// itself may be made of other coins.
#[derive(Serialize, ToSchema)]
#[schema(as = Preview)]
pub(super) struct Preview {
    /// Always `true`.
    dry_run: bool,
    r#type: WalletType,
    /// The key that would sign.
    key: String,
    recipient: String,
    amount_sats: u64,
    fee_sats: u64,
    #[schema(required, value_type = Option<f64>)]
    fee_rate_sat_vb: Option<Number>,
    /// Once signed, in virtual bytes.
    vsize: u64,
    /// What would return to the wallet; 0 for no change output.
    change_sats: u64,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    #[schema(required)]
    metadata: Option<String>,
    #[schema(required)]
    external_id: Option<String>,
}

impl Preview {
    pub(super) fn of(quote: &Quote, payment: &PaymentRequest, network: Network) -> Self {
        let recipient = address::show(&payment.recipient, network);
        let inputs: Vec<_> = quote
            .inputs
            .iter()
            .map(|coin| Input {
                outpoint: coin.outpoint.to_string(),
                address: Some(address::show(&coin.output.script, network)),
                amount_sats: Some(coin.output.value.to_sat()),
            })
            .collect();
        let paid =
            Output { address: recipient.clone(), amount_sats: payment.amount.to_sat(), kind: "recipient" };
        let wallet = inputs.first().and_then(|input| input.address.clone()).unwrap_or_default();
        let change = Output { address: wallet, amount_sats: quote.change.to_sat(), kind: "change" };
        let change = Some(change).filter(|_| quote.change > Amount::ZERO);
        Self {
            dry_run: true,
            r#type: WalletType(payment.scheme),
            key: quote.key.to_string(),
            recipient,
            amount_sats: payment.amount.to_sat(),
            fee_sats: quote.fee.to_sat(),
            fee_rate_sat_vb: fee_rate_to_decimal(quote.fee_rate()).parse().ok(),
            vsize: quote.vsize,
            change_sats: quote.change.to_sat(),
            inputs,
            outputs: [paid].into_iter().chain(change).collect(),
            metadata: payment.metadata.clone(),
            external_id: payment.external_id.clone(),
        }
    }
}
