//! How a command ends when it does not end well.

use std::{fmt, process::ExitCode};

use serde_json::Value;

/// The documented exit codes; `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Unexpected = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Conflict = 5,
    Unavailable = 6,
    OutcomeUnknown = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    code: String,
    message: String,
    details: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), details: Vec::new() }
    }

    /// Adds a line below the message.
    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// A problem document of the API.
    pub(crate) fn from_problem(status: u16, problem: &Value) -> Self {
        let text = |member: &str| problem.get(member).and_then(Value::as_str).unwrap_or_default();
        let (code, message) = match (text("code"), text("detail")) {
            ("", _) => ("unexpected_answer", format!("the node answered with status {status}")),
            (code, detail) => (code, detail.to_owned()),
        };
        let mut failure = Self::new(exit_of(status, code), code, message);
        let errors = problem.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if errors.len() > 1 {
            for error in errors {
                let part = |member: &str| error.get(member).and_then(Value::as_str).unwrap_or_default();
                failure = failure.detail(format!("{} {}", part("pointer"), part("message")));
            }
        }
        match text("request_id") {
            "" => failure,
            id => failure.detail(format!("request {id}")),
        }
    }
}

/// What kind of end a status and a code are.
fn exit_of(status: u16, code: &str) -> Exit {
    match (status, code) {
        (_, "outcome_unknown") => Exit::OutcomeUnknown,
        (_, "idempotency_key_reused") => Exit::Conflict,
        (422, "validation_failed" | "invalid_address" | "wrong_network") => Exit::Usage,
        (422, "unsupported_address_type" | "unsupported_wallet" | "metadata_too_long") => Exit::Usage,
        (401 | 403 | 422, _) => Exit::Refused,
        (404, _) => Exit::NotFound,
        (409, _) => Exit::Conflict,
        (429 | 502 | 503, _) => Exit::Unavailable,
        (400..=499, _) => Exit::Usage,
        (504, _) => Exit::OutcomeUnknown,
        _ => Exit::Unexpected,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        self.details.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_answer_has_its_exit_code() {
        for (status, code, exit) in [
            (422, "amount_below_dust", Exit::Refused),
            (422, "insufficient_funds", Exit::Refused),
            (403, "destination_not_whitelisted", Exit::Refused),
            (422, "wrong_network", Exit::Usage),
            (400, "invalid_txid", Exit::Usage),
            (404, "not_found", Exit::NotFound),
            (409, "approval_not_required", Exit::Conflict),
            (422, "idempotency_key_reused", Exit::Conflict),
            (503, "no_quorum", Exit::Unavailable),
            (504, "outcome_unknown", Exit::OutcomeUnknown),
            (500, "internal", Exit::Unexpected),
        ] {
            assert_eq!(exit_of(status, code), exit, "{status} {code}");
        }
    }
}
