//! Key generation with auxiliary information, and the share that comes of it.

use super::*;

#[test]
fn all_parties_hold_shares_of_one_key() {
    for suite in SUITES {
        let key = key(suite);
        for (share, slot) in key.iter().zip(0u16..) {
            assert_eq!(share.point(), key[0].point());
            assert_eq!(share.public_digest(), key[0].public_digest());
            assert_eq!(
                (share.slot(), share.threshold(), share.parties(), share.suite()),
                (Slot(slot), 4, 5, suite)
            );
        }
    }
}

#[test]
fn the_kept_key_is_what_key_generation_yields_in_any_order_with_repetitions() {
    let repeat = |packet: Packet| vec![packet.clone(), packet];
    let ended = run(keygen_machines(Suite::Cggmp24, 5, 4), repeat, shuffled(5));
    for (result, kept) in ended.results.into_iter().zip(key(Suite::Cggmp24)) {
        let bytes = |share: &KeyShare| share.to_secret_bytes().unwrap();
        assert_eq!(*bytes(&share_of(result)), *bytes(&kept));
    }
}

#[test]
fn mock_key_generation_takes_any_order_and_repetitions() {
    for order in 0..8 {
        let repeat = |packet: Packet| vec![packet.clone(), packet];
        let ended = run(keygen_machines(Suite::MockEcdsa, 5, 4), repeat, shuffled(order));
        let points: Vec<_> = ended.results.into_iter().map(|result| share_of(result).point()).collect();
        assert!(points.iter().all(|point| *point == key(Suite::MockEcdsa)[0].point()));
    }
}

#[test]
fn the_stage_is_told_to_people() {
    let mut machine = keygen_machine(Suite::MockEcdsa, keygen_params(0, 3, 2));
    machine.advance();
    assert_eq!(machine.stage(), Some(Stage { name: "key generation", round: 1, rounds: 4 }));
    let ended = run(keygen_machines(Suite::MockEcdsa, 3, 2), honest, in_order);
    assert!(
        ended.machines.iter().all(|machine| machine.stage().is_none() && machine.waiting_for().is_empty())
    );
}

#[test]
fn parties_with_other_parameters_or_levels_refuse_each_other_before_round_one() {
    for suite in SUITES {
        let other_id = KeygenParams { execution_id: [9; 32], ..keygen_params(2, 3, 2) };
        for other in [other_id, keygen_params(2, 3, 3)] {
            let mut machines = keygen_machines(suite, 3, 2);
            machines[2] = keygen_machine(suite, other);
            let ended = run(machines, honest, in_order);
            let expected = Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(2) } };
            assert_eq!(fault(&ended, 0), &expected);
        }
    }
}

#[test]
fn a_false_proof_about_a_modulus_is_known_to_its_victim() {
    let aux = |round| {
        // The auxiliary protocol is told from the key's by its context; the mock's bodies are alike in both.
        let mut commitments = 0;
        move |mut packet: Packet| {
            let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
            if packet.from == Slot(2) && packet.to == Slot(0) {
                commitments += usize::from(frame.round == 0);
                if commitments == 2 && frame.round == round {
                    let mut body = frame.body.to_vec();
                    *body.last_mut().unwrap() ^= 1;
                    packet.payload = postcard::to_allocvec(&Frame { body: &body, ..frame }).unwrap();
                }
            }
            vec![packet]
        }
    };
    let ended = run(keygen_machines(Suite::MockEcdsa, 3, 2), aux(3), in_order);
    assert_eq!(fault(&ended, 0), &Fault { culprits: vec![Slot(2)], reason: FaultReason::BadPaillierKey });
    // The last number of the library's proof to each.
    let ended = run(keygen_machines(Suite::Cggmp24, 3, 2), aux(3), in_order);
    assert_eq!(fault(&ended, 0).culprits, [Slot(2)]);
}

#[test]
fn numbers_that_the_library_cannot_read_name_their_sender() {
    // A number is its base, then its digits: base 16 becomes 99, over which the library panics.
    let hostile = rewrite(2, 2, |_, body| {
        if let Some(base) = body.iter().position(|byte| *byte == 16).filter(|_| body.len() > 10_000) {
            body[base] = 99;
        }
    });
    let ended = run(keygen_machines(Suite::Cggmp24, 3, 2), hostile, in_order);
    assert_eq!(fault(&ended, 0), &Fault { culprits: vec![Slot(2)], reason: FaultReason::Malformed });
}

#[test]
fn no_changed_bit_of_a_share_makes_another_share() {
    let bytes = key(Suite::Cggmp24)[0].to_secret_bytes().unwrap();
    // All of the core share, and samples of the large numbers behind it.
    for index in (0..560).chain((560..bytes.len()).step_by(13)) {
        let mut damaged = bytes.to_vec();
        damaged[index] ^= 1;
        // The encoding can say a few things in two ways.
        let same = |share: KeyShare| share.to_secret_bytes().unwrap() == bytes;
        assert!(KeyShare::from_secret_bytes(&damaged).ok().is_none_or(same), "byte {index}");
    }
}

#[test]
fn debug_output_of_a_share_is_public() {
    for suite in SUITES {
        let text = format!("{:?}", key(suite)[0]);
        assert!(!text.contains("MOCK") && text.len() < 200, "{text}");
    }
}
