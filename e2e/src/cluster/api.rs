//! A node's HTTP face as a test sees it: statuses are answers, not errors.

use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::view::{
    AddressView, BalanceView, ClusterView, KeygenView, Kind, NodesView, PaymentView, StockView,
    TransactionView, TransactionsView,
};

/// Longer than any request may take by the server's own limit.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

/// An answer of any status.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON; `Null` if it is something else.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// The media type, without parameters.
    pub media_type: String,
}

impl Reply {
    /// The stable code of a refusal; empty if there is none.
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// The sentence of a refusal; empty if there is none.
    pub fn detail(&self) -> &str {
        self.body.get("detail").and_then(Value::as_str).unwrap_or_default()
    }

    /// Reads the body of a success. Errors on any other status, with the body.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        anyhow::ensure!((200..300).contains(&self.status), "status {}: {}", self.status, self.text.trim());
        serde_json::from_value(self.body.clone())
            .with_context(|| format!("unexpected answer: {}", self.text.trim()))
    }
}

/// A client of one node. Cheap to clone; its connections are shared.
#[derive(Clone)]
pub struct Api {
    url: String,
    agent: ureq::Agent,
}

impl Api {
    /// A client of the server at a base URL without a slash at the end.
    pub fn new(url: String) -> Self {
        // By phase: with a limit on the whole the library looks each address up in a thread of its own, for every request.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_send_request(Some(TIMEOUT))
            .timeout_send_body(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_recv_body(Some(TIMEOUT))
            .proxy(None)
            .max_idle_connections_per_host(32)
            .build();
        Self { url, agent: config.into() }
    }

    /// The base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Errors only when there is no answer.
    pub fn get(&self, path: &str) -> anyhow::Result<Reply> {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        reply(response.with_context(|| format!("GET {}{path}", self.url))?)
    }

    /// As [`Api::get`], with an API key.
    pub fn get_with_key(&self, path: &str, key: &str) -> anyhow::Result<Reply> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let response = request.header("authorization", format!("Bearer {key}")).call();
        reply(response.with_context(|| format!("GET {}{path}", self.url))?)
    }

    /// Posts JSON. Errors only when there is no answer.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.post_raw(path, body.to_string().as_bytes(), &[])
    }

    /// Posts any bytes, as JSON unless the headers say otherwise. Errors only when there is no answer.
    pub fn post_raw(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> anyhow::Result<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send(body).with_context(|| format!("POST {}{path}", self.url))?)
    }

    /// Asks for a payment.
    pub fn pay(&self, kind: Kind, recipient: &str, amount_sats: u64) -> anyhow::Result<PaymentView> {
        let body = json!({ "type": kind.name(), "recipient": recipient, "amount_sats": amount_sats });
        self.post("/api/v1/transactions", &body)?.read()
    }

    /// Asks for a payment under an idempotency key; the reply may be of any status.
    pub fn pay_keyed(&self, recipient: &str, amount_sats: u64, key: &str) -> anyhow::Result<Reply> {
        let body = json!({ "recipient": recipient, "amount_sats": amount_sats }).to_string();
        self.post_raw("/api/v1/transactions", body.as_bytes(), &[("idempotency-key", key)])
    }

    /// One transaction with its votes and timeline.
    pub fn transaction(&self, txid: &str) -> anyhow::Result<TransactionView> {
        self.get(&format!("/api/v1/transactions/{txid}"))?.read()
    }

    /// Every transaction that the node knows, newest first.
    pub fn transactions(&self) -> anyhow::Result<Vec<TransactionView>> {
        let mut all = Vec::new();
        let mut path = "/api/v1/transactions?limit=100".to_owned();
        loop {
            let page: TransactionsView = self.get(&path)?.read()?;
            all.extend(page.items);
            let Some(cursor) = page.next_cursor else { return Ok(all) };
            path = format!("/api/v1/transactions?limit=100&cursor={cursor}");
        }
    }

    /// The node's view of the cluster.
    pub fn cluster(&self) -> anyhow::Result<ClusterView> {
        self.get("/api/v1/cluster/status")?.read()
    }

    /// The node's view of every member.
    pub fn members(&self) -> anyhow::Result<NodesView> {
        self.get("/api/v1/cluster/nodes")?.read()
    }

    /// What the node holds against members: the newest violations, as the API shows them.
    pub fn violations(&self) -> anyhow::Result<Vec<Value>> {
        let page: Value = self.get("/api/v1/violations")?.read()?;
        Ok(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// A wallet's money.
    pub fn balance(&self, kind: Kind) -> anyhow::Result<BalanceView> {
        self.get(&format!("/api/v1/wallet/balance?type={}", kind.name()))?.read()
    }

    /// Where a wallet is paid. Errors before key generation.
    pub fn address(&self, kind: Kind) -> anyhow::Result<AddressView> {
        self.get(&format!("/api/v1/wallet/address?type={}", kind.name()))?.read()
    }

    /// Starts key generation; the reply may be of any status.
    pub fn start_dkg(&self, kind: Kind) -> anyhow::Result<Reply> {
        self.post("/api/v1/dkg", &json!({ "type": kind.name() }))
    }

    /// The presignatures in stock. Errors before key generation.
    pub fn presignatures(&self) -> anyhow::Result<StockView> {
        self.get("/api/v1/presignatures")?.read()
    }

    /// Has presignatures made beyond what is kept in stock.
    pub fn presign(&self, count: u16) -> anyhow::Result<Reply> {
        self.post("/api/v1/presignatures", &json!({ "count": count }))
    }

    /// How key generation is getting on.
    pub fn dkg(&self) -> anyhow::Result<KeygenView> {
        self.get("/api/v1/dkg")?.read()
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Reply> {
    let status = response.status().as_u16();
    let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let media_type =
        media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_owned();
    let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
    Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), text, media_type })
}
