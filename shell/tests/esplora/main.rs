//! The Esplora adapter against a scripted server: every trap of the protocol has its test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::wildcard_enum_match_arm, unreachable_pub)]

mod broadcast;
mod coins;
mod connection;
mod poll;
mod server;
mod wallet;
