//! What every request gets: an id, a span, a time limit, and errors in one form.

use std::{any::Any, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{problem::Problem, state::ApiState};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Longest foreign request id that is echoed and logged.
const LONGEST_ID: usize = 128;

/// The outermost layer.
pub(super) async fn wrap(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = %id,
        %method,
        %path,
        route = route.as_ref().map(MatchedPath::as_str),
        status = tracing::field::Empty,
        key = tracing::field::Empty,
    );
    let mut response = async {
        let limit = state.options().request_timeout;
        let response = tokio::time::timeout(limit, next.run(request))
            .await
            .unwrap_or_else(|_| too_late(&method).into_response());
        let problem = problem_of(&response);
        log(&method, response.status(), problem.as_ref().map_or("", Problem::code));
        tracing::Span::current().record("status", response.status().as_u16());
        match problem {
            Some(problem) => render(response, &problem, &path, &id),
            None => response,
        }
    }
    .instrument(span)
    .await;
    let route = route.as_ref().map(MatchedPath::as_str);
    state.options().requests.answered(route, &method, response.status(), began.elapsed());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Only what is part of the program says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The caller's own id if it is harmless to repeat, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// What a handler refused, or the library before any handler ran (a path that is not UTF-8, for one).
fn problem_of(response: &Response) -> Option<Problem> {
    let status = response.status();
    let foreign = || {
        let is_error = status.is_client_error() || status.is_server_error();
        let is_json = response.headers().get(header::CONTENT_TYPE) == Some(&JSON);
        (is_error && !is_json).then(|| {
            let reason = status.canonical_reason().unwrap_or("refused");
            Problem::new(status, "bad_request", format!("The request could not be read: {reason}."))
        })
    };
    response.extensions().get::<Problem>().cloned().or_else(foreign)
}

fn render(response: Response, problem: &Problem, path: &str, id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.render(path, id).to_string()))
}

/// Failures of the node are warnings, writes are worth a line, reads are noise.
fn log(method: &Method, status: StatusCode, code: &str) {
    let number = status.as_u16();
    if status.is_server_error() {
        tracing::warn!(status = number, code, "answered");
    } else if *method == Method::POST {
        tracing::info!(status = number, code, "answered");
    } else {
        tracing::debug!(status = number, code, "answered");
    }
}

/// A request that changes something may have done so when its time was up.
fn too_late(method: &Method) -> Problem {
    if *method == Method::POST {
        Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "outcome_unknown",
            "The node did not answer in time; the request may have been carried out. Repeat it with the same \
             Idempotency-Key, or look at the list of transactions, before you send it anew.",
        )
    } else {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "The node did not answer in time; try again or ask another node.",
        )
        .retry_after(1)
    }
}

/// A handler panicked: the client gets a reference, the log gets the reason.
pub(super) fn panicked(reason: Box<dyn Any + Send + 'static>) -> Response {
    let reason = reason
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| reason.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(reason, "handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_panic_tells_the_client_nothing_but_that_it_happened() {
        let response = panicked(Box::new("the secret is 42"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let document = problem_of(&response).unwrap().render("/x", "id").to_string();
        assert!(document.contains("\"internal\"") && !document.contains("42"), "{document}");
    }
}
