//! Coins that leave the wallet without the cluster.
//!
//! A coin once seen in a block stays on record until a transaction of the cluster that spends it has confirmed. One that is
//! not among the wallet's coins any more, and that nothing signed here spends, is looked for. Whoever has spent it can make
//! the wallet's signatures: a person must hear of that at once, and of nothing less. So a spender that this node does
//! not know is a stranger only after so many members have been here for a while that no t could have signed it without one
//! of them.
//!
//! What is told rests on the word of this node's chain backend, so it changes nothing that the node does.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};

use super::Node;
use crate::{
    chain::{ChainQuery, CoinStatus},
    ids::QueryId,
    mutant,
    record::Fact,
    sometimes,
    state::SeenCoin,
    step::{Alert, Effect},
    time::{Millis, Timestamp},
    tx,
};

/// So long members must have had the chance to name a spender as the cluster's: several times what they take to tell what one
/// has missed.
const NAMED_WITHIN: Millis = Millis(30_000);

/// So long a coin's own transaction must have been out of the chain before it is given up.
const GONE_AFTER: Millis = Millis(3_600_000);

/// After this long an unanswered question counts as lost.
const ANSWER_LOST: Millis = Millis(20_000);

/// Coins asked for at once: each may cost the backend two requests.
const ASKED_AT_ONCE: usize = 20;

/// What is looked for. Forgotten in a crash: what is on record is missed again at the first look.
#[derive(Default)]
pub(super) struct Losses {
    missing: BTreeMap<OutPoint, Missing>,
    asked: Option<(QueryId, Timestamp)>,
    /// Since when enough members are here to know of whatever the cluster has signed.
    informed: Option<Timestamp>,
}

/// A coin that should be there and is not.
#[derive(Clone, Copy)]
struct Missing {
    fate: Fate,
    /// Since when that is known.
    since: Timestamp,
}

/// What the backend says of a missing coin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing yet, or that it is there: two answers of different age.
    Open,
    /// This transaction spends it.
    Spent(Txid),
    /// The transaction that made it is not in the chain; or the backend is behind.
    Unmade,
}

impl Node {
    /// Compares the wallet's coins, as the chain has just shown them, with those on record.
    pub(super) fn look_for_coins(&mut self) {
        self.note_coins();
        let shown: BTreeSet<OutPoint> = self.settling.coins().map(|coin| coin.outpoint).collect();
        let missed: BTreeSet<OutPoint> = self
            .state
            .purse()
            .seen()
            .filter(|coin| !shown.contains(coin) && !self.is_accounted_for(coin))
            .copied()
            .collect();
        self.losses.missing.retain(|coin, _| missed.contains(coin));
        for coin in missed {
            self.losses.missing.entry(coin).or_insert(Missing { fate: Fate::Open, since: self.now });
        }
        self.losses.informed = self.is_informed().then(|| self.losses.informed.unwrap_or(self.now));
        self.give_up_coins();
        self.seek_coins();
    }

    /// Puts on record what is in a block for the first time.
    fn note_coins(&mut self) {
        let scripts: BTreeMap<_, _> =
            self.wallets.iter().map(|(key, wallet)| (wallet.script(), *key)).collect();
        let fresh: Vec<Fact> = self
            .settling
            .coins()
            .filter(|coin| coin.height.is_some() && self.state.purse().coin(&coin.outpoint).is_none())
            .filter_map(|coin| {
                let key = *scripts.get(&coin.output.script_pubkey)?;
                Some(Fact::CoinSeen { coin: coin.outpoint, key, value: coin.output.value })
            })
            .collect();
        for fact in fresh {
            self.record(fact);
        }
    }

    /// Whether the books say why it is not there: a signed transaction spends it that may still confirm or has, or the
    /// cluster's own transaction that made it has lost its block.
    fn is_accounted_for(&self, coin: &OutPoint) -> bool {
        let holder = self.state.holder_of(coin).and_then(|holder| self.state.transaction(holder));
        let spent = holder.is_some_and(|tx| tx.finished.is_some() && tx.state != tx::State::Failed);
        spent || self.state.transaction(coin.txid).is_some_and(|tx| tx.block.is_none())
    }

