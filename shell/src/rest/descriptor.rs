//! The checksum of output descriptors (BIP-380), so that watch-only wallets take what the API shows.

const INPUT_CHARSET: &str = "0123456789()[],'/*abcdefgh@:$%{}\
    IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
const CHECKSUM_CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u64; 5] =
    [0x00f5_dee5_1989, 0x00a9_fdca_3312, 0x001b_ab10_e32d, 0x0037_06b1_677a, 0x0064_4d62_6ffd];

/// `descriptor` with `#` and its checksum; `None` if it has a character that descriptors cannot have.
pub(super) fn with_checksum(descriptor: &str) -> Option<String> {
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
    use super::with_checksum;

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
