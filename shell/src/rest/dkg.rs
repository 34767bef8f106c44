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
use serde_json::{Value, json};

use super::{payment::read_keygen, problem::Problem, query::Parameters, state::ApiState};
use crate::units::rfc3339;

/// `POST /api/v1/dkg`
pub(super) async fn start(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let scheme = read_keygen(&headers, body, state.options()).await?;
    match state.node().command(Command::GenerateKey(scheme)).await? {
        Outcome::KeygenStarted { key } => {
            // The overview of the turn that answered is out before the answer.
            let (overview, _) = state.present();
            let ours = overview.keygen.as_ref().filter(|view| view.key == key);
            let document = json!({
                "key": key.to_string(),
                "type": scheme.to_string(),
                "status": ours.map_or(KeygenPhase::Running.name(), |view| view.phase.name()),
                "links": { "self": "/api/v1/dkg" },
            });
            let location = [(header::LOCATION, HeaderValue::from_static("/api/v1/dkg"))];
            Ok((StatusCode::ACCEPTED, location, Json(document)).into_response())
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Proposed { .. }
        | Outcome::PresigningOrdered { .. }
        | Outcome::Frozen { .. }
        | Outcome::Lifted { .. } => Err(Problem::internal()),
    }
}

/// `GET /api/v1/dkg`: the key generation under way or the last that ended, `null` if this node saw none, and the
/// keys that are active. While `preparing`, the members waited for look for primes; while `running`, `stage` may say
/// what is being computed.
pub(super) async fn follow(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    parameters.finish()?;
    let (overview, _) = state.present();
    let keys: Vec<_> = overview.wallets.iter().map(|wallet| wallet.key.to_string()).collect();
    Ok(Json(json!({ "keygen": overview.keygen.as_ref().map(keygen), "active_keys": keys })))
}

fn keygen(view: &KeygenView) -> Value {
    let error = match &view.phase {
        KeygenPhase::Failed(reason) => Some(reason),
        KeygenPhase::Preparing
        | KeygenPhase::Running
        | KeygenPhase::Confirming
        | KeygenPhase::Proving
        | KeygenPhase::Active => None,
    };
    json!({
        "key": view.key.to_string(),
        "type": view.key.scheme.to_string(),
        "status": view.phase.name(),
        "stage": view.stage.map(stage),
        "waiting_for": view.waiting_for.iter().map(|node| node.get()).collect::<Vec<_>>(),
        "started_at": rfc3339(view.started),
        "error": error,
    })
}

fn stage(stage: Stage) -> Value {
    json!({ "name": stage.name, "round": stage.round, "rounds": stage.rounds })
}