    /// Whether the cluster may have signed it: this node knows it, and has not seen it given up.
    fn is_of_the_cluster(&self, spender: Txid) -> bool {
        self.state.transaction(spender).is_some_and(|tx| tx.finished.is_some() || !tx.state.is_final())
    }

    /// Whether so many members are here that no t of them could have signed anything without an honest one that is here.
    fn is_informed(&self) -> bool {
        let cluster = &self.config.cluster;
        let away = cluster.total().saturating_sub(self.online());
        self.is_sound() && away.saturating_add(cluster.faults_tolerated()) < cluster.threshold()
    }

    /// Tells of what is found to be lost.
    fn give_up_coins(&mut self) {
        let waited = |since: Timestamp| {
            self.losses.informed.map_or(Millis(0), |informed| self.now.since(informed.max(since)))
        };
        let lost: Vec<(OutPoint, Option<Txid>)> = self
            .losses
            .missing
            .iter()
            .filter_map(|(coin, missing)| {
                let lost_to = match missing.fate {
                    Fate::Spent(by) => {
                        let stranger = !self.is_of_the_cluster(by) && waited(missing.since) >= NAMED_WITHIN;
                        (stranger || mutant!(StrangerTooSoon)).then_some(Some(by))
                    }
                    Fate::Unmade => (waited(missing.since) >= GONE_AFTER).then_some(None),
                    Fate::Open => None,
                };
                lost_to.map(|by| (*coin, by))
            })
            .collect();
        for (coin, by) in lost {
            self.losses.missing.remove(&coin);
            if let Some(seen) = self.state.purse().coin(&coin) {
                self.lose(coin, seen, by);
            }
        }
    }

    fn lose(&mut self, coin: OutPoint, SeenCoin { key, value }: SeenCoin, by: Option<Txid>) {
        sometimes!(CoinTaken, by.is_some());
        let (sats, wallet) = (value.to_sat(), key.scheme);
        let detail = match by {
            Some(by) => {
                format!(
                    "{sats} sat of the {wallet} wallet are spent by {by}, which this cluster has not signed"
                )
            }
            None => format!(
                "{sats} sat of the {wallet} wallet left the chain with the transaction that paid them"
            ),
        };
        self.effects.push(Effect::Alert(Alert::Coin { coin, detail }));
        self.record(Fact::CoinLost { coin, key, value, by });
    }

    /// Asks what became of missing coins, also of those that the cluster was said to spend: another may have, since.
    fn seek_coins(&mut self) {
        let waits = self.losses.asked.is_some_and(|(_, at)| self.now.since(at) < ANSWER_LOST);
        let strange = |fate: &Fate| matches!(fate, Fate::Spent(by) if !self.is_of_the_cluster(*by));
        let unclear = self.losses.missing.iter().filter(|(_, missing)| !strange(&missing.fate));
        let outpoints: Vec<OutPoint> = unclear.map(|(coin, _)| *coin).take(ASKED_AT_ONCE).collect();
        if waits || outpoints.is_empty() || mutant!(LossUnnoticed) {
            return;
        }
        let query = self.ask_chain(ChainQuery::Coins { outpoints });
        self.losses.asked = Some((query, self.now));
    }

    /// Takes an answer about missing coins, `None` if the backend has none; says whether it was one.
    pub(super) fn on_missing_coins(
        &mut self,
        query: QueryId,
        statuses: Option<&[(OutPoint, CoinStatus)]>,
    ) -> bool {
        if self.losses.asked.is_none_or(|(asked, _)| asked != query) {
            return false;
        }
        self.losses.asked = None;
        for (coin, status) in statuses.into_iter().flatten() {
            let Some(missing) = self.losses.missing.get_mut(coin) else { continue };
            let fate = match status {
                CoinStatus::Known { spent_by: Some(by), .. } => Fate::Spent(*by),
                CoinStatus::Known { spent_by: None, .. } => Fate::Open,
                CoinStatus::Unknown => Fate::Unmade,
            };
            if fate != missing.fate {
                *missing = Missing { fate, since: self.now };
            }
        }
        true
    }
}
