//! Votes: what one is, how they are counted, what a certificate proves, and what gives a liar away; and what people
//! decide where a policy asks them.

mod ballot;
mod evidence;
mod operator;
mod tally;

pub use ballot::{Ballot, Decision, FIRST_ROUND, Promise, RejectReason, SignedPromise, Vote};
pub use evidence::{Evidence, EvidenceError, Violation};
pub use operator::{
    Decisions, MAX_COMMENT_BYTES, MAX_OPERATOR_CHARS, OperatorDecision, Ruling, SignedDecision,
    UnfitDecision, UnfitPart,
};
pub use tally::{Certificate, CertificateError, Counted, Tally};
