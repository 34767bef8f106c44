#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use bitcoin::hashes::Hash;

use super::*;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Class {
    Accepted,
    Confirmed,
    Inputs,
    Fee,
    Temporary,
    Refused,
    Unknown,
}

fn class(outcome: &BroadcastOutcome) -> Class {
    match outcome {
        Accepted => Class::Accepted,
        AlreadyConfirmed => Class::Confirmed,
        InputsMissing => Class::Inputs,
        FeeTooLow => Class::Fee,
        Temporary(_) => Class::Temporary,
        Refused(_) => Class::Refused,
        Unknown(_) => Class::Unknown,
    }
}

fn ours() -> Txid {
    Txid::from_byte_array([7; 32])
}

/// Reasons in the spellings of Bitcoin Core 29, 30 and 31, and of the reference table.
const REASONS: &[(i64, &str, Class)] = &[
    (-26, "txn-already-in-mempool", Class::Accepted),
    (-26, "txn-already-known", Class::Accepted),
    (-26, "txn-same-nonwitness-data-in-mempool", Class::Accepted),
    (-27, "Transaction already in block chain", Class::Confirmed),
    (-27, "Transaction outputs already in utxo set", Class::Confirmed),
    (-27, "wording of a later version", Class::Confirmed),
    (-25, "bad-txns-inputs-missingorspent", Class::Inputs),
    (-25, "Missing inputs", Class::Inputs),
    (-25, "Inputs missing or spent", Class::Inputs),
    (-26, "txn-mempool-conflict", Class::Inputs),
    (-26, "bad-txns-spends-conflicting-tx, ab spends conflicting transaction cd", Class::Inputs),
    (
        -26,
        "insufficient fee, rejecting replacement ab, less fees than conflicting txs; 0.1 < 0.2",
        Class::Fee,
    ),
    (-26, "insufficient fee (including sigops), rejecting replacement ab", Class::Fee),
    (-26, "replacement-adds-unconfirmed, replacement ab adds unconfirmed input, idx 0", Class::Temporary),
    (-26, "replacement-failed, insufficient feerate: does not improve feerate diagram", Class::Fee),
    (
        -26,
        "too many potential replacements, rejecting replacement ab; too many (101 > 100)",
        Class::Temporary,
    ),
    (-26, "mempool min fee not met, 100 < 1000", Class::Fee),
    (-26, "min relay fee not met, 10 < 14", Class::Fee),
    (-26, "mempool full", Class::Fee),
    (-26, "too-long-mempool-chain, too many descendants for tx ab [limit: 25]", Class::Temporary),
    (-26, "too-large-cluster", Class::Temporary),
    (-26, "non-final", Class::Temporary),
    (-26, "non-BIP68-final", Class::Temporary),
    (-26, "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 3", Class::Temporary),
    (-26, "mandatory-script-verify-flag-failed (Invalid Schnorr signature)", Class::Refused),
    (-26, "non-mandatory-script-verify-flag (Witness version reserved)", Class::Refused),
    (-26, "mempool-script-verify-flag-failed (Invalid Schnorr signature), input 0 of ab", Class::Refused),
    (-26, "block-script-verify-flag-failed (Invalid Schnorr signature)", Class::Refused),
    (-26, "bad-witness-nonstandard", Class::Refused),
    (-26, "dust", Class::Refused),
    (-26, "dust, tx with dust output must be 0-fee", Class::Refused),
    (-26, "scriptpubkey", Class::Refused),
    (-26, "scriptsig-not-pushonly", Class::Refused),
    (-26, "version", Class::Refused),
    (-26, "tx-size", Class::Refused),
    (-26, "tx-size-small", Class::Refused),
    (-26, "bad-txns-in-belowout, value in (1.00) < value out (2.00)", Class::Refused),
    (-26, "bad-txns-vout-negative", Class::Refused),
    (-22, "TX decode failed. Make sure the tx has at least one input.", Class::Refused),
    (-22, "wording of a later version", Class::Refused),
    (-25, "max-fee-exceeded", Class::Refused),
    (-26, "max feerate exceeded", Class::Refused),
    (-25, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)", Class::Refused),
    (-26, "a reason of a later version", Class::Unknown),
    (-1, "internal error", Class::Unknown),
];

#[test]
fn every_reason_has_its_class_in_every_wrapping_and_under_every_status() {
    for &(code, message, expected) in REASONS {
        let json = serde_json::json!({"code": code, "message": message});
        let electrs = format!("sendrawtransaction RPC error: {json}");
        let wrapped = serde_json::json!({ "error": electrs }).to_string();
        let object = serde_json::json!({"error": json, "id": null, "result": null}).to_string();
        let words = format!("sendrawtransaction RPC error {code}: {message}");
        for body in [electrs, wrapped, object, words] {
            for status in [400, 500, 503] {
                let outcome = classify(ours(), status, &body);
                assert_eq!(class(&outcome), expected, "HTTP {status} {body}");
            }
        }
    }
}

#[test]
fn success_is_only_our_own_txid() {
    let other = Txid::from_byte_array([8; 32]);
    for (status, body, expected) in [
        (200, format!("{}", ours()), Class::Accepted),
        (200, format!("{}\n", ours()), Class::Accepted),
        (203, format!("{}", ours()), Class::Accepted),
        (200, format!("{other}"), Class::Unknown),
        (200, String::new(), Class::Unknown),
        (200, "queued".into(), Class::Unknown),
        (200, "dust".into(), Class::Unknown),
    ] {
        assert_eq!(class(&classify(ours(), status, &body)), expected, "HTTP {status} {body}");
    }
}

#[test]
fn what_is_not_the_nodes_own_rejection_is_never_final() {
    for (status, body) in [
        (400, "Bad Request"),
        (400, "version of your browser is not supported"),
        (400, "<html><center>dust proxy 1.0</center></html>"),
        (408, ""),
        (413, "Payload Too Large"),
        (429, "Too Many Requests"),
        (500, "{\"error\":"),
        (500, "sendrawtransaction RPC error: "),
        (502, "<html><title>502 Bad Gateway</title></html>"),
        (503, ""),
        (504, "scriptpubkey"),
        (505, "HTTP Version Not Supported"),
    ] {
        assert_eq!(class(&classify(ours(), status, body)), Class::Unknown, "HTTP {status} {body}");
    }
}
