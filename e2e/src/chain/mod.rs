//! A regtest chain with an Esplora HTTP face, for devnet and the end-to-end suites.
//!
//! [`Regtest::start`] runs one in a thread of its own, over either backend:
//!
//! - [`Backend::Embedded`]: a chain in this process. Scripts are judged by libbitcoinconsensus,
//!   the mempool's rules are restated with Bitcoin Core's texts. Starts in milliseconds.
//! - [`Backend::Bitcoind`]: a real node; nothing of the validation is ours.
//!
//! The face speaks the part of Blockstream's `API.md` that wallets use, its oddities included. It is
//! a thin test face, not an Esplora server: it keeps everything in memory, never pages blocks, and
//! asks its node anew at every request. Beside it, under `/regtest`, tests mine, pay, reorganise and
//! break things; the same by method on [`Regtest`]:
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /regtest/mine` | `{"blocks":1}` | `{"height","hash"}` of the tip |
//! | `POST /regtest/faucet` | `{"address","amount_sats","count"?}` | `{"txid"}`, confirmed |
//! | `POST /regtest/invalidate` | `{"depth":1}` | tip; mine again to complete the reorganisation |
//! | `POST /regtest/evict` | `{"txid"}` | `{"evicted":[txid]}`; embedded only |
//! | `POST /regtest/faults` | [`Faults`] | `{}` |
//! | `POST /regtest/fee-estimates` | `{"1":2.0,"6":1.0}` in sat/vB | `{}` |
//!
//! Parts: `ledger` indexes, `policy` decides, `embedded` and `bitcoind` are nodes (`node`, `blockfile`, `rpc`),
//! `faucet` pays, `esplora` and `control` are the faces, `faults` breaks them, `regtest` is the handle.

mod bitcoind;
mod blockfile;
mod control;
mod embedded;
mod esplora;
mod faucet;
mod faults;
mod ledger;
mod node;
mod policy;
mod regtest;
mod rpc;

pub use faults::{ErrorFault, Faults};
pub use regtest::{Backend, FeeEstimates, Payment, Regtest, RegtestOptions, Tip};
