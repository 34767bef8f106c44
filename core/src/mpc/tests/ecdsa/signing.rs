//! Signing from presignatures and without.

use super::*;

/// One presignature for each message, and the round that spends them.
fn sign_against(suite: Suite, count: u8, tamper: impl FnMut(Packet) -> Vec<Packet>) -> Ended {
    let key = key(suite);
    let stock = (0..count).map(|index| presign(&key, &format!("run {index}"), &FOUR)).collect();
    run(online_machines(&key, stock, &FOUR, &preimages(count)), tamper, in_order)
}

#[test]
fn quorums_of_four_in_five_sign_for_the_key() {
    for (suite, absent) in [(Suite::Cggmp24, &[0, 4][..]), (Suite::MockEcdsa, &[0, 1, 2, 3, 4])] {
        let key = key(suite);
        for absent in absent {
            let signers: Vec<u16> = (0..5).filter(|slot| slot != absent).collect();
            let made = presign(&key, "run", &signers);
            let ended = run(online_machines(&key, vec![made], &signers, &preimages(1)), honest, in_order);
            let signature = agreed_signatures(&ended)[0];
            let message = sighash(&preimages(1)[0]);
            assert!(suite.verify_ecdsa(&key[0].point(), &message, &signature));
            assert!(!suite.verify_ecdsa(&key[0].point(), &sighash(b"another"), &signature));
            // Nobody needs to normalize it, and it has a DER form.
            let mut low = bitcoin::secp256k1::ecdsa::Signature::from_compact(&signature).unwrap();
            low.normalize_s();
            assert_eq!(low.serialize_compact(), signature);
        }
    }
}

#[test]
fn three_inputs_get_three_signatures_in_order_from_three_presignatures() {
    let (suite, key) = (Suite::MockEcdsa, key(Suite::MockEcdsa));
    let signatures = agreed_signatures(&sign_against(suite, 3, honest));
    for (signature, preimage) in signatures.iter().zip(preimages(3)) {
        assert!(suite.verify_ecdsa(&key[0].point(), &sighash(&preimage), signature));
    }
    assert_eq!(signatures.len(), 3);
}

#[test]
fn a_bad_partial_signature_names_its_author_and_message() {
    for (suite, count) in [(Suite::Cggmp24, 1), (Suite::MockEcdsa, 3)] {
        let last = usize::from(count) - 1;
        let ended = sign_against(suite, count, rewrite(2, 0, |_, body| *body.last_mut().unwrap() ^= 1));
        for slot in [0, 1, 3] {
            let reason = FaultReason::BadSignatureShare { message: last };
            assert_eq!(fault(&ended, slot), &Fault { culprits: vec![Slot(2)], reason });
        }
    }
}

#[test]
fn a_bad_partial_signature_is_named_before_the_others_arrive() {
    let only_bad = |packet: Packet| {
        if packet.from != Slot(2) {
            return vec![];
        }
        rewrite(2, 0, |_, body| *body.last_mut().unwrap() ^= 1)(packet)
    };
    let ended = sign_against(Suite::MockEcdsa, 1, only_bad);
    assert_eq!(fault(&ended, 0).culprits, [Slot(2)]);
}

#[test]
fn repeated_messages_and_repeated_steps_bring_no_second_partial_signature() {
    for suite in SUITES {
        let repeat = |packet: Packet| vec![packet.clone(), packet];
        let ended = sign_against(suite, 1, repeat);
        agreed_signatures(&ended);
        for slot in (0..4).map(Slot) {
            let mut said: Vec<_> = ended
                .sent
                .iter()
                .filter(|packet| packet.from == slot)
                .map(|packet| &packet.payload)
                .collect();
            said.dedup();
            assert_eq!(said.len(), 1, "{slot} said several things");
        }
        for mut machine in ended.machines {
            let advance = machine.advance();
            assert!(advance.outgoing.is_empty());
            assert!(matches!(advance.progress, Progress::Failed(Fault { reason: FaultReason::Ended, .. })));
        }
    }
}

