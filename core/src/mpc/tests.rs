//! A network in memory for machines under test, with a hook for misbehaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod ecdsa;
mod keygen;
mod share;
mod signing;

use std::sync::Arc;

use super::mailbox::Frame;
use super::*;

/// Deliveries after which a run counts as livelocked: far more than any protocol here sends.
const MAX_STEPS: usize = 10_000;

/// One delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Packet {
    from: Slot,
    to: Slot,
    payload: Vec<u8>,
}

/// How a run ended: by slot, its result if it had one, and everything that was sent.
struct Ended {
    results: Vec<Option<Result<Output, Fault>>>,
    machines: Vec<Box<dyn Machine>>,
    sent: Vec<Packet>,
}

/// Runs machines until nothing is in flight. `tamper` maps what is sent to what arrives; `pick` chooses the
/// next delivery among so many in flight.
fn run(
    mut machines: Vec<Box<dyn Machine>>,
    mut tamper: impl FnMut(Packet) -> Vec<Packet>,
    mut pick: impl FnMut(usize) -> usize,
) -> Ended {
    let parties = u16::try_from(machines.len()).unwrap();
    let mut results: Vec<Option<Result<Output, Fault>>> = machines.iter().map(|_| None).collect();
    let mut in_flight = Vec::new();
    let mut sent = Vec::new();
    let mut to_advance: Vec<u16> = (0..parties).collect();
    for _ in 0..MAX_STEPS {
        for slot in to_advance.drain(..) {
            let advance = machines[usize::from(slot)].advance();
            for Outgoing { to, payload } in advance.outgoing {
                let recipients: Vec<u16> = match to {
                    Recipient::All => (0..parties).filter(|other| *other != slot).collect(),
                    Recipient::One(Slot(other)) => vec![other],
                };
                for other in recipients {
                    let packet = Packet { from: Slot(slot), to: Slot(other), payload: payload.clone() };
                    sent.push(packet.clone());
                    in_flight.extend(tamper(packet));
                }
            }
            let result = &mut results[usize::from(slot)];
            match advance.progress {
                Progress::Running => assert!(result.is_none(), "a machine ran on after its end"),
                Progress::Finished(output) => {
                    assert!(result.replace(Ok(output)).is_none(), "two outputs")
                }
                Progress::Failed(Fault { reason: FaultReason::Ended, .. }) => assert!(result.is_some()),
                Progress::Failed(fault) => {
                    assert!(result.replace(Err(fault)).is_none(), "two results")
                }
            }
        }
        if in_flight.is_empty() {
            return Ended { results, machines, sent };
        }
        let packet = in_flight.remove(pick(in_flight.len()));
        machines[packet.to.index()].receive(packet.from, &packet.payload);
        to_advance.push(packet.to.0);
    }
    panic!("no end after {MAX_STEPS} deliveries");
}

fn honest(packet: Packet) -> Vec<Packet> {
    vec![packet]
}

fn in_order(_: usize) -> usize {
    0
}

/// An order of deliveries drawn from `seed`.
fn shuffled(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |len| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % len
    }
}

/// Rewrites the bodies of one party's messages in one round; the rewriter sees recipient and body.
fn rewrite(
    from: u16,
    round: u8,
    mut body: impl FnMut(Slot, &mut Vec<u8>),
) -> impl FnMut(Packet) -> Vec<Packet> {
    move |mut packet| {
        let frame: Frame<'_> = postcard::from_bytes(&packet.payload).unwrap();
        if packet.from == Slot(from) && frame.round == round {
            let mut changed = frame.body.to_vec();
            body(packet.to, &mut changed);
            packet.payload = postcard::to_allocvec(&Frame { body: &changed, ..frame }).unwrap();
        }
        vec![packet]
    }
}

fn seed(of: &str, slot: u16) -> [u8; 32] {
    digest(of, &[&slot.to_be_bytes()])
}

fn keygen_params(me: u16, parties: u16, threshold: u16) -> KeygenParams {
    KeygenParams { execution_id: digest("keygen run", &[]), me: Slot(me), parties, threshold }
}

fn keygen_machines(suite: Suite, parties: u16, threshold: u16) -> Vec<Box<dyn Machine>> {
    (0..parties)
        .map(|me| suite.keygen(keygen_params(me, parties, threshold), seed("keygen seed", me)).unwrap())
        .collect()
}

/// Shares of a fresh key, by slot.
fn key(suite: Suite, parties: u16, threshold: u16) -> Vec<Arc<KeyShare>> {
    let ended = run(keygen_machines(suite, parties, threshold), honest, in_order);
    ended.results.into_iter().map(|result| Arc::new(share_of(result))).collect()
}

fn share_of(result: Option<Result<Output, Fault>>) -> KeyShare {
    match result {
        Some(Ok(Output::KeyShare(share))) => share,
        other => panic!("no key share but {other:?}"),
    }
}

fn signing_machine(
    share: &Arc<KeyShare>,
    run: &str,
    me: u16,
    signers: &[u16],
    messages: &[[u8; 32]],
) -> Box<dyn Machine> {
    let params = SigningParams {
        execution_id: digest(run, &[]),
        me: Slot(me),
        signers: signers.iter().copied().map(Slot).collect(),
        messages: messages.to_vec(),
    };
    Suite::signing(share.clone(), params, seed(run, me)).unwrap()
}

fn signing_machines(
    key: &[Arc<KeyShare>],
    run: &str,
    signers: &[u16],
    messages: &[[u8; 32]],
) -> Vec<Box<dyn Machine>> {
    (0u16..)
        .zip(signers)
        .map(|(me, signer)| signing_machine(&key[usize::from(*signer)], run, me, signers, messages))
        .collect()
}

fn messages(count: u8) -> Vec<[u8; 32]> {
    (0..count).map(|index| digest("message", &[&[index]])).collect()
}

/// The signatures, which must be the same at every signer.
fn agreed_signatures(ended: &Ended) -> Vec<[u8; 64]> {
    let all: Vec<&Vec<[u8; 64]>> = ended
        .results
        .iter()
        .map(|result| match result {
            Some(Ok(Output::Signatures(signatures))) => signatures,
            other => panic!("no signatures but {other:?}"),
        })
        .collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "signers disagree");
    all[0].clone()
}

fn fault(ended: &Ended, slot: u16) -> &Fault {
    match &ended.results[usize::from(slot)] {
        Some(Err(fault)) => fault,
        other => panic!("slot {slot} has no fault but {other:?}"),
    }
}
