//! What operators see: every metric in its place, dashboard and alerts on a real Prometheus, and no secret anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod needles;
mod scraping;
mod secrets;
mod shipped;
