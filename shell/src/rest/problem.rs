//! Errors as clients see them (RFC 9457): a stable code, a sentence, and the numbers behind it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::handle::NodeStopped;

/// One thing wrong with a request.
#[derive(Clone, Debug)]
pub(super) struct FieldError {
    /// JSON pointer into the body (RFC 6901), or the name of a query parameter or header.
    pub(super) pointer: String,
    /// What is wrong and what belongs there.
    pub(super) message: String,
}

/// A refusal on its way to a client. As a response it has no body yet: [`super::envelope`] writes it, because only
/// there the request's id and path are known.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    numbers: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            numbers: Map::new(),
            retry_after_s: None,
        }
    }

    /// Says when another try makes sense.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds a member of its own, for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.numbers.insert(name.to_owned(), value.into());
        self
    }

    /// Names the part of the request that is to blame.
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), message: self.detail.clone() });
        self
    }

    /// A request whose form is fine but whose content is not: every error at once.
    pub(super) fn invalid(status: StatusCode, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.message),
            several => format!("{} fields are wrong; see errors.", several.len()),
        };
        Self { errors, ..Self::new(status, "validation_failed", detail) }
    }

    /// One bad query parameter or header.
    pub(super) fn bad_parameter(name: &str, message: impl Into<String>) -> Self {
        let error = FieldError { pointer: name.to_owned(), message: message.into() };
        Self::invalid(StatusCode::BAD_REQUEST, vec![error])
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Unexpected error; the node's log has it under this request_id.",
        )
    }

    pub(super) fn storage_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unavailable",
            "This node cannot read its records at the moment; try again or ask another node.",
        )
        .retry_after(2)
    }

    /// Merges what several checks found: one problem stays what it is, several become a list.
    pub(super) fn merge(mut problems: Vec<Self>) -> Option<Self> {
        let last = problems.pop()?;
        if problems.is_empty() {
            return Some(last);
        }
        problems.push(last);
        let errors = problems.into_iter().flat_map(|problem| problem.errors).collect();
        Some(Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, errors))
    }

    /// The document.
    pub(super) fn render(&self, instance: &str, request_id: &str) -> Value {
        let mut document = json!({
            "type": format!("urn:mpc-wallet:problem:{}", self.code),
            "title": title(self.code),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.numbers.clone());
            if !self.errors.is_empty() {
                let errors = self
                    .errors
                    .iter()
                    .map(|error| json!({ "pointer": error.pointer, "message": error.message }))
                    .collect();
                members.insert("errors".to_owned(), Value::Array(errors));
            }
        }
        document
    }

    /// The stable code.
    pub(super) const fn code(&self) -> &'static str {
        self.code
    }
}

/// `insufficient_funds` → `Insufficient funds`.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<NodeStopped> for Problem {
    fn from(stopped: NodeStopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "node_stopping", format!("{stopped}.")).retry_after(2)
    }
}
