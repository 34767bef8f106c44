//! What Prometheus scrapes.

use axum::{
    extract::State,
    http::{HeaderName, header},
};

use super::{problem::Problem, state::ApiState};
use crate::metrics::{Scrape, render};

const TEXT_FORMAT: [(HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Shows what Prometheus scrapes
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String)),
)]
pub(super) async fn scrape(
    State(state): State<ApiState>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let counts = state.read(|queries| queries.counts())?;
    let (overview, now) = state.present();
    let options = state.options();
    let record = options.postgres.as_ref().map(|status| status.report(overview.position));
    let certificates = options.certificates.as_ref().map(|certificates| certificates.report());
    let scrape = Scrape {
        overview: &overview,
        now,
        counts: &counts,
        record: record.as_ref(),
        certificates: certificates.as_ref(),
        sources: &options.sources,
        registry: &options.registry,
    };
    match render(&scrape) {
        Ok(text) => Ok((TEXT_FORMAT, text)),
        Err(error) => {
            tracing::error!(%error, "metrics could not be encoded");
            Err(Problem::internal())
        }
    }
}
