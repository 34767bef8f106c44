//! The HTTP face of a node: JSON for programs, RFC 9457 problems for what goes wrong, Prometheus for probes.
//!
//! Handlers ask the node through its [`NodeHandle`](crate::handle::NodeHandle) and read its past through [`Queries`](crate::read::Queries); they
//! hold no state of their own. Everything that is the same for every request (id, span, time limit, headers, the
//! form of errors) is in `envelope`; nothing else writes an error body.

mod access;
mod address;
mod approval;
mod audit;
mod body;
mod bump;
mod cluster;
mod dashboard;
mod descriptor;
mod dkg;
mod envelope;
mod etag;
mod events;
mod freeze;
mod health;
mod metrics;
mod openapi;
mod payment;
mod presignatures;
mod problem;
mod query;
mod quote;
mod receive;
mod refusal;
mod schema;
mod state;
mod transactions;
mod violations;
mod wallet;

use std::{future::Future, io};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    middleware,
    routing::get,
};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use problem::Problem;
pub use state::{ApiOptions, ApiState};

/// All routes, `/metrics` among them unless it has a listener of its own.
pub fn router(state: ApiState) -> Router {
    let description = openapi::Description::openapi();
    let (documented, description) = documented(description, !state.options().operations).split_for_parts();
    documented
        .layer(Extension(openapi::Text::of(description)))
        .route("/", get(dashboard::page))
        .route("/dashboard/{*path}", get(dashboard::asset))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Bodies are read, and bounded, by `body` alone.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(etag::tag))
        .layer(middleware::from_fn_with_state(state.clone(), access::guard))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), envelope::wrap))
        .with_state(state)
}

/// The routes that programs use; they describe themselves. Where metrics have a listener of their own they are not among them.
fn documented(description: OpenApi, with_metrics: bool) -> OpenApiRouter<ApiState> {
    let routes = OpenApiRouter::with_openapi(description);
    let routes = if with_metrics { routes.routes(routes!(metrics::scrape)) } else { routes };
    routes
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::document))
        .routes(routes!(cluster::status))
        .routes(routes!(cluster::nodes))
        .routes(routes!(freeze::freeze))
        .routes(routes!(freeze::lift))
        .routes(routes!(wallet::balance))
        .routes(routes!(receive::address))
        .routes(routes!(receive::qr))
        .routes(routes!(transactions::list, transactions::create))
        .routes(routes!(transactions::one))
        .routes(routes!(approval::approve))
        .routes(routes!(approval::reject))
        .routes(routes!(bump::bump))
        .routes(routes!(dkg::follow, dkg::start))
        .routes(routes!(presignatures::status, presignatures::order))
        .routes(routes!(violations::list))
        .routes(routes!(audit::list))
        .routes(routes!(events::stream))
}

/// What probes and Prometheus ask, and nothing else. It wants no key: who reaches the listener is decided by where it listens.
pub fn operations_router(state: ApiState) -> Router {
    Router::new()
        .route("/health", get(health::alive))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::disable())
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

/// As [`serve`], what probes and Prometheus ask.
///
/// # Errors
/// If the listener fails.
pub async fn serve_operations(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, operations_router(state)).with_graceful_shutdown(shutdown).await
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
