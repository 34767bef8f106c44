//! What a server's answer to a broadcast means.
//!
//! Only an explicit rejection for a reason that cannot pass is final. Whatever is not understood is
//! [`BroadcastOutcome::Unknown`]: to call a payment that went out failed would invite a second one.

use BroadcastOutcome::{Accepted, AlreadyConfirmed, FeeTooLow, InputsMissing, Refused, Temporary, Unknown};
use bitcoin::Txid;
use mpc_wallet_core::chain::BroadcastOutcome;
use serde_json::Value;

use super::http::excerpt;

/// How a rule's words are looked for, lower case and with blanks for hyphens.
enum Words {
    /// Anywhere in the answer: words that occur nowhere else.
    Anywhere(&'static [&'static str]),
    /// At the beginning of the node's own reason: words that a proxy's error page might hold too.
    Reason(&'static [&'static str]),
}
use Words::{Anywhere, Reason};

/// Makes an outcome of the server's text.
type Meaning = fn(String) -> BroadcastOutcome;

/// The first rule that matches decides, so exceptions stand before `bad txns`. Spellings of Bitcoin Core up to 31.
const RULES: &[(Words, Meaning)] = &[
    (
        Anywhere(&["txn already in mempool", "txn already known", "txn same nonwitness data in mempool"]),
        |_| Accepted,
    ),
    (Anywhere(&["transaction already in block chain", "transaction outputs already in utxo set"]), |_| {
        AlreadyConfirmed
    }),
    (Anywhere(&["inputs missingorspent", "missing inputs", "inputs missing or spent"]), |_| InputsMissing),
    // Another transaction in the mempool spends an input, and may not be replaced.
    (Anywhere(&["txn mempool conflict", "bad txns spends conflicting tx"]), |_| InputsMissing),
    // Another transaction in the mempool spends an input, and pays too much to be replaced by this one.
    (Anywhere(&["insufficient fee", "replacement failed"]), |_| FeeTooLow),
    (Anywhere(&["replacement adds unconfirmed", "too many potential replacements"]), Temporary),
    (Anywhere(&["mempool min fee not met", "min relay fee not met", "mempool full"]), |_| FeeTooLow),
    (
        Anywhere(&[
            "too long mempool chain",
            "too large cluster",
            "non bip68 final",
            "premature spend of coinbase",
        ]),
        Temporary,
    ),
    (Reason(&["non final"]), Temporary),
    (
        Anywhere(&[
            "mandatory script verify flag",
            "mempool script verify flag failed",
            "block script verify flag failed",
            "bad witness nonstandard",
            "bad txns",
            "tx decode failed",
            "max fee exceeded",
            "max feerate exceeded",
            "fee exceeds maximum configured",
        ]),
        Refused,
    ),
    (Reason(&["dust", "scriptpubkey", "scriptsig", "version", "tx size"]), Refused),
];

/// What an answer to `POST /tx` means for the transaction sent.
pub(super) fn classify(sent: Txid, status: u16, body: &str) -> BroadcastOutcome {
    if (200..300).contains(&status) {
        return match body.trim().parse::<Txid>() {
            Ok(txid) if txid == sent => Accepted,
            Ok(_) | Err(_) => Unknown(format!("HTTP {status} without our txid: {}", excerpt(body))),
        };
    }
    let rejection = Rejection::find(body);
    let reason = normalise(rejection.as_ref().map_or("", |r| &r.message));
    let whole = normalise(body);
    let told = format!("HTTP {status}: {}", excerpt(body));
    for (words, outcome) in RULES {
        let matches = match words {
            Anywhere(words) => words.iter().any(|w| whole.contains(w)),
            Reason(words) => words.iter().any(|w| reason.starts_with(w)),
        };
        if matches {
            return outcome(told);
        }
    }
    match rejection.and_then(|r| r.code) {
        Some(-27) => AlreadyConfirmed,
        Some(-22) => Refused(told),
        Some(_) | None => Unknown(told),
    }
}

fn normalise(text: &str) -> String {
    text.to_lowercase().replace('-', " ")
}

/// The node's own words inside the server's.
struct Rejection {
    code: Option<i64>,
    message: String,
}

impl Rejection {
    /// Finds `{"code":-26,"message":"…"}` behind `sendrawtransaction RPC error: ` or inside an `error` field, or the form
    /// `sendrawtransaction RPC error -26: …`.
    fn find(text: &str) -> Option<Self> {
        Self::in_json(text).or_else(|| Self::in_words(text))
    }

    fn in_json(text: &str) -> Option<Self> {
        let (_, object) = text.split_once('{')?;
        let object = format!("{{{object}");
        let value: Value = serde_json::Deserializer::from_str(&object).into_iter().next()?.ok()?;
        match value.get("error") {
            // Each level is shorter than the one around it, so this ends.
            Some(Value::String(inner)) => Self::find(inner),
            Some(inner @ Value::Object(_)) => Self::of(inner),
            Some(_) | None => Self::of(&value),
        }
    }

    fn of(value: &Value) -> Option<Self> {
        let message = value.get("message")?.as_str()?.to_owned();
        Some(Self { code: value.get("code").and_then(Value::as_i64), message })
    }

    fn in_words(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("RPC error")?;
        let (code, message) = rest.split_once(':')?;
        Some(Self { code: code.trim().parse().ok(), message: message.trim().to_owned() })
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
