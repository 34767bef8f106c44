//! Signing: valid signatures from every quorum, and what each misbehaviour leads to.

use bitcoin::secp256k1::{Message, Secp256k1, schnorr};
use bitcoin::{Address, Network};

use super::*;

const SUITES: [Suite; 2] = [Suite::Givre, Suite::Mock];
const FOUR: [u16; 4] = [0, 1, 3, 4];

fn sign_against(suite: Suite, count: u8, tamper: impl FnMut(Packet) -> Vec<Packet>) -> Ended {
    run(signing_machines(&key(suite, 5, 4), "run", &FOUR, &messages(count)), tamper, in_order)
}

#[test]
fn every_quorum_of_four_in_five_signs_for_the_taproot_address() {
    let secp = Secp256k1::verification_only();
    let key = key(Suite::Givre, 5, 4);
    let internal_key = key[0].public_key();
    let script = Address::p2tr(&secp, internal_key, None, Network::Regtest).script_pubkey();
    let output_key = bitcoin::XOnlyPublicKey::from_slice(&script.as_bytes()[2..]).unwrap();
    for absent in 0..5 {
        let signers: Vec<u16> = (0..5).filter(|slot| *slot != absent).collect();
        let ended = run(signing_machines(&key, "run", &signers, &messages(1)), honest, in_order);
        let signatures = agreed_signatures(&ended);
        let signature = schnorr::Signature::from_slice(&signatures[0]).unwrap();
        secp.verify_schnorr(&signature, &Message::from_digest(messages(1)[0]), &output_key).unwrap();
        assert!(Suite::Givre.verify(internal_key, &messages(1)[0], &signatures[0]));
    }
}

#[test]
fn keys_of_either_parity_sign_with_four_or_five() {
    // Internal and output key are each odd half of the time; eight keys of 2-of-3 meet all cases.
    for run_id in 0..8u8 {
        let machines = (0..3)
            .map(|me| {
                let params = KeygenParams { execution_id: [run_id; 32], ..keygen_params(me, 3, 2) };
                Suite::Givre.keygen(params, seed("parity", me)).unwrap()
            })
            .collect();
        let key: Vec<_> = run(machines, honest, in_order)
            .results
            .into_iter()
            .map(|result| Arc::new(share_of(result)))
            .collect();
        for signers in [&[0u16, 2][..], &[0, 1, 2]] {
            agreed_signatures(&run(signing_machines(&key, "run", signers, &messages(1)), honest, in_order));
        }
    }
}

#[test]
fn three_inputs_get_three_signatures_in_order() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        let ended = run(signing_machines(&key, "run", &FOUR, &messages(3)), honest, in_order);
        let signatures = agreed_signatures(&ended);
        for (signature, (index, message)) in signatures.iter().zip(messages(3).iter().enumerate()) {
            assert!(suite.verify(key[0].public_key(), message, signature));
            assert!(!suite.verify(key[0].public_key(), &messages(4)[index + 1], signature));
        }
        assert_eq!(signatures.len(), 3);
        assert!(ended.machines.iter().all(|machine| machine.waiting_for().is_empty()));
    }
}

#[test]
fn same_seeds_give_the_same_transcript_and_delivery_order_does_not_matter() {
    for suite in SUITES {
        let first = sign_against(suite, 2, honest);
        assert_eq!(first.sent, sign_against(suite, 2, honest).sent);
        let key = key(suite, 5, 4);
        for order in 0..8 {
            let ended = run(signing_machines(&key, "run", &FOUR, &messages(2)), honest, shuffled(order));
            assert_eq!(agreed_signatures(&ended), agreed_signatures(&first));
        }
    }
}

#[test]
fn two_runs_over_one_message_use_different_nonces() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        // The same seeds: the context alone must set the runs apart, and messages of one run apart from each other.
        let sign = |id: [u8; 32], messages: &[[u8; 32]]| {
            let machines = (0u16..)
                .zip(FOUR)
                .map(|(me, signer)| {
                    let signers = FOUR.map(Slot).to_vec();
                    let params = SigningParams {
                        execution_id: id,
                        me: Slot(me),
                        signers,
                        messages: messages.to_vec(),
                    };
                    Suite::signing(key[usize::from(signer)].clone(), params, [3; 32]).unwrap()
                })
                .collect();
            agreed_signatures(&run(machines, honest, in_order))
        };
        let message = messages(1)[0];
        let first = sign([1; 32], &[message, message]);
        let second = sign([2; 32], &[message]);
        let nonce = |signature: &[u8; 64]| signature[..32].to_vec();
        assert_ne!(nonce(&first[0]), nonce(&first[1]));
        assert_ne!(nonce(&first[0]), nonce(&second[0]));
    }
}

