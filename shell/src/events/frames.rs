//! Events as the bytes of a stream (WHATWG HTML, 9.2), by the library's hand and once for all listeners.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Bytes,
    response::{
        IntoResponse as _,
        sse::{Event as Frame, Sse},
    },
};
use futures_util::stream;
use http_body_util::BodyExt as _;

use super::{Event, EventId};

/// Until a listener that lost its stream tries again.
const RETRY: Duration = Duration::from_secs(3);

/// Several events, one after the other.
pub(super) async fn of_events(events: &[Event]) -> Bytes {
    let frame = |event: &Event| {
        let frame = Frame::default().event(event.kind.name()).data(&event.body);
        match event.id {
            Some(id) => frame.id(id.to_string()),
            None => frame,
        }
    };
    write(events.iter().map(frame).collect()).await
}

/// What a stream begins with: when to try again, and for who has heard nothing yet the place from which it can go on.
pub(super) async fn opening(begins: Option<EventId>) -> Bytes {
    let frame = Frame::default().retry(RETRY);
    let frame = match begins {
        Some(id) => frame.id(id.to_string()),
        None => frame,
    };
    write(vec![frame]).await
}

/// A sign of life.
pub(super) async fn heartbeat() -> Bytes {
    write(vec![Frame::default().comment("keep-alive")]).await
}

async fn write(frames: Vec<Frame>) -> Bytes {
    let frames = stream::iter(frames.into_iter().map(Ok::<_, Infallible>));
    // Frames that are there already are neither waited for nor refused.
    Sse::new(frames)
        .into_response()
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default()
}
