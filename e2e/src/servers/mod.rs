//! Servers beside the nodes, real ones, started on loopback for one test or one devnet, each on ports and in a folder of
//! its own.

pub mod etcd;
mod papers;
pub mod postgres;
pub mod prometheus;

pub use postgres::Postgres;
pub use prometheus::Prometheus;
