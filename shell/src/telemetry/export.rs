//! Spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! The environment says where to, in OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`
//! (`http://127.0.0.1:4318`) or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`; `OTEL_RESOURCE_ATTRIBUTES` adds what the node is to be called.
//! Without an endpoint nothing is exported. A collector that is away costs spans and nothing else: they are sent from a thread of
//! their own, out of a bounded queue.
//!
//! A collector is foreign: only spans leave, never a line of the log, and of their fields those of [`PERMITTED`]. So the path of a
//! request, which may hold a txid, stays here, and so does what a span will carry one day until somebody permits it.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter as Exporter},
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// What names a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Longest a collector is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer of a collector that is read, in bytes.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// Fields of spans that leave this machine; the times are those that a span was worked on and waited.
const PERMITTED: [&str; 6] = ["request_id", "method", "route", "status", "busy_ns", "idle_ns"];

/// What collects spans for export.
pub(super) type Spans<S> = Box<dyn Layer<S> + Send + Sync>;

/// A running export. Dropping it sends what is still there.
pub(super) struct Export(SdkTracerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Begins to export, if the environment names a collector.
pub(super) fn start<S>() -> Result<Option<(Spans<S>, Export)>, ExporterBuildError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let named = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.into_iter().any(named) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().with_http_client(Client::new()).build()?;
    Ok(Some(collect(exporter)))
}

/// Only this product's spans: those of the libraries that send them would be sent in turn.
fn collect<S>(exporter: SpanExporter) -> (Spans<S>, Export)
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let resource = Resource::builder()
        .with_service_name("mpc-wallet-server")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(Permitted(exporter)).with_resource(resource).build();
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("mpc_wallet"));
    let tracer = provider.tracer("mpc-wallet");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours);
    (layer.boxed(), Export(provider))
}

/// Takes from spans what may not leave, and sends the rest.
#[derive(Debug)]
struct Permitted(SpanExporter);

impl Exporter for Permitted {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.attributes.retain(|attribute| PERMITTED.contains(&attribute.key.as_str()));
        }
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// The HTTP client that is in the program anyway; it blocks the exporter's own thread.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok(Response::builder().status(status).body(body.into())?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread::JoinHandle,
    };

    use opentelemetry_otlp::WithExportConfig as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A collector that takes one request: its first line, and its body as text.
    fn collector() -> (String, JoinHandle<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.to_lowercase());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            let mut body = vec![0; length.trim().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            (head.remove(0), String::from_utf8_lossy(&body).into_owned())
        });
        (format!("http://{address}/v1/traces"), receiver)
    }

    /// What a collector gets of the spans that `work` makes: the request's first line, and its body as text.
    fn exported(work: impl FnOnce()) -> (String, String) {
        let (url, received) = collector();
        let builder = SpanExporter::builder().with_http().with_http_client(Client::new());
        let (layer, export) = collect(builder.with_endpoint(url).build().unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        drop(export);
        received.join().unwrap()
    }

    #[test]
    fn a_collector_receives_our_spans_and_no_others() {
        let (first, body) = exported(|| {
            tracing::info_span!("request", route = "/health").in_scope(|| {
                tracing::info_span!(target: "hyper", "of a library").in_scope(|| ());
            });
        });
        assert!(first.starts_with("post /v1/traces "), "{first}");
        for part in ["request", "/health", "mpc-wallet-server"] {
            assert!(body.contains(part), "{part} in {body}");
        }
        assert!(!body.contains("of a library"), "{body}");
    }

    #[test]
    fn what_is_not_permitted_stays_here() {
        let (_, body) = exported(|| {
            let span = tracing::info_span!("request", status = 200, path = "a txid", key = "a name");
            span.in_scope(|| tracing::info!(recipient = "an address", "a line of the log"));
        });
        assert!(body.contains("status"), "{body}");
        for foreign in ["path", "a txid", "a name", "an address", "a line of the log"] {
            assert!(!body.contains(foreign), "{foreign} in {body}");
        }
    }
}
