//! Who may send a request: roles by route, and refusals that say what is missing.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{problem::Problem, state::ApiState};
use crate::access::{Denied, Grant, Role};

/// What a request asks of its sender; `None`: nothing. Whatever is not named here asks for the most.
pub(super) fn required(method: &Method, route: &str) -> Option<Role> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match route {
        // No route at all: whoever may read may know.
        "" => Some(Role::Viewer),
        // Probes, and pages that show nothing before their reader gives them a key.
        "/health" | "/health/ready" | "/" | "/dashboard/{*path}" if reads => None,
        "/metrics" if reads => Some(Role::Viewer),
        route if reads && route.starts_with("/api/v1/") => Some(Role::Viewer),
        "/api/v1/transactions" | "/api/v1/transactions/{txid}/bump" => Some(Role::Initiator),
        "/api/v1/transactions/{txid}/approve" | "/api/v1/transactions/{txid}/reject" => Some(Role::Approver),
        // Who may stop one payment may stop all; to start again takes an administrator at each of t nodes.
        "/api/v1/cluster/freeze" => Some(Role::Approver),
        _ => Some(Role::Admin),
    }
}

/// Lets a request through to its handler, or refuses it before anything of it is read.
pub(super) async fn guard(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let Some(keyring) = &state.options().keyring else {
        return next.run(request).await;
    };
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(role) = required(request.method(), route) else {
        return next.run(request).await;
    };
    let shown = request.headers().get(header::AUTHORIZATION);
    // A value that is no text is no key.
    let grant = match keyring.authenticate(shown.map(|value| value.to_str().unwrap_or_default())) {
        Ok(grant) => grant,
        Err(Denied::TooMany { retry_after_s }) => return too_many(retry_after_s).into_response(),
        Err(denied @ (Denied::NoKey | Denied::Form | Denied::Unknown)) => return unknown(denied),
    };
    if !grant.role.includes(role) {
        return forbidden(&grant.name, grant.role, role).into_response();
    }
    tracing::Span::current().record("key", grant.name.as_str());
    request.extensions_mut().insert(grant);
    next.run(request).await
}

/// Who sends a request, by the name of his key; nobody where the API asks for no keys.
pub(super) struct Caller(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Grant>().map(|grant| grant.name.clone())))
    }
}

fn unknown(denied: Denied) -> Response {
    let detail = match denied {
        Denied::NoKey => "This node asks for an API key: send Authorization: Bearer with one.",
        Denied::Form => "The Authorization header is not of the form Bearer <key>.",
        Denied::Unknown | Denied::TooMany { .. } => "The API key is not one of this node's, or was revoked.",
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mpc-wallet\""));
    response
}

fn too_many(retry_after_s: u32) -> Problem {
    let detail = format!("This key has sent too many requests; the next is taken in {retry_after_s} s.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(retry_after_s)
}

fn forbidden(name: &str, has: Role, needs: Role) -> Problem {
    let (has, needs) = (has.name(), needs.name());
    let detail = format!("Key {name} has the role {has}; this needs {needs}.");
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).with("role", has).with("required_role", needs)
}
