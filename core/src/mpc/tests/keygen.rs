//! Key generation: what it yields, and what each misbehaviour leads to.

use givre::keygen::ThresholdMsg;

use super::*;

type Msg = ThresholdMsg<
    generic_ec::curves::Secp256k1,
    givre::keygen::security_level::SecurityLevel128,
    k256::sha2::Sha256,
>;

const SUITES: [Suite; 2] = [Suite::Givre, Suite::Mock];

const OPEN: u8 = 2;
const SHARE: u8 = 3;
const PROVE: u8 = 4;

/// Party 4 of 5 misbehaves.
fn run_against(tamper: impl FnMut(Packet) -> Vec<Packet>) -> Ended {
    run(keygen_machines(Suite::Givre, 5, 4), tamper, in_order)
}

fn assert_all_name(ended: &Ended, culprit: u16, reason: FaultReason) {
    for slot in 0..5 {
        if slot != culprit {
            assert_eq!(
                fault(ended, slot),
                &Fault { culprits: vec![Slot(culprit)], reason },
                "at slot {slot}"
            );
        }
    }
}

#[test]
fn all_parties_hold_shares_of_one_key() {
    for suite in SUITES {
        let key = key(suite, 5, 4);
        for (share, slot) in key.iter().zip(0u16..) {
            assert_eq!(share.public_key(), key[0].public_key());
            assert_eq!(share.public_digest(), key[0].public_digest());
            assert_eq!(
                (share.slot(), share.threshold(), share.parties(), share.suite()),
                (Slot(slot), 4, 5, suite)
            );
        }
    }
}

#[test]
fn same_seeds_give_the_same_transcript_and_delivery_order_does_not_matter() {
    for suite in SUITES {
        let first = run(keygen_machines(suite, 5, 4), honest, in_order);
        let again = run(keygen_machines(suite, 5, 4), honest, in_order);
        assert_eq!(first.sent, again.sent);
        let public_key = share_of(first.results.into_iter().next().unwrap()).public_key();
        for order in 0..8 {
            let ended = run(keygen_machines(suite, 5, 4), honest, shuffled(order));
            for result in ended.results {
                assert_eq!(share_of(result).public_key(), public_key);
            }
        }
    }
}

#[test]
fn duplicate_deliveries_are_harmless() {
    for suite in SUITES {
        let ended = run(
            keygen_machines(suite, 5, 4),
            |packet| vec![packet.clone(), packet.clone(), packet],
            shuffled(7),
        );
        ended.results.into_iter().for_each(|result| drop(share_of(result)));
    }
}

#[test]
fn an_equivocated_commitment_yields_no_share_and_accuses_no_honest_party() {
    for suite in SUITES {
        let ended = run(
            keygen_machines(suite, 5, 4),
            rewrite(4, 0, |to, body| {
                if to.0 < 2 {
                    *body.last_mut().unwrap() ^= 1;
                }
            }),
            in_order,
        );
        for slot in 0..4 {
            let fault = fault(&ended, slot);
            assert!(matches!(fault.reason, FaultReason::SplitView { subject: Slot(4), .. }), "{fault:?}");
            assert!(fault.culprits.iter().all(|culprit| *culprit == Slot(4)), "{fault:?}");
            assert!([fault.culprits.clone(), fault.suspects()].concat().contains(&Slot(4)));
        }
    }
}

#[test]
fn a_party_that_misreports_what_we_sent_is_named() {
    let tamper = |mut packet: Packet| {
        let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
        if packet.from == Slot(4) && packet.to == Slot(1) && frame.round == 1 {
            let mut view = frame.view.to_vec();
            view[32] ^= 1;
            packet.payload = postcard::to_allocvec(&Frame { view: &view, ..frame }).unwrap();
        }
        vec![packet]
    };
    let ended = run_against(tamper);
    let reason = FaultReason::SplitView { reporter: Slot(4), subject: Slot(1) };
    assert_eq!(fault(&ended, 1), &Fault { culprits: vec![Slot(4)], reason });
}

#[test]
fn a_false_confirmation_names_its_sender() {
    let ended = run_against(rewrite(4, 1, |_, body| *body.last_mut().unwrap() ^= 1));
    assert_all_name(&ended, 4, FaultReason::BadEcho);
}

#[test]
fn an_opening_that_does_not_match_its_commitment_names_its_sender() {
    let ended = run_against(rewrite(4, OPEN, |_, body| *body.last_mut().unwrap() ^= 1));
    assert_all_name(&ended, 4, FaultReason::BadDecommitment);
}

