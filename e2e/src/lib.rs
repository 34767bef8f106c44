//! Real clusters on one machine: the regtest chain they run on, `devnet` and the end-to-end suites.

pub mod chain;
