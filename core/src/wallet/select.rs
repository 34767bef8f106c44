//! Which coins pay.
//!
//! All coins of the wallet have the same input weight, so *largest first* needs the fewest inputs and is always
//! tried. Branch and bound then looks for coins that need no change output at all, which saves the output now and
//! its input later. It may use one coin more: signing costs the members work for each input.

use std::{cmp::Reverse, collections::BTreeMap};

use bitcoin::{Amount, OutPoint, ScriptBuf};

use super::{
    Wallet, changeless,
    fees::{fee_for, input_weight, signed_weight},
};
use crate::{ids::Scheme, policy::Policy};

/// Rate at which change is expected to be spent one day, sat/kvB: Bitcoin Core's default consolidation rate.
const LATER_FEE_RATE: u64 = 10_000;

/// A coin that a payment may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Amount,
    /// Whether it is in a block.
    pub confirmed: bool,
}

/// A payment in search of coins.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whom to pay.
    pub recipient: &'a ScriptBuf,
    /// How much.
    pub amount: Amount,
    /// Least fee rate, sat/kvB.
    pub fee_rate: u64,
    /// Most coins to use.
    pub max_inputs: usize,
}

/// Coins for a payment: their value is amount, fee and change together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Which, largest first.
    pub coins: Vec<OutPoint>,
    /// Total fee; includes what was too little for a change output.
    pub fee: Amount,
    /// What returns to the wallet; zero for no change output.
    pub change: Amount,
}

/// Why no coins were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// All coins together are too little.
    #[error("amount and fee need {} sat, more than the coins hold", needed.to_sat())]
    Insufficient {
        /// Amount, and the fee of spending every coin that is worth its own fee.
        needed: Amount,
    },
    /// The coins would suffice, but not so few of them.
    #[error("the amount needs more than {limit} coins; consolidate the wallet or send less")]
    TooManyInputs {
        /// Coins allowed.
        limit: usize,
    },
}

/// Chooses coins for `ask`: the same answer to the same question, whatever the order of `candidates`.
///
/// Unconfirmed coins are used only if the confirmed ones do not do. Coins that cost more than they hold are not
/// used. The fee is never below `ask.fee_rate` on the signed size. Change that would be dust, below the policy's
/// least output, or worth less than spending it later costs, goes to the fee: the caller checks the fee it gets
/// against the policy's ceilings.
///
/// # Errors
/// [`SelectionError`] if the coins do not suffice, or not within `ask.max_inputs`.
pub fn select(
    wallet: &Wallet,
    candidates: &[Candidate],
    ask: &Ask<'_>,
    policy: &Policy,
) -> Result<Selection, SelectionError> {
    let terms = Terms::new(wallet, ask, policy);
    let confirmed = terms.usable(candidates.iter().filter(|coin| coin.confirmed));
    terms.choose(&confirmed).or_else(|_| terms.choose(&terms.usable(candidates)))
}

/// The question in numbers: satoshis, unless said otherwise.
pub(super) struct Terms {
    pub(super) amount: u64,
    /// Kind of the coins.
    scheme: Scheme,
    /// Weight units of one coin's signed input.
    pub(super) input_weight: u64,
    /// sat/kvB
    fee_rate: u64,
    max_inputs: usize,
    /// bytes
    recipient_len: usize,
    /// bytes
    change_len: usize,
    /// Least change worth an output.
    least_change: u64,
    /// Fee of spending the change one day.
    later_fee: u64,
}

impl Terms {
    fn new(wallet: &Wallet, ask: &Ask<'_>, policy: &Policy) -> Self {
        let change = wallet.script();
        let scheme = wallet.key.scheme;
        let input = input_weight(scheme);
        let later_fee = fee_for(ask.fee_rate.min(LATER_FEE_RATE), input.to_vbytes_ceil()).to_sat();
        Self {
            amount: ask.amount.to_sat(),
            scheme,
            input_weight: input.to_wu(),
            fee_rate: ask.fee_rate,
            max_inputs: ask.max_inputs,
            recipient_len: ask.recipient.len(),
            change_len: change.len(),
            least_change: policy.least_output(&change).to_sat().max(later_fee),
            later_fee,
        }
    }

