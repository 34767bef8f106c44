//! Servers beside the nodes, real ones, started on loopback for one test or one devnet.

pub mod postgres;

pub use postgres::Postgres;
