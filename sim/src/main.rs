//! `mpc-wallet-sim`: runs, replays and sweeps fault plans.

use std::process::ExitCode;

fn main() -> ExitCode {
    mpc_wallet_sim::command::main()
}
