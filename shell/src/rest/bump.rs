//! A higher fee for a payment that no block takes.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bitcoin::Txid;
use mpc_wallet_core::step::{BumpRequest, Command, Outcome};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    access::Caller,
    body::Fields,
    payment::{self, FeeRate},
    problem::Problem,
    query::parse_txid,
    state::ApiState,
    transactions::{self, Shown, path_of},
};

/// What may be said about a replacement.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the schema of what `fee_rate` takes")]
pub(super) struct HigherFee {
    /// Satoshis for each virtual byte, with at most three decimals; if not given, the chain backend's estimate, or the least that
    /// the network takes of a replacement where that is more.
    fee_rate: Option<FeeRate>,
}

/// Raises the fee of a payment that no block takes
///
/// Proposes another transaction for the same payment, of the same coins, whose higher fee comes out of the change (BIP-125). Every
/// member compares the two and votes. Either of them may confirm until one has; the payment is made once.
#[utoipa::path(
    post,
    path = "/api/v1/transactions/{txid}/bump",
    tag = "transactions",
    params(("txid" = String, Path, pattern = "^[0-9a-fA-F]{64}$")),
    request_body = Option<HigherFee>,
    responses(
        (status = 201, description = "The replacement, proposed.", body = Shown,
            headers(("Location" = String, description = "The replacement's path."))),
        (status = 404, description = "No payment of this cluster, as far as this node knows."),
        (status = 409, description = "It is not broadcast, in a block, replaced already, or its change is being spent."),
    ),
)]
pub(super) async fn bump(
    State(state): State<ApiState>,
    Caller(initiator): Caller,
    Path(txid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let txid: Txid = parse_txid(&txid)?.parse().map_err(|_| Problem::internal())?;
    let fee_rate = fee_rate(&headers, body, state.options().body_limit).await?;
    let request = BumpRequest { txid, fee_rate, initiator };
    let Outcome::Proposed { txid, .. } = state.ask(Command::Bump(request)).await? else {
        return Err(Problem::internal());
    };
    let id = txid.to_string();
    let location = HeaderValue::from_str(&path_of(&id)).map_err(|_| Problem::internal())?;
    let shown = transactions::show_or_name(&state, id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
}

/// The one field of the body in sat/kvB, which may be left out, and so may the body.
async fn fee_rate(headers: &HeaderMap, body: Body, limit: usize) -> Result<Option<u64>, Problem> {
    let mut fields = Fields::read_if_any(headers, body, limit).await?;
    let (fee_rate, mut problems) = match payment::fee_rate(fields.take("fee_rate")) {
        Ok(fee_rate) => (fee_rate, Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    problems.extend(fields.unknown("fee_rate"));
    match Problem::merge(problems) {
        Some(problem) => Err(problem),
        None => Ok(fee_rate),
    }
}
