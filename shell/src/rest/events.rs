//! What happens, as server-sent events.

use std::convert::Infallible;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{Stream, StreamExt as _, future::pending, stream};

use super::{problem::Problem, query::Parameters, state::ApiState};
use crate::{
    access::Grant,
    events::{Full, Listener, Slot},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies like nginx hold answers back unless they are told not to.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Seconds until another stream may be free.
const RETRY_FULL_S: u32 = 15;

/// Tells what happens, as it happens
///
/// A listener that shows the id of the last event that it heard goes on there; if that is too long ago it is told `reset` and
/// reads anew. Events say what changed and not how it is now: ask for that.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last id heard.")),
    responses((status = 200, description = "Server-sent events, until one side ends it.", content_type = "text/event-stream", body = String)),
)]
pub(super) async fn stream(
    State(state): State<ApiState>,
    grant: Option<Extension<Grant>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let grant = grant.map(|Extension(grant)| grant);
    let events = state.options().events.as_ref().ok_or_else(without_events)?;
    let slot = events.admit(grant.as_ref().map(|grant| grant.name.as_str())).map_err(full)?;
    // A value that is no text is no id of ours.
    let heard_last =
        headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?")).filter(|id| !id.is_empty());
    let listener = events.listen(heard_last).await;
    let keyring = state.options().keyring.clone();
    let revoked = async move {
        match keyring.zip(grant) {
            Some((keyring, grant)) => keyring.revoked(grant).await,
            None => pending().await,
        }
    };
    let told = told(listener, slot).map(Ok::<_, Infallible>).take_until(Box::pin(revoked));
    Ok((HEADERS, Body::from_stream(told)).into_response())
}

/// Everything that the listener hears, as long as it holds its slot.
fn told(listener: Listener, slot: Slot) -> impl Stream<Item = Bytes> {
    stream::unfold((listener, slot), async |(mut listener, slot)| {
        let next = listener.next().await?;
        Some((next, (listener, slot)))
    })
}

fn full(full: Full) -> Problem {
    match full {
        Full::Key(limit) => {
            let detail = format!("This key has {limit} streams of events, which is the most; close one.");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail).with("limit", limit)
        }
        Full::Node(limit) => {
            let detail =
                format!("This node serves {limit} streams of events, which is the most; ask another node.");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail).with("limit", limit)
        }
    }
    .retry_after(RETRY_FULL_S)
}

fn without_events() -> Problem {
    let detail = "This node keeps no journal and has nothing to tell; ask another node.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_events", detail)
}
