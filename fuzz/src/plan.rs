//! A whole cluster under faults: whatever the plan, no oracle objects, nothing panics, and the end comes.

use std::{cell::RefCell, panic, sync::Once};

use mpc_wallet_sim::{FaultPlan, run};

thread_local! {
    /// The plan that runs, for who reports a panic.
    static RUNNING: RefCell<Option<FaultPlan>> = const { RefCell::new(None) };
}

/// Runs the plan that the bytes mean.
pub fn target(bytes: &[u8]) {
    tell_the_plan_of_a_panic();
    let plan = FaultPlan::from_bytes(bytes);
    assert_eq!(plan.check(), Ok(()));
    RUNNING.set(Some(plan.clone()));
    let report = run(plan, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.breach, None, "an oracle objects");
    RUNNING.set(None);
}

/// libFuzzer ends the process in its own hook, before anything could be caught.
fn tell_the_plan_of_a_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let plan = RUNNING.with_borrow(|plan| plan.as_ref().and_then(|plan| plan.to_json().ok()));
            if let Some(json) = plan {
                eprintln!("PLAN (cargo sim replay FILE):\n{json}");
            }
            next(info);
        }));
    });
}
