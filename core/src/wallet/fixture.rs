//! Wallets of either kind, grants and proposals for this module's tests.
#![allow(clippy::unwrap_used)]

use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, WPubkeyHash,
    absolute::LockTime,
    hashes::Hash,
    key::TapTweak,
    secp256k1::{Keypair, Message, Secp256k1, SecretKey},
    transaction::Version,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{SEQUENCE, Wallet, build};
use crate::{
    ids::{ClusterId, FencingEpoch, KeyId, NodeId, PaymentId, Scheme},
    message::{CoinGrant, GrantedCoin},
    time::Timestamp,
    tx::{Prevout, Proposal},
};

pub(super) const fn key(scheme: Scheme) -> KeyId {
    KeyId { scheme, epoch: 1 }
}

/// Lock time of every grant.
pub(super) const LOCK_TIME: u32 = 1_000;

fn keypair() -> Keypair {
    Keypair::from_seckey_slice(&Secp256k1::new(), &[7; 32]).unwrap()
}

pub(super) fn wallet(scheme: Scheme) -> Wallet {
    Wallet::new(key(scheme), keypair().public_key().into(), Network::Regtest)
}

/// A valid signature of that wallet.
pub(super) fn sign(scheme: Scheme, message: &[u8; 32]) -> [u8; 64] {
    let secp = Secp256k1::new();
    let message = Message::from_digest(*message);
    match scheme {
        Scheme::Taproot => {
            let output = keypair().tap_tweak(&secp, None).to_keypair();
            secp.sign_schnorr_no_aux_rand(&message, &output).serialize()
        }
        Scheme::Segwit => secp.sign_ecdsa(&message, &keypair().secret_key()).serialize_compact(),
    }
}

/// The other ECDSA signature that anyone can make of one: s becomes the group's order less s.
pub(super) fn with_upper_s(low: &[u8; 64]) -> [u8; 64] {
    let (r, s) = low.split_at(32);
    let upper = SecretKey::from_slice(s).unwrap().negate().secret_bytes();
    [r, &upper].concat().try_into().unwrap()
}

pub(super) fn any_scheme() -> impl Strategy<Value = Scheme> {
    prop::sample::select(Scheme::ALL.to_vec())
}

/// The least output to that wallet which nodes relay, in satoshis.
pub(super) const fn dust(scheme: Scheme) -> u64 {
    match scheme {
        Scheme::Taproot => 330,
        Scheme::Segwit => 294,
    }
}

pub(super) fn recipient() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([2; 20]))
}

pub(super) fn stranger() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([3; 20]))
}

pub(super) fn outpoint(number: u8) -> OutPoint {
    numbered(usize::from(number))
}

fn numbered(number: usize) -> OutPoint {
    let number = u64::try_from(number).unwrap();
    OutPoint { txid: Txid::hash(&number.to_le_bytes()), vout: 0 }
}

/// A transaction whose second output is `output`.
pub(super) fn parent(number: u8, output: TxOut) -> Transaction {
    let decoy = TxOut { value: Amount::from_sat(99), script_pubkey: stranger() };
    let input = TxIn { previous_output: outpoint(number), sequence: SEQUENCE, ..TxIn::default() };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![decoy, output],
    }
}

/// Coins of these values, numbered from 0.
pub(super) fn grant(scheme: Scheme, values: &[u64], fee: u64, change: u64) -> CoinGrant {
    let script = wallet(scheme).script();
    let coin = |(number, &value): (usize, &u64)| GrantedCoin {
        outpoint: numbered(number),
        output: Prevout { value: Amount::from_sat(value), script: script.clone() },
    };
    CoinGrant {
        payment: PaymentId::from_bytes([4; 32]),
        inputs: values.iter().enumerate().map(coin).collect(),
        fee: Amount::from_sat(fee),
        change: Amount::from_sat(change),
        lock_time: LOCK_TIME,
        epoch: FencingEpoch(0),
    }
}

/// A sound proposal that pays the recipient what fee and change leave of the coins.
pub(super) fn proposal(scheme: Scheme, values: &[u64], fee: u64, change: u64) -> Proposal {
    let grant = grant(scheme, values, fee, change);
    let amount = Amount::from_sat(values.iter().sum::<u64>().saturating_sub(fee + change));
    let mut entropy = ChaCha20Rng::seed_from_u64(5);
    Proposal {
        cluster: ClusterId::from_bytes([6; 32]),
        key: key(scheme),
        payment: grant.payment,
        origin: NodeId::new(1),
        recipient: recipient(),
        amount,
        fee: grant.fee,
        unsigned_tx: build(&wallet(scheme), &grant, &recipient(), amount, &mut entropy),
        prevouts: grant.inputs.into_iter().map(|coin| coin.output).collect(),
        metadata: Some("invoice 17".into()),
        external_id: None,
        created_at: Timestamp(1),
        expires_at: Timestamp(2),
        replaces: None,
    }
}
