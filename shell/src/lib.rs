//! Binds the wallet core to the world: QUIC, disk, Esplora, HTTP.
//!
//! [`driver`] is the one loop; it is generic over [`ports`], so production and simulation run the same code. Each
//! outside system has one adapter behind a port: [`quic`] to the peers, [`journal`] and [`secrets`] on disk, [`esplora`]
//! to the chain, [`postgres`] to the cluster's record, [`etcd`] for coordination where they are configured, [`host`] for
//! clock and processors. [`backup`] copies what is on disk. [`rest`] serves people through a [`handle`] and tells them [`events`], which [`webhook`]
//! sends to other programs; [`metrics`] is for what watches the node. [`server`] puts it all together from a [`config`].

pub mod access;
pub mod backup;
pub mod config;
pub mod driver;
pub mod esplora;
pub mod etcd;
pub mod events;
pub mod handle;
pub mod host;
mod https;
pub mod journal;
pub mod metrics;
pub mod ports;
pub mod postgres;
pub mod quic;
pub mod read;
pub mod rest;
pub mod secrets;
pub mod server;
pub mod telemetry;
pub mod units;
pub mod webhook;
