//! Changes of the present. They are told as they are noticed, at most a few times a second, and not kept.

use std::{sync::Arc, time::Duration};

use mpc_wallet_core::overview::{MemberView, Overview, WalletView};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{Event, Events, Kind};

/// Between two looks: people do not read faster.
const LOOK: Duration = Duration::from_millis(250);

/// Follows the overview until the node stops.
pub(super) async fn follow(events: Events, mut overview: watch::Receiver<Arc<Overview>>) {
    let stop = events.0.stop.clone();
    let work = async {
        let mut before = Arc::clone(&overview.borrow_and_update());
        while overview.changed().await.is_ok() {
            let now = Arc::clone(&overview.borrow_and_update());
            events.tell(&changes(&before, &now)).await;
            before = now;
            sleep(LOOK).await;
        }
    };
    let _ = stop.run_until_cancelled(work).await;
}

fn changes(before: &Overview, now: &Overview) -> Vec<Event> {
    let mut changes = Vec::new();
    let mut tell = |kind, details| changes.push(Event::new(None, kind, now.now, details));
    for member in &now.members {
        let known = before.members.iter().find(|known| known.node == member.node);
        if known.is_none_or(|known| node(known) != node(member)) {
            tell(Kind::ClusterNode, node(member));
        }
    }
    if quorum(before) != quorum(now) {
        tell(Kind::ClusterQuorum, quorum(now));
    }
    for wallet in &now.wallets {
        let known = before.wallets.iter().find(|known| known.key == wallet.key);
        if known.is_none_or(|known| known.balance != wallet.balance) {
            tell(Kind::WalletBalance, balance(wallet));
        }
    }
    if tip(before) != tip(now) {
        tell(Kind::ChainTip, tip(now));
    }
    if stock(before) != stock(now) {
        tell(Kind::PresigStock, stock(now));
    }
    changes
}

fn node(member: &MemberView) -> Value {
    json!({ "node_id": member.node.get(), "status": member.status.name() })
}

fn quorum(overview: &Overview) -> Value {
    json!({
        "consensus_reached": overview.has_quorum(),
        "online_nodes": overview.online,
        "threshold": overview.threshold,
        "coordinator": overview.coordinator.map(|node| node.get()),
        "standing": overview.standing.name(),
    })
}

fn balance(wallet: &WalletView) -> Value {
    let balance = &wallet.balance;
    let unconfirmed = balance.trusted_pending.to_sat().saturating_add(balance.untrusted_pending.to_sat());
    json!({
        "wallet": wallet.scheme().to_string(),
        "confirmed_balance_sats": balance.confirmed.to_sat(),
        "unconfirmed_balance_sats": unconfirmed,
        "locked_sats": balance.locked.to_sat(),
        "spendable_sats": balance.spendable.to_sat(),
    })
}

fn tip(overview: &Overview) -> Value {
    let tip = overview.chain.as_ref().map(|chain| chain.tip);
    json!({ "height": tip.map(|tip| tip.height), "hash": tip.map(|tip| tip.hash.to_string()) })
}

fn stock(overview: &Overview) -> Value {
    let pool = overview.presignatures.as_ref();
    json!({
        "available": pool.map(mpc_wallet_core::overview::PoolView::available),
        "low": pool.map(|pool| pool.low),
        "high": pool.map(|pool| pool.high),
    })
}
