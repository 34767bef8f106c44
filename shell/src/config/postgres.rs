//! `[postgres]`: the cluster's record. Without the section the node runs without one.

use std::{net::IpAddr, path::PathBuf};

use tokio_postgres::config::Host;
use zeroize::Zeroizing;

use super::{
    node::non_empty,
    reader::{Reader, Section},
};

/// Where the record is kept, and how it is written.
pub struct PostgresSettings {
    /// Server, user and database; read from a configuration it has no password.
    pub url: String,
    /// The user's password, if it needs one.
    pub password: Option<Zeroizing<String>>,
    /// The authority that the server's certificate must come from; `None`: no TLS.
    pub ca: Option<PathBuf>,
    /// Most connections at once, at least two: one to write facts, one for heartbeats.
    pub pool_size: usize,
    /// Most records written in one SQL transaction.
    pub batch_size: usize,
}

const POOL_SIZE: usize = 4;
/// Some tens of payments; a transaction of some tens of milliseconds.
const BATCH_SIZE: usize = 500;

/// Whether the password stands in the file, where it does not belong. Asked before the environment is laid over it.
pub(super) fn password_in_file(reader: &Reader) -> bool {
    reader.has("postgres", "password")
}

pub(super) fn read_postgres(reader: &mut Reader, password_in_file: bool) -> Option<PostgresSettings> {
    if !reader.has_section("postgres") {
        return None;
    }
    let mut section = reader.section("postgres");
    let server = read_server(&mut section);
    let password = section.optional("password", "a password", |text| Some(Zeroizing::new(text.to_owned())));
    if password_in_file {
        let remedy =
            "does not belong in this file; put it in a file of its own, password_file, or in the environment";
        section.note("password", Some("***"), remedy);
    }
    let password_file = section.optional("password_file", "the path of a file with the password", non_empty);
    if password.is_some() && password_file.is_some() {
        section.note("password_file", None, "is given beside a password; remove one of the two");
    }
    let tls = section.optional("tls", "off or required", |text| match text {
        "off" => Some(false),
        "required" => Some(true),
        _ => None,
    });
    let ca = section.optional("ca", "the path of a PEM file", non_empty);
    let pool_size = section.optional("pool_size", "a number of connections from 2 to 32", |text| {
        text.parse().ok().filter(|size| (2..=32).contains(size))
    });
    let batch_size = section.optional("batch_size", "a number of records from 1 to 10000", |text| {
        text.parse().ok().filter(|size| (1..=10_000).contains(size))
    });
    // What goes over a network is encrypted unless somebody says that it need not be.
    let encrypted = tls.unwrap_or_else(|| server.as_ref().is_some_and(|(_, server)| !is_local(server)));
    if encrypted && ca.is_none() {
        let remedy = "expected the path of the PEM file of the authority of the server's certificate; or, on a network \
                      that nobody else can read, tls = \"off\"";
        section.note("ca", None, remedy);
    }
    section.finish();
    let password = password.or_else(|| read_password(reader, &password_file?));
    let ca = ca.map(|path| existing(reader, &path)).filter(|_| encrypted);
    Some(PostgresSettings {
        url: server?.0,
        password,
        ca,
        pool_size: pool_size.unwrap_or(POOL_SIZE),
        batch_size: batch_size.unwrap_or(BATCH_SIZE),
    })
}

/// The URL, which is never quoted in a message: it may have a password in any of several places.
fn read_server(section: &mut Section<'_>) -> Option<(String, tokio_postgres::Config)> {
    const EXPECTED: &str = "expected a URL as in postgres://user@host:5432/database";
    let url =
        section.required("url", EXPECTED.trim_start_matches("expected "), |text| Some(text.to_owned()))?;
    let has_scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let server = has_scheme.then(|| url.parse::<tokio_postgres::Config>().ok()).flatten();
    let Some(server) = server.filter(|server| !server.get_hosts().is_empty() && server.get_user().is_some())
    else {
        section.note("url", Some("***"), EXPECTED);
        return None;
    };
    if server.get_password().is_some() {
        let remedy =
            "has a password in it; put it in a file, password_file, or in MPC_WALLET_POSTGRES_PASSWORD";
        section.note("url", Some("***"), remedy);
        return None;
    }
    Some((url, server))
}

/// Whether the server is on this machine.
fn is_local(server: &tokio_postgres::Config) -> bool {
    server.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    })
}

fn read_password(reader: &mut Reader, path: &str) -> Option<Zeroizing<String>> {
    super::keys::read_password(&reader.resolve(path))
        .map_err(|error| reader.note("postgres.password_file", Some(path), error.to_string()))
        .ok()
}

fn existing(reader: &mut Reader, path: &str) -> PathBuf {
    let resolved = reader.resolve(path);
    if let Err(error) = std::fs::File::open(&resolved) {
        reader.note("postgres.ca", Some(path), format!("cannot be read ({error})"));
    }
    resolved
}
