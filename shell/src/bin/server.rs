//! `mpc-wallet-server --config node.toml`: one member of the cluster.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use mpc_wallet_shell::{config::Settings, server, telemetry};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// One node of a threshold Bitcoin wallet.
#[derive(Parser)]
#[command(name = "mpc-wallet-server", version)]
struct Arguments {
    /// The node's configuration; every setting can be overridden by `MPC_WALLET_<SECTION>_<KEY>`.
    #[arg(long, env = "MPC_WALLET_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, say what is wrong, and stop.
    #[arg(long)]
    check: bool,
}

/// Exit status for a configuration that cannot be used, as sysexits.h has it.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    if arguments.check {
        eprintln!("{}: no problem found", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    let _telemetry = match telemetry::init(&settings.log) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("mpc-wallet-server: {error}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "node stopped");
            eprintln!("mpc-wallet-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let order = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
        order.cancel();
    });
    // Taken early: unhandled, it would end the process.
    let mut hangup = signal(SignalKind::hangup())?;
    let reload = Arc::new(Notify::new());
    let request = Arc::clone(&reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP");
            request.notify_one();
        }
    });
    Box::pin(server::run(settings, stop, reload)).await?;
    Ok(())
}
