//! Entity tags (RFC 9110): who shows the tag of what it has is told in a few bytes that nothing changed.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bitcoin::hashes::{Hash as _, sha256};

use super::problem::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The tag of some content.
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of(content: &[u8]) -> Self {
        let digest = sha256::Hash::hash(content).to_string();
        Self(format!("\"{}\"", digest.split_at(16).0))
    }

    /// Whether the asker has this very content (13.1.2).
    pub(super) fn is_known(&self, asked: &HeaderMap) -> bool {
        asked
            .get_all(header::IF_NONE_MATCH)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }

    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            headers.insert(header::ETAG, tag);
        }
    }
}

/// Tags JSON documents that are read.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    if *request.method() != Method::GET {
        return next.run(request).await;
    }
    let asked = request.headers().clone();
    let response = next.run(request).await;
    let is_document =
        response.status() == StatusCode::OK && response.headers().get(header::CONTENT_TYPE) == Some(&JSON);
    if is_document { tagged(response, &asked).await } else { response }
}

async fn tagged(response: Response, asked: &HeaderMap) -> Response {
    let (mut parts, body) = response.into_parts();
    // A document is in memory as a whole.
    let Ok(content) = to_bytes(body, usize::MAX).await else { return Problem::internal().into_response() };
    let tag = Tag::of(&content);
    tag.write(&mut parts.headers);
    if tag.is_known(asked) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(content))
}
