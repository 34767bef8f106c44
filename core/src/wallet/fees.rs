//! Sizes of signed transactions and what they cost.

use std::collections::BTreeMap;

use bdk_coin_select::TXIN_BASE_WEIGHT;
use bitcoin::{
    Amount, Transaction, Weight,
    transaction::{InputWeightPrediction, predict_weight},
};

use crate::ids::Scheme;

/// What signing adds to an input of a wallet of this kind, at most.
const fn signed_input(scheme: Scheme) -> InputWeightPrediction {
    match scheme {
        // A Schnorr signature under SIGHASH_DEFAULT: 64 bytes, always.
        Scheme::Taproot => InputWeightPrediction::P2TR_KEY_DEFAULT_SIGHASH,
        // In DER two numbers of 33 and 32 bytes, s being in the lower half, are 71 bytes; with the type byte 72, and the
        // key. One signature in two is a byte shorter.
        Scheme::Segwit => InputWeightPrediction::P2WPKH_MAX,
    }
}

/// Weight of a transaction with `inputs` signed inputs of a wallet of `scheme`, at most.
pub(super) fn signed_weight(
    scheme: Scheme,
    inputs: usize,
    output_script_lens: impl IntoIterator<Item = usize>,
) -> Weight {
    predict_weight(std::iter::repeat_n(signed_input(scheme), inputs), output_script_lens)
}

/// What one signed input weighs, at most; the same for all coins of a wallet.
pub(super) const fn input_weight(scheme: Scheme) -> Weight {
    // The prediction has the script's length byte as well.
    Weight::from_wu(TXIN_BASE_WEIGHT - 4 + signed_input(scheme).weight().to_wu())
}

/// Size in vB of `unsigned` once every input carries its signature of a wallet of `scheme`, rounded up as nodes do. For
/// Taproot it is exact; for P2WPKH it is what it can be at most, so a fee rate taken on it is kept in any case.
#[must_use]
pub fn signed_vsize(scheme: Scheme, unsigned: &Transaction) -> u64 {
    signed_weight(scheme, unsigned.input.len(), unsigned.script_pubkey_lens()).to_vbytes_ceil()
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
        for (scheme, inputs, outputs, vsize) in [
            (Scheme::Taproot, 1, &[P2TR][..], 111),
            (Scheme::Taproot, 1, &[P2TR, P2TR], 154),
            (Scheme::Taproot, 1, &[P2WPKH, P2TR], 142),
            (Scheme::Taproot, 2, &[P2TR, P2TR], 212),
            (Scheme::Taproot, 10, &[P2TR, P2TR], 672),
            (Scheme::Segwit, 1, &[P2WPKH], 110),
            (Scheme::Segwit, 1, &[P2WPKH, P2WPKH], 141),
            (Scheme::Segwit, 1, &[P2TR, P2WPKH], 153),
            (Scheme::Segwit, 2, &[P2WPKH, P2WPKH], 209),
            (Scheme::Segwit, 10, &[P2WPKH, P2WPKH], 753),
        ] {
            let weight = signed_weight(scheme, inputs, outputs.iter().copied());
            assert_eq!(weight.to_vbytes_ceil(), vsize, "{inputs} {scheme} inputs, outputs {outputs:?}");
        }
    }

    #[test]
    fn an_input_weighs_what_it_adds_to_a_transaction() {
        for (scheme, published) in [(Scheme::Taproot, 230), (Scheme::Segwit, 272)] {
            let added = signed_weight(scheme, 2, [P2TR]).to_wu() - signed_weight(scheme, 1, [P2TR]).to_wu();
            assert_eq!(input_weight(scheme).to_wu(), published, "{scheme}");
            assert_eq!(added, published, "{scheme}");
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
