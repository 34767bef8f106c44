//! Output descriptors (BIP-380) of the wallets, with their checksum, so that watch-only wallets take what the API shows.

use mpc_wallet_core::{Scheme, WalletKey};

const INPUT_CHARSET: &str = "0123456789()[],'/*abcdefgh@:$%{}\
    IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
const CHECKSUM_CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u64; 5] =
    [0x00f5_dee5_1989, 0x00a9_fdca_3312, 0x001b_ab10_e32d, 0x0037_06b1_677a, 0x0064_4d62_6ffd];

/// The descriptor of the one address of a wallet: `tr` (BIP-386) of the internal key, or `wpkh` (BIP-382) of the compressed
/// key.
pub(super) fn of(scheme: Scheme, key: &WalletKey) -> String {
    let descriptor = match scheme {
        Scheme::Taproot => format!("tr({})", key.x_only()),
        Scheme::Segwit => format!("wpkh({key})"),
    };
    // Hexadecimal digits are characters of descriptors.
    with_checksum(&descriptor).unwrap_or(descriptor)
}

/// `descriptor` with `#` and its checksum; `None` if it has a character that descriptors cannot have.
fn with_checksum(descriptor: &str) -> Option<String> {
    let mut state = 1u64;
    let (mut class, mut count) = (0u64, 0);
    for letter in descriptor.chars() {
        let position = u64::try_from(INPUT_CHARSET.find(letter)?).ok()?;
        state = step(state, position & 31);
        class = class * 3 + (position >> 5);
        count += 1;
        if count == 3 {
            state = step(state, class);
            (class, count) = (0, 0);
        }
    }
    if count > 0 {
        state = step(state, class);
    }
    let state = (0..8).fold(state, |state, _| step(state, 0)) ^ 1;
    let checksum: Option<String> = (0..8)
        .map(|index| {
            let symbol = usize::try_from((state >> (5 * (7 - index))) & 31).ok()?;
            CHECKSUM_CHARSET.get(symbol).map(|byte| char::from(*byte))
        })
        .collect();
    Some(format!("{descriptor}#{}", checksum?))
}

/// Multiplies by x and adds a symbol, modulo the generator.
fn step(state: u64, symbol: u64) -> u64 {
    let top = state >> 35;
    let shifted = ((state & 0x0007_ffff_ffff) << 5) ^ symbol;
    (0u32..)
        .zip(GENERATOR)
        .filter(|(bit, _)| (top >> bit) & 1 == 1)
        .fold(shifted, |state, (_, generator)| state ^ generator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hex::FromHex;

    use super::*;

    #[test]
    fn each_kind_of_wallet_has_its_descriptor_of_one_key() {
        let key = "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9";
        let key = WalletKey::from_bytes(&<[u8; 33]>::from_hex(key).unwrap()).unwrap();
        assert_eq!(
            of(Scheme::Segwit, &key),
            "wpkh(02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9)#8zl0zxma"
        );
        let taproot = of(Scheme::Taproot, &key);
        assert!(taproot.starts_with("tr(f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9)#"));
    }

    #[test]
    fn checksums_are_those_of_bip_380_and_bip_386() {
        for good in [
            "raw(deadbeef)#89f8spxm",
            "tr(a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd)#dh4fyxrd",
            "pkh([d34db33f/44'/0'/0']xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL/1/*)#ml40v0wf",
        ] {
            let (descriptor, _) = good.split_once('#').unwrap_or_default();
            assert_eq!(with_checksum(descriptor).as_deref(), Some(good));
        }
        assert_eq!(with_checksum("raw(Ü)"), None);
    }
}
