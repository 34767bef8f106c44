//! One key, held by all before anybody uses it.

use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use mpc_wallet_core::{
    WalletKey,
    message::{KeyProof, KeygenRequest},
};

use super::*;

/// The secrets of two keys.
const KEY: u8 = 5;
const OTHER_KEY: u8 = 6;

fn public_key(secret: u8) -> WalletKey {
    let secret = SecretKey::from_slice(&[secret; 32]).unwrap();
    PublicKey::from_secret_key(&Secp256k1::new(), &secret).into()
}

fn request(attempt: u64) -> KeygenRequest {
    KeygenRequest {
        cluster: cluster().id(),
        key: key_id(),
        initiator: node(1),
        boot: BootId(1),
        attempt,
        boots: (1..=N).map(|_| BootId(1)).collect(),
    }
}

fn sealed(attempt: u64, key: u8) -> Fact {
    Fact::KeyShareSealed { request: request(attempt), public_key: public_key(key) }
}

fn active(attempt: u64, key: u8) -> Fact {
    Fact::KeyActivated(KeyProof {
        request: request(attempt),
        public_key: public_key(key),
        signature: [0; 64],
    })
}

#[test]
fn one_key_wants_every_share_before_the_first_use() {
    let mut exam = Exam(OneKey::new(everybody()));
    for number in 1..N {
        exam.durable(number, sealed(1, KEY)).unwrap();
    }
    refuses(exam.durable(1, active(1, KEY)), "before node-5 holds a share");
    // A share of another ceremony, or of another key, is none of this one.
    exam.durable(N, sealed(2, KEY)).unwrap();
    exam.durable(N, sealed(1, OTHER_KEY)).unwrap();
    refuses(exam.durable(1, active(1, KEY)), "before node-5 holds a share");
    exam.durable(N, sealed(1, KEY)).unwrap();
    for number in 1..=N {
        exam.durable(number, active(1, KEY)).unwrap();
    }
}

#[test]
fn one_key_is_one_for_all() {
    let mut exam = Exam(OneKey::new(everybody()));
    for number in 1..=N {
        exam.durable(number, sealed(1, KEY)).unwrap();
        exam.durable(number, sealed(2, OTHER_KEY)).unwrap();
    }
    exam.durable(1, active(1, KEY)).unwrap();
    refuses(exam.durable(2, active(2, OTHER_KEY)), "node-1 and node-2 call different keys");
}

#[test]
fn one_key_asks_nothing_of_a_traitor() {
    let mut exam = Exam(OneKey::new(all_but_one()));
    for number in [1, 3, 4, 5] {
        exam.durable(number, sealed(1, KEY)).unwrap();
    }
    exam.durable(1, active(1, KEY)).unwrap();
}
