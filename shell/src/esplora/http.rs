//! HTTP as this adapter needs it: kept-alive connections, bounded in number, time and size.
//!
//! `esplora-client` serves for the wire types only. Its client (bitreq 0.3) reuses a connection only if each response says
//! `Connection: keep-alive`, which HTTP/1.1 servers such as electrs leave out; it queues all requests behind one
//! connection; it accepts bodies of 1 GiB and has no limit on connecting apart from the whole request's.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{Method, Request, StatusCode, Uri, header::RETRY_AFTER},
};
use http_body_util::{BodyExt, Full, Limited};
use rand_core::{OsRng, RngCore};
use tokio::{sync::Semaphore, time::timeout};

use super::{ConnectError, EsploraConfig, error::BackendError};
use crate::https::{self, HttpsClient, causes};

/// Requests at once: public servers limit by address, a busy wallet asks for dozens of coins.
const PARALLEL: usize = 8;
/// The first pause before a retry; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Text of an error answer that is kept for the log, in bytes.
const ERROR_TEXT: usize = 300;

/// Largest answer that is a hash, a status or an estimate.
pub(super) const SMALL: usize = 64 * 1024;
/// Largest answer that holds a transaction, as JSON a few times its 4 MB.
pub(super) const LARGE: usize = 16 * 1024 * 1024;

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    retry_after: Option<Duration>,
}

impl Reply {
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status.as_u16(), 429 | 500 | 502 | 503 | 504)
    }
}

/// The connection pool to one server.
pub(super) struct Http {
    client: HttpsClient,
    base: String,
    permits: Semaphore,
    request_timeout: Duration,
    retries: u32,
}

impl Http {
    /// Prepares the pool; connects to nothing yet.
    pub(super) fn new(config: &EsploraConfig) -> Result<Self, ConnectError> {
        let bad = |reason: String| ConnectError::Url { url: config.url.clone(), reason };
        let uri: Uri = config.url.parse().map_err(|e| bad(format!("{e}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("it must start with http:// or https://".into()));
        }
        if uri.authority().is_none_or(|a| a.as_str().contains('@')) {
            return Err(bad("it must name a host and hold no credentials".into()));
        }
        if uri.query().is_some() {
            return Err(bad("it must not hold a query".into()));
        }
        let client =
            https::client(config.connect_timeout, PARALLEL).map_err(|error| bad(format!("TLS: {error}")))?;
        Ok(Self {
            client,
            base: config.url.trim_end_matches('/').to_owned(),
            permits: Semaphore::new(PARALLEL),
            request_timeout: config.request_timeout,
            retries: config.retries,
        })
    }

    /// Gets a path; `None` is a 404. Any 2xx will do (mempool.space answers 203). Retries what may pass.
    pub(super) async fn get(&self, path: &str, cap: usize) -> Result<Option<Bytes>, BackendError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            let last = attempt >= self.retries;
            let wait = match self.exchange(Method::GET, path, Bytes::new(), cap).await {
                Ok(reply) if reply.status.is_success() => return Ok(Some(reply.body)),
                Ok(reply) if reply.status == StatusCode::NOT_FOUND => return Ok(None),
                Ok(reply) if last || !reply.is_temporary() => {
                    let text = excerpt(&reply.text());
                    return Err(BackendError::Status {
                        path: path.to_owned(),
                        status: reply.status.as_u16(),
                        text,
                    });
                }
                Ok(reply) => reply.retry_after.unwrap_or(Duration::ZERO).max(jittered(pause)),
                Err(error) if last => return Err(error),
                Err(_) => jittered(pause),
            };
            tokio::time::sleep(wait.min(LONGEST_PAUSE)).await;
            pause = pause.saturating_mul(2);
        }
        Err(BackendError::malformed(path, "retries without end"))
    }

    /// Posts a text, once: whoever posts must judge for itself what a lost answer means.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<Reply, BackendError> {
        self.exchange(Method::POST, path, Bytes::from(body), SMALL).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        cap: usize,
    ) -> Result<Reply, BackendError> {
        let unreachable = |reason: String| BackendError::Unreachable { path: path.to_owned(), reason };
        let _permit = self.permits.acquire().await.map_err(|e| unreachable(e.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .body(Full::new(body))
            .map_err(|e| unreachable(e.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| unreachable(causes(&e)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, cap)
                .collect()
                .await
                .map_err(|e| unreachable(format!("{}, limit {cap} bytes", causes(e.as_ref()))))?;
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let retry_after = retry_after.map(Duration::from_secs);
            Ok(Reply { status: head.status, body: body.to_bytes(), retry_after })
        };
        timeout(self.request_timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("nothing within {:?}", self.request_timeout))))
    }
}

/// Between half the pause and the whole, so that nodes that failed together do not return together.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_millis(OsRng.next_u64() % span)
}

/// The beginning of a text from outside, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let end = text.floor_char_boundary(ERROR_TEXT);
    text.get(..end).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
