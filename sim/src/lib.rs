//! Deterministic simulator of a wallet cluster: a hostile world, independent oracles, replay by seed.
//!
//! The same cores that run in production run here against a virtual network, disk, chain and clock, all drawn from
//! one seed. A [`plan::FaultPlan`] says everything about a run; [`world::World`] lets it happen; [`oracle`] judges
//! every step; [`trace`] condenses the run into one hash, so that anybody can see that a replay is the same run.
//!
//! What a green run proves: for this plan, the core kept every safety property under these faults, traitors' lies
//! among them ([`byzantine`]), and finished once they were over. It says nothing about the shell, real QUIC or real disks.

pub mod command;
pub mod coverage;
#[cfg(feature = "turmoil")]
pub mod hosted;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod oracle;
mod parts;
pub mod plan;
pub mod profile;
pub mod shrink;
pub mod story;
pub mod trace;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use mpc_wallet_byzantine::{self as byzantine, rng};
pub use plan::FaultPlan;
pub use profile::Profile;
pub use world::{Report, World};

/// Runs a plan to its end. A panic of the core is a breach like any other.
///
/// # Errors
/// A plan that cannot be run.
pub fn run(plan: FaultPlan, log: Option<trace::Log>) -> anyhow::Result<Report> {
    run_watched(plan, oracle::Watch::All, log)
}

/// As [`run`], with other oracles or without an end at the first objection.
///
/// # Errors
/// A plan that cannot be run.
pub fn run_watched(plan: FaultPlan, watch: oracle::Watch, log: Option<trace::Log>) -> anyhow::Result<Report> {
    let world = World::new(plan, log)?.watched(watch);
    // The world is moved in and gone after a panic, so no broken state is seen.
    let report = catch_unwind(AssertUnwindSafe(|| world.run()));
    report.map_err(|cause| panicked(&*cause))
}

/// A panic's words.
fn panicked(cause: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let words = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    anyhow::anyhow!("panic: {words}")
}
