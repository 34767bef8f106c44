//! Replacements: the same payment of the same coins, for a higher fee that comes out of the change (BIP-125).
//!
//! All coins of the original are kept and none is added, so the two can never both confirm; the recipient gets the same.

use bitcoin::{Amount, Transaction};

use super::{Wallet, fee_for, signed_vsize};
use crate::{
    message::{CoinGrant, GrantedCoin},
    mutant,
    policy::Policy,
    refusal::Refusal,
    tx::Proposal,
    vote::RejectReason,
};

/// What a replacement pays more for each vB of its own, at least: 1 sat/vB, ten times what Bitcoin Core asks since 30.0 and
/// what every earlier version does. sat/kvB.
const LEAST_INCREMENT: u64 = 1_000;

/// The least share of the old rate that the new one is above it. A P2WPKH signature may come out a byte shorter than the
/// size it is reckoned with, and the network compares rates by actual sizes.
const LEAST_RISE: u64 = 100;

/// The least fee for which a transaction of `vsize` vB takes the place of `original`, whose fee rate it must exceed by 1 sat/vB
/// and by a hundredth, and whose fee by 1 sat for each vB of its own.
#[must_use]
pub fn least_replacement_fee(original: &Proposal, vsize: u64) -> Amount {
    if mutant!(ReplacementTooCheap) {
        return original.fee;
    }
    let size = signed_vsize(original.key.scheme, &original.unsigned_tx).max(1);
    let rate = original.fee.to_sat().saturating_mul(1_000).div_ceil(size);
    let higher = rate.saturating_add(LEAST_INCREMENT.max(rate.div_ceil(LEAST_RISE)));
    let dearer = original.fee.to_sat().saturating_add(fee_for(LEAST_INCREMENT, vsize).to_sat());
    fee_for(higher, vsize).max(Amount::from_sat(dearer))
}

/// Checks that a proposal of `vsize` vB is the original but for its fee, its change and its lock time, and pays enough more.
///
/// # Errors
/// [`RejectReason::Replacement`]: the first thing found wrong.
pub fn check_replacement(
    original: &Proposal,
    replacement: &Proposal,
    vsize: u64,
) -> Result<(), RejectReason> {
    let wrong = |problem: String| Err(RejectReason::Replacement(problem));
    if !replacement.pays_like(original) {
        return wrong("it pays another recipient, or another amount".to_owned());
    }
    let is_same = replacement.key == original.key
        && replacement.payment == original.payment
        && replacement.metadata == original.metadata
        && replacement.external_id == original.external_id;
    if !is_same {
        return wrong("it is for another payment".to_owned());
    }
    if !replacement.coins().eq(original.coins()) || replacement.prevouts != original.prevouts {
        return wrong("it spends other coins".to_owned());
    }
    let least = least_replacement_fee(original, vsize);
    if replacement.fee < least {
        let (fee, least) = (replacement.fee.to_sat(), least.to_sat());
        return wrong(format!("it pays {fee} sat, the network takes none below {least} sat"));
    }
    Ok(())
}

/// What pays for a replacement of `original`: its coins, a fee at `rate` sat/kvB, and the change that remains. Without a rate
/// `estimate` serves, as far as the network takes it and the change allows.
///
/// Change below what `policy` lets an output have goes to the fee.
///
/// # Errors
/// [`Refusal::ReplacementTooCheap`] and [`Refusal::ChangeTooSmall`], with the numbers.
pub fn outbid(
    wallet: &Wallet,
    original: &Proposal,
    (rate, estimate): (Option<u64>, u64),
    policy: &Policy,
) -> Result<CoinGrant, Refusal> {
    let coins: Amount = original.prevouts.iter().map(|coin| coin.value).sum();
    let available = coins.checked_sub(original.amount).unwrap_or(Amount::ZERO);
    let scheme = original.key.scheme;
    let mut bare = original.unsigned_tx.clone();
    keep_payment(&mut bare, original);
    let has_change = bare.output.len() < original.unsigned_tx.output.len();
    if has_change {
        let vsize = signed_vsize(scheme, &original.unsigned_tx);
        let fee = wanted_fee(original, vsize, (rate, estimate))?;
        let change =
            available.checked_sub(fee).filter(|change| *change >= policy.least_output(&wallet.script()));
        if let Some(change) = change {
            return Ok(grant(original, fee, change));
        }
    }
    let vsize = signed_vsize(scheme, &bare);
    let wanted = wanted_fee(original, vsize, (rate, 0))?;
    if available < wanted {
        return Err(Refusal::ChangeTooSmall { fee: wanted.to_sat(), available: available.to_sat() });
    }
    Ok(grant(original, available, Amount::ZERO))
}

