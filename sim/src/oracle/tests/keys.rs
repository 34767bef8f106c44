//! One key, held by all before anybody uses it.

use mpc_wallet_core::message::{KeyProof, KeygenRequest};

use super::*;

const KEY: [u8; 32] = [5; 32];

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

fn sealed(attempt: u64, public_key: [u8; 32]) -> Fact {
    Fact::KeyShareSealed { request: request(attempt), public_key }
}

fn active(attempt: u64, public_key: [u8; 32]) -> Fact {
    Fact::KeyActivated(KeyProof { request: request(attempt), public_key, signature: [0; 64] })
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
    exam.durable(N, sealed(1, [6; 32])).unwrap();
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
        exam.durable(number, sealed(2, [6; 32])).unwrap();
    }
    exam.durable(1, active(1, KEY)).unwrap();
    refuses(exam.durable(2, active(2, [6; 32])), "node-1 and node-2 call different keys");
}

#[test]
fn one_key_asks_nothing_of_a_traitor() {
    let mut exam = Exam(OneKey::new(all_but_one()));
    for number in [1, 3, 4, 5] {
        exam.durable(number, sealed(1, KEY)).unwrap();
    }
    exam.durable(1, active(1, KEY)).unwrap();
}
