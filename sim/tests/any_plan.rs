//! Plans that nobody thought of: any bytes are one, and whatever they ask for the cluster keeps its promises.
#![allow(clippy::unwrap_used)]

use mpc_wallet_sim::{FaultPlan, run};
use proptest::prelude::*;

/// Any plan; a smaller one is one with fewer events.
fn any_plan() -> impl Strategy<Value = FaultPlan> {
    prop::collection::vec(any::<u8>(), 12..100).prop_map(|bytes| FaultPlan::from_bytes(&bytes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_plan_makes_an_oracle_object(plan in any_plan()) {
        let json = plan.to_json().unwrap();
        // The payment in calm is asked for at node-1.
        let betrayed = plan.traitors.iter().any(|traitor| traitor.node == 1);
        let report = run(plan, None).unwrap();
        prop_assert_eq!(report.breach, None, "cargo sim replay of {}", json);
        prop_assert!(betrayed || report.tally.paid > 0, "the payment in calm is paid: {}", json);
    }
}
