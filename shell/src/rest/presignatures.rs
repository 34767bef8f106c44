//! The stock of presignatures: look at it, order more.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mpc_wallet_core::{
    Scheme,
    overview::{GroupView, Overview, PoolView},
    refusal::Refusal,
    step::{Command, Outcome},
};
use serde_json::{Value, json};

use super::{
    body::{Fields, invalid},
    problem::Problem,
    query::Parameters,
    state::ApiState,
};

const PATH: &str = "/api/v1/presignatures";

/// `GET /api/v1/presignatures`: what this node holds, and what it has heard of the others. `available` is what a payment
/// could use now; `ordered` counts at the member that leads the group in use.
pub(super) async fn status(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    parameters.finish()?;
    let (overview, _) = state.present();
    let pool = pool_of(&overview)?;
    Ok(Json(json!({
        "key": pool.key.to_string(),
        "low": pool.low,
        "high": pool.high,
        "most": pool.most,
        "available": pool.available(),
        "ordered": pool.ordered,
        "making": pool.making,
        "used": pool.used,
        "groups": pool.groups.iter().map(group).collect::<Vec<_>>(),
    })))
}

fn group(group: &GroupView) -> Value {
    json!({
        "signers": group.signers.iter().map(|node| node.get()).collect::<Vec<_>>(),
        "ready": group.ready,
        "held": group.held,
        "alive": group.alive,
        "in_use": group.in_use,
        "faults": group.faults,
    })
}

/// `POST /api/v1/presignatures`: orders presignatures for the group in use, beyond what is kept in stock.
pub(super) async fn order(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let fields = Fields::read(&headers, body, state.options().body_limit).await?;
    let (overview, _) = state.present();
    let pool = pool_of(&overview)?;
    let count = read_count(fields, pool.most)?;
    match state.node().command(Command::Presign { count }).await? {
        Outcome::PresigningOrdered { count } => {
            let document = json!({
                "key": pool.key.to_string(),
                "count": count,
                "links": { "self": PATH },
            });
            let location = [(header::LOCATION, HeaderValue::from_static(PATH))];
            Ok((StatusCode::ACCEPTED, location, Json(document)).into_response())
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Proposed { .. }
        | Outcome::KeygenStarted { .. }
        | Outcome::Frozen { .. }
        | Outcome::Lifted { .. } => Err(Problem::internal()),
    }
}

/// The pool; without a key that uses presignatures there is none.
fn pool_of(overview: &Overview) -> Result<&PoolView, Problem> {
    overview.presignatures.as_ref().ok_or_else(|| Refusal::NoKey(Scheme::Segwit).into())
}

/// The one field of an order: 1 to `most`.
fn read_count(mut fields: Fields, most: usize) -> Result<u16, Problem> {
    let range = format!("a whole number from 1 to {most}");
    let count = match fields.take("count") {
        None => Err(invalid("/count", format!("is required: {range}"))),
        Some(value) => value
            .as_u64()
            .and_then(|count| u16::try_from(count).ok())
            .filter(|count| (1..=most).contains(&usize::from(*count)))
            .ok_or_else(|| invalid("/count", format!("must be {range}; {value} is not"))),
    };
    let problems = fields.unknown("count").chain(count.as_ref().err().cloned()).collect();
    Problem::merge(problems).map_or(count, Err)
}
