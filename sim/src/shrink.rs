//! From a failing plan to a small one that fails the same way.
//!
//! A plan is data, so shrinking is editing: remove events from its lists, first many at once and then singly (Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), put calm values in place of strange ones, and
//! make the cluster smaller. An edit stays if the same oracle still objects. It works on the plan's JSON, so a new kind of
//! fault is shrunk without a word here.

use serde_json::Value;

use crate::plan::{FaultPlan, PlanError};

/// Clusters to try instead of the plan's own, smallest first.
const SMALLER: [(u16, u16); 3] = [(3, 2), (4, 3), (5, 4)];

/// Fields that say what a plan is, not what happens in it.
const LABELS: [&str; 8] = ["version", "why", "found_by", "expect", "seed", "profile", "nodes", "threshold"];

/// The wallet's money.
const FUNDS: &str = "/chain/funds";

/// Makes a plan smaller as long as `fails` says that it still fails; at most `most` questions are asked.
///
/// # Errors
/// The plan cannot be written as JSON, which no plan of this type does.
pub fn shrink(
    plan: &FaultPlan,
    most: u32,
    mut fails: impl FnMut(&FaultPlan) -> bool,
) -> Result<FaultPlan, PlanError> {
    let read = |plan: &FaultPlan| -> Result<Value, PlanError> {
        serde_json::from_str(&plan.to_json()?).map_err(|e| PlanError::Malformed(e.to_string()))
    };
    // The wallet's money is no fault; without it every payment fails, whatever the plan was about.
    let mut quiet = FaultPlan::quiet(plan.seed);
    quiet.chain.funds.clone_from(&plan.chain.funds);
    let calm = read(&quiet)?;
    let mut asked = 0;
    let mut search = Search {
        best: read(plan)?,
        fails: |candidate: &Value| {
            let Ok(plan) = FaultPlan::from_json(&candidate.to_string()) else { return false };
            asked += 1;
            asked <= most && fails(&plan)
        },
    };
    loop {
        let before = search.best.clone();
        search.smaller_cluster();
        for path in paths(&before) {
            search.shorten(&path);
            search.calm(&path, &calm);
        }
        if search.best == before {
            break;
        }
    }
    FaultPlan::from_json(&search.best.to_string())
}

struct Search<F> {
    best: Value,
    fails: F,
}

impl<F: FnMut(&Value) -> bool> Search<F> {
    fn keep_if_it_fails(&mut self, candidate: Value) -> bool {
        let better = candidate != self.best && (self.fails)(&candidate);
        if better {
            self.best = candidate;
        }
        better
    }

    fn smaller_cluster(&mut self) {
        for (nodes, threshold) in SMALLER {
            let is = self.best.get("nodes").and_then(Value::as_u64).unwrap_or_default();
            let mut candidate = self.best.clone();
            if let Some(plan) = candidate.as_object_mut()
                && u64::from(nodes) < is
            {
                plan.insert(String::from("nodes"), nodes.into());
                plan.insert(String::from("threshold"), threshold.into());
                if self.keep_if_it_fails(candidate) {
                    return;
                }
            }
        }
    }

    /// Removes runs of items from a list: half of it, a quarter, and so on to single ones.
    fn shorten(&mut self, path: &str) {
        let length = |value: &Value| value.pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
        let mut size = length(&self.best);
        while size > 0 {
            let mut start = 0;
            while start < length(&self.best) {
                let mut candidate = self.best.clone();
                if let Some(list) = candidate.pointer_mut(path).and_then(Value::as_array_mut) {
                    list.drain(start..list.len().min(start + size));
                }
                if !self.keep_if_it_fails(candidate) {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    /// Puts what the calm plan has at a place where this one has something else.
    fn calm(&mut self, path: &str, calm: &Value) {
        let Some(quiet) = calm.pointer(path).filter(|value| !value.is_array()) else { return };
        let mut candidate = self.best.clone();
        if let Some(place) = candidate.pointer_mut(path) {
            *place = quiet.clone();
            self.keep_if_it_fails(candidate);
        }
    }
}

/// Places to edit: every field of the plan and of the objects directly in it.
fn paths(plan: &Value) -> Vec<String> {
    let mut paths = vec![];
    for (name, value) in plan.as_object().into_iter().flatten() {
        if LABELS.contains(&name.as_str()) {
            continue;
        }
        paths.push(format!("/{name}"));
        let inner = value.as_object().into_iter().flatten().map(|(inner, _)| format!("/{name}/{inner}"));
        paths.extend(inner.filter(|path| path != FUNDS));
    }
    paths
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn what_does_not_matter_goes_and_what_matters_stays() {
        let plan = (0..)
            .map(|seed| FaultPlan::from_seed(seed, Profile::Swarm))
            .find(|plan| plan.crashes.len() > 4 && plan.network.loss > 0 && plan.nodes == 5)
            .unwrap();
        let culprit = plan.crashes[2];
        let mut asked = 0;
        let small = shrink(&plan, 1_000, |candidate| {
            asked += 1;
            candidate.crashes.contains(&culprit) && candidate.network.loss > 0
        })
        .unwrap();
        assert_eq!(small.crashes, [culprit]);
        assert_eq!(small.network.loss, plan.network.loss);
        assert!(small.payments.is_empty() && small.partitions.is_empty() && small.disks.is_empty());
        assert_eq!(small.chain.funds, plan.chain.funds);
        assert!(small.network.duplicate == 0 && small.nodes < 5 || culprit.node > 3);
        assert!(asked < 300, "{asked}");
    }

    #[test]
    fn the_number_of_questions_is_bounded() {
        let plan = FaultPlan::from_seed(3, Profile::Swarm);
        let mut asked = 0;
        let same = shrink(&plan, 5, |_| {
            asked += 1;
            false
        })
        .unwrap();
        assert_eq!((same, asked), (plan, 5));
    }
}
