//! Recipients: from text to a script that this cluster may pay, or a sentence why not.

use std::error::Error;

use axum::http::StatusCode;
use bitcoin::{Address, AddressType, Network, ScriptBuf, address::NetworkUnchecked};

use super::problem::Problem;
use crate::config::network_name;

const NETWORKS: [Network; 5] =
    [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest];

/// The script of an address of `network`.
///
/// # Errors
/// 422 with code `invalid_address`, `wrong_network` or `unsupported_address_type`.
pub(super) fn parse(text: &str, network: Network) -> Result<ScriptBuf, Problem> {
    let refused = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let unchecked: Address<NetworkUnchecked> = text.parse().map_err(|error| {
        let hint = if text.to_ascii_lowercase().starts_with("bitcoin:") {
            "it is a payment URI; give only the address in it".to_owned()
        } else if is_like_segwit(text) {
            "its checksum is wrong; look for a typing error".to_owned()
        } else {
            reasons(&error)
        };
        refused("invalid_address", format!("The recipient is not a Bitcoin address: {hint}."))
    })?;
    let theirs: Vec<_> = NETWORKS
        .into_iter()
        .filter(|candidate| unchecked.is_valid_for_network(*candidate))
        .map(network_name)
        .collect();
    let Ok(address) = unchecked.require_network(network) else {
        return Err(refused(
            "wrong_network",
            format!(
                "{text} is an address of {}; this cluster runs on {}.",
                theirs.join("/"),
                network_name(network)
            ),
        )
        .with("address_networks", theirs)
        .with("cluster_network", network_name(network)));
    };
    match address.address_type() {
        Some(
            AddressType::P2pkh
            | AddressType::P2sh
            | AddressType::P2wpkh
            | AddressType::P2wsh
            | AddressType::P2tr,
        ) => Ok(address.script_pubkey()),
        // An anchor can be spent by anybody; later witness versions by nobody yet, or by anybody.
        _ => Err(refused(
            "unsupported_address_type",
            "The recipient is an output of a type that no wallet can safely own; use a P2TR, P2WPKH, P2WSH, P2SH or \
             P2PKH address."
                .to_owned(),
        )),
    }
}

/// A script as people read it: its address, or its bytes in hex if it has none.
pub(super) fn show(script: &bitcoin::Script, network: Network) -> String {
    Address::from_script(script, network)
        .map_or_else(|_| script.to_hex_string(), |address| address.to_string())
}

/// Whether the text begins like an address with a bech32 checksum. What does not read as one is tried as base58, whose
/// complaint would lead astray.
fn is_like_segwit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["bc1", "tb1", "bcrt1"].iter().any(|prefix| text.starts_with(prefix))
}

/// An error and its causes in one line.
fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let reason = inner.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = inner.source();
    }
    text
}
