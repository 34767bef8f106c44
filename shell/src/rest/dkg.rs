//! Key generation: start it, follow it.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mpc_wallet_core::{
    mpc::Stage,
    overview::{KeygenPhase, KeygenView},
    step::{Command, Outcome},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    payment::{NewKey, read_keygen},
    problem::Problem,
    query::Parameters,
    schema::{Links, WalletType},
    state::ApiState,
};
use crate::units::rfc3339;

const PATH: &str = "/api/v1/dkg";

/// A key generation that was started.
#[derive(Serialize, ToSchema)]
struct KeygenStarted {
    key: String,
    r#type: WalletType,
    status: &'static str,
    links: Links,
}

/// Key generation at this node.
#[derive(Serialize, ToSchema)]
pub(super) struct Keygens {
    /// The one under way or the last that ended; `null` if this node saw none since it started.
    #[schema(required)]
    keygen: Option<Keygen>,
    /// Keys that can sign.
    active_keys: Vec<String>,
}

/// A key generation.
#[derive(Serialize, ToSchema)]
struct Keygen {
    key: String,
    r#type: WalletType,
    /// `preparing`, `running`, `confirming`, `proving`, `active` or `failed`
    status: &'static str,
    /// What is being computed, while `running`, where the protocol says so.
    #[schema(required)]
    stage: Option<KeygenStage>,
    /// Members that have not spoken yet; while `preparing` they look for primes.
    waiting_for: Vec<u16>,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(required)]
    error: Option<String>,
}

/// Where a protocol stands.
#[derive(Serialize, ToSchema)]
struct KeygenStage {
    name: &'static str,
    /// The round that is awaited, from 1.
    round: u8,
    rounds: u8,
}

/// Starts a key generation
///
/// All members take part and must be online. A cluster has one key for each type of wallet.
#[utoipa::path(
    post,
    path = "/api/v1/dkg",
    tag = "keys",
    request_body = NewKey,
    responses(
        (status = 202, description = "It runs.", body = KeygenStarted, headers(("Location" = String, description = "Where to follow it."))),
        (status = 409, description = "The key exists, or a key generation runs."),
    ),
)]
pub(super) async fn start(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let scheme = read_keygen(&headers, body, state.options()).await?;
    let outcome = state.ask(Command::GenerateKey(scheme)).await?;
    let Outcome::KeygenStarted { key } = outcome else { return Err(Problem::internal()) };
    // The overview of the turn that answered is out before the answer.
    let (overview, _) = state.present();
    let ours = overview.keygen.as_ref().filter(|view| view.key == key);
    let document = KeygenStarted {
        key: key.to_string(),
        r#type: WalletType(scheme),
        status: ours.map_or(KeygenPhase::Running.name(), |view| view.phase.name()),
        links: Links { this: PATH.to_owned() },
    };
    let location = [(header::LOCATION, HeaderValue::from_static(PATH))];
    Ok((StatusCode::ACCEPTED, location, Json(document)).into_response())
}

/// Follows key generation
#[utoipa::path(
    get,
    path = "/api/v1/dkg",
    tag = "keys",
    responses((status = 200, description = "Key generation at this node.", body = Keygens)),
)]
pub(super) async fn follow(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Keygens>, Problem> {
    parameters.finish()?;
    let (overview, _) = state.present();
    Ok(Json(Keygens {
        keygen: overview.keygen.as_ref().map(keygen),
        active_keys: overview.wallets.iter().map(|wallet| wallet.key.to_string()).collect(),
    }))
}

fn keygen(view: &KeygenView) -> Keygen {
    let error = match &view.phase {
        KeygenPhase::Failed(reason) => Some(reason.clone()),
        KeygenPhase::Preparing
        | KeygenPhase::Running
        | KeygenPhase::Confirming
        | KeygenPhase::Proving
        | KeygenPhase::Active => None,
    };
    Keygen {
        key: view.key.to_string(),
        r#type: WalletType(view.key.scheme),
        status: view.phase.name(),
        stage: view.stage.map(stage),
        waiting_for: view.waiting_for.iter().map(|node| node.get()).collect(),
        started_at: rfc3339(view.started),
        error,
    }
}

const fn stage(stage: Stage) -> KeygenStage {
    KeygenStage { name: stage.name, round: stage.round, rounds: stage.rounds }
}
