//! Payments: propose one, list them, follow one.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bitcoin::{Transaction, Txid, consensus, hex::DisplayHex};
use mpc_wallet_core::{
    NodeId,
    step::{Command, Outcome, PaymentRequest},
    tx::State as TxState,
};
use serde_json::{Map, Value, json};

use super::{
    address, payment,
    problem::Problem,
    query::{Parameters, parse_txid},
    state::{ApiOptions, ApiState},
};
use crate::{
    read::{Filter, PresignatureRow, TransactionDetail, TransactionRow, TransitionRow, VoteRow},
    units::{fee_rate_to_decimal, rfc3339},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `POST /api/v1/transactions`
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let payment = payment::read(&headers, body, state.options()).await?;
    match state.node().command(Command::Pay(payment.clone())).await? {
        Outcome::Proposed { txid, replayed } => created(&state, txid, replayed, &payment).await,
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::KeygenStarted { .. }
        | Outcome::PresigningOrdered { .. }
        | Outcome::Frozen { .. }
        | Outcome::Lifted { .. } => Err(Problem::internal()),
    }
}

async fn created(
    state: &ApiState,
    txid: Txid,
    replayed: bool,
    payment: &PaymentRequest,
) -> Result<Response, Problem> {
    let id = txid.to_string();
    let asked = id.clone();
    // The payment stands whether or not its row can be read: a client must not think that it failed.
    let row = state.read(move |queries| queries.transaction(&asked)).await.ok().flatten();
    let (_, now) = state.present();
    let document = row.map_or_else(
        || {
            json!({
                "txid": id,
                "state": TxState::Pending.name(),
                "type": payment.scheme.to_string(),
                "recipient": address::show(&payment.recipient, state.options().network),
                "amount_sats": payment.amount.to_sat(),
                "fee_sats": null,
                "metadata": payment.metadata,
                "created_at": rfc3339(now),
                "links": links(&id),
            })
        },
        |detail| Value::Object(summary(&detail.row, state.options())),
    );
    let mut response = (StatusCode::CREATED, Json(document)).into_response();
    if let Ok(location) = HeaderValue::from_str(&path_of(&id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// `GET /api/v1/transactions`
pub(super) async fn list(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let page = parameters.page()?;
    let states = match parameters.take("state")? {
        None => Vec::new(),
        Some(names) => names.split(',').map(parse_state).collect::<Result<_, _>>()?,
    };
    let scheme = parameters.scheme()?;
    parameters.finish()?;
    let filter = Filter { states, scheme, before: page.before, limit: page.probe() };
    let mut rows = state.read(move |queries| queries.transactions(&filter)).await?;
    let next_cursor = page.cut(&mut rows, |row| row.sequence);
    let items: Vec<_> = rows.iter().map(|row| summary(row, state.options())).collect();
    Ok(Json(json!({ "items": items, "next_cursor": next_cursor })))
}

fn parse_state(name: &str) -> Result<TxState, Problem> {
    TxState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let known = TxState::ALL.map(TxState::name).join(", ");
        Problem::bad_parameter("state", format!("\"{name}\" is not a state; the states are {known}"))
    })
}

/// `GET /api/v1/transactions/{txid}`
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(txid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let detail = find(&state, &txid).await?;
    let (overview, _) = state.present();
    let members: Vec<_> = overview.members.iter().map(|member| member.node).collect();
    Ok(Json(full(&detail, &members, overview.threshold, state.options())))
}

/// `POST /api/v1/transactions/{txid}/approve` and `/reject`: the members' policies decide alone, so there is no
/// decision for a person to make.
pub(super) async fn decide(
    State(state): State<ApiState>,
    Path(txid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let detail = find(&state, &txid).await?;
    Err(Problem::new(
        StatusCode::CONFLICT,
        "approval_not_required",
        format!(
            "This cluster's policy asks no person: every node votes by its own rules. The transaction is {}.",
            detail.row.state
        ),
    )
    .with("state", detail.row.state.name()))
}

async fn find(state: &ApiState, txid: &str) -> Result<TransactionDetail, Problem> {
    let txid = parse_txid(txid)?;
    let asked = txid.clone();
    let found = state.read(move |queries| queries.transaction(&asked)).await?;
    found.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("This node knows no transaction {txid}; it lists payments of this cluster only."),
        )
    })
}

fn path_of(txid: &str) -> String {
    format!("/api/v1/transactions/{txid}")
}

fn links(txid: &str) -> Value {
    json!({ "self": path_of(txid) })
}