/// Leaves only the output that pays the recipient.
fn keep_payment(transaction: &mut Transaction, proposal: &Proposal) {
    let is_it = |output: &&bitcoin::TxOut| {
        output.value == proposal.amount && output.script_pubkey == proposal.recipient
    };
    let payment = transaction.output.iter().find(is_it).cloned();
    transaction.output = payment.into_iter().collect();
}

fn wanted_fee(
    original: &Proposal,
    vsize: u64,
    (rate, estimate): (Option<u64>, u64),
) -> Result<Amount, Refusal> {
    let least = least_replacement_fee(original, vsize);
    let Some(rate) = rate else { return Ok(least.max(fee_for(estimate, vsize))) };
    let fee = fee_for(rate, vsize);
    if fee < least {
        let least_rate = least.to_sat().saturating_mul(1_000).div_ceil(vsize.max(1));
        return Err(Refusal::ReplacementTooCheap {
            rate,
            fee: fee.to_sat(),
            least: least.to_sat(),
            least_rate,
        });
    }
    Ok(fee)
}

fn grant(original: &Proposal, fee: Amount, change: Amount) -> CoinGrant {
    let coins = original.coins().zip(&original.prevouts);
    CoinGrant {
        payment: original.payment,
        inputs: coins.map(|(outpoint, output)| GrantedCoin { outpoint, output: output.clone() }).collect(),
        fee,
        change,
        lock_time: original.unsigned_tx.lock_time.to_consensus_u32(),
        epoch: crate::ids::FencingEpoch(0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::{
        ids::{PaymentId, Scheme},
        wallet::fixture,
    };

    /// 60,000 and 50,000 sat of coins, 500 sat of fee, 9,500 sat of change.
    fn original(scheme: Scheme) -> Proposal {
        fixture::proposal(scheme, &[60_000, 50_000], 500, 9_500)
    }

    fn size(proposal: &Proposal) -> u64 {
        signed_vsize(proposal.key.scheme, &proposal.unsigned_tx)
    }

    fn outbid_at(original: &Proposal, rate: Option<u64>, estimate: u64) -> Result<CoinGrant, Refusal> {
        let wallet = fixture::wallet(original.key.scheme);
        outbid(&wallet, original, (rate, estimate), &Policy::default())
    }

    #[test]
    fn the_least_fee_pays_for_the_relay_and_raises_the_rate() {
        for scheme in Scheme::ALL {
            let original = original(scheme);
            let vsize = size(&original);
            let least = least_replacement_fee(&original, vsize).to_sat();
            assert!(least >= 500 + vsize, "{scheme}: {least}");
            assert!(least * vsize > 500 * vsize + vsize * vsize - 1_000, "{scheme}: {least}");
            assert!(least <= 500 + vsize + 1, "{scheme}: {least}");
            // A smaller one need not pay for what it leaves out, but never less than the original and its own relay.
            let smaller = least_replacement_fee(&original, vsize - 43).to_sat();
            assert_eq!(smaller, 500 + vsize - 43);
        }
    }

    #[test]
    fn at_high_rates_the_rise_is_a_hundredth() {
        let mut original = original(Scheme::Segwit);
        let vsize = size(&original);
        original.fee = fee_for(1_000_000, vsize);
        assert_eq!(least_replacement_fee(&original, vsize), fee_for(1_010_000, vsize));
    }

    #[test]
    fn the_fee_comes_out_of_the_change() {
        let original = original(Scheme::Taproot);
        let vsize = size(&original);
        let grant = outbid_at(&original, Some(10_000), 0).unwrap();
        assert_eq!(grant.fee, fee_for(10_000, vsize));
        assert_eq!(grant.change.to_sat(), 10_000 - grant.fee.to_sat());
        let coins: Vec<_> = grant.inputs.iter().map(|coin| coin.outpoint).collect();
        assert!(original.coins().eq(coins));
        let estimated = outbid_at(&original, None, 20_000).unwrap();
        assert_eq!(estimated.fee, fee_for(20_000, vsize));
        let least = outbid_at(&original, None, 1).unwrap();
        assert_eq!(least.fee, least_replacement_fee(&original, vsize));
    }

    #[test]
    fn change_that_is_not_worth_an_output_goes_to_the_fee_and_no_further() {
        let original = original(Scheme::Taproot);
        let grant = outbid_at(&original, Some(49_000), 0).unwrap();
        assert_eq!((grant.fee.to_sat(), grant.change), (10_000, Amount::ZERO));
        let refused = outbid_at(&original, Some(100_000), 0).unwrap_err();
        assert!(matches!(refused, Refusal::ChangeTooSmall { available: 10_000, .. }), "{refused}");
        let bare = fixture::proposal(Scheme::Taproot, &[60_000], 500, 0);
        let refused = outbid_at(&bare, None, 0).unwrap_err();
        assert!(matches!(refused, Refusal::ChangeTooSmall { available: 500, .. }), "{refused}");
        // An estimate beyond the change is a wish, not a condition.
        assert_eq!(outbid_at(&original, None, 100_000).unwrap().fee.to_sat(), 10_000);
    }

    #[test]
    fn a_rate_that_nobody_would_relay_is_refused_with_the_least_that_does() {
        let original = original(Scheme::Taproot);
        let refused = outbid_at(&original, Some(1_000), 0).unwrap_err();
        let Refusal::ReplacementTooCheap { rate: 1_000, least_rate, .. } = refused else {
            unreachable!("{refused}")
        };
        assert!(outbid_at(&original, Some(least_rate), 0).is_ok());
        assert!(outbid_at(&original, Some(least_rate - 10), 0).is_err());
    }

    #[test]
    fn every_deviation_is_refused() {
        type Edit = fn(&mut Proposal);
        let original = original(Scheme::Taproot);
        let vsize = size(&original);
        let mut good = original.clone();
        good.fee = least_replacement_fee(&original, vsize);
        assert_eq!(check_replacement(&original, &good, vsize), Ok(()));
        let edits: &[(Edit, &str)] = &[
            (|p| p.recipient = fixture::stranger(), "another recipient"),
            (|p| p.amount += Amount::ONE_SAT, "another amount"),
            (|p| p.payment = PaymentId::from_bytes([9; 32]), "another payment"),
            (|p| p.metadata = None, "another payment"),
            (|p| p.external_id = Some("order-1".to_owned()), "another payment"),
            (|p| p.unsigned_tx.input.truncate(1), "other coins"),
            (|p| p.unsigned_tx.input.reverse(), "other coins"),
            (|p| p.unsigned_tx.input[0].previous_output = fixture::outpoint(200), "other coins"),
            (|p| p.prevouts[0].value += Amount::ONE_SAT, "other coins"),
            (|p| p.fee -= Amount::ONE_SAT, "the network takes none"),
        ];
        for (edit, words) in edits {
            let mut wrong = good.clone();
            edit(&mut wrong);
            let refused = check_replacement(&original, &wrong, vsize).unwrap_err();
            assert_eq!(refused.code(), "replacement");
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }
}
