//! The secret that the holder of a key shows.

use std::fmt;

use bitcoin::hex::DisplayHex as _;
use rand_core::{OsRng, RngCore as _};
use ring::digest::{SHA256, digest};
use zeroize::{Zeroize as _, Zeroizing};

/// Tells what it is, to people and to scanners for leaked secrets.
const PREFIX: &str = "mpcw_";

/// A key as its holder has it: `mpcw_` and 64 hexadecimal digits. Debug output does not show it.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, rand_core::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.try_fill_bytes(&mut *bytes)?;
        let mut digits = bytes.to_lower_hex_string();
        let token = Zeroizing::new(format!("{PREFIX}{digits}"));
        digits.zeroize();
        Ok(Self(token))
    }

    /// What its holder has to keep.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the file keeps. A fast hash is enough: there is nothing to guess in 32 random bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The hash of whatever somebody shows.
pub(super) fn hash(shown: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, shown.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_differ_and_do_not_print_themselves() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.hash(), other.hash());
        assert_eq!(one.reveal().len(), PREFIX.len() + 64);
        assert_eq!(hash(one.reveal()), one.hash());
        assert!(!format!("{one:?}").contains(one.reveal()));
    }
}
