//! Every planted bug is found by the oracle that is to find it, within its budget of seeds, on every change. What
//! escapes without each oracle is measured by `cargo sim mutants`.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used)]

use mpc_wallet_core::{
    mutant,
    mutant::{Mutant, is_planted, plant},
};
use mpc_wallet_sim::mutants::{End, Findings, Options, hunt, markdown, measure, rewrite};

#[test]
fn every_planted_bug_is_found_within_its_budget_by_the_oracle_that_is_to_find_it() {
    let findings = measure(&Options::default(), &|line| println!("{line}")).unwrap();
    assert_eq!(findings.hunts.len(), Mutant::ALL.len());
    assert_eq!(findings.problems(), Vec::<String>::new());
}

#[test]
fn a_hunt_without_the_oracle_or_without_seeds_finds_nothing() {
    let options = Options { only: Some(Mutant::LiveStateAhead), budget: Some(0), ..Options::default() };
    let findings = measure(&options, &|_| {}).unwrap();
    assert!(matches!(findings.hunts.as_slice(), [finding] if finding.end == End::Escaped));
    assert_eq!(findings.problems().len(), 1);
}

#[test]
fn a_bug_is_planted_alone_and_for_as_long_as_its_guard_lives() {
    assert!(!mutant!(ReorgIgnored));
    {
        let _planted = plant(Some(Mutant::ReorgIgnored));
        assert!(is_planted(Mutant::ReorgIgnored) && !is_planted(Mutant::CoinsNotCommitted));
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| is_planted(Mutant::ReorgIgnored)).join());
        assert!(!elsewhere.unwrap(), "another thread has its own");
        let _none = plant(None);
        assert!(!is_planted(Mutant::ReorgIgnored));
    }
    assert!(!is_planted(Mutant::ReorgIgnored));
}

#[test]
fn every_hunt_has_seeds_and_somebody_who_is_to_object() {
    for mutant in Mutant::ALL {
        let hunt = hunt(*mutant);
        assert!((1..=200).contains(&hunt.budget) && !hunt.oracles.is_empty(), "{}", mutant.name());
        hunt.field.plan(0).check().unwrap();
    }
}

#[test]
fn the_tables_take_the_place_between_their_markers_and_no_other() {
    let findings = Findings::default();
    let document = "before\n<!-- mutants:begin -->\nold\n<!-- mutants:end -->\nafter\n";
    let new = rewrite(document, &findings).unwrap();
    assert!(
        new.starts_with("before\n<!-- mutants:begin -->\n") && new.ends_with("<!-- mutants:end -->\nafter\n")
    );
    assert!(new.contains(&markdown(&findings)) && !new.contains("old"));
    assert_eq!(rewrite(&new, &findings).unwrap(), new);
    assert!(rewrite("nothing", &findings).is_err());
}
