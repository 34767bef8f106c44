//! Chains to test on, and a wallet of one key that signs for them.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::key::{Keypair, Secp256k1, TapTweak as _};
use bitcoin::secp256k1::{All, Message, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{
    Address, Amount, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness, ecdsa, taproot, transaction,
};
use mpc_wallet_e2e::chain::{Backend, Regtest, RegtestOptions};

pub(crate) const FEE: u64 = 1_000;

static ANNOUNCE: Once = Once::new();

/// The real node's folder; a variable that points nowhere fails the tests rather than skip them.
fn bitcoind_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("MPC_WALLET_BITCOIND_DIR")?);
    assert!(dir.join("bitcoind").is_file(), "MPC_WALLET_BITCOIND_DIR={}: no bitcoind there", dir.display());
    Some(dir)
}

fn start(backend: Backend, options: RegtestOptions) -> Regtest {
    Regtest::start(backend, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap()
}

pub(crate) fn embedded(options: RegtestOptions) -> Regtest {
    start(Backend::Embedded, options)
}

pub(crate) fn bitcoind() -> Option<Regtest> {
    Some(start(Backend::Bitcoind { dir: bitcoind_dir()? }, RegtestOptions::default()))
}

/// Runs a test on every backend that is here, and says so past the test harness's capture.
pub(crate) fn on_each_backend(test: impl Fn(&Regtest)) {
    let dir = bitcoind_dir();
    ANNOUNCE.call_once(|| {
        let coverage = match &dir {
            Some(dir) => format!("chain tests: embedded and bitcoind ({})\n", dir.display()),
            None => "chain tests: EMBEDDED ONLY; set MPC_WALLET_BITCOIND_DIR (scripts/install-bitcoind.sh) \
                     to hold them against a real node\n"
                .to_owned(),
        };
        std::io::stderr().write_all(coverage.as_bytes()).unwrap();
    });
    test(&embedded(RegtestOptions::default()));
    if let Some(node) = bitcoind() {
        test(&node);
    }
}

/// One key with a Taproot and a SegWit address.
pub(crate) struct Wallet {
    secp: Secp256k1<All>,
    key: SecretKey,
}

impl Wallet {
    pub(crate) fn new(seed: u8) -> Self {
        Self { secp: Secp256k1::new(), key: SecretKey::from_slice(&[seed; 32]).unwrap() }
    }

    fn pair(&self) -> Keypair {
        self.key.keypair(&self.secp)
    }

    fn compressed(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.key.public_key(&self.secp))
    }

    pub(crate) fn taproot(&self) -> Address {
        Address::p2tr(&self.secp, self.pair().x_only_public_key().0, None, Network::Regtest)
    }

    pub(crate) fn segwit(&self) -> Address {
        Address::p2wpkh(&self.compressed(), Network::Regtest)
    }

    /// Funds one of this wallet's addresses and returns the confirmed coin.
    pub(crate) fn coin(&self, chain: &Regtest, address: &Address, sats: u64) -> (OutPoint, TxOut) {
        let txid = chain.fund(address, Amount::from_sat(sats)).unwrap();
        coin_of(&chain.transaction(&txid).unwrap().unwrap(), address)
    }

    /// Signs every input, each by the rules of the output it spends.
    pub(crate) fn sign(&self, tx: &mut Transaction, spent: &[TxOut]) {
        let unsigned = tx.clone();
        let mut cache = SighashCache::new(&unsigned);
        for (index, output) in spent.iter().enumerate() {
            tx.input[index].witness = if output.script_pubkey.is_p2tr() {
                let sighash_type = TapSighashType::Default;
                let digest = cache
                    .taproot_key_spend_signature_hash(index, &Prevouts::All(spent), sighash_type)
                    .unwrap();
                let pair = self.pair().tap_tweak(&self.secp, None).to_keypair();
                let signature = self.secp.sign_schnorr_no_aux_rand(&Message::from(digest), &pair);
                Witness::p2tr_key_spend(&taproot::Signature { signature, sighash_type })
            } else {
                let sighash_type = EcdsaSighashType::All;
                let digest = cache
                    .p2wpkh_signature_hash(index, &output.script_pubkey, output.value, sighash_type)
                    .unwrap();
                let signature = self.secp.sign_ecdsa(&Message::from(digest), &self.key);
                Witness::p2wpkh(&ecdsa::Signature { signature, sighash_type }, &self.compressed().0)
            };
        }
    }

    /// A signed transaction from coins to outputs.
    pub(crate) fn spend(&self, coins: &[(OutPoint, TxOut)], outputs: &[TxOut]) -> Transaction {
        let outpoints: Vec<OutPoint> = coins.iter().map(|coin| coin.0).collect();
        let spent: Vec<TxOut> = coins.iter().map(|coin| coin.1.clone()).collect();
        let mut tx = unsigned(&outpoints, outputs);
        self.sign(&mut tx, &spent);
        tx
    }

    /// One coin to one address of this wallet, with a fee in satoshi.
    pub(crate) fn forward(&self, coin: &(OutPoint, TxOut), to: &Address, fee: u64) -> Transaction {
        self.spend(std::slice::from_ref(coin), &[pay(to, coin.1.value.to_sat() - fee)])
    }
}

pub(crate) fn unsigned(outpoints: &[OutPoint], outputs: &[TxOut]) -> Transaction {
    let input = outpoints.iter().map(|previous_output| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    });
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output: outputs.to_vec(),
    }
}

pub(crate) fn pay(address: &Address, sats: u64) -> TxOut {
    TxOut { value: Amount::from_sat(sats), script_pubkey: address.script_pubkey() }
}

/// The first output of a transaction that pays an address.
pub(crate) fn coin_of(tx: &Transaction, address: &Address) -> (OutPoint, TxOut) {
    let script = address.script_pubkey();
    let vout = tx.output.iter().position(|output| output.script_pubkey == script).unwrap();
    (OutPoint { txid: tx.compute_txid(), vout: vout as u32 }, tx.output[vout].clone())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> (u16, String) {
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Status and text of a GET.
pub(crate) fn get(chain: &Regtest, path: &str) -> (u16, String) {
    read(agent().get(format!("{}{path}", chain.url())).call().unwrap())
}

/// Status and text of a broadcast.
pub(crate) fn broadcast(chain: &Regtest, tx: &Transaction) -> (u16, String) {
    post(chain, "/tx", &serialize_hex(tx))
}

pub(crate) fn post(chain: &Regtest, path: &str, body: &str) -> (u16, String) {
    let request = agent().post(format!("{}{path}", chain.url()));
    read(request.header("content-type", "application/json").send(body).unwrap())
}

/// Waits for a condition, at most ten seconds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}
