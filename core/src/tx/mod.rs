//! A payment on its way: what is proposed, and the states it passes.

mod lifecycle;
mod proposal;

pub use lifecycle::{IllegalTransition, State, SubStatus};
pub use proposal::{MAX_EXTERNAL_ID_BYTES, Prevout, Proposal, SignedProposal, named_payment};
