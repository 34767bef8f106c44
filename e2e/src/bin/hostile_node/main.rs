//! `mpc-wallet-hostile-node`: a member that betrays the others.
//!
//! It is the production server, with its configuration, keys, journal, certificates and QUIC; between its loop and the
//! network sits one of the simulator's traitors, which decides what leaves instead of what the honest node says.

mod betrayal;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use mpc_wallet_byzantine::{Deviation, Setup, deviant};
use mpc_wallet_core::Config;
use mpc_wallet_shell::config::{Settings, read_secret};
use mpc_wallet_shell::{server, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use betrayal::Betrayal;

/// One node that does not follow the protocol. For tests only.
#[derive(Parser)]
#[command(name = "mpc-wallet-hostile-node")]
struct Arguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// File of its vote key, which signs its lies.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// In which way it deviates, as plans of the simulator name it.
    #[arg(long, value_parser = parse_deviation)]
    deviation: Deviation,
    /// Of its draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often it may try to deviate in one message; where chance decides, many tries leave few messages as they are.
    #[arg(long, default_value_t = 1)]
    tries: u32,
}

fn parse_deviation(name: &str) -> Result<Deviation, String> {
    let known = serde_json::from_value(name.into()).map_err(|error| error.to_string())?;
    if known == Deviation::Twin {
        return Err(
            "a twin is a copy that looks at the chain through the original; it lives in the simulator only"
                .into(),
        );
    }
    Ok(known)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings::load(&arguments.config)?;
    let _telemetry = telemetry::init(&settings.log)?;
    let setup = setup(&arguments, settings.core.clone())?;
    let deviant = deviant(arguments.deviation, setup)?;
    let stop = CancellationToken::new();
    let (order, mut terminate) = (stop.clone(), signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        terminate.recv().await;
        order.cancel();
    });
    let (deviation, tries) = (arguments.deviation, arguments.tries);
    Box::pin(server::run_behind(settings, stop, Arc::default(), |quic, heard| {
        let betrayal = Arc::new(Betrayal::new(deviation, deviant, tries, quic));
        let heard = betrayal.overhear(heard);
        (betrayal, heard)
    }))
    .await?;
    Ok(())
}

/// What the traitor starts from. Only a twin, which is refused, needs journal and shares.
fn setup(arguments: &Arguments, config: Config) -> anyhow::Result<Setup> {
    let identity = read_secret(&arguments.identity).context("the vote key cannot be read")?;
    Ok(Setup { config, identity: *identity, seed: arguments.seed, journal: vec![], shares: vec![] })
}
