//! Key shares at rest, and the mock scheme's promises to simulators.

use super::*;

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_share_reads_back_and_signs() {
    for suite in [Suite::Givre, Suite::Mock] {
        let key: Vec<_> = key(suite, 3, 2)
            .iter()
            .map(|share| Arc::new(KeyShare::from_secret_bytes(&share.to_secret_bytes().unwrap()).unwrap()))
            .collect();
        let ended = run(signing_machines(&key, "run", &[0, 2], &messages(1)), honest, in_order);
        assert!(suite.verify(key[0].public_key(), &messages(1)[0], &agreed_signatures(&ended)[0]));
    }
}

#[test]
fn damaged_shares_are_refused() {
    for suite in [Suite::Givre, Suite::Mock] {
        let bytes = key(suite, 3, 2)[0].to_secret_bytes().unwrap();
        let read = |bytes: &[u8]| KeyShare::from_secret_bytes(bytes).err();
        assert_eq!(read(&[]), Some(KeyShareError::Damaged));
        assert_eq!(read(&bytes[..bytes.len() - 1]), Some(KeyShareError::Damaged));
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), Some(KeyShareError::Damaged));
        assert_eq!(read(&[&[2], &bytes[1..]].concat()), Some(KeyShareError::Version { version: 2 }));
        assert_eq!(read(&vec![1; 80_000]), Some(KeyShareError::Oversized { bytes: 80_000 }));
    }
}

#[test]
fn any_changed_bit_of_a_share_is_noticed() {
    let bytes = key(Suite::Givre, 3, 2)[0].to_secret_bytes().unwrap();
    for index in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[index] ^= 1;
        assert!(KeyShare::from_secret_bytes(&damaged).is_err(), "byte {index}");
    }
}

#[test]
fn the_largest_share_fits_the_limit() {
    let share = &key(Suite::Givre, MAX_PARTIES, 2)[0];
    assert!(share.to_secret_bytes().unwrap().len() < 4 * 1024);
}

#[test]
fn debug_output_of_a_share_is_public() {
    let share = &key(Suite::Mock, 3, 2)[0];
    let text = format!("{share:?}");
    assert!(text.contains(&share.public_key().to_string()));
    assert!(!text.contains("MOCK") && !text.contains("77, 79, 67, 75"));
}

#[test]
fn mock_secrets_are_recognisable_and_never_sent() {
    let key = key(Suite::Mock, 5, 4);
    assert!(contains(&cbor_bytes(&key[0].to_secret_bytes().unwrap()), &MOCK_SECRET_MARK));
    let generated = run(keygen_machines(Suite::Mock, 5, 4), honest, in_order).sent;
    let signed = run(signing_machines(&key, "run", &[0, 1, 2, 3], &messages(2)), honest, in_order).sent;
    assert!(generated.iter().chain(&signed).all(|packet| !contains(&packet.payload, &MOCK_SECRET_MARK)));
}

/// The bytes without CBOR's marker before each array element above 23.
fn cbor_bytes(encoded: &[u8]) -> Vec<u8> {
    encoded.iter().copied().filter(|byte| *byte != 0x18).collect()
}

#[test]
fn a_mock_signature_holds_for_its_message_key_and_signers_only() {
    let key = key(Suite::Mock, 5, 4);
    let ended = run(signing_machines(&key, "run", &[0, 1, 2, 3], &messages(1)), honest, in_order);
    let signature = agreed_signatures(&ended)[0];
    let verify = |signature: &[u8; 64]| Suite::Mock.verify(key[0].public_key(), &messages(1)[0], signature);
    assert!(verify(&signature));
    for byte in 0..64 {
        let mut changed = signature;
        changed[byte] ^= 1;
        assert!(!verify(&changed), "byte {byte}");
    }
    assert!(!Suite::Givre.verify(key[0].public_key(), &messages(1)[0], &signature));
}
