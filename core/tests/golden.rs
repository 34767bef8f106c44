//! The bytes that peers and journals of this encoding version hold, pinned one sample for each kind.
//!
//! A difference here means that a node of this build misreads what a running cluster sends or what lies on its disks.
//! If that is intended, change `codec::VERSION` with it, say how old journals are read, and write the file anew:
//! `MPC_WALLET_BLESS=1 cargo test -p mpc-wallet-core --test golden`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{collections::BTreeSet, fmt::Debug, fmt::Write as _};

use bitcoin::hex::{DisplayHex, FromHex};
use mpc_wallet_core::{
    Scheme, Timestamp,
    codec::{self, CodecError},
    message::{KeyProof, Message},
    policy::Policy,
    record::Record,
    tx::{State, SubStatus},
};
use serde::{Serialize, de::DeserializeOwned};

#[path = "golden/samples.rs"]
mod samples;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encodings.txt");
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds");
const PINNED: &str = include_str!("golden/encodings.txt");
const LIMIT: usize = 64 * 1024;
const HELP: &str = "the encoding has changed: nodes and journals of the old one are not understood any more. If this is \
    meant, change codec::VERSION and run MPC_WALLET_BLESS=1 cargo test -p mpc-wallet-core --test golden";

/// `name hex`, one line for each thing pinned.
fn lines() -> Vec<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    variants(&mut lines, "message", &samples::messages(), |message| message.encode().unwrap());
    variants(&mut lines, "fact", &samples::facts(), encoded);
    variants(&mut lines, "subject", &samples::subjects(), encoded);
    variants(&mut lines, "evidence", &samples::evidence(), encoded);
    variants(&mut lines, "decision", &samples::decisions(), encoded);
    variants(&mut lines, "reject-reason", &samples::reject_reasons(), encoded);
    variants(&mut lines, "policy-breach", &samples::policy_breaches(), encoded);
    variants(&mut lines, "refusal", &samples::refusals(), encoded);
    variants(&mut lines, "words-error", &samples::words_errors(), encoded);
    variants(&mut lines, "state", &State::ALL, encoded);
    variants(&mut lines, "sub-status", &samples::sub_statuses(), encoded);
    variants(&mut lines, "violation", &samples::violations(), encoded);
    variants(&mut lines, "scheme", &Scheme::ALL, encoded);
    let mut digest = |name: &str, bytes: &[u8; 32]| lines.push((format!("digest/{name}"), bytes.to_vec()));
    let cluster = samples::cluster().id();
    let request = samples::keygen_request();
    digest("cluster-id", cluster.as_bytes());
    digest("proposal", samples::proposal().digest().as_bytes());
    digest("signing-session", samples::session().id().as_bytes());
    digest("keygen-session", request.id().as_bytes());
    digest("key-proof-message", &KeyProof::message(request.id(), &samples::public_key()));
    digest("payment-by-key", &codec::digest("mpc-wallet/payment-by-key", &(cluster, "order 4711")));
    digest("policy", Policy::default().version().as_bytes());
    digest("freeze", samples::signed_freeze().body.id().as_bytes());
    digest("evidence", &samples::evidence()[0].digest());
    lines
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    codec::encode(value).unwrap()
}

/// Adds a line for each variant, after seeing that it reads back, that its number is its place in the list, and that
/// the list is complete: the number after the last one means nothing.
fn variants<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    lines: &mut Vec<(String, Vec<u8>)>,
    kind: &str,
    samples: &[T],
    encode: impl Fn(&T) -> Vec<u8>,
) {
    for (number, sample) in samples.iter().enumerate() {
        let bytes = encode(sample);
        let text = format!("{sample:?}");
        let variant = text.split(|c: char| !c.is_alphanumeric()).next().unwrap();
        assert_eq!(bytes[0], codec::VERSION, "{kind}/{variant}");
        assert_eq!(usize::from(bytes[1]), number, "{kind}/{variant} is not where the type declares it");
        assert_eq!(codec::decode::<T>(&bytes, LIMIT).as_ref(), Ok(sample), "{kind}/{variant}");
        lines.push((format!("{kind}/{variant}"), bytes));
    }
    let refusal = |number: usize| -> CodecError {
        let bytes = [codec::VERSION, u8::try_from(number).unwrap()];
        codec::decode::<T>(&bytes, LIMIT).expect_err("no value, or one without a sample")
    };
    assert_eq!(refusal(samples.len()), refusal(120), "a variant of {kind} has no sample; add one");
}

