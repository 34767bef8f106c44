//! Speaks with a node.

use std::{io, time::Duration};

use serde_json::Value;
use ureq::{Agent, Body, http::Response};

use crate::failure::{Exit, Failure};

/// Longer than a node takes for any answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// To a machine that is up, a connection takes milliseconds.
const CONNECT: Duration = Duration::from_secs(5);

/// One node.
pub(crate) struct Node {
    base: String,
    agent: Agent,
    /// The value of `Authorization`, if the node is to be shown a key.
    authorization: Option<String>,
}

/// The answer to a request that changes something.
pub(crate) struct Posted {
    /// The document.
    pub(crate) document: Value,
    /// Whether an earlier request with the same idempotency key did it.
    pub(crate) replayed: bool,
}

impl Node {
    /// A node at a base URL.
    pub(crate) fn new(url: &str, api_key: Option<&str>) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/');
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            let message = format!("`{url}` is not an http(s) URL; give --node as in http://127.0.0.1:8081");
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            // Nothing stands between a payment and the node it was meant for.
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        let authorization = api_key.map(|key| format!("Bearer {key}"));
        Ok(Self { base: base.to_owned(), agent, authorization })
    }

    /// Reads.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        self.settle(request.call(), Exit::Unavailable).map(|(_, document)| document)
    }

    /// Changes something.
    pub(crate) fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Posted, Failure> {
        self.send(path, body, headers, Exit::OutcomeUnknown)
    }

    /// Asks what something would do, which changes nothing.
    pub(crate) fn preview(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Posted, Failure> {
        self.send(path, body, headers, Exit::Unavailable).map_err(|mut failure| {
            if failure.exit == Exit::OutcomeUnknown {
                failure.exit = Exit::Unavailable;
            }
            failure
        })
    }

    fn send(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
        after_sending: Exit,
    ) -> Result<Posted, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (replayed, document) = self.settle(request.send(body.to_string()), after_sending)?;
        Ok(Posted { document, replayed })
    }

    /// The document, or what went wrong; `after_sending` is the end when the line broke after the request left.
    fn settle(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
        after_sending: Exit,
    ) -> Result<(bool, Value), Failure> {
        let lost = |error: ureq::Error| self.lost(&error, after_sending);
        let mut response = answer.map_err(lost)?;
        let status = response.status().as_u16();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let text = response.body_mut().read_to_string().map_err(lost)?;
        let document = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            Ok((replayed, document))
        } else {
            Err(Failure::from_problem(status, &document))
        }
    }

    fn lost(&self, error: &ureq::Error, after_sending: Exit) -> Failure {
        let base = &self.base;
        if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
            return Failure::new(Exit::Usage, "usage", format!("cannot ask {base}: {error}"));
        }
        if after_sending == Exit::OutcomeUnknown && !never_connected(error) {
            return Failure::new(
                Exit::OutcomeUnknown,
                "outcome_unknown",
                format!("{base} did not answer ({error}); the request may have been carried out"),
            );
        }
        Failure::new(Exit::Unavailable, "node_unreachable", format!("cannot reach {base}: {error}"))
            .detail("is the node running? --node or MPC_WALLET_NODE names another")
    }
}

/// Whether the request certainly never left.
fn never_connected(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
    ) || matches!(error, ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused)
}
