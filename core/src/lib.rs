//! Placeholder.

pub mod mpc;
