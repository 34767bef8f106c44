//! A payment as clients ask for it, checked field by field, every error at once.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
};
use bitcoin::{Amount, ScriptBuf};
use mpc_wallet_core::{Scheme, step::PaymentRequest, tx::MAX_EXTERNAL_ID_BYTES};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    address,
    body::{Fields, invalid},
    problem::Problem,
    query::{DEFAULT_SCHEME, NOT_A_SCHEME, parse_scheme},
    schema::WalletType,
    state::ApiOptions,
};
use crate::units::fee_rate_from_decimal;

/// A payment to propose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "the schema of what `read` takes field by field, so that it can name every error at once"
)]
pub(super) struct NewPayment {
    /// Address on the cluster's network.
    #[schema(min_length = 14, max_length = 90, examples("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"))]
    recipient: String,
    /// What the recipient gets.
    #[schema(minimum = 1, maximum = 2_100_000_000_000_000_u64, examples(50_000))]
    amount_sats: u64,
    /// The payer's own reference.
    metadata: Option<String>,
    /// The payer's name of the payment, for good: asked for again with the same content, at whichever node, it is answered with
    /// the same payment, with other content by 422. Where it is given, `Idempotency-Key` adds nothing.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    external_id: Option<String>,
    /// The wallet that pays; `taproot` if not given.
    #[schema(value_type = Option<WalletType>)]
    r#type: Option<String>,
    /// Satoshis for each virtual byte, with at most three decimals; the chain backend's estimate if not given.
    fee_rate: Option<FeeRate>,
}

/// A fee rate in sat/vB: a number, or the same in quotes.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "a schema")]
pub(super) enum FeeRate {
    Number(f64),
    Text(String),
}

/// Which wallet is to get a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the schema of what `read_keygen` takes")]
pub(super) struct NewKey {
    #[schema(value_type = WalletType)]
    r#type: String,
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest idempotency key.
const LONGEST_KEY: usize = 255;
const FIELDS: &str = "recipient, amount_sats, metadata, external_id, type and fee_rate";

/// Reads a payment from a request.
///
/// # Errors
/// 400, 413 or 415 for the form of the request, 422 for its content.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    options: &ApiOptions,
) -> Result<PaymentRequest, Problem> {
    let mut fields = Fields::read(headers, body, options.body_limit).await?;
    let idempotency_key = idempotency_key(headers)?;
    let mut problems = Vec::new();
    let recipient = keep(recipient(fields.take("recipient"), options), &mut problems);
    let amount = keep(amount(fields.take("amount_sats")), &mut problems);
    let metadata = keep(metadata(fields.take("metadata")), &mut problems);
    let external_id = keep(external_id(fields.take("external_id")), &mut problems);
    let scheme = keep(scheme(fields.take("type")), &mut problems);
    let fee_rate = keep(fee_rate(fields.take("fee_rate")), &mut problems);
    problems.extend(fields.unknown(FIELDS));
    match (Problem::merge(problems), recipient, amount, metadata, external_id, scheme, fee_rate) {
        (
            None,
            Some(recipient),
            Some(amount),
            Some(metadata),
            Some(external_id),
            Some(scheme),
            Some(fee_rate),
        ) => {
            let initiator = None;
            Ok(PaymentRequest {
                scheme,
                recipient,
                amount,
                fee_rate,
                metadata,
                external_id,
                idempotency_key,
                initiator,
            })
        }
        (problem, ..) => Err(problem.unwrap_or_else(Problem::internal)),
    }
}

fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn recipient(value: Option<Value>, options: &ApiOptions) -> Result<ScriptBuf, Problem> {
    const POINTER: &str = "/recipient";
    match value {
        None => Err(invalid(POINTER, "is required: the Bitcoin address to pay")),
        Some(Value::String(text)) => {
            address::parse(&text, options.network).map_err(|problem| problem.at(POINTER))
        }
        Some(_) => Err(invalid(POINTER, "must be a string: the Bitcoin address to pay")),
    }
}

