//! A peer's certificate chain at the cluster's door: nobody is let in but under a name that the CA signed for, in the
//! time that it signed for, and who is refused is told why.
//!
//! The first byte says who looks (bit 0: we dialled, or were dialled), whom we expect (bits 1 to 3) and when (bits 4
//! and 5). Then certificates follow, leaf first, each after its length in two bytes; the last may be cut off.
//!
//! No fuzzer forges a signature: whatever is let in must carry, bit for bit, what a certificate in `material/` carries
//! above its signature. (Not the whole certificate: an ECDSA signature has two valid forms.)

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mpc_wallet_core::NodeId;
use mpc_wallet_shell::quic::{Refusal, fuzzing::Door};
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

/// First second of the good certificates' validity: 2026-01-01.
pub const NOT_BEFORE: u64 = 1_767_225_600;
/// Their last second: 2027-01-01.
pub const NOT_AFTER: u64 = 1_798_761_600;

/// Longest chain that is tried.
const LONGEST: usize = 6;

struct Gate {
    door: Door,
    signed: Vec<Signed>,
}

/// What the CA signed and lets its owner in: `material/node-N.der` is the ordinary one (that of node 4 through an
/// intermediate authority), `node-N-….der` is odd and in order all the same.
struct Signed {
    owner: NodeId,
    ordinary: bool,
    /// For who is dialled, and not for who dials.
    serves_only: bool,
    der: Vec<u8>,
    statement: Vec<u8>,
}

impl Signed {
    fn read(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("node-")?.strip_suffix(".der")?;
        let (number, oddity) = name.split_once('-').unwrap_or((name, ""));
        let der = fs::read(path).ok()?;
        let statement = statement(&der)?.to_vec();
        let owner = NodeId::new(number.parse().ok()?);
        Some(Self {
            owner,
            ordinary: oddity.is_empty(),
            serves_only: oddity == "serves-only",
            der,
            statement,
        })
    }
}

impl Gate {
    fn open() -> Self {
        let files = fs::read_dir(folder()).expect("the material");
        let signed: Vec<_> = files.filter_map(|file| Signed::read(&file.ok()?.path())).collect();
        assert!(signed.len() >= 4, "the material is missing");
        Self { door: Door::open(&folder().join("ca.crt")).expect("the CA"), signed }
    }

    /// Whether this is the certificate that the owner presents, needing no other in between.
    fn is_own(&self, leaf: &[u8], node: NodeId) -> bool {
        let direct = |signed: &&Signed| signed.owner == node && signed.ordinary && node.get() != 4;
        self.signed.iter().filter(direct).any(|signed| signed.der == leaf)
    }
}

thread_local! {
    static GATE: Gate = Gate::open();
}

/// Where the CA and its certificates are.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("material")
}

/// What a certificate says and its signature covers.
fn statement(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    // A slice of the input, and not of the parsed certificate.
    let inner = certificate.tbs_certificate.as_ref();
    let start = inner.as_ptr().addr().checked_sub(der.as_ptr().addr())?;
    der.get(start..start + inner.len())
}

/// Shows a chain at the door.
pub fn target(bytes: &[u8]) {
    let Some((&choice, chain)) = bytes.split_first() else { return };
    let chain = split(chain);
    let expected = NodeId::new(u16::from(choice >> 1 & 7));
    let now = match choice >> 4 & 3 {
        0 => NOT_BEFORE + (NOT_AFTER - NOT_BEFORE) / 2,
        1 => NOT_BEFORE - 1,
        2 => NOT_AFTER + 1,
        _ => NOT_AFTER,
    };
    GATE.with(|gate| check(gate, &chain, (choice & 1 == 0).then_some(expected), now));
}

fn check(gate: &Gate, chain: &[CertificateDer<'_>], expected: Option<NodeId>, now: u64) {
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let verdict = match expected {
        Some(expected) => gate.door.dialled(chain, expected, moment),
        None => gate.door.accepted(chain, moment),
    };
    match verdict {
        Ok(node) => {
            let leaf = chain.first().expect("nobody is let in without a certificate");
            assert!((NOT_BEFORE..=NOT_AFTER).contains(&now), "{node} is let in at {now}");
            assert!(expected.is_none_or(|expected| expected == node), "{node} for {expected:?}");
            let known = statement(leaf).expect("what is let in can be read");
            let signed = gate.signed.iter().find(|signed| signed.owner == node && signed.statement == known);
            let signed = signed.unwrap_or_else(|| panic!("{node} is let in and the CA never signed for it"));
            assert!(expected.is_some() || !signed.serves_only, "{node} dials with a server's certificate");
            assert_eq!(Door::not_after(leaf), Ok(i64::try_from(NOT_AFTER).expect("a date")));
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(!text.is_empty() && text.len() < 1_000, "{text:?}");
            // Whose certificate is in order is refused only for the time of day.
            let honest = expected.zip(chain.first()).is_some_and(|(node, leaf)| gate.is_own(leaf, node));
            if honest && chain.len() == 1 {
                assert!(matches!(refusal, Refusal::Expired | Refusal::NotYetValid), "{text}");
                assert!(!(NOT_BEFORE..=NOT_AFTER).contains(&now), "an honest node is refused: {text}");
            }
        }
    }
}

fn split(mut bytes: &[u8]) -> Vec<CertificateDer<'_>> {
    let mut chain = Vec::new();
    while let [high, low, rest @ ..] = bytes
        && chain.len() < LONGEST
    {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (der, after) = rest.split_at(length);
        chain.push(CertificateDer::from(der));
        bytes = after;
    }
    chain
}
