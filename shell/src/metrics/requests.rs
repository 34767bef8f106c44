//! Requests answered.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::buckets::ANSWER;

/// The route of what is no route.
const NO_ROUTE: &str = "none";

/// Counts requests by route, so that paths, which clients choose, are no labels.
#[derive(Clone)]
pub struct RequestMetrics {
    answered: IntCounterVec,
    took: HistogramVec,
}

impl RequestMetrics {
    /// Registers the metrics of requests.
    ///
    /// # Errors
    /// If their names are taken.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let answered = Opts::new("mpc_wallet_http_requests_total", "Requests answered.");
        let took = HistogramOpts::new(
            "mpc_wallet_http_request_duration_seconds",
            "Time from a request's arrival to the head of its answer.",
        );
        let metrics = Self {
            answered: IntCounterVec::new(answered, &["route", "method", "status"])?,
            took: HistogramVec::new(took.buckets(ANSWER.to_vec()), &["route"])?,
        };
        registry.register(Box::new(metrics.answered.clone()))?;
        registry.register(Box::new(metrics.took.clone()))?;
        Ok(metrics)
    }

    /// Counts one answer. `route` is the template that matched, if any did.
    pub fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(NO_ROUTE);
        self.answered.with_label_values(&[route, method_name(method), status.as_str()]).inc();
        self.took.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

/// Methods that some route takes, and one word for whatever else clients think of.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_clients_choose_freely_makes_no_series() {
        let registry = Registry::new();
        let metrics = RequestMetrics::register(&registry).unwrap();
        for number in 0..50 {
            let method = Method::from_bytes(format!("METHOD{number}").as_bytes()).unwrap();
            metrics.answered(None, &method, StatusCode::NOT_FOUND, Duration::ZERO);
        }
        let families = registry.gather();
        let series: Vec<usize> = families.iter().map(|family| family.get_metric().len()).collect();
        assert_eq!(series, [1, 1]);
    }
}
