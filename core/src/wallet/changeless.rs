//! The search for coins that pay without a change output.
//!
//! The branch-and-bound engine is `bdk_coin_select`'s. Its metric is not: `LowestFee` compares satoshis as `f32`
//! and asserts on the result, which panics for amounts of tens of bitcoin. Here every decision is made in integers;
//! `f32` only ranks branches.

use bdk_coin_select::{BnbMetric, CoinSelector, float::Ordf32};

use super::select::{Candidate, Terms, total};

/// Coins that branch and bound looks at, the largest that may do without change.
const SEARCHED_COINS: usize = 100;

/// Steps of branch and bound; a few milliseconds.
const SEARCH_ROUNDS: usize = 1_000;

/// Searches at most `most` of `coins` (largest first) whose excess is too small for change, for the least fee below
/// `limit`.
pub(super) fn search(terms: &Terms, coins: &[Candidate], most: usize, limit: u64) -> Option<Vec<Candidate>> {
    let searched: Vec<_> = coins
        .iter()
        .filter(|coin| coin.value.to_sat() < terms.makes_change(1))
        .take(SEARCHED_COINS)
        .copied()
        .collect();
    let weighted: Vec<_> = searched
        .iter()
        .map(|coin| bdk_coin_select::Candidate {
            value: coin.value.to_sat(),
            weight: terms.input_weight,
            input_count: 1,
            is_segwit: true,
        })
        .collect();
    let mut selector = CoinSelector::new(&weighted);
    selector.run_bnb(Changeless { terms, most, limit }, SEARCH_ROUNDS).ok()?;
    Some(selector.apply_selection(&searched).copied().collect())
}

/// Ranks selections without change by their fee; those of `limit` and above, or of more than `most` coins, do not
/// count.
struct Changeless<'a> {
    terms: &'a Terms,
    most: usize,
    limit: u64,
}

impl Changeless<'_> {
    /// `f32` is exact up to 2^24 sat and monotone beyond, which is enough to rank.
    fn rank(&self, fee: u64) -> Option<Ordf32> {
        (fee < self.limit).then_some(Ordf32(fee as f32))
    }
}

impl BnbMetric for Changeless<'_> {
    fn score(&mut self, selector: &CoinSelector<'_>) -> Option<Ordf32> {
        let count = selector.selected().count();
        let value = total(selector.selected().map(|(_, coin)| coin.value));
        let pays = value >= self.terms.needed(count) && value < self.terms.makes_change(count);
        if !pays || count == 0 || count > self.most {
            return None;
        }
        self.rank(value.saturating_sub(self.terms.amount))
    }

    /// The least fee that more coins could lead to. Every coin brings more than it costs, so excess only grows.
    fn bound(&mut self, selector: &CoinSelector<'_>) -> Option<Ordf32> {
        let mut count = selector.selected().count();
        let mut value = total(selector.selected().map(|(_, coin)| coin.value));
        if value >= self.terms.makes_change(count) {
            return None;
        }
        if value >= self.terms.needed(count) && count > 0 {
            return self.rank(value.saturating_sub(self.terms.amount));
        }
        // No selection below needs fewer coins than the largest that are left.
        for (_, coin) in selector.unselected() {
            value = value.saturating_add(coin.value);
            count = count.saturating_add(1);
            if count > self.most {
                return None;
            }
            if value >= self.terms.needed(count) {
                return self.rank(self.terms.fee(count, false));
            }
        }
        None
    }
}
