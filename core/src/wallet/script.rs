//! A wallet's key as Bitcoin sees it, and the scripts it may pay.

use bitcoin::{
    Address, Network, Script, ScriptBuf,
    key::{TapTweak, TweakedPublicKey},
    secp256k1::Secp256k1,
};

use crate::{ids::KeyId, wallet_key::WalletKey};

/// What the wallet of one key looks like on chain: pay-to-taproot, key path only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Which key.
    pub key: KeyId,
    /// The key that the members share, before the BIP-341 tweak.
    pub public_key: WalletKey,
    output: TweakedPublicKey,
    network: Network,
}

impl Wallet {
    /// The wallet of `public_key`.
    #[must_use]
    pub fn new(key: KeyId, public_key: WalletKey, network: Network) -> Self {
        // BIP-341 and BIP-86: the output key commits to an empty script tree, so nobody can hide a script in it.
        let (output, _) = public_key.x_only().tap_tweak(&Secp256k1::verification_only(), None);
        Self { key, public_key, output, network }
    }

    /// The script that pays this wallet.
    #[must_use]
    pub fn script(&self) -> ScriptBuf {
        ScriptBuf::new_p2tr_tweaked(self.output)
    }

    /// The address of [`script`](Self::script), in Bech32m.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::p2tr_tweaked(self.output, self.network)
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
    use crate::wallet::fixture::KEY;

    fn wallet(internal: &str, network: Network) -> Wallet {
        // BIP-86 shows x coordinates; the point of even y stands for both.
        let point = <[u8; 33]>::from_hex(&format!("02{internal}")).unwrap();
        Wallet::new(KEY, WalletKey::from_bytes(&point).unwrap(), network)
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

    #[test]
    fn script_and_address_are_those_of_bip_86() {
        for (internal, script, address) in BIP86 {
            let wallet = wallet(internal, Network::Bitcoin);
            assert_eq!(wallet.script().to_hex_string(), script);
            assert_eq!(wallet.address().to_string(), address);
        }
    }

    #[test]
    fn an_address_belongs_to_its_network() {
        let [(internal, ..), ..] = BIP86;
        for (network, prefix) in
            [(Network::Regtest, "bcrt1p"), (Network::Signet, "tb1p"), (Network::Testnet, "tb1p")]
        {
            assert!(wallet(internal, network).address().to_string().starts_with(prefix), "{network}");
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
