//! `[etcd]`: where coordination is kept, if anywhere.

use std::{path::PathBuf, time::Duration};

use super::{
    keys::read_password,
    node::{non_empty, parse_url},
    policy::parse_millis,
    reader::{Reader, Section},
};

/// `[etcd]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Base URLs of the members, asked in this order.
    pub endpoints: Vec<String>,
    /// The authority of the members' certificates, PEM; `None` asks over plain HTTP.
    pub ca: Option<PathBuf>,
    /// This node's certificate and private key for etcd, PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// A user of etcd, and the file of its password, which is read at every connection.
    pub user: Option<(String, PathBuf)>,
    /// How long the role and the registration of a node that has gone silent last. In whole seconds.
    pub lease_ttl: Duration,
    /// Longest one member may take to answer.
    pub request_timeout: Duration,
    /// How long votes and states are kept there, at most; at least half of it. In whole seconds.
    pub mirror_life: Duration,
}

const LEASE_TTL: u64 = 5;
const REQUEST_TIMEOUT: u64 = 1_000;
const MIRROR_LIFE: u64 = 86_400;

/// Reads the section; a node without it coordinates by the embedded rule.
pub(super) fn read_etcd(reader: &mut Reader) -> Option<EtcdSettings> {
    if !reader.has_section("etcd") {
        return None;
    }
    let mut section = reader.section("etcd");
    let endpoints = read_endpoints(&mut section);
    let [ca, cert, key] =
        ["ca", "cert", "key"].map(|key| section.optional(key, "the path of a PEM file", non_empty));
    let user = section.optional("user", "the name of a user of etcd", non_empty);
    let password_file = section.optional("password_file", "the path of a file with its password", non_empty);
    let (lease_ttl, request_timeout) = read_patience(&mut section, endpoints.len());
    let mirror_life = section
        .optional("mirror_life_s", "whole seconds from 60 to 2592000 (30 days)", |text| {
            text.parse::<u64>().ok().filter(|life| (60..=2_592_000).contains(life))
        })
        .unwrap_or(MIRROR_LIFE);
    require_pair(&mut section, ("cert", cert.is_some()), ("key", key.is_some()));
    require_pair(&mut section, ("user", user.is_some()), ("password_file", password_file.is_some()));
    check_tls(&mut section, &endpoints, ca.is_some(), cert.is_some());
    section.finish();

    let mut existing = |key: &str, path: Option<String>| {
        let resolved = path.as_ref().map(|path| reader.resolve(path))?;
        if let Err(error) = std::fs::File::open(&resolved) {
            reader.note(&format!("etcd.{key}"), path.as_deref(), format!("cannot be read ({error})"));
        }
        Some(resolved)
    };
    let (ca, cert, key) = (existing("ca", ca), existing("cert", cert), existing("key", key));
    let password = password_file.map(|path| {
        let resolved = reader.resolve(&path);
        if let Err(error) = read_password(&resolved) {
            reader.note("etcd.password_file", Some(&path), error.to_string());
        }
        resolved
    });
    Some(EtcdSettings {
        endpoints,
        ca,
        client: cert.zip(key),
        user: user.zip(password),
        lease_ttl: Duration::from_secs(lease_ttl),
        request_timeout: Duration::from_millis(request_timeout),
        mirror_life: Duration::from_secs(mirror_life),
    })
}

fn read_endpoints(section: &mut Section<'_>) -> Vec<String> {
    let expected = "expected http(s) URLs of etcd's members, as in [\"http://127.0.0.1:2379\"]";
    let given = section.list("endpoints", expected.trim_start_matches("expected ")).unwrap_or_default();
    if given.is_empty() {
        section.note("endpoints", None, format!("{expected}; without etcd remove the section"));
    }
    let mut endpoints = Vec::new();
    for endpoint in given {
        match parse_url(&endpoint) {
            Some(url) => endpoints.push(url),
            None => section.note("endpoints", Some(&endpoint), expected),
        }
    }
    endpoints
}

/// Seconds of the lease, and milliseconds of one request: all members can be asked while the lease lasts.
fn read_patience(section: &mut Section<'_>, endpoints: usize) -> (u64, u64) {
    let lease_ttl = section
        .optional("lease_ttl_s", "whole seconds from 2 to 60", |text| {
            text.parse::<u64>().ok().filter(|ttl| (2..=60).contains(ttl))
        })
        .unwrap_or(LEASE_TTL);
    let request_timeout = section
        .optional("request_timeout_ms", "milliseconds, a whole number from 1", parse_millis)
        .map_or(REQUEST_TIMEOUT, |timeout| timeout.0);
    let round = request_timeout.saturating_mul(u64::try_from(endpoints).unwrap_or(u64::MAX));
    if round >= lease_ttl.saturating_mul(1_000) {
        section.note(
            "request_timeout_ms",
            Some(&request_timeout.to_string()),
            format!(
                "asking {endpoints} endpoints takes up to {round} ms, and the lease lasts etcd.lease_ttl_s = \
                 {lease_ttl} s; lower this or raise that"
            ),
        );
    }
    (lease_ttl, request_timeout)
}

/// Two keys that make sense together only.
fn require_pair(section: &mut Section<'_>, one: (&str, bool), other: (&str, bool)) {
    let missing = match (one, other) {
        ((given, true), (missing, false)) | ((missing, false), (given, true)) => Some((given, missing)),
        ((_, true), (_, true)) | ((_, false), (_, false)) => None,
    };
    if let Some((given, missing)) = missing {
        section.note(missing, None, format!("etcd.{given} is given; give both or none"));
    }
}

/// What is encrypted is checked, and what has certificates is encrypted.
fn check_tls(section: &mut Section<'_>, endpoints: &[String], ca: bool, cert: bool) {
    let is_tls = |endpoint: &&String| endpoint.starts_with("https://");
    if let (Some(plain), true) = (endpoints.iter().find(|endpoint| !is_tls(endpoint)), ca || cert) {
        section.note("endpoints", Some(plain), "TLS files are given; write https:// or remove them");
    }
    if endpoints.iter().any(|endpoint| is_tls(&endpoint)) && !ca {
        section.note("ca", None, "an endpoint is https; give the authority of its certificate");
    }
}