    /// Coins that bring more than they cost, each once, largest first.
    fn usable<'a>(&self, candidates: impl IntoIterator<Item = &'a Candidate>) -> Vec<Candidate> {
        // Weight units times sat/kvB: a thousand times four too much on either side.
        let cost = u128::from(self.fee_rate) * u128::from(self.input_weight);
        let unique: BTreeMap<_, _> = candidates
            .into_iter()
            .filter(|coin| u128::from(coin.value.to_sat()) * 4_000 > cost)
            .map(|coin| (coin.outpoint, *coin))
            .collect();
        let mut coins: Vec<_> = unique.into_values().collect();
        coins.sort_by_key(|coin| (Reverse(coin.value), coin.outpoint));
        coins
    }

    fn choose(&self, coins: &[Candidate]) -> Result<Selection, SelectionError> {
        let largest = self.largest_first(coins)?;
        let Some(simple) = self.settle(largest) else {
            return Err(self.insufficient(largest.len()));
        };
        let cost = self.cost(&simple);
        let most = self.max_inputs.min(largest.len().saturating_add(1));
        let better = changeless::search(self, coins, most, cost).and_then(|found| self.settle(&found));
        let better = better.filter(|found| self.cost(found) < cost);
        Ok(better.unwrap_or(simple))
    }

    /// The shortest run of the largest coins that pays.
    fn largest_first<'a>(&self, coins: &'a [Candidate]) -> Result<&'a [Candidate], SelectionError> {
        let mut value = 0u64;
        for (index, coin) in coins.iter().enumerate() {
            value = value.saturating_add(coin.value.to_sat());
            let count = index.saturating_add(1);
            if value >= self.needed(count) {
                let within = coins.get(..count).filter(|_| count <= self.max_inputs);
                return within.ok_or(SelectionError::TooManyInputs { limit: self.max_inputs });
            }
        }
        Err(self.insufficient(coins.len()))
    }

    /// Fee and change if exactly `coins` are spent; `None` if they do not pay.
    fn settle(&self, coins: &[Candidate]) -> Option<Selection> {
        let (count, value) = (coins.len(), total(coins.iter().map(|coin| coin.value.to_sat())));
        let (fee, change) = if value >= self.makes_change(count) {
            let fee = self.fee(count, true);
            (fee, value.checked_sub(self.amount)?.checked_sub(fee)?)
        } else {
            (value.checked_sub(self.amount).filter(|fee| *fee >= self.fee(count, false))?, 0)
        };
        Some(Selection {
            coins: coins.iter().map(|coin| coin.outpoint).collect(),
            fee: Amount::from_sat(fee),
            change: Amount::from_sat(change),
        })
    }

    /// What a selection costs now and later.
    fn cost(&self, selection: &Selection) -> u64 {
        let later = if selection.change > Amount::ZERO { self.later_fee } else { 0 };
        selection.fee.to_sat().saturating_add(later)
    }

    /// Least fee with `inputs` coins, with or without a change output.
    pub(super) fn fee(&self, inputs: usize, change: bool) -> u64 {
        let outputs = std::iter::once(self.recipient_len).chain(change.then_some(self.change_len));
        fee_for(self.fee_rate, signed_weight(self.scheme, inputs, outputs).to_vbytes_ceil()).to_sat()
    }

    /// Value from which `inputs` coins pay.
    pub(super) fn needed(&self, inputs: usize) -> u64 {
        self.amount.saturating_add(self.fee(inputs, false))
    }

    /// Value from which `inputs` coins leave change.
    pub(super) fn makes_change(&self, inputs: usize) -> u64 {
        self.amount.saturating_add(self.fee(inputs, true)).saturating_add(self.least_change)
    }

    fn insufficient(&self, inputs: usize) -> SelectionError {
        SelectionError::Insufficient { needed: Amount::from_sat(self.needed(inputs.max(1))) }
    }
}