#[test]
fn a_bad_share_names_its_signer_and_message() {
    for suite in SUITES {
        let ended = sign_against(suite, 3, rewrite(2, 1, |_, body| body[63] ^= 1));
        for slot in [0, 1, 3] {
            let reason = FaultReason::BadSignatureShare { message: 1 };
            assert_eq!(fault(&ended, slot), &Fault { culprits: vec![Slot(2)], reason });
        }
    }
}

#[test]
fn a_bad_share_is_named_before_the_other_shares_arrive() {
    for suite in SUITES {
        let bad = |packet| rewrite(2, 1, |_, body| body[0] ^= 1)(packet);
        let only_two = |packet: Packet| {
            let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
            if frame.round == 1 && packet.from != Slot(2) { vec![] } else { bad(packet) }
        };
        let ended = sign_against(suite, 1, only_two);
        assert_eq!(fault(&ended, 0).culprits, [Slot(2)]);
    }
}

#[test]
fn equivocated_commitments_release_no_signature_and_accuse_no_honest_signer() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        // Commitments that are valid, but of another run of the same signer.
        let mut twin = signing_machine(&key[3], "twin", 2, &FOUR, &messages(1));
        let payload = twin.advance().outgoing[0].payload.clone();
        let frame: Frame<'_> = postcard::from_bytes(&payload).unwrap();
        let other = frame.body.to_vec();
        let ended = run(
            signing_machines(&key, "run", &FOUR, &messages(1)),
            rewrite(2, 0, |to, body| {
                if to == Slot(0) {
                    body.clone_from(&other);
                }
            }),
            in_order,
        );
        for slot in [0, 1, 3] {
            let fault = fault(&ended, slot);
            assert!(matches!(fault.reason, FaultReason::SplitView { subject: Slot(2), .. }), "{fault:?}");
            assert!(fault.culprits.iter().all(|culprit| *culprit == Slot(2)), "{fault:?}");
        }
    }
}

#[test]
fn garbage_names_its_sender() {
    let infinity = |body: &mut Vec<u8>| body[..33].fill(0);
    let too_many = |body: &mut Vec<u8>| body.extend([2; 66]);
    let too_few = |body: &mut Vec<u8>| body.truncate(33);
    let cases: [fn(&mut Vec<u8>); 3] = [infinity, too_many, too_few];
    for garbage in cases {
        let ended = sign_against(Suite::Givre, 1, rewrite(2, 0, |_, body| garbage(body)));
        for slot in [0, 1, 3] {
            let fault = fault(&ended, slot);
            assert_eq!(fault.culprits, [Slot(2)]);
            assert!(
                matches!(fault.reason, FaultReason::Malformed | FaultReason::Oversized { .. }),
                "{fault:?}"
            );
        }
    }
    let out_of_field = sign_against(Suite::Givre, 1, rewrite(2, 1, |_, body| body.fill(0xff)));
    assert_eq!(fault(&out_of_field, 0), &Fault { culprits: vec![Slot(2)], reason: FaultReason::Malformed });
}

#[test]
fn no_bytes_make_a_machine_panic() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        let valid = sign_against(suite, 1, honest).sent.remove(0).payload;
        for cut in 0..valid.len() {
            let mut truncated = signing_machine(&key[1], "run", 1, &FOUR, &messages(1));
            truncated.receive(Slot(0), &valid[..cut]);
            assert!(
                matches!(truncated.advance().progress, Progress::Failed(fault) if fault.culprits == [Slot(0)])
            );
            let mut flipped = signing_machine(&key[1], "run", 1, &FOUR, &messages(1));
            let mut bytes = valid.clone();
            bytes[cut] ^= 0x80;
            flipped.receive(Slot(0), &bytes);
            flipped.receive(Slot(0), &valid);
            flipped.advance();
        }
    }
}

#[test]
fn two_different_messages_in_one_round_name_their_sender() {
    for suite in SUITES {
        let twice = |packet: Packet| {
            let changed = rewrite(2, 1, |_, body| body[5] ^= 1)(packet.clone());
            if changed[0] == packet { vec![packet] } else { [vec![packet], changed].concat() }
        };
        let mut machine = signing_machine(&key(suite, 5, 4)[0], "run", 0, &FOUR, &messages(1));
        for packet in sign_against(suite, 1, honest)
            .sent
            .into_iter()
            .filter(|packet| packet.to == Slot(0))
            .flat_map(twice)
        {
            machine.receive(packet.from, &packet.payload);
        }
        let Progress::Failed(fault) = machine.advance().progress else { panic!("accepted") };
        assert_eq!(fault, Fault { culprits: vec![Slot(2)], reason: FaultReason::Conflicting { round: 1 } });
    }
}

