//! Five cores, four of which sign, in a world in memory: what a cluster does, with members that lie, fall out or come back. One
//! program, because each takes longer to link than its tests to run.

mod approval;
mod bump;
mod byzantine;
mod coins;
mod freeze;
mod leases;
mod losses;
mod ordinary;
mod presignatures;
mod quotes;
mod restore;
mod segwit;
mod support;
