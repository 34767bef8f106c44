//! The wallet's arithmetic: which coins pay, what the transaction looks like, and whether a proposal is what it says.
//!
//! Everything here is a pure function. A wallet is one key ([`Wallet`]), and the key's scheme says of which kind: Taproot
//! without script tree, or P2WPKH. A payment goes, in either,
//!
//! 1. [`select`]: the coordinator chooses coins, fee and change;
//! 2. [`build`]: the origin makes the unsigned transaction of the grant;
//! 3. [`check_structure`] and [`check_coins`]: every node judges the proposal for itself, the second against what
//!    its own chain backend shows;
//! 4. [`sighashes`]: every signer computes what it signs, from the transaction it judged;
//! 5. [`finish`] and [`verify_finished`]: signatures become the final transaction, and anyone can tell that they did.
//!
//! What another node checks is decided in integers: satoshis, weight units, satoshis per 1000 vB. Floating point
//! ranks selections inside [`select`] and nothing else.

mod balance;
mod build;
mod changeless;
mod check;
mod coins;
mod fees;
mod replace;
mod script;
mod select;
mod sign;
mod witness;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod journey;

pub use balance::{balance, is_mature};
pub use build::{SEQUENCE, build};
pub use check::check_structure;
pub use coins::{Books, CoinVerdict, check_coins};
pub use fees::{fee_for, fee_rate_for, signed_vsize};
pub use replace::{check_replacement, least_replacement_fee, outbid};
pub use script::{Wallet, is_standard_recipient};
pub use select::{Ask, Candidate, Selection, SelectionError, select};
pub use sign::{finish, key_hash_preimages, sighashes, verify_finished};
