//! The node's view of the present.

use std::time::Duration;

use bitcoin::Amount;
use mpc_wallet_core::{
    Timestamp,
    overview::{Balance, MemberStatus, MemberView, Overview, PoolView, StandingView, WalletView},
    tx::State,
};
use prometheus::Error;

use super::Sheet;

/// The version of the software.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn show(
    sheet: &Sheet,
    overview: &Overview,
    now: Timestamp,
    counts: &[(State, u64)],
) -> Result<(), Error> {
    node(sheet, overview, now)?;
    cluster(sheet, overview)?;
    members(sheet, &overview.members)?;
    transactions(sheet, overview, counts)?;
    wallets(sheet, &overview.wallets)?;
    if let Some(pool) = &overview.presignatures {
        presignatures(sheet, pool)?;
    }
    chain(sheet, overview, now)
}

fn node(sheet: &Sheet, overview: &Overview, now: Timestamp) -> Result<(), Error> {
    let version = ([VERSION.to_owned()], 1);
    sheet.gauges(
        ("mpc_wallet_build_info", "Always 1; the labels tell the software."),
        ["version"],
        [version],
    )?;
    sheet.fractions(
        (
            "mpc_wallet_time_seconds",
            "This node's clock in unix seconds; compare it with the time of the scrape.",
        ),
        [],
        [([], Duration::from_millis(now.0).as_secs_f64())],
    )?;
    sheet.gauge(
        "mpc_wallet_driver_last_step_timestamp_seconds",
        "When the node's loop last showed its state, in unix seconds; it does so several times a second.",
        seconds(overview.now),
    )?;
    sheet.gauge(
        "mpc_wallet_quarantined",
        "1 while this node recovers because its journal is older than what its peers have seen, else 0.",
        matches!(overview.standing, StandingView::Quarantined { .. }),
    )?;
    sheet.gauge("mpc_wallet_boots", "How often this node's journal was opened.", overview.boot.0)?;
    sheet.gauge("mpc_wallet_journal_records", "Records in this node's journal.", overview.position.0)
}

fn cluster(sheet: &Sheet, overview: &Overview) -> Result<(), Error> {
    sheet.gauge(
        "mpc_wallet_active_nodes",
        "Members reachable and not banned, this node included.",
        overview.online,
    )?;
    sheet.gauge("mpc_wallet_members", "Members of the cluster.", overview.total)?;
    sheet.gauge("mpc_wallet_threshold", "Members that a signature takes.", overview.threshold)?;
    sheet.gauge(
        "mpc_wallet_quorum_margin",
        "Members that may still go before nothing can be signed; negative when too few are reachable.",
        i64::from(overview.online).saturating_sub(overview.threshold.into()),
    )?;
    sheet.gauge(
        "mpc_wallet_frozen",
        "Freezes that are not lifted, as this node knows; while there is one, nothing is signed.",
        u64::try_from(overview.freezes.len()).unwrap_or(u64::MAX),
    )?;
    sheet.gauge(
        "mpc_wallet_threshold_status",
        "1 if enough members are reachable to sign, else 0.",
        overview.has_quorum(),
    )?;
    sheet.gauge(
        "mpc_wallet_coordinator",
        "1 on the node that coordinates by its own view, else 0.",
        overview.coordinator == Some(overview.me),
    )?;
    let banned = overview.members.iter().filter(|member| member.status == MemberStatus::Banned).count();
    sheet.gauge("mpc_wallet_banned_nodes", "Members shut out for misbehaviour.", banned)?;
    let others = |differs: fn(&MemberView, &MemberView) -> bool| {
        let me = overview.members.iter().find(|member| member.node == overview.me);
        let online = overview.members.iter().filter(|member| is_here(member));
        online.filter(|member| me.is_some_and(|me| differs(me, member))).count()
    };
    sheet.gauge(
        "mpc_wallet_policy_mismatches",
        "Members reachable that judge by another policy than this node.",
        others(|me, member| member.policy.is_some() && member.policy != me.policy),
    )?;
    sheet.gauge(
        "mpc_wallet_version_mismatches",
        "Members reachable that run another version than this node.",
        others(|_, member| member.version.as_ref().is_some_and(|version| version != VERSION)),
    )
}

fn is_here(member: &MemberView) -> bool {
    matches!(member.status, MemberStatus::Online | MemberStatus::Degraded)
}

