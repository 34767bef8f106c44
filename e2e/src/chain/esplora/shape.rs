//! The JSON shapes of Blockstream's `API.md`.

use bitcoin::{Address, Network, OutPoint, Script, Transaction, TxIn, TxOut, Txid};
use serde_json::{Map, Value, json};

use super::super::ledger::{BlockRecord, Ledger, TxRecord};

/// Virtual bytes that one bar of the fee histogram gathers.
const HISTOGRAM_STEP: u64 = 50_000;

/// A confirmation status; `None` is unconfirmed or unknown, which the real server tells apart no more.
pub(super) fn status(ledger: &Ledger, height: Option<u32>) -> Value {
    match height.and_then(|height| Some((height, ledger.block_at(height)?))) {
        Some((height, record)) => json!({
            "confirmed": true,
            "block_height": height,
            "block_hash": record.hash,
            "block_time": record.block.header.time,
        }),
        None => json!({ "confirmed": false }),
    }
}

/// A block without its transactions.
pub(super) fn block(record: &BlockRecord, height: u32) -> Value {
    let header = &record.block.header;
    let previous = (height > 0).then_some(header.prev_blockhash);
    json!({
        "id": record.hash,
        "height": height,
        "version": header.version.to_consensus(),
        "timestamp": header.time,
        "tx_count": record.block.txdata.len(),
        "size": record.block.total_size(),
        "weight": record.block.weight().to_wu(),
        "merkle_root": header.merkle_root,
        "previousblockhash": previous,
        "mediantime": record.median_time,
        "nonce": header.nonce,
        "bits": header.bits.to_consensus(),
        "difficulty": header.difficulty_float(),
    })
}

/// A transaction with the outputs it spends, its fee and its status.
pub(super) fn transaction(ledger: &Ledger, txid: Txid, record: &TxRecord) -> Value {
    let tx = &record.tx;
    json!({
        "txid": txid,
        "version": tx.version.0,
        "locktime": tx.lock_time.to_consensus_u32(),
        "vin": tx.input.iter().map(|vin| input(ledger, tx, vin)).collect::<Vec<_>>(),
        "vout": tx.output.iter().map(output).collect::<Vec<_>>(),
        "size": tx.total_size(),
        "weight": tx.weight().to_wu(),
        "fee": ledger.fee(tx),
        "status": status(ledger, record.height),
    })
}

fn input(ledger: &Ledger, tx: &Transaction, vin: &TxIn) -> Value {
    let mut fields = Map::from_iter([
        ("txid".to_owned(), json!(vin.previous_output.txid)),
        ("vout".to_owned(), json!(vin.previous_output.vout)),
        ("prevout".to_owned(), ledger.output(&vin.previous_output).map_or(Value::Null, output)),
        ("scriptsig".to_owned(), json!(vin.script_sig)),
        ("scriptsig_asm".to_owned(), json!(vin.script_sig.to_asm_string())),
        ("is_coinbase".to_owned(), json!(tx.is_coinbase())),
        ("sequence".to_owned(), json!(vin.sequence.0)),
    ]);
    if !vin.witness.is_empty() {
        // The bitcoin crate's human-readable form is the one Esplora uses: an array of hex strings.
        fields.insert("witness".to_owned(), json!(vin.witness));
    }
    Value::Object(fields)
}

fn output(output: &TxOut) -> Value {
    let script = &output.script_pubkey;
    let mut fields = Map::from_iter([
        ("scriptpubkey".to_owned(), json!(script)),
        ("scriptpubkey_asm".to_owned(), json!(script.to_asm_string())),
        ("scriptpubkey_type".to_owned(), json!(script_type(script))),
        ("value".to_owned(), json!(output.value.to_sat())),
    ]);
    if let Ok(address) = Address::from_script(script, Network::Regtest) {
        fields.insert("scriptpubkey_address".to_owned(), json!(address.to_string()));
    }
    Value::Object(fields)
}

fn script_type(script: &Script) -> &'static str {
    let kinds: [(bool, &str); 8] = [
        (script.is_empty(), "empty"),
        (script.is_op_return(), "op_return"),
        (script.is_p2pk(), "p2pk"),
        (script.is_p2pkh(), "p2pkh"),
        (script.is_p2sh(), "p2sh"),
        (script.is_p2wpkh(), "v0_p2wpkh"),
        (script.is_p2wsh(), "v0_p2wsh"),
        (script.is_p2tr(), "v1_p2tr"),
    ];
    kinds.iter().find_map(|(is, name)| is.then_some(*name)).unwrap_or("unknown")
}

/// Who spends an output. Unknown outputs are "unspent", as on the real server.
pub(super) fn outspend(ledger: &Ledger, outpoint: &OutPoint) -> Value {
    match ledger.spender(outpoint) {
        Some((txid, vin)) => {
            let height = ledger.get(&txid).and_then(|record| record.height);
            json!({ "spent": true, "txid": txid, "vin": vin, "status": status(ledger, height) })
        }
        None => json!({ "spent": false }),
    }
}

/// Size and fees of the mempool, with a histogram from the highest rate down.
#[allow(clippy::float_arithmetic, reason = "Esplora's histogram is in floating-point sat/vB")]
pub(super) fn mempool(ledger: &Ledger) -> Value {
    let waiting = ledger.mempool().filter_map(|txid| ledger.get(&txid));
    let mut rates: Vec<(f64, u64, u64)> = waiting
        .map(|record| {
            let (fee, vsize) = (ledger.fee(&record.tx), u64::try_from(record.tx.vsize()).unwrap_or(u64::MAX));
            (fee as f64 / vsize as f64, vsize, fee)
        })
        .collect();
    rates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut histogram = Vec::new();
    let mut gathered = 0u64;
    for (index, (rate, vsize, _)) in rates.iter().enumerate() {
        gathered = gathered.saturating_add(*vsize);
        if gathered > HISTOGRAM_STEP || index.saturating_add(1) == rates.len() {
            histogram.push(json!([rate, gathered]));
            gathered = 0;
        }
    }
    json!({
        "count": rates.len(),
        "vsize": rates.iter().map(|(_, vsize, _)| vsize).sum::<u64>(),
        "total_fee": rates.iter().map(|(_, _, fee)| fee).sum::<u64>(),
        "fee_histogram": histogram,
    })
}
