//! How anything that happens in a run ends: well, or with what ends the run.

use crate::oracle::Breach;

/// A fault of the simulation or a breach of an oracle: the run is over.
pub(crate) type Outcome = Result<(), Breach>;

/// A defect that no oracle names: of the core's contract, or of the world around it.
pub(crate) fn defect(detail: impl Into<String>) -> Breach {
    Breach { oracle: "contract", detail: detail.into() }
}
