//! The parts of a run.

/// Part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Calm,
    Trouble,
    Recovery,
    Over,
}
