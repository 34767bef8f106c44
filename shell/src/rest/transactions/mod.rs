//! Payments: propose one, list them, follow one.

pub(super) mod document;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bitcoin::Txid;
use mpc_wallet_core::{
    step::{Command, Outcome, PaymentRequest},
    tx::State as TxState,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Caller,
    address,
    payment::{self, NewPayment},
    problem::Problem,
    query::{Parameters, parse_txid},
    quote::Preview,
    schema::{Links, Page, StateName, WalletType},
    state::ApiState,
};
use crate::{
    read::{Filter, TransactionDetail},
    units::rfc3339,
};
pub(super) use document::path_of;
use document::{Detail, Summary, links};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a proposal is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Created {
    /// The payment as lists show it.
    Proposed(Box<Summary>),
    /// As much as is known of a payment that stands but could not be read back.
    Unread(Unread),
}

/// What a dry run is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of what `create` answers with")]
enum DryRun {
    Preview(Preview),
    Created(Created),
}

/// What a deed about a payment is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = TransactionShown)]
pub(super) enum Shown {
    /// The payment with its story.
    Whole(Box<Detail>),
    /// As much as is known where it could not be read back.
    Named(Named),
}

#[derive(Serialize, ToSchema)]
#[schema(as = NamedTransaction)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    #[schema(pattern = "^[0-9a-f]{64}$")]
    txid: String,
    links: Links,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UnreadTransaction)]
struct Unread {
    #[schema(pattern = "^[0-9a-f]{64}$")]
    txid: String,
    state: StateName,
    r#type: WalletType,
    recipient: String,
    amount_sats: u64,
    /// Not known.
    #[schema(schema_with = null)]
    fee_sats: (),
    #[schema(required)]
    metadata: Option<String>,
    #[schema(required)]
    external_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    links: Links,
}

