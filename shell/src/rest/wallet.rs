//! Money.

use axum::{Json, extract::State};
use bitcoin::{Address, Network};
use mpc_wallet_core::{
    Scheme,
    overview::{LostCoinView, Overview, WalletView},
    refusal::Refusal,
    wallet::Wallet,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cluster::{Tip, is_stale, tip},
    problem::Problem,
    query::Parameters,
    schema::WalletType,
    state::ApiState,
};
use crate::{config::network_name, units::rfc3339};

/// Money of one wallet, in satoshis. `total` is `confirmed` and `unconfirmed` together; block rewards too young to spend
/// are in none of them.
#[derive(Serialize, ToSchema)]
pub(super) struct Balance {
    r#type: WalletType,
    network: &'static str,
    /// In blocks.
    confirmed_balance_sats: u64,
    /// Waiting for a block: own change and what others send.
    unconfirmed_balance_sats: u64,
    total_balance_sats: u64,
    /// Own change, waiting for a block.
    trusted_pending_sats: u64,
    /// Sent by others, waiting for a block.
    untrusted_pending_sats: u64,
    /// Block rewards too young to spend.
    immature_sats: u64,
    /// Of all these, held by open payments.
    locked_sats: u64,
    /// What a new payment may use now.
    spendable_sats: u64,
    utxo_count: usize,
    /// The chain that this was read from; `null` before its first answer.
    #[schema(required)]
    as_of: Option<Tip>,
    /// Whether that is too long ago to approve anything on.
    stale: bool,
    /// Coins that left the wallet, and not by a transaction of the cluster; they are in no sum.
    lost_coins: Vec<LostCoin>,
}

/// A coin that is gone, and not by a transaction of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct LostCoin {
    /// As transaction and number of its output.
    coin: String,
    amount_sats: u64,
    /// The transaction that spends it; `null` if its own left the chain.
    #[schema(required)]
    spent_by: Option<String>,
    /// When this node put that on record.
    at: String,
}

/// Shows the money of a wallet
#[utoipa::path(
    get,
    path = "/api/v1/wallet/balance",
    tag = "wallet",
    params(("type" = Option<WalletType>, Query, description = "The wallet; `taproot` if not given.")),
    responses(
        (status = 200, description = "Its money.", body = Balance),
        (status = 409, description = "The wallet has no key yet."),
    ),
)]
pub(super) async fn balance(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Balance>, Problem> {
    let scheme = parameters.one_scheme()?;
    parameters.finish()?;
    let (overview, now) = state.present();
    let wallet = wallet_of(&overview, scheme)?;
    let balance = &wallet.balance;
    let confirmed = balance.confirmed.to_sat();
    let unconfirmed = balance.trusted_pending.to_sat().saturating_add(balance.untrusted_pending.to_sat());
    Ok(Json(Balance {
        r#type: WalletType(scheme),
        network: network_name(state.options().network),
        confirmed_balance_sats: confirmed,
        unconfirmed_balance_sats: unconfirmed,
        total_balance_sats: confirmed.saturating_add(unconfirmed),
        trusted_pending_sats: balance.trusted_pending.to_sat(),
        untrusted_pending_sats: balance.untrusted_pending.to_sat(),
        immature_sats: balance.immature.to_sat(),
        locked_sats: balance.locked.to_sat(),
        spendable_sats: balance.spendable.to_sat(),
        utxo_count: wallet.coins.len(),
        as_of: overview.chain.as_ref().map(tip),
        stale: is_stale(&overview, now),
        lost_coins: wallet.lost.iter().map(lost_coin).collect(),
    }))
}

fn lost_coin(lost: &LostCoinView) -> LostCoin {
    LostCoin {
        coin: lost.outpoint.to_string(),
        amount_sats: lost.value.to_sat(),
        spent_by: lost.by.map(|by| by.to_string()),
        at: rfc3339(lost.at),
    }
}

/// The one address of a key.
pub(super) fn receive_address(wallet: &WalletView, network: Network) -> Address {
    Wallet::new(wallet.key, wallet.public_key, network).address()
}

/// A wallet's key before any tweak, as Bitcoin writes keys of its kind: 32 bytes for Taproot, 33 for P2WPKH.
pub(super) fn public_key(wallet: &WalletView) -> String {
    match wallet.scheme() {
        Scheme::Taproot => wallet.public_key.x_only().to_string(),
        Scheme::Segwit => wallet.public_key.to_string(),
    }
}

/// The newest wallet of a scheme.
pub(super) fn wallet_of(overview: &Overview, scheme: Scheme) -> Result<&WalletView, Problem> {
    overview
        .wallets
        .iter()
        .filter(|wallet| wallet.scheme() == scheme)
        .max_by_key(|wallet| wallet.key)
        .ok_or_else(|| Refusal::NoKey(scheme).into())
}