/// A transaction as lists show it.
fn summary(row: &TransactionRow, options: &ApiOptions) -> Map<String, Value> {
    let block = row
        .block_hash
        .as_ref()
        .zip(row.block_height)
        .map(|(hash, height)| json!({ "height": height, "hash": hash }));
    let mut document = json!({
        "txid": row.txid,
        "state": row.state.name(),
        "sub_status": row.sub_status,
        "type": row.scheme,
        "recipient": address::show(bitcoin::Script::from_bytes(&row.recipient_script), options.network),
        "amount_sats": row.amount_sats,
        "fee_sats": row.fee_sats,
        "metadata": row.metadata,
        "proposed_by": row.origin.get(),
        "digest": row.digest,
        "confirmations": row.confirmations,
        "confirmations_required": options.confirmations_required,
        "block": block,
        "replaces": null,
        "replaced_by": null,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "expires_at": rfc3339(row.expires_at),
        "links": links(&row.txid),
    });
    document.as_object_mut().map(std::mem::take).unwrap_or_default()
}

/// A transaction with its story.
fn full(detail: &TransactionDetail, members: &[NodeId], threshold: u16, options: &ApiOptions) -> Value {
    let row = &detail.row;
    let mut document = summary(row, options);
    let approved = detail.votes.iter().filter(|vote| vote.approve).count();
    let missing: Vec<_> = members
        .iter()
        .filter(|node| !detail.votes.iter().any(|vote| vote.node == **node))
        .map(|node| node.get())
        .collect();
    let additions = json!({
        "votes": detail.votes.iter().map(vote).collect::<Vec<_>>(),
        "vote_count": {
            "required": threshold,
            "total": members.len(),
            "approved": approved,
            "rejected": detail.votes.len() - approved,
            "missing": missing,
        },
        "timeline": detail.timeline.iter().map(transition).collect::<Vec<_>>(),
        "presignatures": detail.presignatures.iter().map(presignature).collect::<Vec<_>>(),
        "unsigned_tx": row.unsigned_tx.to_lower_hex_string(),
        "signed_tx": row.signed_tx.as_ref().map(|bytes| bytes.to_lower_hex_string()),
    });
    if let Value::Object(additions) = additions {
        document.extend(additions);
    }
    document.extend(decoded(row, options));
    Value::Object(document)
}

/// What the transaction does, read from its own bytes and not from what was said about it.
fn decoded(row: &TransactionRow, options: &ApiOptions) -> Map<String, Value> {
    let mut members = Map::new();
    let signed = row.signed_tx.as_deref().and_then(decode);
    if let Some(tx) = &signed {
        let vsize = u64::try_from(tx.vsize()).unwrap_or(u64::MAX);
        members.insert("vsize".to_owned(), vsize.into());
        let rate = row.fee_sats.saturating_mul(1_000).checked_div(vsize).map(fee_rate_to_decimal);
        let rate = rate.and_then(|text| text.parse::<serde_json::Number>().ok());
        members.insert("fee_rate_sat_vb".to_owned(), rate.map_or(Value::Null, Value::Number));
    }
    let Some(tx) = signed.or_else(|| decode(&row.unsigned_tx)) else { return members };
    let inputs = tx.input.iter().map(|input| json!({ "outpoint": input.previous_output.to_string() }));
    members.insert("inputs".to_owned(), Value::Array(inputs.collect()));
    let outputs = tx.output.iter().map(|output| {
        let pays = output.script_pubkey.as_bytes() == row.recipient_script.as_slice()
            && output.value.to_sat() == row.amount_sats;
        json!({
            "address": address::show(&output.script_pubkey, options.network),
            "amount_sats": output.value.to_sat(),
            "kind": if pays { "recipient" } else { "change" },
        })
    });
    members.insert("outputs".to_owned(), Value::Array(outputs.collect()));
    members
}

fn decode(bytes: &[u8]) -> Option<Transaction> {
    consensus::deserialize(bytes).ok()
}

fn vote(vote: &VoteRow) -> Value {
    json!({
        "node_id": vote.node.get(),
        "round": vote.round,
        "approve": vote.approve,
        "reason": vote.reason,
        "signature": vote.signature,
        "received_at": rfc3339(vote.received_at),
    })
}

fn transition(step: &TransitionRow) -> Value {
    json!({
        "from": step.from.map(TxState::name),
        "to": step.to.name(),
        "sub_status": step.sub_status,
        "cause": step.cause,
        "at": rfc3339(step.at),
    })
}

fn presignature(used: &PresignatureRow) -> Value {
    json!({
        "id": used.id,
        "protocol": used.protocol,
        "generation_time_ms": used.generation_time.0,
        "generated_at": rfc3339(used.generated_at),
        "used_at": rfc3339(used.used_at),
    })
}