/// Sum that stops at the largest number instead of overflowing: values come from a chain backend.
pub(super) fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::wallet::fixture;

    fn candidates(values: &[u64]) -> Vec<Candidate> {
        let coin = |(index, &value): (usize, &u64)| Candidate {
            outpoint: fixture::outpoint(u8::try_from(index).unwrap()),
            value: Amount::from_sat(value),
            confirmed: true,
        };
        values.iter().enumerate().map(coin).collect()
    }

    fn choose_of(
        scheme: Scheme,
        coins: &[Candidate],
        amount: u64,
        fee_rate: u64,
        max_inputs: usize,
    ) -> Result<Selection, SelectionError> {
        let recipient = fixture::recipient();
        let ask = Ask { recipient: &recipient, amount: Amount::from_sat(amount), fee_rate, max_inputs };
        select(&fixture::wallet(scheme), coins, &ask, &Policy::default())
    }

    /// From the Taproot wallet, whose sizes the tests below reckon with.
    fn choose(
        coins: &[Candidate],
        amount: u64,
        fee_rate: u64,
        max_inputs: usize,
    ) -> Result<Selection, SelectionError> {
        choose_of(Scheme::Taproot, coins, amount, fee_rate, max_inputs)
    }

    #[test]
    fn coins_of_the_other_kind_are_paid_for_at_their_own_weight() {
        let at = |coins: &[u64]| choose_of(Scheme::Segwit, &candidates(coins), 100_000, 1_000, 25).unwrap();
        // 1 input, P2WPKH recipient and P2WPKH change: 141 vB. Two inputs and one output: 178 vB.
        let with_change = at(&[1_000_000]);
        assert_eq!((with_change.fee.to_sat(), with_change.change.to_sat()), (141, 899_859));
        let without = at(&[900_000, 70_000, 30_178, 25_000]);
        assert_eq!((without.fee.to_sat(), without.change), (178, Amount::ZERO));
        // A coin is worth its 68 vB at 1 sat/vB, or not: its input is reckoned with, or not.
        for (value, needed) in [(68, 100_110), (69, 100_178)] {
            let found = choose_of(Scheme::Segwit, &candidates(&[100_000, value]), 100_000, 1_000, 25);
            let needed = Amount::from_sat(needed);
            assert_eq!(found, Err(SelectionError::Insufficient { needed }), "{value} sat");
        }
    }

    #[test]
    fn change_of_the_other_kind_must_be_worth_its_own_spending() {
        // 68 vB at 10 sat/vB.
        for (excess, change) in [(679, 0), (680, 680)] {
            let coins = candidates(&[100_000 + 1_410 + excess]);
            let found = choose_of(Scheme::Segwit, &coins, 100_000, 10_000, 25).unwrap();
            assert_eq!(found.change.to_sat(), change, "{excess} sat");
        }
    }

    #[test]
    fn one_large_coin_pays_and_returns_change() {
        // 1 input, P2WPKH recipient and P2TR change: 142 vB.
        let found = choose(&candidates(&[10_000, 1_000_000, 20_000]), 100_000, 2_000, 25).unwrap();
        assert_eq!(found.coins, [fixture::outpoint(1)]);
        assert_eq!(found.fee, Amount::from_sat(284));
        assert_eq!(found.change, Amount::from_sat(899_716));
    }

    #[test]
    fn coins_that_fit_without_change_are_preferred() {
        // Two inputs and one output are 157 vB.
        let coins = candidates(&[900_000, 70_000, 30_157, 25_000]);
        let found = choose(&coins, 100_000, 1_000, 25).unwrap();
        assert_eq!(found.coins, [fixture::outpoint(1), fixture::outpoint(2)]);
        assert_eq!((found.fee, found.change), (Amount::from_sat(157), Amount::ZERO));
    }

    #[test]
    fn change_too_small_to_keep_goes_to_the_fee() {
        // At 1 sat/vB 142 sat of fee leave change; the policy keeps no output below 546 sat.
        let at = |excess: u64| choose(&candidates(&[100_142 + excess]), 100_000, 1_000, 25).unwrap();
        assert_eq!(at(545).change, Amount::ZERO);
        assert_eq!(at(545).fee, Amount::from_sat(142 + 545));
        assert_eq!(at(546).change, Amount::from_sat(546));
    }

    #[test]
    fn change_must_be_worth_more_than_spending_it() {
        // 58 vB at 10 sat/vB, the most that spending is expected to cost one day, however dear today is.
        for fee_rate in [10_000, 50_000] {
            let fee = 142 * fee_rate / 1_000;
            let at =
                |excess: u64| choose(&candidates(&[100_000 + fee + excess]), 100_000, fee_rate, 25).unwrap();
            assert_eq!(at(579).change, Amount::ZERO, "{fee_rate}");
            assert_eq!(at(580).change, Amount::from_sat(580), "{fee_rate}");
        }
    }

    #[test]
    fn unconfirmed_coins_are_used_only_in_need() {
        let mut coins = candidates(&[500_000, 200_000, 200_000]);
        coins[0].confirmed = false;
        let modest = choose(&coins, 300_000, 1_000, 25).unwrap();
        assert_eq!(modest.coins, [fixture::outpoint(1), fixture::outpoint(2)]);
        assert!(choose(&coins, 600_000, 1_000, 25).unwrap().coins.contains(&fixture::outpoint(0)));
        let few = choose(&coins, 300_000, 1_000, 1).unwrap();
        assert_eq!(few.coins, [fixture::outpoint(0)], "or when the confirmed ones are too many");
    }

    #[test]
    fn failure_tells_what_is_missing() {
        let coins = candidates(&[50_000, 50_000]);
        // Two inputs and one output are 157 vB.
        assert_eq!(
            choose(&coins, 100_000, 1_000, 25),
            Err(SelectionError::Insufficient { needed: Amount::from_sat(100_157) })
        );
        assert_eq!(choose(&coins, 60_000, 1_000, 1), Err(SelectionError::TooManyInputs { limit: 1 }));
        let nothing = choose(&[], 1_000, 1_000, 25);
        assert_eq!(nothing, Err(SelectionError::Insufficient { needed: Amount::from_sat(1_099) }));
    }

    #[test]
    fn a_coin_offered_twice_is_spent_once() {
        let coins = candidates(&[60_000]);
        assert!(choose(&[coins[0], coins[0]], 100_000, 1_000, 25).is_err());
    }

    #[test]
    fn coins_that_cost_more_than_they_hold_are_left_alone() {
        let coins = candidates(&[600, 600, 100_000]);
        let found = choose(&coins, 80_000, 20_000, 25).unwrap();
        assert_eq!(found.coins, [fixture::outpoint(2)]);
    }

    #[test]
    fn absurd_values_and_rates_do_not_overflow() {
        let coins = candidates(&[u64::MAX, u64::MAX, 2_100_000_000_000_000]);
        for amount in [0, 1, 2_100_000_000_000_000, u64::MAX] {
            for rate in [0, 1_000, u64::MAX] {
                let _ = choose(&coins, amount, rate, 25);
            }
        }
    }

    #[test]
    fn one_coin_more_may_save_the_change_but_not_two() {
        // At 0.1 sat/vB coins cost six satoshis each: without the bound, small change would buy many.
        let exact = |parts: &[u64]| choose(&candidates(&[&[200_000], parts].concat()), 199_000, 100, 25);
        assert_eq!(exact(&[100_000, 99_018]).unwrap().change, Amount::ZERO);
        assert_eq!(exact(&[100_000, 50_000, 49_025]).unwrap().coins, [fixture::outpoint(0)]);
    }

    #[test]
    fn a_wallet_of_many_coins_is_searched_in_bounded_steps() {
        let values: Vec<u64> = (0..256).map(|index| 100_000 + 37 * index).collect();
        let found = choose(&candidates(&values), 1_234_567, 1_000, 25).unwrap();
        assert!(found.coins.len() <= 13, "{}", found.coins.len());
    }

    /// Coins from dust to hundreds of bitcoin.
    fn any_coins() -> impl Strategy<Value = Vec<Candidate>> {
        let value = prop_oneof![300..5_000u64, 5_000..1_000_000u64, 1_000_000..50_000_000_000u64];
        prop::collection::vec((value, any::<bool>()), 0..40).prop_map(|coins| {
            let mut found = candidates(&coins.iter().map(|(value, _)| *value).collect::<Vec<_>>());
            for (coin, (_, confirmed)) in found.iter_mut().zip(coins) {
                coin.confirmed = confirmed;
            }
            found
        })
    }

    proptest! {
        #[test]
        fn a_selection_keeps_every_promise(
            scheme in fixture::any_scheme(),
            coins in any_coins(),
            share in 1u64..1_050,
            fee_rate in 100u64..200_000,
            max_inputs in 1usize..30,
        ) {
            let wallet = fixture::wallet(scheme);
            let policy = Policy::default();
            let sum: u64 = coins.iter().map(|coin| coin.value.to_sat()).sum();
            let amount = (sum / 1_000 * share).max(546);
            match choose_of(scheme, &coins, amount, fee_rate, max_inputs) {
                Ok(found) => {
                    let values: BTreeMap<_, _> = coins.iter().map(|coin| (coin.outpoint, coin.value)).collect();
                    prop_assert!(!found.coins.is_empty() && found.coins.len() <= max_inputs);
                    prop_assert_eq!(found.coins.iter().collect::<BTreeSet<_>>().len(), found.coins.len());
                    prop_assert!(found.coins.iter().all(|coin| values.contains_key(coin)));
                    let spent: u64 = found.coins.iter().map(|coin| values[coin].to_sat()).sum();
                    prop_assert_eq!(spent, amount + found.fee.to_sat() + found.change.to_sat());

                    let has_change = found.change > Amount::ZERO;
                    prop_assert!(!has_change || found.change >= policy.least_output(&wallet.script()));
                    let change = has_change.then_some(wallet.script().len());
                    let outputs = std::iter::once(fixture::recipient().len()).chain(change);
                    let vsize = signed_weight(scheme, found.coins.len(), outputs).to_vbytes_ceil();
                    prop_assert!(found.fee.to_sat() * 1_000 / vsize >= fee_rate);
                    if has_change {
                        prop_assert_eq!(found.fee, fee_for(fee_rate, vsize));
                    }
                }
                Err(SelectionError::TooManyInputs { limit }) => {
                    prop_assert_eq!(limit, max_inputs);
                    prop_assert!(choose_of(scheme, &coins, amount, fee_rate, usize::MAX).is_ok());
                }
                Err(SelectionError::Insufficient { needed }) => prop_assert!(needed.to_sat() > amount),
            }
        }

        #[test]
        fn the_order_of_candidates_does_not_matter(
            scheme in fixture::any_scheme(),
            (coins, shuffled) in any_coins().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle())),
            share in 1u64..1_000,
        ) {
            let sum: u64 = coins.iter().map(|coin| coin.value.to_sat()).sum();
            let amount = sum / 1_000 * share;
            let of = |coins: &[Candidate]| choose_of(scheme, coins, amount, 1_500, 25);
            prop_assert_eq!(of(&coins), of(&shuffled));
        }

        #[test]
        fn a_selection_has_at_most_one_coin_more_than_needed(
            scheme in fixture::any_scheme(),
            mut coins in any_coins(),
            share in 1u64..1_000,
            fee_rate in 100u64..50_000,
        ) {
            coins.iter_mut().for_each(|coin| coin.confirmed = true);
            let sum: u64 = coins.iter().map(|coin| coin.value.to_sat()).sum();
            let amount = (sum / 1_000 * share).max(546);
            let within = |limit| choose_of(scheme, &coins, amount, fee_rate, limit);
            if let Ok(found) = within(usize::MAX) && found.coins.len() > 2 {
                prop_assert!(within(found.coins.len() - 2).is_err());
            }
        }
    }
}
