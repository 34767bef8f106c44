//! A wallet's key as Bitcoin sees it, and the scripts it may pay.

use bitcoin::{Address, CompressedPublicKey, Network, Script, ScriptBuf, secp256k1::Secp256k1};

use crate::{
    ids::{KeyId, Scheme},
    wallet_key::WalletKey,
};

/// What the wallet of one key looks like on chain: one script, and the address that stands for it. The key's scheme says
/// of which kind it is: pay-to-taproot by key path only, or pay-to-witness-public-key-hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Which key.
    pub key: KeyId,
    /// The key that the members share, before any tweak.
    pub public_key: WalletKey,
    script: ScriptBuf,
    address: Address,
}

impl Wallet {
    /// The wallet of `public_key`, of the kind that `key` names.
    #[must_use]
    pub fn new(key: KeyId, public_key: WalletKey, network: Network) -> Self {
        let address = match key.scheme {
            // BIP-341 and BIP-86: the output key commits to an empty script tree, so nobody can hide a script in it.
            Scheme::Taproot => {
                Address::p2tr(&Secp256k1::verification_only(), public_key.x_only(), None, network)
            }
            // BIP-141: witness version 0 and the HASH160 of the compressed key.
            Scheme::Segwit => Address::p2wpkh(&CompressedPublicKey(public_key.point()), network),
        };
        Self { key, public_key, script: address.script_pubkey(), address }
    }

    /// The script that pays this wallet.
    #[must_use]
    pub fn script(&self) -> ScriptBuf {
        self.script.clone()
    }

    /// The address of [`script`](Self::script): Bech32m for Taproot, Bech32 for P2WPKH.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.clone()
    }
}

/// Whether a payment may go to `script`: P2PKH, P2SH, P2WPKH, P2WSH or P2TR. Others are data, anyone's money, or
/// witness versions that no wallet can spend yet.
#[must_use]
pub fn is_standard_recipient(script: &Script) -> bool {
    script.is_p2pkh() || script.is_p2sh() || script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hex::FromHex;

    use super::*;
    use crate::wallet::fixture;

    fn wallet(scheme: Scheme, point: &str, network: Network) -> Wallet {
        let point = <[u8; 33]>::from_hex(point).unwrap();
        Wallet::new(fixture::key(scheme), WalletKey::from_bytes(&point).unwrap(), network)
    }

    /// BIP-86, "Test vectors": internal key, scriptPubKey, address.
    const BIP86: [(&str, &str, &str); 3] = [
        (
            "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115",
            "5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        ),
        (
            "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145",
            "5120a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
            "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
        ),
        (
            "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef",
            "5120882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
            "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
        ),
    ];

    /// BIP-84, "Test vectors": public key, address.
    const BIP84: [(&str, &str); 3] = [
        (
            "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c",
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        ),
        (
            "03e775fd51f0dfb8cd865d9ff1cca2a158cf651fe997fdc9fee9c1d3b5e995ea77",
            "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
        ),
        (
            "03025324888e429ab8e3dbaf1f7802648b9cd01e9b418485c5fa4c1b9b5700e1a6",
            "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
        ),
    ];

    #[test]
    fn script_and_address_are_those_of_bip_86() {
        for (internal, script, address) in BIP86 {
            // The x coordinate stands for both points.
            for parity in ["02", "03"] {
                let wallet = wallet(Scheme::Taproot, &format!("{parity}{internal}"), Network::Bitcoin);
                assert_eq!(wallet.script().to_hex_string(), script);
                assert_eq!(wallet.address().to_string(), address);
            }
        }
    }

    #[test]
    fn script_and_address_are_those_of_bip_84_and_bip_173() {
        for (point, address) in BIP84 {
            let wallet = wallet(Scheme::Segwit, point, Network::Bitcoin);
            assert_eq!(wallet.address().to_string(), address);
            assert_eq!(wallet.script(), wallet.address().script_pubkey());
        }
        // BIP-173, "Examples": the generator's key hash.
        let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let wallet = wallet(Scheme::Segwit, generator, Network::Bitcoin);
        assert_eq!(wallet.script().to_hex_string(), "0014751e76e8199196d454941c45d1b3a323f1433bd6");
        assert_eq!(wallet.address().to_string(), "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    }

    #[test]
    fn the_points_of_one_x_coordinate_are_two_segwit_wallets() {
        let [(internal, ..), ..] = BIP86;
        let [even, odd] = ["02", "03"]
            .map(|parity| wallet(Scheme::Segwit, &format!("{parity}{internal}"), Network::Bitcoin));
        assert_ne!(even.script(), odd.script());
    }

    #[test]
    fn an_address_belongs_to_its_network() {
        let [(point, _), ..] = BIP84;
        for (network, prefix) in
            [(Network::Regtest, "bcrt1"), (Network::Signet, "tb1"), (Network::Testnet, "tb1")]
        {
            for (scheme, version) in [(Scheme::Taproot, "p"), (Scheme::Segwit, "q")] {
                let address = wallet(scheme, point, network).address().to_string();
                assert!(address.starts_with(&format!("{prefix}{version}")), "{network}: {address}");
            }
        }
    }

    #[test]
    fn only_scripts_that_wallets_can_spend_are_paid() {
        for (desc, script, allowed) in [
            ("p2pkh", "76a914000000000000000000000000000000000000000088ac", true),
            ("p2sh", "a914000000000000000000000000000000000000000087", true),
            ("p2wpkh", "00140000000000000000000000000000000000000000", true),
            ("p2wsh", "00200000000000000000000000000000000000000000000000000000000000000000", true),
            ("p2tr", "51200000000000000000000000000000000000000000000000000000000000000001", true),
            ("empty", "", false),
            ("op_return", "6a0401020304", false),
            ("pay to anchor", "51024e73", false),
            (
                "witness version 2",
                "52200000000000000000000000000000000000000000000000000000000000000001",
                false,
            ),
            (
                "bare public key",
                "21020000000000000000000000000000000000000000000000000000000000000001ac",
                false,
            ),
        ] {
            assert_eq!(is_standard_recipient(&ScriptBuf::from_hex(script).unwrap()), allowed, "{desc}");
        }
    }
}
