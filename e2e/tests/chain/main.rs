//! The regtest chain under test: the same suite on the embedded chain and, where
//! `MPC_WALLET_BITCOIND_DIR` names a folder that `scripts/install-bitcoind.sh` filled, on a real node.
//! What the embedded chain restates of Bitcoin Core's rules is thereby held against Bitcoin Core.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod face;
mod rules;
mod support;
mod world;