fn members(sheet: &Sheet, members: &[MemberView]) -> Result<(), Error> {
    let id = |member: &MemberView| [member.node.get().to_string()];
    sheet.counters(
        ("mpc_wallet_votes_total", "Votes counted, by the member that cast them."),
        ["node_id"],
        members.iter().map(|member| (id(member), member.total_votes)),
    )?;
    sheet.gauges(
        (
            "mpc_wallet_member_last_heartbeat_timestamp_seconds",
            "When a member was last heard, in unix seconds; absent for one never heard.",
        ),
        ["node_id"],
        members.iter().filter_map(|member| Some((id(member), seconds(member.last_heartbeat?)))),
    )
}

fn transactions(sheet: &Sheet, overview: &Overview, counts: &[(State, u64)]) -> Result<(), Error> {
    let count = |state| counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
    sheet.gauges(
        ("mpc_wallet_transactions_total", "Transactions this node knows, by state."),
        ["state"],
        State::ALL.map(|state| ([state.name().to_owned()], count(state))),
    )?;
    sheet.gauge(
        "mpc_wallet_open_transactions",
        "Transactions that have not ended.",
        overview.open_transactions,
    )?;
    sheet.gauge("mpc_wallet_signing_sessions", "Signing sessions under way.", overview.sessions)
}

fn wallets(sheet: &Sheet, wallets: &[WalletView]) -> Result<(), Error> {
    let scheme = |wallet: &WalletView| wallet.scheme().name().to_owned();
    let balances = wallets.iter().flat_map(|wallet| {
        let row = |(kind, amount): (&str, Amount)| ([scheme(wallet), kind.to_owned()], amount.to_sat());
        kinds(&wallet.balance).map(row)
    });
    sheet.gauges(
        ("mpc_wallet_balance_sats", "Satoshis of a wallet, by kind; absent before it has a key."),
        ["scheme", "kind"],
        balances,
    )?;
    sheet.gauges(
        ("mpc_wallet_coins", "Unspent outputs of a wallet; absent before it has a key."),
        ["scheme"],
        wallets.iter().map(|wallet| ([scheme(wallet)], wallet.coins.len())),
    )
}

/// The kinds of money, as the API names them.
const fn kinds(balance: &Balance) -> [(&'static str, Amount); 6] {
    [
        ("confirmed", balance.confirmed),
        ("trusted_pending", balance.trusted_pending),
        ("untrusted_pending", balance.untrusted_pending),
        ("immature", balance.immature),
        ("locked", balance.locked),
        ("spendable", balance.spendable),
    ]
}

fn presignatures(sheet: &Sheet, pool: &PoolView) -> Result<(), Error> {
    sheet.gauge(
        "mpc_wallet_presignatures_available",
        "Presignatures that a payment could use now; absent without a key that uses any.",
        pool.available(),
    )?;
    sheet.gauge(
        "mpc_wallet_presignatures_low",
        "Stock of a group of signers below which more presignatures are made.",
        pool.low,
    )?;
    let held = |alive| -> usize {
        pool.groups.iter().filter(|group| group.alive == alive).map(|group| group.held).sum()
    };
    sheet.gauges(
        (
            "mpc_wallet_presignatures_held",
            "Presignatures that this node holds, by whether all signers of their group are reachable.",
        ),
        ["signers"],
        [("online", true), ("offline", false)].map(|(name, alive)| ([name.to_owned()], held(alive))),
    )?;
    sheet.counters(
        ("mpc_wallet_presignatures_used_total", "Presignatures that this node has used, ever."),
        [],
        [([], u64::try_from(pool.used).unwrap_or(u64::MAX))],
    )
}

fn chain(sheet: &Sheet, overview: &Overview, now: Timestamp) -> Result<(), Error> {
    let Some(chain) = &overview.chain else { return Ok(()) };
    sheet.gauge("mpc_wallet_chain_tip_height", "Height of the best block.", chain.tip.height)?;
    let tip = Timestamp(chain.tip_time.saturating_mul(1_000));
    sheet.gauge(
        "mpc_wallet_chain_tip_age_seconds",
        "Seconds since the time in the best block's header.",
        now.since(tip).0 / 1_000,
    )?;
    sheet.gauge(
        "mpc_wallet_chain_view_age_seconds",
        "Seconds since the chain backend last answered.",
        now.since(chain.as_of).0 / 1_000,
    )
}

/// Whole seconds since 1970.
const fn seconds(moment: Timestamp) -> u64 {
    moment.0 / 1_000
}
