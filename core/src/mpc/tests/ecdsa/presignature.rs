//! Presignatures: made together, kept, and used once.

use super::*;

#[test]
fn all_signers_hold_one_presignature_in_any_order_with_repetitions() {
    for suite in SUITES {
        let key = key(suite);
        let repeat = |packet: Packet| vec![packet.clone(), packet];
        let made = presignatures_of(run(presigning_machines(&key, "run", &FOUR), repeat, shuffled(4)));
        for presignature in &made {
            assert_eq!(presignature.id(), made[0].id());
            assert_eq!(presignature.key_digest(), key[0].public_digest());
            assert_eq!(presignature.signers(), slots(&FOUR));
        }
    }
}

#[test]
fn a_presignature_reads_back_and_signs() {
    for suite in SUITES {
        let key = key(suite);
        let made = presign(&key, "run", &FOUR);
        let read: Vec<Presignature> = made
            .iter()
            .map(|presignature| {
                let bytes = presignature.to_secret_bytes();
                assert!(bytes.len() <= Presignature::MAX_BYTES);
                Presignature::from_secret_bytes(&bytes).unwrap()
            })
            .collect();
        assert!(made.iter().zip(&read).all(|(made, read)| made.id() == read.id()));
        let ended = run(online_machines(&key, vec![read], &FOUR, &preimages(1)), honest, in_order);
        assert_eq!(agreed_signatures(&ended).len(), 1);
    }
}

#[test]
fn damaged_presignatures_are_refused() {
    for suite in SUITES {
        let bytes = presign(&key(suite), "run", &FOUR)[0].to_secret_bytes();
        let read = |bytes: &[u8]| Presignature::from_secret_bytes(bytes).err();
        assert_eq!(read(&[]), Some(PresignatureError::Damaged));
        assert_eq!(read(&bytes[..bytes.len() - 1]), Some(PresignatureError::Damaged));
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), Some(PresignatureError::Damaged));
        assert_eq!(read(&[&[2], &bytes[1..]].concat()), Some(PresignatureError::Version { version: 2 }));
    }
    let bytes = presign(&key(Suite::Cggmp24), "run", &FOUR)[0].to_secret_bytes();
    let secrets = bytes.len() - 33 - 4 * 66 - 64..bytes.len() - 33 - 4 * 66;
    for index in secrets {
        let mut damaged = bytes.to_vec();
        damaged[index] ^= 1;
        assert_eq!(Presignature::from_secret_bytes(&damaged).err(), Some(PresignatureError::Damaged));
    }
}

#[test]
fn debug_output_of_a_presignature_is_public() {
    let made = presign(&key(Suite::MockEcdsa), "run", &FOUR);
    assert_eq!(
        format!("{:?}", made[0]),
        "Presignature { signers: [Slot(0), Slot(1), Slot(3), Slot(4)], .. }"
    );
}

#[test]
fn mock_secrets_are_recognisable_and_never_sent() {
    let contains = |bytes: &[u8]| bytes.windows(16).any(|window| window == MOCK_SECRET_MARK);
    let key = key(Suite::MockEcdsa);
    let presigned = run(presigning_machines(&key, "run", &FOUR), honest, in_order);
    let mut sent = presigned.sent.clone();
    let made = presignatures_of(presigned);
    assert!(made.iter().all(|presignature| contains(&presignature.to_secret_bytes())));
    assert!(contains(&primes(Suite::MockEcdsa, 0).to_secret_bytes()));
    sent.extend(run(online_machines(&key, vec![made], &FOUR, &preimages(1)), honest, in_order).sent);
    sent.extend(run(keygen_machines(Suite::MockEcdsa, 5, 4), honest, in_order).sent);
    assert!(sent.iter().all(|packet| !contains(&packet.payload)));
}

#[test]
fn another_run_or_signer_set_is_refused_before_round_one() {
    for suite in SUITES {
        let key = key(suite);
        let others = [presigning_params("other run", 1, &FOUR), presigning_params("run", 1, &[0, 1, 2, 3])];
        for other in others {
            let mut machines = presigning_machines(&key, "run", &FOUR);
            machines[1] = Suite::presigning(key[1].clone(), &other, [1; 32]).unwrap();
            let ended = run(machines, honest, in_order);
            let expected = Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(1) } };
            assert_eq!(fault(&ended, 0), &expected);
        }
    }
}

#[test]
fn a_false_proof_about_a_ciphertext_is_known_to_its_victim() {
    for (suite, round) in [(Suite::MockEcdsa, 2), (Suite::MockEcdsa, 3), (Suite::Cggmp24, 3)] {
        let mut other = Vec::new();
        // What was meant for slot 0 goes to slot 1 too.
        let swap = rewrite(2, round, |to, body| match to {
            Slot(0) => other.clone_from(body),
            Slot(1) => body.clone_from(&other),
            _ => {}
        });
        let ended = run(presigning_machines(&key(suite), "run", &FOUR), swap, in_order);
        let expected = Fault { culprits: vec![Slot(2)], reason: FaultReason::BadCiphertext };
        assert_eq!(fault(&ended, 1), &expected);
    }
}

#[test]
fn a_silent_signer_is_waited_for_by_name() {
    for suite in SUITES {
        let silent = |packet: Packet| if packet.from == Slot(2) { vec![] } else { vec![packet] };
        let ended = run(presigning_machines(&key(suite), "run", &FOUR), silent, in_order);
        for slot in [0, 1, 3] {
            assert_eq!(ended.machines[slot].waiting_for(), [Slot(2)]);
            assert_eq!(ended.machines[slot].stage().map(|stage| stage.round), Some(1));
        }
    }
}

#[test]
fn signer_lists_that_do_not_fit_the_key_are_refused() {
    let key = key(Suite::MockEcdsa);
    let refused = |signers: &[u16]| {
        Suite::presigning(key[0].clone(), &presigning_params("run", 0, signers), [1; 32]).err()
    };
    assert_eq!(refused(&[0, 1, 2]), Some(RefusedParams::TooFewSigners { signers: 3, threshold: 4 }));
    assert_eq!(refused(&[0, 1, 2, 3, 4]), Some(RefusedParams::TooManySigners { signers: 5, threshold: 4 }));
    assert_eq!(refused(&[1, 2, 3, 4]), Some(RefusedParams::NotASigner { me: Slot(0), share: Slot(0) }));
    let taproot = super::super::key(Suite::Mock, 3, 2);
    let params = presigning_params("run", 0, &[0, 1]);
    assert_eq!(Suite::presigning(taproot[0].clone(), &params, [1; 32]).err(), Some(RefusedParams::Share));
}
