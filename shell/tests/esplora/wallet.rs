//! Transactions of a test wallet with one real key: Taproot, and where it says so P2WPKH.

use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, TapSighashType, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime,
    hashes::Hash,
    key::{Keypair, Secp256k1, TapTweak},
    secp256k1::Message,
    sighash::{Prevouts, SighashCache},
    taproot::Signature,
    transaction::Version,
};
use mpc_wallet_core::{
    ClusterId, KeyId, NodeId, PaymentId, Scheme, Timestamp,
    tx::{Prevout, Proposal},
    wallet::{self, Wallet},
};

pub fn keypair() -> Keypair {
    Keypair::from_seckey_slice(&Secp256k1::new(), &[0x2a; 32]).unwrap()
}

pub fn script() -> ScriptBuf {
    ScriptBuf::new_p2tr(&Secp256k1::new(), keypair().x_only_public_key().0, None)
}

pub fn other_script() -> ScriptBuf {
    ScriptBuf::from_bytes([&[0x00, 0x14][..], &[5; 20]].concat())
}

pub fn output(sat: u64) -> TxOut {
    TxOut { value: Amount::from_sat(sat), script_pubkey: script() }
}

pub fn transaction(inputs: &[OutPoint], outputs: Vec<TxOut>) -> Transaction {
    let input = |previous_output: &OutPoint| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.iter().map(input).collect(),
        output: outputs,
    }
}

/// A deposit to the wallet; the number makes it unlike others.
pub fn deposit(number: u8, sat: u64) -> Transaction {
    transaction(&[OutPoint::new(Txid::from_byte_array([number; 32]), 0)], vec![output(sat)])
}

/// A block reward to the wallet.
pub fn coinbase(number: u8) -> Transaction {
    let mut reward = transaction(&[OutPoint::null()], vec![output(5_000_000_000)]);
    reward.input[0].script_sig = ScriptBuf::from_bytes(vec![1, number]);
    reward
}

pub fn coin(parent: &Transaction, vout: u32) -> OutPoint {
    OutPoint::new(parent.compute_txid(), vout)
}

/// A payment of two coins, signed for real, with the outputs it spends.
pub fn payment() -> (Transaction, Vec<TxOut>) {
    let parents = [deposit(1, 60_000), deposit(2, 50_000)];
    let prevouts = vec![output(60_000), output(50_000)];
    let inputs = [coin(&parents[0], 0), coin(&parents[1], 0)];
    let paid = TxOut { value: Amount::from_sat(100_000), script_pubkey: other_script() };
    let mut payment = transaction(&inputs, vec![paid, output(9_000)]);
    let secp = Secp256k1::new();
    let key = keypair().tap_tweak(&secp, None).to_keypair();
    for index in 0..inputs.len() {
        let digest = SighashCache::new(&payment)
            .taproot_key_spend_signature_hash(index, &Prevouts::All(&prevouts), TapSighashType::Default)
            .unwrap();
        let signature = secp.sign_schnorr_no_aux_rand(&Message::from_digest(digest.to_byte_array()), &key);
        let signature = Signature { signature, sighash_type: TapSighashType::Default };
        payment.input[index].witness = Witness::p2tr_key_spend(&signature);
    }
    (payment, prevouts)
}

/// A payment of two coins of the key's P2WPKH wallet, finished by the core, with the outputs it spends.
pub fn segwit_payment() -> (Transaction, Vec<TxOut>) {
    let key = KeyId { scheme: Scheme::Segwit, epoch: 1 };
    let ours = Wallet::new(key, keypair().public_key().into(), Network::Regtest);
    let coin = |sat| TxOut { value: Amount::from_sat(sat), script_pubkey: ours.script() };
    let prevouts = vec![coin(60_000), coin(50_000)];
    let inputs = [1, 2].map(|number| OutPoint::new(Txid::from_byte_array([number; 32]), 0));
    let paid = TxOut { value: Amount::from_sat(100_000), script_pubkey: other_script() };
    let proposal = Proposal {
        cluster: ClusterId::from_bytes([1; 32]),
        key,
        payment: PaymentId::from_bytes([2; 32]),
        origin: NodeId::new(1),
        recipient: other_script(),
        amount: paid.value,
        fee: Amount::from_sat(1_000),
        unsigned_tx: transaction(&inputs, vec![paid, coin(9_000)]),
        prevouts: prevouts
            .iter()
            .map(|o| Prevout { value: o.value, script: o.script_pubkey.clone() })
            .collect(),
        metadata: None,
        external_id: None,
        created_at: Timestamp(0),
        expires_at: Timestamp(1),
        replaces: None,
    };
    let secp = Secp256k1::new();
    let sign = |digest: &[u8; 32]| {
        secp.sign_ecdsa(&Message::from_digest(*digest), &keypair().secret_key()).serialize_compact()
    };
    let signatures: Vec<_> = wallet::sighashes(&proposal).unwrap().iter().map(sign).collect();
    (wallet::finish(&ours, &proposal, &signatures).unwrap(), prevouts)
}
