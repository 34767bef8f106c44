//! Why the backend gave no usable answer.

use bitcoin::Network;

/// Why the backend gave no usable answer. The text goes to the log and into `Unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BackendError {
    /// No complete answer: refused, reset, timed out, too large.
    #[error("{path}: no answer: {reason}")]
    Unreachable { path: String, reason: String },
    /// An answer that says no.
    #[error("{path}: HTTP {status}: {text}")]
    Status { path: String, status: u16, text: String },
    /// An answer that does not parse.
    #[error("{path}: the answer makes no sense: {reason}")]
    Malformed { path: String, reason: String },
    /// The chain moved between two requests; the next question will do.
    #[error("the chain moved while it was read ({0}); ask again")]
    Moving(String),
    /// An answer that is proven false.
    #[error("the backend lies: {0}; replace it")]
    Lying(String),
    /// It serves another chain.
    #[error("the backend serves {found}, this node runs on {expected}; correct its address or the network")]
    WrongNetwork { expected: Network, found: String },
}

impl BackendError {
    pub(super) fn malformed(path: &str, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}
