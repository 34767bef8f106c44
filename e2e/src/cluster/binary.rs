//! The server that the clusters run: always the one of this source tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;

/// The root of the source tree.
#[must_use]
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Builds `mpc-wallet-server` in the profile and target folder of the running program, if it is missing or older
/// than its sources, and returns its path. Cargo is asked once a process. Errors with cargo's last words.
pub fn server_binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

/// `mpc-wallet-cli`, built with the server. Errors as [`server_binary`].
pub fn cli_binary() -> anyhow::Result<PathBuf> {
    server_binary().map(|server| server.with_file_name("mpc-wallet-cli"))
}

/// `mpc-wallet-hostile-node`, built with the server. Errors as [`server_binary`].
pub fn hostile_binary() -> anyhow::Result<PathBuf> {
    server_binary().map(|server| server.with_file_name("mpc-wallet-hostile-node"))
}

/// What cargo tells the programs it runs about their package. A build script that looks at one of them (ring's does)
/// would be run anew, with everything above it.
const OF_THE_PACKAGE: [&str; 5] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];

fn build() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let mut profile = program.parent().context("this program lies in no folder")?;
    if profile.ends_with("deps") {
        profile = profile.parent().context("the target folder is incomplete")?;
    }
    let target = profile.parent().context("the target folder is incomplete")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The features that the program itself was built with, so that nothing is compiled again.
    cargo
        .current_dir(repository())
        .args(["build", "--quiet", "--locked", "-p", "mpc-wallet-shell", "-p", "mpc-wallet-e2e", "--bins"])
        .args(["--no-default-features", "--features", "mpc-wallet-e2e/default"])
        .arg("--target-dir")
        .arg(target);
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if OF_THE_PACKAGE.iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(&variable);
        }
    }
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().context("cannot run cargo; is it in PATH?")?;
    anyhow::ensure!(
        output.status.success(),
        "the server does not build:\n{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let binary = profile.join("mpc-wallet-server");
    anyhow::ensure!(binary.is_file(), "cargo made no {}", binary.display());
    Ok(binary)
}
