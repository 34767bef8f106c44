//! The cluster of `certificate`: its CA, what the CA signed, and the first seeds made from both. Written anew when a
//! person asks for it with `MPC_WALLET_BLESS=1`, because a key of the CA is kept nowhere.

use std::{fs, path::PathBuf};

use mpc_wallet_fuzz::certificate::{NOT_AFTER, NOT_BEFORE, folder};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType,
};
use time::OffsetDateTime;

fn blessed() -> bool {
    std::env::var_os("MPC_WALLET_BLESS").is_some()
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

type Authority = Issuer<'static, KeyPair>;
type Change = fn(&mut CertificateParams);

fn moment(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (moment(NOT_BEFORE), moment(NOT_AFTER));
    params
}

fn leaf(number: u16) -> CertificateParams {
    let name = format!("node-{number}");
    let mut params = params(&name);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn authority(name: &str, above: Option<&Authority>) -> (Vec<u8>, String, Authority) {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = match above {
        None => params.self_signed(&key),
        Some(above) => params.signed_by(&key, above),
    }
    .unwrap();
    (certificate.der().to_vec(), certificate.pem(), Issuer::new(params, key))
}

fn issue(params: &CertificateParams, by: &Authority) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().to_vec()
}

/// One input: who looks, whom he expects, when; then the chain.
fn input(dialled: bool, expected: u8, when: u8, chain: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![u8::from(!dialled) | expected << 1 | when << 4];
    for der in chain {
        bytes.extend(u16::try_from(der.len()).unwrap().to_be_bytes());
        bytes.extend(*der);
    }
    bytes
}

#[test]
fn the_ca_and_what_it_signed_are_made_together() {
    if !blessed() {
        assert_eq!(fs::read_dir(folder()).unwrap().count(), 8);
        return;
    }
    fs::create_dir_all(folder()).unwrap();
    let (root, pem, ca) = authority("test CA", None);
    fs::write(folder().join("ca.crt"), pem).unwrap();
    let (between, _, intermediate) = authority("test intermediate CA", Some(&ca));
    let (_, _, foreign) = authority("test CA", None);
    let own = [1, 2, 3].map(|number| issue(&leaf(number), &ca));
    let through = issue(&leaf(4), &intermediate);
    for (number, der) in (1..).zip(own.iter().chain([&through])) {
        fs::write(folder().join(format!("node-{number}.der")), der).unwrap();
    }
    let seed = |name: &str, bytes: Vec<u8>| write("certificate", name, &bytes);
    for (name, dialled, when) in
        [("good-dialled", true, 0), ("good-accepted", false, 0), ("early", true, 1), ("late", false, 2)]
    {
        seed(name, input(dialled, 1, when, &[&own[0]]));
    }
    seed("last-second", input(true, 2, 3, &[&own[1]]));
    seed("somebody-else", input(true, 3, 0, &[&own[1]]));
    seed("through-an-intermediate", input(true, 4, 0, &[&through, &between]));
    seed("intermediate-missing", input(false, 4, 0, &[&through]));
    seed("with-the-root", input(false, 2, 0, &[&own[1], &root]));
    seed("root-as-leaf", input(false, 1, 0, &[&root]));
    seed("a-node-as-authority", {
        let node = Issuer::new(leaf(1), KeyPair::generate().unwrap());
        input(true, 2, 0, &[&issue(&leaf(2), &node), &own[0]])
    });
    seed("foreign-ca-of-the-same-name", input(true, 1, 0, &[&issue(&leaf(1), &foreign)]));
    seed("cut-off", own[0].get(..200).map(|der| input(true, 1, 0, &[der])).unwrap());
    seed("nothing", vec![0]);
    let mut forged = own[0].clone();
    let last = forged.len() - 3;
    forged[last] ^= 1;
    seed("signature-off-by-a-bit", input(true, 1, 0, &[&forged]));
    let spoilt: [(&str, Change); 9] = [
        ("no-usage", |p| p.extended_key_usages.clear()),
        ("serves-only", |p| p.extended_key_usages.truncate(1)),
        ("no-alternative-name", |p| p.subject_alt_names.clear()),
        ("other-alternative-name", |p| p.subject_alt_names = leaf(2).subject_alt_names),
        ("both-names", |p| p.subject_alt_names.extend(leaf(2).subject_alt_names)),
        ("leading-zero", |p| p.distinguished_name = params("node-01").distinguished_name),
        ("no-node", |p| p.distinguished_name = params("operator").distinguished_name),
        ("no-name", |p| p.distinguished_name = DistinguishedName::new()),
        ("expired", |p| p.not_after = moment(NOT_BEFORE + 60)),
    ];
    for (name, spoil) in spoilt {
        let mut params = leaf(1);
        spoil(&mut params);
        let der = issue(&params, &ca);
        // In order all the same: no usage means any, and a second name takes nothing from the first.
        if ["no-usage", "serves-only", "both-names"].contains(&name) {
            fs::write(folder().join(format!("node-1-{name}.der")), &der).unwrap();
        }
        seed(name, input(true, 1, 0, &[&der]));
    }
    seed(
        "dialled-by-a-server",
        input(false, 1, 0, &[&fs::read(folder().join("node-1-serves-only.der")).unwrap()]),
    );
}
