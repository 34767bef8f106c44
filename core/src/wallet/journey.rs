//! Payments on their whole way through this module, for either kind of wallet.
#![allow(clippy::unwrap_used)]

use bitcoin::Amount;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    Ask, Candidate, build, check_structure, finish, fixture, select, sighashes, signed_vsize, verify_finished,
};
use crate::{config::Limits, mpc::Suite, policy::Policy};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_selected_and_built_is_accepted_signed_and_finished_at_its_fee_rate(
        scheme in fixture::any_scheme(),
        values in prop::collection::vec(1_000u64..10_000_000_000, 1..30),
        share in 1u64..1_000,
        fee_rate in 1_000u64..100_000,
        to_self in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wallet = fixture::wallet(scheme);
        let recipient = if to_self { wallet.script() } else { fixture::recipient() };
        let amount = Amount::from_sat((values.iter().sum::<u64>() / 1_000 * share).max(546));
        let granted = fixture::grant(scheme, &values, 0, 0);
        let candidates: Vec<_> = granted
            .inputs
            .iter()
            .map(|coin| Candidate { outpoint: coin.outpoint, value: coin.output.value, confirmed: true })
            .collect();
        let ask = Ask { recipient: &recipient, amount, fee_rate, max_inputs: Limits::default().inputs };
        let policy = Policy { max_fee: Amount::MAX_MONEY, ..Policy::default() };
        if let Ok(selection) = select(&wallet, &candidates, &ask, &policy) {
            let mut grant = fixture::grant(scheme, &[], selection.fee.to_sat(), selection.change.to_sat());
            grant.inputs = selection
                .coins
                .iter()
                .map(|coin| granted.inputs.iter().find(|input| input.outpoint == *coin).unwrap().clone())
                .collect();
            let tx = build(&wallet, &grant, &recipient, amount, &mut ChaCha20Rng::seed_from_u64(seed));
            let mut proposal = fixture::proposal(scheme, &[], 0, 0);
            proposal.prevouts = grant.inputs.into_iter().map(|coin| coin.output).collect();
            (proposal.unsigned_tx, proposal.fee) = (tx, selection.fee);
            (proposal.recipient, proposal.amount) = (recipient.clone(), amount);

            let vsize = check_structure(&wallet, &proposal, &Limits::default());
            prop_assert!(vsize.is_ok(), "{vsize:?}");
            let vsize = vsize.unwrap();
            prop_assert_eq!(vsize, signed_vsize(scheme, &proposal.unsigned_tx));
            prop_assert_eq!(policy.check_proposal(&proposal, vsize), Ok(()));

            let signatures: Vec<_> = sighashes(&proposal)
                .unwrap()
                .iter()
                .map(|message| fixture::sign(scheme, message))
                .collect();
            let finished = finish(&wallet, &proposal, &signatures).unwrap();
            prop_assert!(verify_finished(&wallet, Suite::Givre, &proposal, &finished));
            prop_assert_eq!(finished.compute_txid(), proposal.txid());
            let actual = u64::try_from(finished.vsize()).unwrap();
            prop_assert!(actual <= vsize, "{actual} vB, {vsize} vB at most");
            prop_assert!(selection.fee.to_sat() * 1_000 / actual >= fee_rate);
        }
    }
}
