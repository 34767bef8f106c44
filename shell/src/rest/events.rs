//! What happens, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, future::pending, stream};

use super::{problem::Problem, query::Parameters, state::ApiState};
use crate::{
    access::Grant,
    events::{Event, Full, Listener, Slot},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies like nginx hold answers back unless they are told.
const BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Until a listener that lost its stream tries again.
const RETRY: Duration = Duration::from_secs(3);
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
    let listener = events.listen(heard_last);
    let keyring = state.options().keyring.clone();
    let revoked = async move {
        match keyring.zip(grant) {
            Some((keyring, grant)) => keyring.revoked(grant).await,
            None => pending().await,
        }
    };
    let first = opening(&listener, heard_last.is_none());
    let frames = stream::iter([first]).chain(told(listener, slot)).map(Ok::<_, Infallible>);
    let heartbeat = KeepAlive::new().interval(events.heartbeat()).text("keep-alive");
    let mut response = Sse::new(frames.take_until(Box::pin(revoked))).keep_alive(heartbeat).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend([BUFFERING]);
    Ok(response)
}

/// Says when to try again. Who has heard nothing yet is told where it begins, so that it can go on from there.
fn opening(listener: &Listener, is_new: bool) -> Frame {
    let frame = Frame::default().retry(RETRY);
    if is_new { frame.id(listener.begins().to_string()) } else { frame }
}

/// Everything that the listener hears, as long as it holds its slot.
fn told(listener: Listener, slot: Slot) -> impl Stream<Item = Frame> {
    let batches = stream::unfold((listener, slot), async |(mut listener, slot)| {
        let batch = listener.next().await?;
        let frames: Vec<Frame> = batch.iter().map(frame).collect();
        Some((stream::iter(frames), (listener, slot)))
    });
    batches.flatten()
}

fn frame(event: &Event) -> Frame {
    let frame = Frame::default().event(event.kind.name()).data(&event.body);
    match event.id {
        Some(id) => frame.id(id.to_string()),
        None => frame,
    }
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