#[test]
fn a_longer_or_shorter_polynomial_is_refused_and_names_its_sender() {
    for length in [0, 3, 5] {
        let ended = run_against(rewrite(4, OPEN, |_, body| {
            let Msg::Round2Broad(mut opening) = postcard::from_bytes(body).unwrap() else {
                panic!("not an opening")
            };
            let coefficients: Vec<_> = opening.F.coefs().iter().cycle().take(length).copied().collect();
            opening.F = serde_like(&opening.F, coefficients);
            *body = postcard::to_allocvec(&Msg::Round2Broad(opening)).unwrap();
        }));
        assert_all_name(&ended, 4, FaultReason::BadPolynomial);
    }
}

/// A polynomial of other coefficients, by way of its encoding: its constructor's crate is not ours to name.
fn serde_like<T: serde::de::DeserializeOwned>(_type: &T, coefficients: impl serde::Serialize) -> T {
    postcard::from_bytes(&postcard::to_allocvec(&coefficients).unwrap()).unwrap()
}

#[test]
fn the_library_refuses_another_threshold_too() {
    // Past our own check, which reads the same field: a polynomial of the length that the sender believes in.
    let id = [7; 32];
    let mut rngs: Vec<ChaCha20Rng> = (0..3).map(|slot| rng(&seed("library", slot), &id)).collect();
    let mut machines: Vec<_> = (0u16..)
        .zip(&mut rngs)
        .map(|(me, rng)| {
            round_based::state_machine::wrap_protocol(move |party| async move {
                givre::keygen::<generic_ec::curves::Secp256k1>(
                    givre::keygen::ExecutionId::new(&[7; 32]),
                    me,
                    3,
                )
                .set_threshold(if me == 2 { 3 } else { 2 })
                .start(rng, party)
                .await
            })
        })
        .collect();
    let errors = drive(&mut machines);
    assert!(errors[0].as_ref().is_some_and(|text| text.contains("InvalidDataSize")), "{errors:?}");
    assert!(errors[1].as_ref().is_some_and(|text| text.contains("InvalidDataSize")), "{errors:?}");
}

/// Runs the library's own machines to the end; the debug text of each error.
fn drive<M, T, E>(machines: &mut [M]) -> Vec<Option<String>>
where
    M: round_based::state_machine::StateMachine<Output = Result<T, E>>,
    M::Msg: Clone + round_based::ProtocolMessage,
    E: std::fmt::Debug,
{
    use round_based::state_machine::ProceedResult;
    use round_based::{Incoming, MessageDestination, MessageType};
    let mut inboxes: Vec<std::collections::VecDeque<Incoming<M::Msg>>> =
        machines.iter().map(|_| Default::default()).collect();
    let mut errors: Vec<Option<String>> = machines.iter().map(|_| None).collect();
    let mut over = vec![false; machines.len()];
    for step in 0..MAX_STEPS {
        let me = step % machines.len();
        if over[me] {
            continue;
        }
        match machines[me].proceed() {
            ProceedResult::SendMsg(message) => {
                for (other, inbox) in inboxes.iter_mut().enumerate() {
                    let msg_type = match message.recipient {
                        MessageDestination::AllParties if other != me => MessageType::Broadcast,
                        MessageDestination::OneParty(to) if usize::from(to) == other => MessageType::P2P,
                        MessageDestination::AllParties | MessageDestination::OneParty(_) => {
                            continue;
                        }
                    };
                    let sender = u16::try_from(me).unwrap();
                    inbox.push_back(Incoming { id: 0, sender, msg_type, msg: message.msg.clone() });
                }
            }
            ProceedResult::NeedsOneMoreMessage => {
                if let Some(message) = inboxes[me].pop_front() {
                    assert!(machines[me].received_msg(message).is_ok());
                }
            }
            ProceedResult::Output(result) => {
                over[me] = true;
                errors[me] = result.err().map(|error| format!("{error:?}"));
            }
            ProceedResult::Yielded => {}
            ProceedResult::Error(error) => panic!("{error}"),
        }
    }
    errors
}

#[test]
fn a_bad_secret_share_is_known_to_its_victim() {
    let mut other = Vec::new();
    let ended = run_against(rewrite(4, SHARE, |to, body| match to {
        Slot(0) => other.clone_from(body),
        Slot(1) => body.clone_from(&other),
        _ => {}
    }));
    assert_eq!(fault(&ended, 1), &Fault { culprits: vec![Slot(4)], reason: FaultReason::BadSecretShare });
    assert!(
        ended.results.iter().all(|result| !matches!(result, Some(Ok(_)))),
        "a share came out of a failed run"
    );
    assert!([0, 2, 3].iter().all(|slot: &usize| ended.machines[*slot].waiting_for() == [Slot(1)]));
}

