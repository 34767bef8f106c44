//! The virtual machines' parts, which every lane shares: a clock, a disk, a chain, workers, and the clients in front.

pub(crate) mod backend;
pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod members;
pub(crate) mod verdict;
pub(crate) mod workers;
