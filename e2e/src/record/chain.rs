//! What is recorded as confirmed against the chain.

use anyhow::Context as _;
use bitcoin::{Address, Amount, Transaction, address::NetworkUnchecked, consensus::deserialize};
use serde_json::Value;

use super::Comparison;
use super::rows::Record;
use crate::cluster::Api;

pub(super) fn compare(record: &Record, esplora: &str, found: &mut Comparison) -> anyhow::Result<()> {
    let chain = Api::new(esplora.trim_end_matches('/').to_owned());
    for (txid, row) in &record.transactions {
        let reply = chain.get(&format!("/tx/{txid}/status"))?;
        let mined = reply.status == 200 && reply.body.get("confirmed").and_then(Value::as_bool) == Some(true);
        found.check(mined == (row.state == "confirmed"), || {
            format!("{txid} is recorded as {}; that it stands in a block is {mined}", row.state)
        });
        let Some(bytes) = &row.signed_tx else {
            found
                .check(!mined, || format!("{txid} stands in a block, and no signed transaction is recorded"));
            continue;
        };
        let tx: Transaction = deserialize(bytes).with_context(|| format!("signed_tx of {txid}"))?;
        found.check(tx.compute_txid().to_string() == *txid, || {
            format!("signed_tx of {txid} is {}", tx.compute_txid())
        });
        let payee = row.recipient.parse::<Address<NetworkUnchecked>>()?.assume_checked().script_pubkey();
        let amount = Amount::from_sat(u64::try_from(row.amount_sats)?);
        let pays = tx.output.iter().any(|output| output.script_pubkey == payee && output.value == amount);
        found.check(pays, || format!("signed_tx of {txid} does not pay {amount} to {}", row.recipient));
    }
    Ok(())
}
