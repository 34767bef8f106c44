//! Votes: what one is, how they are counted, what a certificate proves, and what gives a liar away.

mod ballot;
mod evidence;
mod tally;

pub use ballot::{Ballot, Decision, FIRST_ROUND, Promise, RejectReason, SignedPromise, Vote};
pub use evidence::{Evidence, EvidenceError, Violation};
pub use tally::{Certificate, CertificateError, Counted, Tally};
