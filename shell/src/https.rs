//! Clients of web servers: kept-alive connections, bounded in number and in the time to make one.

use std::{error::Error, io, time::Duration};

use axum::body::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// A pool of connections.
pub(crate) type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A connection idle for longer is not reused: nginx drops them after 75 s, and one may be gone unnoticed.
const IDLE: Duration = Duration::from_secs(30);

/// Prepares a pool that keeps so many idle connections to a server; it connects to nothing yet.
///
/// # Errors
/// If TLS cannot be set up.
pub(crate) fn client(connect_timeout: Duration, idle: usize) -> io::Result<HttpsClient> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(io::Error::other)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle)
        .build(connector))
}

/// An error with its causes: the client's own text is only "client error (Connect)".
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