/// What `from` sends to `to` in `round` of the honest run of the same seeds.
fn honest_body(from: u16, to: u16, round: u8) -> Vec<u8> {
    let sent = run_against(honest).sent;
    let mut bodies = sent
        .iter()
        .filter(|packet| packet.from == Slot(from) && packet.to == Slot(to))
        .filter_map(|packet| {
            let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
            (frame.round == round).then(|| frame.body.to_vec())
        });
    bodies.next_back().unwrap()
}

#[test]
fn two_bad_secret_shares_name_both_senders() {
    let other = honest_body(2, 0, SHARE);
    let to_zero = |to, body: &mut Vec<u8>| {
        if to == Slot(0) {
            body.clone_from(&other);
        }
    };
    let (mut third, mut fourth) = (rewrite(3, SHARE, to_zero), rewrite(4, SHARE, to_zero));
    let ended = run_against(|packet| third(packet).into_iter().flat_map(&mut fourth).collect());
    assert_eq!(
        fault(&ended, 0),
        &Fault { culprits: vec![Slot(3), Slot(4)], reason: FaultReason::BadSecretShare }
    );
}

#[test]
fn a_false_proof_names_its_sender() {
    let other = honest_body(0, 1, PROVE);
    let ended = run_against(rewrite(4, PROVE, |_, body| body.clone_from(&other)));
    assert_all_name(&ended, 4, FaultReason::BadProof);
}

#[test]
fn a_mock_contribution_that_does_not_match_names_its_sender() {
    let ended = run(keygen_machines(Suite::Mock, 5, 4), rewrite(4, 1, |_, body| body[0] ^= 1), in_order);
    assert_all_name(&ended, 4, FaultReason::BadDecommitment);
}

#[test]
fn garbage_names_its_sender_and_ends_the_run_without_a_share() {
    for suite in SUITES {
        for garbage in [vec![], vec![0xff; 40], vec![0; 100_000]] {
            let ended = run(
                keygen_machines(suite, 3, 2),
                |packet| {
                    let payload =
                        if packet.from == Slot(2) { garbage.clone() } else { packet.payload.clone() };
                    vec![Packet { payload, ..packet }]
                },
                in_order,
            );
            for slot in 0..2 {
                assert_eq!(fault(&ended, slot).culprits, [Slot(2)]);
            }
        }
    }
}

#[test]
fn a_silent_party_is_waited_for_by_name() {
    for suite in SUITES {
        let ended = run(
            keygen_machines(suite, 5, 4),
            |packet| {
                if packet.from == Slot(3) { vec![] } else { vec![packet] }
            },
            in_order,
        );
        for slot in [0, 1, 2, 4] {
            assert!(ended.results[slot].is_none());
            assert_eq!(ended.machines[slot].waiting_for(), [Slot(3)]);
        }
    }
}

#[test]
fn parties_with_other_ids_or_thresholds_refuse_each_other_without_accusation() {
    for suite in SUITES {
        let other_id = KeygenParams { execution_id: [9; 32], ..keygen_params(2, 3, 2) };
        for other in [other_id, keygen_params(2, 3, 3)] {
            let mut machines = keygen_machines(suite, 3, 2);
            machines[2] = suite.keygen(other, [1; 32]).unwrap();
            let ended = run(machines, honest, in_order);
            let fault = fault(&ended, 0);
            assert_eq!(fault, &Fault { culprits: vec![], reason: FaultReason::OtherRun { from: Slot(2) } });
            assert_eq!(fault.suspects(), [Slot(2)]);
        }
    }
}

#[test]
fn impossible_parameters_are_refused() {
    let cases = [
        (keygen_params(0, 1, 1), RefusedParams::Parties { parties: 1 }),
        (keygen_params(0, 33, 4), RefusedParams::Parties { parties: 33 }),
        (keygen_params(0, 5, 1), RefusedParams::Threshold { threshold: 1, parties: 5 }),
        (keygen_params(0, 5, 6), RefusedParams::Threshold { threshold: 6, parties: 5 }),
        (keygen_params(5, 5, 4), RefusedParams::NotAParty { me: Slot(5), parties: 5 }),
    ];
    for suite in SUITES {
        for (params, expected) in cases.clone() {
            assert_eq!(suite.keygen(params, [0; 32]).err(), Some(expected));
        }
    }
}

#[test]
fn the_largest_honest_message_fits_the_limit() {
    // The rounds after the opening cost seconds at this size: only the opening of slot 0 arrives.
    let early_or_from_zero = |packet: Packet| {
        let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
        if frame.round < OPEN || packet.from == Slot(0) { vec![packet] } else { vec![] }
    };
    let machines = keygen_machines(Suite::Givre, MAX_PARTIES, MAX_PARTIES);
    let ended = run(machines, early_or_from_zero, in_order);
    assert!(ended.results.iter().all(Option::is_none));
    assert!(!ended.machines[1].waiting_for().contains(&Slot(0)));
}
