//! Threshold ECDSA: keys, presignatures and signatures, with the library on small numbers and with the mock of it.

use super::*;
use crate::mpc::ecdsa::{
    OnlineParams, Presignature, PresignatureError, PresigningParams, PrimeSearch, Primes, PrimesError,
};

mod keygen;
mod presignature;
mod primes;
mod signing;

const SUITES: [Suite; 2] = [Suite::Cggmp24, Suite::MockEcdsa];

const FOUR: [u16; 4] = [0, 1, 3, 4];

/// Primes of one party: small, or mock.
fn primes(suite: Suite, slot: u16) -> Primes {
    match suite {
        Suite::Cggmp24 => Primes::toy(Slot(slot)).unwrap(),
        Suite::MockEcdsa | Suite::Givre | Suite::Mock => {
            Primes::generate(suite, seed("primes", slot)).unwrap()
        }
    }
}

fn keygen_machine(suite: Suite, params: KeygenParams) -> Box<dyn Machine> {
    let slot = params.me.0;
    suite.keygen_with_primes(params, primes(suite, slot), seed("keygen seed", slot)).unwrap()
}

fn keygen_machines(suite: Suite, parties: u16, threshold: u16) -> Vec<Box<dyn Machine>> {
    (0..parties).map(|me| keygen_machine(suite, keygen_params(me, parties, threshold))).collect()
}

/// The 4-of-5 key that key generation yields in these tests, kept, because it takes many seconds with the library.
fn key(suite: Suite) -> Vec<Arc<KeyShare>> {
    let kept: [&[u8]; 5] = [
        include_bytes!("ecdsa/toy-share-0.bin"),
        include_bytes!("ecdsa/toy-share-1.bin"),
        include_bytes!("ecdsa/toy-share-2.bin"),
        include_bytes!("ecdsa/toy-share-3.bin"),
        include_bytes!("ecdsa/toy-share-4.bin"),
    ];
    match suite {
        Suite::Cggmp24 => {
            kept.iter().map(|bytes| Arc::new(KeyShare::from_secret_bytes(bytes).unwrap())).collect()
        }
        Suite::MockEcdsa | Suite::Givre | Suite::Mock => run(keygen_machines(suite, 5, 4), honest, in_order)
            .results
            .into_iter()
            .map(|result| Arc::new(share_of(result)))
            .collect(),
    }
}

fn slots(signers: &[u16]) -> Vec<Slot> {
    signers.iter().copied().map(Slot).collect()
}

fn presigning_params(run: &str, me: u16, signers: &[u16]) -> PresigningParams {
    PresigningParams { execution_id: digest(run, &[]), me: Slot(me), signers: slots(signers) }
}

fn presigning_machines(key: &[Arc<KeyShare>], run: &str, signers: &[u16]) -> Vec<Box<dyn Machine>> {
    (0u16..)
        .zip(signers)
        .map(|(me, signer)| {
            let params = presigning_params(run, me, signers);
            Suite::presigning(key[usize::from(*signer)].clone(), &params, seed(run, me)).unwrap()
        })
        .collect()
}

fn presignatures_of(ended: Ended) -> Vec<Presignature> {
    ended
        .results
        .into_iter()
        .map(|result| match result {
            Some(Ok(Output::Presignature(presignature))) => presignature,
            other => panic!("no presignature but {other:?}"),
        })
        .collect()
}

/// One presignature at each signer.
fn presign(key: &[Arc<KeyShare>], name: &str, signers: &[u16]) -> Vec<Presignature> {
    presignatures_of(run(presigning_machines(key, name, signers), honest, in_order))
}

fn preimages(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|index| vec![index; 182]).collect()
}

fn sighash(preimage: &[u8]) -> [u8; 32] {
    bitcoin::hashes::sha256d::Hash::hash(preimage).to_byte_array()
}

fn online_params(run: &str, me: u16, signers: &[u16], preimages: &[Vec<u8>]) -> OnlineParams {
    OnlineParams {
        execution_id: digest(run, &[]),
        me: Slot(me),
        signers: slots(signers),
        preimages: preimages.to_vec(),
    }
}

/// Machines of an online round; each of `stock` is one presignature at every signer.
fn online_machines(
    key: &[Arc<KeyShare>],
    stock: Vec<Vec<Presignature>>,
    signers: &[u16],
    preimages: &[Vec<u8>],
) -> Vec<Box<dyn Machine>> {
    let mut by_signer: Vec<Vec<Presignature>> = signers.iter().map(|_| Vec::new()).collect();
    for presignatures in stock {
        for (pile, presignature) in by_signer.iter_mut().zip(presignatures) {
            pile.push(presignature);
        }
    }
    (0u16..)
        .zip(signers)
        .zip(by_signer)
        .map(|((me, signer), pile)| {
            let params = online_params("online", me, signers, preimages);
            Suite::online(&key[usize::from(*signer)], pile, &params).unwrap()
        })
        .collect()
}
