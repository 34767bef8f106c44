//! Naive models of the parts that decide about money, and random walks that compare each part with its model.
//!
//! A model is written from the specification, keeps everything ever said and counts it anew for each question. After
//! every step of a walk, part and model must say the same. A walk that is never tempted shows nothing, so each kind of
//! step and outcome is counted and has a least number.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod coins;
mod lifecycle;
mod pool;
mod session;
mod tally;

use std::{cell::Cell, collections::BTreeMap};

use proptest::test_runner::{Config, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

thread_local! {
    static REACHED: Cell<BTreeMap<&'static str, u32>> = const { Cell::new(BTreeMap::new()) };
}

/// Counts that a walk came here.
fn reached(what: &'static str) {
    let mut counts = REACHED.take();
    *counts.entry(what).or_default() += 1;
    REACHED.set(counts);
}

/// Goes `walks` walks of at most `steps` steps. Fails with the shortest walk on which part and model differ, and when
/// something happened less often than `least` says, or is not listed there.
fn explore<T: StateMachineTest>(walks: u32, steps: usize, least: &[(&'static str, u32)]) {
    REACHED.take();
    let config = Config { cases: walks, failure_persistence: None, ..Config::default() };
    let strategy = T::Reference::sequential_strategy(1..=steps);
    let outcome = TestRunner::new(config.clone()).run(&strategy, |(start, walk, seen)| {
        T::test_sequential(config.clone(), start, walk, seen);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let counts = REACHED.take();
    for (what, floor) in least {
        let count = counts.get(what).copied().unwrap_or_default();
        assert!(count >= *floor, "{what}: {count} times, at least {floor} expected; all: {counts:?}");
    }
    assert_eq!(counts.len(), least.len(), "all that is counted has a floor: {counts:?}");
}