/// Writes the pinned file anew, when a person asks for it, and the fuzzers' first inputs with it.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, behind an environment variable")]
fn bless(lines: &[(String, Vec<u8>)]) -> bool {
    if std::env::var("MPC_WALLET_BLESS").is_err() {
        return false;
    }
    let mut text = String::new();
    for (name, bytes) in lines {
        writeln!(text, "{name} {}", bytes.as_hex()).unwrap();
        let seed = match name.split_once('/').unwrap() {
            ("message", variant) => Some(("message", variant, bytes.clone())),
            // A record is its time and its fact.
            ("fact", variant) => Some(("record", variant, [&[codec::VERSION, 5], &bytes[1..]].concat())),
            _ => None,
        };
        if let Some((target, variant, bytes)) = seed {
            std::fs::write(format!("{SEEDS}/{target}/{variant}"), bytes).unwrap();
        }
    }
    std::fs::write(FILE, text).unwrap();
    true
}

#[test]
fn every_encoding_is_what_it_was() {
    let lines = lines();
    if bless(&lines) {
        return;
    }
    let mut pinned = PINNED.lines();
    for (name, bytes) in &lines {
        let now = format!("{name} {}", bytes.as_hex());
        assert_eq!(pinned.next(), Some(now.as_str()), "{name}: {HELP}");
    }
    assert_eq!(pinned.next(), None, "pinned, but no sample makes it: {HELP}");
}

#[test]
fn every_pinned_message_reads_on_its_own_channel_and_on_no_other() {
    for message in samples::messages() {
        let bytes = message.encode().unwrap();
        for channel in mpc_wallet_core::Channel::ALL {
            let read = Message::decode(channel, &bytes);
            assert_eq!(read.is_ok(), channel == message.channel(), "{message:?} on {}", channel.name());
        }
    }
}

#[test]
fn a_pinned_record_is_its_time_and_its_fact() {
    for fact in samples::facts() {
        let record = Record { at: Timestamp(5), fact };
        let bytes = codec::encode(&record).unwrap();
        let alone = codec::encode(&record.fact).unwrap();
        assert_eq!(bytes[2..], alone[1..], "{record:?}");
        assert_eq!(codec::decode::<Record>(&bytes, LIMIT), Ok(record));
    }
}

#[test]
fn every_truncation_and_every_extension_of_a_pinned_encoding_is_refused() {
    for line in PINNED.lines().filter(|line| line.starts_with("message/")) {
        let (name, hex) = line.split_once(' ').unwrap();
        let bytes = Vec::<u8>::from_hex(hex).unwrap();
        let channel = codec::decode::<Message>(&bytes, LIMIT).unwrap().channel();
        for end in 0..bytes.len() {
            assert!(Message::decode(channel, &bytes[..end]).is_err(), "{name} cut to {end} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(Message::decode(channel, &longer).is_err(), "{name} with a byte more");
    }
}

#[test]
fn no_two_pinned_digests_are_alike() {
    let digests: Vec<_> = PINNED.lines().filter(|line| line.starts_with("digest/")).collect();
    let distinct: BTreeSet<_> =
        digests.iter().filter_map(|line| line.split_once(' ')).map(|(_, d)| d).collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn every_state_and_reason_is_in_the_table_of_the_api() {
    let table = include_str!("../../docs/api.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    let has = |name: &str| rows.iter().any(|row| row.contains(name));
    for state in State::ALL {
        assert!(has(&format!("| `{state}` |")), "{state}");
    }
    for reason in samples::sub_statuses() {
        // Told in words of its own, which say who.
        if matches!(reason, SubStatus::Misbehaviour(_)) {
            continue;
        }
        let name = reason.to_string().replace("_2", "_1");
        let name = name.split(':').next().unwrap();
        assert!(has(&format!("`{name}`")) || has(&format!("`{name}:…`")), "{reason}");
    }
}
