//! Reads the body of a write request: bounded, JSON, an object, no field twice.

use std::fmt;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt as _;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::Value;

use super::problem::{FieldError, Problem};

/// So much of an oversized body is read and dropped, so that a client that is still sending gets to read the answer
/// instead of a connection reset.
const DRAINED: usize = 32 * 1024 * 1024;

/// The members of a JSON object in the order sent.
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads the body.
    ///
    /// # Errors
    /// 415 for another content type, 413 beyond `limit` bytes, 400 for anything but one JSON object.
    pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, Problem> {
        let bytes = read_bounded(body, limit).await?;
        Self::parse(headers, &bytes)
    }

    /// The same for a request that needs no body: none at all has no fields, and neither has `null`.
    ///
    /// # Errors
    /// As [`Fields::read`].
    pub(super) async fn read_if_any(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, Problem> {
        let bytes = read_bounded(body, limit).await?;
        if bytes.is_empty() || bytes == b"null" { Ok(Self(Vec::new())) } else { Self::parse(headers, &bytes) }
    }

    fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Problem> {
        check_content_type(headers)?;
        let fields: Self = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let mut seen = std::collections::BTreeSet::new();
        let twice = fields.0.iter().find(|(name, _)| !seen.insert(name));
        match twice {
            Some((name, _)) => Err(malformed(&format!("field \"{name}\" is given twice"))),
            None => Ok(fields),
        }
    }

    /// Takes a field; `null` counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(field, _)| field == name)?;
        let (_, value) = self.0.swap_remove(index);
        (!value.is_null()).then_some(value)
    }

    /// What was not taken is unknown: a typing error in a request about money must not pass.
    pub(super) fn unknown(&self, known: &str) -> impl Iterator<Item = Problem> {
        self.0.iter().map(move |(name, _)| {
            invalid(
                &format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                format!("is not a field of this request; it has {known}"),
            )
        })
    }
}

/// A field whose content is wrong.
pub(super) fn invalid(pointer: &str, message: impl Into<String>) -> Problem {
    let error = FieldError { pointer: pointer.to_owned(), message: message.into() };
    Problem::invalid(StatusCode::UNPROCESSABLE_ENTITY, vec![error])
}

async fn read_bounded(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut received = 0usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| malformed(&"the body ended early"))?;
        received = received.saturating_add(chunk.len());
        if received <= limit {
            bytes.extend_from_slice(&chunk);
        } else if received > DRAINED {
            break;
        }
    }
    if received > limit {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("The body has more than the {limit} bytes that are read."),
        ));
    }
    Ok(bytes)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" {
        return Ok(());
    }
    let given = if given.is_empty() { "none".to_owned() } else { format!("\"{given}\"") };
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("Content-Type is {given}; send application/json."),
    ))
}

fn malformed(what: &impl fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", format!("The body is not a JSON object: {what}."))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