fn amount(value: Option<Value>) -> Result<Amount, Problem> {
    let wrong = |message: String| invalid("/amount_sats", message);
    let number = match value {
        None => return Err(wrong("is required: a whole number of satoshis".to_owned())),
        Some(Value::Number(number)) => number,
        Some(Value::String(_)) => {
            return Err(wrong(
                "must be a number of satoshis, not a string; write 50000 without quotes".to_owned(),
            ));
        }
        Some(_) => return Err(wrong("must be a whole number of satoshis".to_owned())),
    };
    let supply = Amount::MAX_MONEY;
    match number.as_u64() {
        Some(0) => Err(wrong("must be at least 1 satoshi".to_owned())),
        Some(sats) if sats > supply.to_sat() => {
            Err(wrong(format!("{sats} exceeds the {} satoshis that can ever exist", supply.to_sat())))
        }
        Some(sats) => Ok(Amount::from_sat(sats)),
        None if number.as_i64().is_some() || number.to_string().starts_with('-') => {
            Err(wrong(format!("must be at least 1 satoshi; {number} is negative")))
        }
        None => Err(wrong(format!(
            "must be a whole number of satoshis; {number} is not (1 BTC is 100000000 satoshis)"
        ))),
    }
}

fn metadata(value: Option<Value>) -> Result<Option<String>, Problem> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid("/metadata", "must be a string")),
    }
}

fn external_id(value: Option<Value>) -> Result<Option<String>, Problem> {
    let wrong = || {
        let form =
            format!("must be a string of 1 to {MAX_EXTERNAL_ID_BYTES} ASCII characters without spaces");
        invalid("/external_id", form)
    };
    match value {
        None => Ok(None),
        Some(Value::String(id)) if is_external_id(&id) => Ok(Some(id)),
        Some(_) => Err(wrong()),
    }
}

/// Whether a payer may name a payment so.
pub(super) fn is_external_id(id: &str) -> bool {
    (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn scheme(value: Option<Value>) -> Result<Scheme, Problem> {
    const POINTER: &str = "/type";
    match value {
        None => Ok(DEFAULT_SCHEME),
        Some(Value::String(name)) => parse_scheme(&name).ok_or_else(|| invalid(POINTER, NOT_A_SCHEME)),
        Some(_) => Err(invalid(POINTER, NOT_A_SCHEME)),
    }
}

/// sat/vB as a number or a string, to sat/kvB.
pub(super) fn fee_rate(value: Option<Value>) -> Result<Option<u64>, Problem> {
    let text = match value {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        // The shortest decimal that names the number, which is what the client wrote.
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(invalid("/fee_rate", "must be a fee rate in sat/vB, as in 2 or 1.5")),
    };
    // A float that is whole prints with a needless ".0", which is no more than what was written.
    fee_rate_from_decimal(&text).map(Some).map_err(|error| invalid("/fee_rate", error.to_string()))
}

/// Key generation takes one field.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_keygen(
    headers: &HeaderMap,
    body: Body,
    options: &ApiOptions,
) -> Result<Scheme, Problem> {
    let mut fields = Fields::read(headers, body, options.body_limit).await?;
    let mut problems = Vec::new();
    let given = fields.take("type").ok_or_else(|| invalid("/type", "is required: taproot or segwit"));
    let scheme = keep(given.and_then(|value| scheme(Some(value))), &mut problems);
    problems.extend(fields.unknown("type"));
    match (Problem::merge(problems), scheme) {
        (None, Some(scheme)) => Ok(scheme),
        (problem, _) => Err(problem.unwrap_or_else(Problem::internal)),
    }
}

/// The `Idempotency-Key` header, bare or as a quoted structured-field string.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refused = |message: String| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_idempotency_key",
            format!("The Idempotency-Key header {message}."),
        )
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("is given twice".to_owned()));
    }
    let text = value.to_str().map_err(|_| refused("is not printable ASCII".to_owned()))?.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !(1..=LONGEST_KEY).contains(&bare.len()) {
        return Err(refused(format!("must have 1 to {LONGEST_KEY} characters")));
    }
    if bare.contains(['"', '\\']) {
        return Err(refused("may not contain quotes or backslashes".to_owned()));
    }
    Ok(Some(bare.to_owned()))
}
