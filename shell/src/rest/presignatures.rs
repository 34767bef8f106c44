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
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Fields, invalid},
    problem::Problem,
    query::Parameters,
    schema::Links,
    state::ApiState,
};

const PATH: &str = "/api/v1/presignatures";

/// Presignatures in stock: what this node holds, and what it has heard of the others.
#[derive(Serialize, ToSchema)]
pub(super) struct Stock {
    /// The key they sign for.
    key: String,
    /// Stock of a group below which more are made.
    low: usize,
    /// How many are made then.
    high: usize,
    /// Most of a group.
    most: usize,
    /// What a payment could use now.
    available: usize,
    /// Ordered by a person and not made yet; counted at the member that leads the group in use.
    ordered: usize,
    /// Whether one is being made with this node.
    making: bool,
    /// Used by this node, ever.
    used: usize,
    /// The one in use first.
    groups: Vec<Group>,
}

/// Presignatures of one group of signers.
#[derive(Serialize, ToSchema)]
struct Group {
    signers: Vec<u16>,
    /// Those that every signer says it holds.
    ready: usize,
    /// Those that this node holds.
    held: usize,
    /// Whether all signers are here.
    alive: bool,
    /// Whether payments use this group first.
    in_use: bool,
    /// Presignings of it that ended in a fault.
    faults: u32,
}

/// How many presignatures to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the schema of what `read_count` takes")]
struct NewPresignatures {
    /// At most `most`.
    #[schema(minimum = 1, maximum = 1_000)]
    count: u16,
}

/// Presignatures that will be made.
#[derive(Serialize, ToSchema)]
struct PresigningOrdered {
    key: String,
    /// How many of those asked for; no more than `most` are outstanding at once.
    count: u16,
    links: Links,
}

/// Shows the stock of presignatures
#[utoipa::path(
    get,
    path = "/api/v1/presignatures",
    tag = "keys",
    responses(
        (status = 200, description = "The stock.", body = Stock),
        (status = 409, description = "No key that uses presignatures yet."),
    ),
)]
pub(super) async fn status(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Stock>, Problem> {
    parameters.finish()?;
    let (overview, _) = state.present();
    let pool = pool_of(&overview)?;
    Ok(Json(Stock {
        key: pool.key.to_string(),
        low: pool.low,
        high: pool.high,
        most: pool.most,
        available: pool.available(),
        ordered: pool.ordered,
        making: pool.making,
        used: pool.used,
        groups: pool.groups.iter().map(group).collect(),
    }))
}

fn group(group: &GroupView) -> Group {
    Group {
        signers: group.signers.iter().map(|node| node.get()).collect(),
        ready: group.ready,
        held: group.held,
        alive: group.alive,
        in_use: group.in_use,
        faults: group.faults,
    }
}

/// Orders presignatures for the group in use, beyond what is kept in stock
#[utoipa::path(
    post,
    path = "/api/v1/presignatures",
    tag = "keys",
    request_body = NewPresignatures,
    responses(
        (status = 202, description = "They will be made.", body = PresigningOrdered, headers(("Location" = String, description = "Where to follow it."))),
        (status = 409, description = "No key that uses presignatures yet."),
    ),
)]
pub(super) async fn order(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let fields = Fields::read(&headers, body, state.options().body_limit).await?;
    let (overview, _) = state.present();
    let pool = pool_of(&overview)?;
    let count = read_count(fields, pool.most)?;
    let outcome = state.ask(Command::Presign { count }).await?;
    let Outcome::PresigningOrdered { count } = outcome else { return Err(Problem::internal()) };
    let document =
        PresigningOrdered { key: pool.key.to_string(), count, links: Links { this: PATH.to_owned() } };
    let location = [(header::LOCATION, HeaderValue::from_static(PATH))];
    Ok((StatusCode::ACCEPTED, location, Json(document)).into_response())
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