/// Proposes a payment
///
/// Every member checks it for itself and votes. The answer comes as soon as this node has it on disk; follow it at
/// `links.self`. With an `Idempotency-Key` the same request may be repeated at any node: it is paid once.
#[utoipa::path(
    post,
    path = "/api/v1/transactions",
    tag = "transactions",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = r#"^[!#-\[\]-~]+$"#,
        description = "Names the payment, for ever and at every node: the same key with the same request is answered with the same payment, with another request by 422."),
        ("dry_run" = Option<bool>, Query, description = "Say what the payment would be at this moment; nothing is held, sent or recorded.")),
    request_body = NewPayment,
    responses(
        (status = 200, description = "A dry run: what the payment would be, or the one proposed before with the same key.", body = DryRun),
        (status = 201, description = "Proposed, or proposed before with the same key.", body = Created,
            headers(("Location" = String, description = "The payment's path."),
                ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request proposed it."))),
        (status = 403, description = "The policy of this cluster forbids it."),
        (status = 409, description = "The wallet has no key yet, or a request with the same key is under way."),
    ),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    Caller(initiator): Caller,
    mut parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let dry_run = parameters.flag("dry_run")?;
    parameters.finish()?;
    let asked = payment::read(&headers, body, state.options()).await?;
    let payment = PaymentRequest { initiator, ..asked };
    let command = if dry_run { Command::Quote } else { Command::Pay };
    let outcome = state.ask(command(payment.clone())).await?;
    if let Outcome::Quoted(quote) = outcome {
        return Ok(Json(Preview::of(&quote, &payment, state.options().network)).into_response());
    }
    let Outcome::Proposed { txid, replayed } = outcome else { return Err(Problem::internal()) };
    let mut response = created(&state, txid, replayed, &payment);
    if dry_run {
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

fn created(state: &ApiState, txid: Txid, replayed: bool, payment: &PaymentRequest) -> Response {
    let id = txid.to_string();
    // The payment stands whether or not its row can be read: a client must not think that it failed.
    let row = state.read(|queries| queries.transaction(&id)).ok().flatten();
    let document = match row {
        Some(detail) => Created::Proposed(Box::new(Summary::of(detail.row, state.options()))),
        None => Created::Unread(unread(state, &id, payment)),
    };
    let mut response = (StatusCode::CREATED, Json(document)).into_response();
    if let Ok(location) = HeaderValue::from_str(&path_of(&id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn unread(state: &ApiState, txid: &str, payment: &PaymentRequest) -> Unread {
    let (_, now) = state.present();
    Unread {
        txid: txid.to_owned(),
        state: StateName(TxState::Pending),
        r#type: WalletType(payment.scheme),
        recipient: address::show(&payment.recipient, state.options().network),
        amount_sats: payment.amount.to_sat(),
        fee_sats: (),
        metadata: payment.metadata.clone(),
        external_id: payment.external_id.clone(),
        created_at: rfc3339(now),
        links: links(txid),
    }
}

/// Lists payments, newest first
#[utoipa::path(
    get,
    path = "/api/v1/transactions",
    tag = "transactions",
    params(
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 200, description = "Most items; 50 if not given."),
        ("cursor" = Option<i64>, Query, description = "A `next_cursor` of this list."),
        ("state" = Option<Vec<StateName>>, Query, explode = false, min_items = 1, description = "Only payments in one of these states, separated by commas."),
        ("type" = Option<WalletType>, Query, description = "Only payments of this wallet."),
        ("external_id" = Option<String>, Query, min_length = 1, max_length = 64, pattern = "^[!-~]+$", description = "Only the payment of this name."),
        ("awaiting" = Option<String>, Query, pattern = "^approval$", description = "Only payments that wait for people at this node."),
    ),
    responses((status = 200, description = "One page.", body = Page<Summary>)),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Page<Summary>>, Problem> {
    let page = parameters.page()?;
    let states = match parameters.take("state")? {
        None => Vec::new(),
        Some(names) => names.split(',').map(parse_state).collect::<Result<_, _>>()?,
    };
    let scheme = parameters.scheme()?;
    let external_id = parameters.take("external_id")?;
    if external_id.as_deref().is_some_and(|id| !payment::is_external_id(id)) {
        return Err(Problem::bad_parameter("external_id", "is not one that a payment can have"));
    }
    let awaiting_approval = awaits_approval(&mut parameters)?;
    parameters.finish()?;
    // What waits for people is voting.
    if awaiting_approval && !states.is_empty() && !states.contains(&TxState::Voting) {
        return Ok(Json(Page { items: Vec::new(), next_cursor: None }));
    }
    let filter =
        Filter { states, scheme, external_id, awaiting_approval, before: page.before, limit: page.probe() };
    let mut rows = state.read(|queries| queries.transactions(&filter))?;
    let next_cursor = page.cut(&mut rows, |row| row.sequence);
    let items = rows.into_iter().map(|row| Summary::of(row, state.options())).collect();
    Ok(Json(Page { items, next_cursor }))
}

/// `awaiting`, which knows one thing to wait for.
fn awaits_approval(parameters: &mut Parameters) -> Result<bool, Problem> {
    match parameters.take("awaiting")?.as_deref() {
        None => Ok(false),
        Some("approval") => Ok(true),
        Some(_) => Err(Problem::bad_parameter("awaiting", "must be approval")),
    }
}

fn parse_state(name: &str) -> Result<TxState, Problem> {
    TxState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let known = TxState::ALL.map(TxState::name).join(", ");
        Problem::bad_parameter("state", format!("\"{name}\" is not a state; the states are {known}"))
    })
}

/// Shows a payment with its story
#[utoipa::path(
    get,
    path = "/api/v1/transactions/{txid}",
    tag = "transactions",
    params(("txid" = String, Path, pattern = "^[0-9a-fA-F]{64}$")),
    responses(
        (status = 200, description = "The payment.", body = Detail),
        (status = 404, description = "No payment of this cluster, as far as this node knows."),
    ),
)]
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(txid): Path<String>,
    parameters: Parameters,
) -> Result<Json<Detail>, Problem> {
    parameters.finish()?;
    let detail = find(&state, &txid)?;
    let (overview, _) = state.present();
    Ok(Json(Detail::of(&detail, &overview, state.options())))
}

/// A transaction about which something was just done: that stands whether or not its row can be read.
pub(super) fn show_or_name(state: &ApiState, txid: String) -> Shown {
    let detail = state.read(|queries| queries.transaction(&txid)).ok().flatten();
    let (overview, _) = state.present();
    match detail {
        Some(detail) => Shown::Whole(Box::new(Detail::of(&detail, &overview, state.options()))),
        None => Shown::Named(Named { links: links(&txid), txid }),
    }
}

fn find(state: &ApiState, txid: &str) -> Result<TransactionDetail, Problem> {
    let txid = parse_txid(txid)?;
    let found = state.read(|queries| queries.transaction(&txid))?;
    found.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("This node knows no transaction {txid}; it lists payments of this cluster only."),
        )
    })
}

/// The schema of what is always `null`.
fn null() -> utoipa::openapi::schema::Object {
    utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::Null).build()
}
