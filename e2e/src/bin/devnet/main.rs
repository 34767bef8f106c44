//! `cargo devnet`: a whole wallet cluster on this machine, from nothing to a confirmed payment.
//!
//! Certificates, a regtest chain, five nodes, and for each of the two wallets a key, coins and one payment; then it stays
//! up until Ctrl-C.

mod arguments;
mod screen;
mod tour;

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser as _;
use mpc_wallet_e2e::cluster::{Cluster, Kind};
use mpc_wallet_e2e::servers::Postgres;

use arguments::Arguments;
use screen::Screen;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devnet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let postgres = arguments.postgres.then(Postgres::start).transpose()?;
    let options = arguments.cluster()?;
    let options = match &postgres {
        Some(server) => options.with_postgres(server),
        None => options,
    };
    let ended = end_signals()?;
    let screen = Screen::new();
    let mut stage = screen.stage("building the server");
    mpc_wallet_e2e::cluster::server_binary()?;
    stage.done("server built");

    let began = Instant::now();
    stage = screen.stage("starting");
    let cluster = Cluster::start_with(&options, |what| stage.now(what))?;
    let coordinator = cluster.wait_until_connected()?;
    stage.done(&format!("{} nodes up and connected, node {coordinator} coordinates", cluster.nodes().len()));
    tour::open(&cluster, &screen, Kind::Taproot)?;
    let mut paid = None;
    if arguments.payment() {
        paid = Some(tour::pay(&cluster, &screen, Kind::Taproot, arguments.block_every())?);
        screen.line(&format!("from start to a confirmed payment in {:.1} s", seconds(began.elapsed())));
    }
    if !arguments.taproot_only {
        tour::open(&cluster, &screen, Kind::Segwit)?;
        if arguments.payment() {
            tour::await_stock(&cluster, &screen)?;
            tour::pay(&cluster, &screen, Kind::Segwit, arguments.block_every())?;
        }
        screen.line(&format!("from start to both wallets in {:.1} s", seconds(began.elapsed())));
    }
    if !arguments.once {
        tour::explain(&cluster, &screen, paid.as_deref())?;
        if let Some(server) = &postgres {
            screen.line(&format!("the record: psql '{}'", server.url_with_password()));
        }
        // An error means that the signal thread is gone, and then there is nothing to wait for.
        let _ = ended.recv();
        screen.line("");
    }
    stage = screen.stage("ending the nodes");
    cluster.stop()?;
    stage.done("all nodes ended in order");
    Ok(())
}

/// Seconds with their fraction, for people.
fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

/// Says once when somebody wants the devnet to end. What is being done at that moment is finished first, unless it
/// is the start: Ctrl-C reaches the nodes, too, and a start without nodes fails.
fn end_signals() -> anyhow::Result<Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (tell, told) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Nobody listens any more: the devnet is ending already.
        let _ = tell.send(());
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("cannot start a thread")?;
    Ok(told)
}
