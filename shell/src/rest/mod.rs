//! The HTTP face of a node: JSON for programs, RFC 9457 problems for what goes wrong, Prometheus for probes.
//!
//! Handlers ask the node through its [`NodeHandle`](crate::handle::NodeHandle) and read its past through [`Queries`](crate::read::Queries); they
//! hold no state of their own. Everything that is the same for every request (id, span, time limit, headers, the
//! form of errors) is in `envelope`; nothing else writes an error body.

mod access;
mod address;
mod body;
mod cluster;
mod dashboard;
mod descriptor;
mod dkg;
mod envelope;
mod events;
mod health;
mod metrics;
mod payment;
mod presignatures;
mod problem;
mod query;
mod receive;
mod refusal;
mod state;
mod transactions;
mod violations;
mod wallet;

use std::{future::Future, io};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use problem::Problem;
pub use state::{ApiOptions, ApiState};

/// All routes.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{*path}", get(dashboard::asset))
        .route("/health", get(health::alive))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .route("/api/v1/cluster/status", get(cluster::status))
        .route("/api/v1/cluster/nodes", get(cluster::nodes))
        .route("/api/v1/wallet/balance", get(wallet::balance))
        .route("/api/v1/wallet/address", get(receive::address))
        .route("/api/v1/wallet/address/qr", get(receive::qr))
        .route("/api/v1/transactions", get(transactions::list).post(transactions::create))
        .route("/api/v1/transactions/{txid}", get(transactions::one))
        .route("/api/v1/transactions/{txid}/approve", post(transactions::decide))
        .route("/api/v1/transactions/{txid}/reject", post(transactions::decide))
        .route("/api/v1/dkg", get(dkg::follow).post(dkg::start))
        .route("/api/v1/presignatures", get(presignatures::status).post(presignatures::order))
        .route("/api/v1/violations", get(violations::list))
        .route("/api/v1/events", get(events::stream))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Bodies are read, and bounded, by `body` alone.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(state.clone(), access::guard))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), envelope::wrap))
        .with_state(state)
}

/// Serves until `shutdown` is ready, then lets the requests under way end.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown).await
}

async fn no_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("There is no route {}.", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not take {method}; the Allow header lists what it takes.", uri.path()),
    )
}