#[test]
fn another_message_run_or_presignature_is_refused_without_accusation() {
    let (suite, key) = (Suite::MockEcdsa, key(Suite::MockEcdsa));
    let one_of = |name: &str| presign(&key, name, &FOUR).remove(1);
    let others = [
        (one_of("run"), online_params("online", 1, &FOUR, &preimages(2)[1..])),
        (one_of("run"), online_params("other run", 1, &FOUR, &preimages(1))),
        (one_of("another"), online_params("online", 1, &FOUR, &preimages(1))),
    ];
    for (presignature, params) in others {
        let stock = vec![presign(&key, "run", &FOUR)];
        let mut machines = online_machines(&key, stock, &FOUR, &preimages(1));
        machines[1] = Suite::online(&key[1], vec![presignature], &params).unwrap();
        let ended = run(machines, honest, in_order);
        let expected = Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(1) } };
        assert_eq!(fault(&ended, 0), &expected, "{suite:?}");
    }
}

#[test]
fn presignatures_that_do_not_fit_the_round_are_refused() {
    let key = key(Suite::MockEcdsa);
    let mine = |name: &str, signers: &[u16]| presign(&key, name, signers).remove(0);
    let online = |pile, signers: &[u16], count| {
        Suite::online(&key[0], pile, &online_params("online", 0, signers, &preimages(count))).err()
    };
    let twice = || {
        let bytes = mine("run", &FOUR).to_secret_bytes();
        Presignature::from_secret_bytes(&bytes).unwrap()
    };
    assert_eq!(online(vec![mine("run", &FOUR)], &FOUR, 2), Some(RefusedParams::Presignatures));
    assert_eq!(online(vec![twice(), twice()], &FOUR, 2), Some(RefusedParams::Presignatures));
    assert_eq!(online(vec![mine("run", &[0, 1, 2, 3])], &FOUR, 1), Some(RefusedParams::Presignatures));
    assert_eq!(online(vec![], &FOUR, 0), Some(RefusedParams::Messages { messages: 0 }));
    assert_eq!(online(vec![mine("run", &FOUR)], &FOUR, 1), None);
    let long = OnlineParams { preimages: vec![vec![0; 1025]], ..online_params("online", 0, &FOUR, &[]) };
    let refused = Suite::online(&key[0], vec![mine("run", &FOUR)], &long).err();
    assert_eq!(refused, Some(RefusedParams::Preimage));
}

#[test]
fn without_stock_signers_presign_and_sign_in_one_run() {
    for (suite, count, order) in [(Suite::Cggmp24, 2, 1), (Suite::MockEcdsa, 5, 2)] {
        let key = key(suite);
        let repeat = |packet: Packet| vec![packet.clone(), packet];
        let ended = run(signing_machines(&key, "run", &FOUR, &messages(count)), repeat, shuffled(order));
        for (signature, message) in agreed_signatures(&ended).iter().zip(messages(count)) {
            assert!(suite.verify_ecdsa(&key[0].point(), &message, signature));
        }
    }
}

#[test]
fn without_stock_a_bad_partial_signature_still_names_its_author() {
    let key = key(Suite::MockEcdsa);
    // Only the online round has bodies of this length.
    let tamper = rewrite(2, 0, |_, body| {
        if body.len() == 64 {
            body[63] ^= 1;
        }
    });
    let ended = run(signing_machines(&key, "run", &FOUR, &messages(1)), tamper, in_order);
    let reason = FaultReason::BadSignatureShare { message: 0 };
    assert_eq!(fault(&ended, 0), &Fault { culprits: vec![Slot(2)], reason });
}

#[test]
fn without_stock_another_message_is_refused_before_round_one() {
    for suite in SUITES {
        let key = key(suite);
        let mut machines = signing_machines(&key, "run", &FOUR, &messages(1));
        machines[1] = signing_machine(&key[1], "run", 1, &FOUR, &[[7; 32]]);
        let ended = run(machines, honest, in_order);
        let expected = Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(1) } };
        assert_eq!(fault(&ended, 0), &expected);
    }
}
