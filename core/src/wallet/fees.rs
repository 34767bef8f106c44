//! Sizes of signed transactions and what they cost.

use std::collections::BTreeMap;

use bitcoin::{
    Amount, Transaction, Weight,
    transaction::{InputWeightPrediction, predict_weight},
};

/// Weight of a transaction with `inputs` key-path Taproot inputs, signed with SIGHASH_DEFAULT.
pub(super) fn signed_weight(inputs: usize, output_script_lens: impl IntoIterator<Item = usize>) -> Weight {
    let input = InputWeightPrediction::P2TR_KEY_DEFAULT_SIGHASH;
    predict_weight(std::iter::repeat_n(input, inputs), output_script_lens)
}

/// Size in vB of `unsigned` once every input carries its key-path signature. A Schnorr signature has one length, so
/// this is exact; it is rounded up as nodes do.
#[must_use]
pub fn signed_vsize(unsigned: &Transaction) -> u64 {
    signed_weight(unsigned.input.len(), unsigned.script_pubkey_lens()).to_vbytes_ceil()
}

/// The least fee that gives `vsize` vB a rate of `rate` sat/kvB, rounded up to whole satoshis. It is taken on the
/// size in vB, as nodes do: taken on the weight it could be one satoshi short.
#[must_use]
pub fn fee_for(rate: u64, vsize: u64) -> Amount {
    let fee = (u128::from(rate) * u128::from(vsize)).div_ceil(1_000);
    // Nobody owns the saturated amount, so a senseless rate ends as insufficient funds.
    Amount::from_sat(u64::try_from(fee).unwrap_or(u64::MAX))
}

/// The fee rate in sat/kvB for confirmation within `target` blocks, from estimates that may have gaps.
///
/// Takes the estimate of the greatest target not above the wanted one, which keeps the promise; failing that, of
/// the nearest above, which is the best there is. Never below `floor`. `None` if there are no estimates: what then
/// depends on the network and is the caller's decision.
#[must_use]
pub fn fee_rate_for(estimates: &BTreeMap<u16, u64>, target: u16, floor: u64) -> Option<u64> {
    let keeps_promise = estimates.range(..=target).next_back();
    keeps_promise.or_else(|| estimates.range(target..).next()).map(|(_, &rate)| rate.max(floor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const P2TR: usize = 34;
    const P2WPKH: usize = 22;

    #[test]
    fn sizes_are_the_published_ones() {
        for (inputs, outputs, vsize) in [
            (1, &[P2TR][..], 111),
            (1, &[P2TR, P2TR], 154),
            (1, &[P2WPKH, P2TR], 142),
            (2, &[P2TR, P2TR], 212),
            (10, &[P2TR, P2TR], 672),
        ] {
            let weight = signed_weight(inputs, outputs.iter().copied());
            assert_eq!(weight.to_vbytes_ceil(), vsize, "{inputs} inputs, outputs {outputs:?}");
        }
    }

    #[test]
    fn fees_are_rounded_up_to_whole_satoshis() {
        for (rate, vsize, fee) in
            [(1_000, 111, 111), (100, 111, 12), (1_001, 154, 155), (0, 154, 0), (u64::MAX, 2_000, u64::MAX)]
        {
            assert_eq!(fee_for(rate, vsize).to_sat(), fee, "{rate} sat/kvB on {vsize} vB");
        }
    }

    #[test]
    fn a_fee_rate_is_found_in_a_sparse_map() {
        let estimates = BTreeMap::from([(2, 9_000), (6, 4_000), (144, 500)]);
        for (desc, target, floor, rate) in [
            ("exact", 6, 1_000, 4_000),
            ("between: the smaller target keeps the promise", 10, 1_000, 4_000),
            ("below all: the nearest above", 1, 1_000, 9_000),
            ("never below the floor", 1_008, 1_000, 1_000),
            ("the floor may be low", 1_008, 100, 500),
            ("the floor may be high", 2, 10_000, 10_000),
        ] {
            assert_eq!(fee_rate_for(&estimates, target, floor), Some(rate), "{desc}");
        }
        assert_eq!(fee_rate_for(&BTreeMap::new(), 6, 1_000), None);
    }

    proptest! {
        #[test]
        fn a_fee_is_the_least_that_reaches_the_rate(rate in 1u64..10_000_000, vsize in 100u64..100_000) {
            let fee = fee_for(rate, vsize).to_sat();
            prop_assert!(fee * 1_000 / vsize >= rate);
            prop_assert!((fee - 1) * 1_000 < rate * vsize);
        }
    }
}
