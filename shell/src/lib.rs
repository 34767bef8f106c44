//! Binds the wallet core to the world: QUIC, disk, Esplora, HTTP.
//!
//! [`driver`] is the one loop; it is generic over [`ports`], so production and simulation run the same code. Each
//! outside system has one adapter behind a port.

pub mod config;
pub mod driver;
pub mod esplora;
pub mod handle;
pub mod host;
pub mod journal;
pub mod ports;
pub mod quic;
pub mod read;
pub mod rest;
pub mod secrets;
pub mod telemetry;
pub mod units;
