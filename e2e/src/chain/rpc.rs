//! JSON-RPC to a node on this machine, over plain HTTP with the cookie it writes at start.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::consensus::encode::deserialize_hex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The longest a call may take: mining a hundred blocks on a busy machine stays far below.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer: a full block in hex.
const MAX_ANSWER: u64 = 16 << 20;

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcError {
    /// The node answered with an error of its own.
    #[error("{message} (code {code})")]
    Refused { code: i32, message: String },
    /// No answer, or not one of JSON-RPC.
    #[error("no answer to {method}: {cause:#}")]
    Unreachable { method: String, cause: anyhow::Error },
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i32,
    message: String,
}

/// A connection to one node.
pub(crate) struct Rpc {
    agent: ureq::Agent,
    url: String,
}

impl Rpc {
    /// Reads the cookie and connects to a port of this machine. Errors while the node has not
    /// written its cookie yet.
    pub(crate) fn with_cookie(cookie: &Path, port: u16) -> anyhow::Result<Self> {
        let secret =
            std::fs::read_to_string(cookie).with_context(|| format!("cannot read {}", cookie.display()))?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        Ok(Self { agent, url: format!("http://{}@127.0.0.1:{port}/", secret.trim()) })
    }

    /// Calls a method and reads its result as `T`.
    pub(crate) fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        let unreachable = |cause: anyhow::Error| RpcError::Unreachable { method: method.to_owned(), cause };
        let answer = self.exchange(method, params).map_err(unreachable)?;
        if let Some(Refusal { code, message }) = answer.error {
            return Err(RpcError::Refused { code, message });
        }
        serde_json::from_value(answer.result.unwrap_or(Value::Null))
            .map_err(|cause| unreachable(cause.into()))
    }

    /// Calls a method whose result is hex of a consensus encoding.
    pub(crate) fn call_decoded<T: bitcoin::consensus::Decodable>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        let text: String = self.call(method, params)?;
        deserialize_hex(&text).map_err(|cause| RpcError::Unreachable {
            method: method.to_owned(),
            cause: anyhow::anyhow!("{cause}"),
        })
    }

    fn exchange(&self, method: &str, params: Value) -> anyhow::Result<Answer> {
        let request = json!({ "jsonrpc": "1.0", "id": 0, "method": method, "params": params });
        let mut response = self.agent.post(&self.url).send_json(&request)?;
        Ok(response.body_mut().with_config().limit(MAX_ANSWER).read_json()?)
    }
}
