//! The manual pages: what `--help` says, one page for each command.

use std::{fs, path::Path};

use clap::CommandFactory as _;
use serde_json::json;

use crate::{
    args::{Arguments, Output},
    failure::{Exit, Failure},
    output::{items, print, text},
};

/// Writes `mpc-wallet-cli.1` and a page for each subcommand, as `mpc-wallet-cli-tx-send.1`, over earlier ones.
pub(crate) fn write(dir: &Path, output: Output) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Usage, "no_manual", format!("cannot write to {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), dir).map_err(failed)?;
    let mut pages: Vec<String> = fs::read_dir(dir)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("mpc-wallet-cli") && name.ends_with(".1"))
        .collect();
    pages.sort_unstable();
    let document = json!({ "directory": dir.display().to_string(), "pages": pages });
    print(&document, output, |document| {
        items(document, "/pages").iter().map(|page| text(page, "")).collect::<Vec<_>>().join("\n")
    })
}
