//! What the wallet owns, by how far it may be relied on.

use bitcoin::{Amount, OutPoint, Txid, constants::COINBASE_MATURITY};

use crate::{chain::Coin, mutant, overview::Balance};

/// Whether a block reward of height `coin_height` may be spent in the block after `tip_height`.
#[must_use]
pub const fn is_mature(coin_height: u32, tip_height: u32) -> bool {
    // Consensus: at least 100 blocks between the two.
    tip_height.saturating_add(1).saturating_sub(coin_height) >= COINBASE_MATURITY
}

/// Splits the value of `coins`. `is_ours` tells whether a transaction is one this wallet signed, so that its change
/// can be trusted before it confirms; `is_locked` whether an open transaction holds the coin.
///
/// Every coin counts in exactly one of confirmed, trusted pending, untrusted pending and immature; spendable is
/// confirmed and trusted pending without what is locked. Sums stop at the largest [`Amount`].
#[must_use]
pub fn balance(
    coins: &[Coin],
    tip_height: u32,
    is_ours: &dyn Fn(Txid) -> bool,
    is_locked: &dyn Fn(&OutPoint) -> bool,
) -> Balance {
    let mut balance = Balance::default();
    for coin in coins {
        let value = coin.output.value;
        if mutant!(ChangeNotCounted) && is_ours(coin.outpoint.txid) {
            continue;
        }
        let (kind, usable) = match coin.height {
            Some(height) if coin.coinbase && !is_mature(height, tip_height) => (&mut balance.immature, false),
            Some(_) => (&mut balance.confirmed, true),
            None if is_ours(coin.outpoint.txid) => (&mut balance.trusted_pending, true),
            None => (&mut balance.untrusted_pending, false),
        };
        add(kind, value);
        if is_locked(&coin.outpoint) {
            add(&mut balance.locked, value);
        } else if usable {
            add(&mut balance.spendable, value);
        }
    }
    balance
}

fn add(total: &mut Amount, value: Amount) {
    *total = total.checked_add(value).unwrap_or(Amount::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Scheme, wallet::fixture};

    fn coin(number: u8, value: u64, height: Option<u32>, coinbase: bool) -> Coin {
        let wallet = fixture::wallet(Scheme::Taproot);
        let output = bitcoin::TxOut { value: Amount::from_sat(value), script_pubkey: wallet.script() };
        Coin { outpoint: fixture::outpoint(number), output, height, coinbase }
    }

    #[test]
    fn a_reward_may_be_spent_in_the_hundredth_block_after_it() {
        assert!(!is_mature(1, 99));
        assert!(is_mature(1, 100));
        assert!(!is_mature(200, 100), "a reward above the tip is not mature");
    }

    #[test]
    fn every_coin_counts_once_and_locked_or_young_money_is_not_spendable() {
        let coins = [
            coin(1, 1, Some(500), false),
            coin(2, 20, None, false),
            coin(3, 300, None, false),
            coin(4, 4_000, Some(950), true),
            coin(5, 50_000, Some(901), true),
            coin(6, 600_000, Some(1), false),
            coin(7, 7_000_000, None, false),
        ];
        let ours = [fixture::outpoint(3).txid, fixture::outpoint(7).txid];
        let locked = [fixture::outpoint(6), fixture::outpoint(7)];
        let split = balance(&coins, 1_000, &|txid| ours.contains(&txid), &|coin| locked.contains(coin));
        let expected = Balance {
            confirmed: Amount::from_sat(650_001),
            trusted_pending: Amount::from_sat(7_000_300),
            untrusted_pending: Amount::from_sat(20),
            immature: Amount::from_sat(4_000),
            locked: Amount::from_sat(7_600_000),
            spendable: Amount::from_sat(50_301),
        };
        assert_eq!(split, expected);
    }

    #[test]
    fn absurd_values_do_not_overflow() {
        let coins = [coin(1, u64::MAX, Some(1), false), coin(2, u64::MAX, Some(1), false)];
        let split = balance(&coins, 1_000, &|_| false, &|_| false);
        assert_eq!(split.confirmed, Amount::MAX);
    }
}
