//! The node's view of the present.

use super::Node;
use crate::{
    ids::NodeId,
    overview::{ChainTip, CoinView, LostCoinView, MemberStatus, MemberView, Overview, WalletView},
    wallet::Wallet,
};

/// A peer whose tip is this many blocks behind ours is called degraded.
const TIP_LAG: u32 = 3;

impl Node {
    /// The present, for people and probes.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let cluster = &self.config.cluster;
        Overview {
            me: self.config.me,
            now: self.now,
            total: cluster.total(),
            threshold: cluster.threshold(),
            faults_tolerated: cluster.faults_tolerated(),
            online: self.online(),
            coordinator: self.has_majority().then(|| self.coordinator()),
            lease: self.lease_in_force(),
            policy: self.config.policy.version(),
            approval: self.config.policy.approval,
            boot: self.boot,
            position: self.state.position(),
            standing: self.standing_view(),
            members: cluster.members().map(|node| self.member_view(node)).collect(),
            wallets: self.wallet_views(),
            keygen: self.keygen_view(),
            presignatures: self.pool_view(),
            chain: self.settling.view().map(|(view, at)| ChainTip {
                tip: view.tip,
                tip_time: view.tip_time,
                as_of: *at,
                stale_after: self.config.timing.chain_stale,
                fee_estimates: self.settling.fee_estimates().clone(),
            }),
            open_transactions: self.state.open_count() + self.waiting_clients(),
            sessions: self.session_count(),
            freezes: self.freeze_views(),
        }
    }

    fn member_view(&self, node: NodeId) -> MemberView {
        let record = self.state.member(node);
        let me = node == self.config.me;
        let last = self.peer(node).and_then(|peer| peer.last.as_ref());
        let my_tip = self.settling.tip_height();
        let tip_height = if me { Some(my_tip) } else { last.map(|heartbeat| heartbeat.tip_height) };
        let policy =
            if me { Some(self.config.policy.version()) } else { last.map(|heartbeat| heartbeat.policy) };
        let agrees = policy.is_none_or(|policy| policy == self.config.policy.version())
            && tip_height.is_none_or(|tip| tip.saturating_add(TIP_LAG) >= my_tip);
        let status = if self.is_banned(node) {
            MemberStatus::Banned
        } else if !me && !self.is_heard(node) {
            MemberStatus::Offline
        } else if agrees && self.is_live(node) {
            MemberStatus::Online
        } else {
            MemberStatus::Degraded
        };
        MemberView {
            node,
            status,
            last_heartbeat: if me {
                Some(self.now)
            } else {
                self.peer(node).and_then(|peer| peer.heard_at())
            },
            version: if me {
                Some(env!("CARGO_PKG_VERSION").to_owned())
            } else {
                last.map(|heartbeat| heartbeat.version.clone())
            },
            tip_height,
            policy,
            total_votes: record.votes,
            total_violations: record.violations,
            banned_until: record.banned_until,
            clock: if me { Some(self.now) } else { last.map(|heartbeat| heartbeat.at) },
        }
    }

    fn wallet_views(&self) -> Vec<WalletView> {
        self.wallets
            .values()
            .map(|wallet| WalletView {
                key: wallet.key,
                public_key: wallet.public_key,
                balance: self.balance(wallet),
                coins: self.coin_views(wallet),
                lost: self.lost_views(wallet),
            })
            .collect()
    }

    fn lost_views(&self, wallet: &Wallet) -> Vec<LostCoinView> {
        let lost = self.state.purse().lost().filter(|(_, lost)| lost.coin.key == wallet.key);
        lost.map(|(outpoint, lost)| LostCoinView {
            outpoint: *outpoint,
            value: lost.coin.value,
            by: lost.by,
            at: lost.at,
        })
        .collect()
    }

    fn coin_views(&self, wallet: &Wallet) -> Vec<CoinView> {
        let script = wallet.script();
        let tip = self.settling.tip_height();
        self.settling
            .coins()
            .filter(|coin| coin.output.script_pubkey == script)
            .map(|coin| CoinView {
                outpoint: coin.outpoint,
                value: coin.output.value,
                confirmations: coin.height.map_or(0, |height| tip.saturating_sub(height).saturating_add(1)),
                locked_by: self.state.holder_of(&coin.outpoint),
            })
            .collect()
    }
}
