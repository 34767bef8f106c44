//! What every lane shares: the virtual machines' parts, the chain, the clients in front, and how a run begins and is judged.

pub(crate) mod backend;
pub(crate) mod bumps;
pub(crate) mod calm;
pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod exempt;
pub(crate) mod hardware;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod outcome;
pub(crate) mod people;
pub(crate) mod phase;
pub(crate) mod purse;
pub(crate) mod verdict;
pub(crate) mod workers;