#[test]
fn duplicates_strangers_and_echoes_of_oneself_are_harmless() {
    for suite in SUITES {
        let noisy = |packet: Packet| {
            let stranger = Packet { from: Slot(99), ..packet.clone() };
            let myself = Packet { from: packet.to, ..packet.clone() };
            vec![packet.clone(), stranger, myself, packet]
        };
        agreed_signatures(&run(
            signing_machines(&key(suite, 5, 4), "run", &FOUR, &messages(2)),
            noisy,
            shuffled(3),
        ));
    }
}

#[test]
fn another_run_signer_set_or_message_is_refused_before_a_share_leaves() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        let others = [
            signing_machine(&key[1], "other run", 1, &FOUR, &messages(1)),
            signing_machine(&key[1], "run", 1, &[0, 1, 2, 3], &messages(1)),
            signing_machine(&key[1], "run", 1, &FOUR, &messages(2)),
        ];
        for other in others {
            let mut machines = signing_machines(&key, "run", &FOUR, &messages(1));
            machines[1] = other;
            let ended = run(machines, honest, in_order);
            let expected = Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(1) } };
            assert_eq!(fault(&ended, 0), &expected);
            assert!(
                ended
                    .sent
                    .iter()
                    .all(|packet| { postcard::from_bytes::<Frame<'_>>(&packet.payload).unwrap().round == 0 })
            );
        }
    }
}

#[test]
fn a_silent_signer_is_waited_for_by_name_and_no_share_leaves() {
    for suite in SUITES {
        let silent = |packet: Packet| {
            if packet.from == Slot(2) { vec![] } else { vec![packet] }
        };
        let ended = sign_against(suite, 1, silent);
        for slot in [0, 1, 3] {
            assert!(ended.results[slot].is_none());
            assert_eq!(ended.machines[slot].waiting_for(), [Slot(2)]);
        }
        let honest_shares = ended.sent.iter().filter(|packet| packet.from != Slot(2));
        assert!(
            honest_shares
                .into_iter()
                .all(|p| postcard::from_bytes::<Frame<'_>>(&p.payload).unwrap().round == 0)
        );
    }
}

#[test]
fn a_finished_machine_gives_nothing_more() {
    for suite in SUITES {
        for mut machine in sign_against(suite, 1, honest).machines {
            machine.receive(Slot(0), b"late");
            let advance = machine.advance();
            assert!(advance.outgoing.is_empty());
            assert!(
                matches!(advance.progress, Progress::Failed(fault) if fault == Fault::by_nobody(FaultReason::Ended))
            );
        }
    }
}

#[test]
fn signer_lists_that_do_not_fit_the_key_are_refused() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        let refused = |signers: &[u16], me, count| {
            let signers = signers.iter().copied().map(Slot).collect();
            let messages = vec![[1; 32]; count];
            let params = SigningParams { execution_id: [0; 32], me: Slot(me), signers, messages };
            Suite::signing(key[0].clone(), params, [0; 32]).err()
        };
        assert_eq!(
            refused(&[0, 1, 2], 0, 1),
            Some(RefusedParams::TooFewSigners { signers: 3, threshold: 4 })
        );
        assert_eq!(refused(&[0, 1, 2, 5], 0, 1), Some(RefusedParams::Signers { parties: 5 }));
        assert_eq!(refused(&[0, 1, 1, 2], 0, 1), Some(RefusedParams::Signers { parties: 5 }));
        assert_eq!(refused(&[0, 2, 1, 3], 0, 1), Some(RefusedParams::Signers { parties: 5 }));
        let not_me = RefusedParams::NotASigner { me: Slot(1), share: Slot(0) };
        assert_eq!(refused(&[0, 1, 2, 3], 1, 1), Some(not_me));
        assert_eq!(refused(&[0, 1, 2, 3], 0, 0), Some(RefusedParams::Messages { messages: 0 }));
        assert_eq!(refused(&[0, 1, 2, 3], 0, 257), Some(RefusedParams::Messages { messages: 257 }));
        assert_eq!(refused(&[0, 1, 2, 3], 0, 256), None);
    }
}
