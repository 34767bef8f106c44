//! How the face misbehaves on request, so that clients can be tested against a bad server.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::regtest::SharedChain;

/// What happens to requests to the Esplora routes. The `/regtest` routes are never affected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The kind of failure.
    pub errors: ErrorFault,
    /// Delay before every answer, in milliseconds.
    pub delay_ms: u64,
}

/// A kind of failure of an Esplora server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFault {
    /// Answers as it should.
    #[default]
    None,
    /// 503 to everything; nothing is done.
    Unavailable,
    /// 429 with `Retry-After: 1`; nothing is done.
    RateLimited,
    /// 200 with a page of HTML, as a captive proxy does; nothing is done.
    Garbage,
    /// Never answers.
    Hang,
    /// Broadcasts are carried out and answered with 504: the client cannot know. Reads work.
    ReplyLost,
}

/// Middleware of the Esplora routes.
pub(crate) async fn inject(State(chain): State<SharedChain>, request: Request, next: Next) -> Response {
    let Faults { errors, delay_ms } = chain.faults();
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    match errors {
        ErrorFault::None => next.run(request).await,
        ErrorFault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response(),
        ErrorFault::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "Too Many Requests").into_response()
        }
        ErrorFault::Garbage => {
            axum::response::Html("<html><body>Please log in</body></html>").into_response()
        }
        ErrorFault::Hang => std::future::pending().await,
        ErrorFault::ReplyLost => {
            let broadcast = request.method() == Method::POST;
            let answer = next.run(request).await;
            if broadcast { (StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout").into_response() } else { answer }
        }
    }
}
