//! `[[webhook]]` of `node.toml`: where events are posted, signed with what, and which.

use std::net::IpAddr;

use axum::http::Uri;
use bitcoin::Network;

use super::{
    keys::read_password,
    node::non_empty,
    reader::{Reader, Section},
};
use crate::{events::Kind, webhook::Secret};

/// One webhook.
#[derive(Clone)]
pub struct WebhookSettings {
    /// Where events are posted.
    pub url: Uri,
    /// What they are signed with.
    pub secret: Secret,
    /// Which are posted; empty is all.
    pub events: Vec<Kind>,
}

impl WebhookSettings {
    /// Whether events of this kind are posted. A `reset` always is.
    #[must_use]
    pub fn takes(&self, kind: Kind) -> bool {
        kind == Kind::Reset || self.events.is_empty() || self.events.contains(&kind)
    }
}

pub(super) fn read_webhooks(reader: &mut Reader, network: Option<Network>) -> Vec<WebhookSettings> {
    const NAME: &str = "webhook";
    if !reader.has_section(NAME) {
        return Vec::new();
    }
    let tables = reader.tables(NAME);
    let mut webhooks: Vec<WebhookSettings> = Vec::new();
    for (number, table) in (1_usize..).zip(tables) {
        let path = format!("{NAME}[{number}]");
        let mut section = reader.item(path.clone(), table);
        let url = read_url(&mut section, network);
        let secret_file = section.required("secret_file", "the path of a file with the secret", non_empty);
        let events = read_events(&mut section);
        section.finish();
        let secret = secret_file.and_then(|file| read_secret(reader, &format!("{path}.secret_file"), &file));
        let Some((url, secret)) = url.zip(secret) else { continue };
        if webhooks.iter().any(|other| other.url == url) {
            let remedy = "stands in another [[webhook]], too; name all its events in one";
            reader.note(&format!("{path}.url"), Some(&url.to_string()), remedy);
            continue;
        }
        webhooks.push(WebhookSettings { url, secret, events });
    }
    webhooks
}

/// An address whose events nobody else can read, unless they never leave the machine or the money is none.
fn read_url(section: &mut Section<'_>, network: Option<Network>) -> Option<Uri> {
    const EXPECTED: &str = "an https URL without user or password";
    let url = section.required("url", EXPECTED, |text| {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let web = matches!(uri.scheme_str(), Some("https" | "http"));
        (web && !authority.contains('@')).then_some(uri)
    })?;
    let plain = url.scheme_str() == Some("http");
    if plain && !is_loopback(&url) && network != Some(Network::Regtest) {
        let remedy = "events would be read on the way; write https, or have a receiver on this machine";
        section.note("url", Some(&url.to_string()), remedy);
        return None;
    }
    Some(url)
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn read_events(section: &mut Section<'_>) -> Vec<Kind> {
    let lasting = Kind::ALL.into_iter().filter(|kind| kind.lasts());
    let known = lasting.clone().map(Kind::name).collect::<Vec<_>>().join(", ");
    let Some(names) = section.list("events", &format!("a list of {known}")) else { return Vec::new() };
    if names.is_empty() {
        section.note("events", None, format!("name some of {known}; without the key all are posted"));
    }
    names
        .iter()
        .filter_map(|name| {
            let kind = lasting.clone().find(|kind| kind.name() == name);
            if kind.is_none() {
                section.note(
                    "events",
                    Some(name),
                    format!("is no kind of event that is posted; they are {known}"),
                );
            }
            kind
        })
        .collect()
}

fn read_secret(reader: &mut Reader, key: &str, file: &str) -> Option<Secret> {
    let text = read_password(&reader.resolve(file)).map_err(|error| error.to_string());
    let secret = text.and_then(|text| Secret::parse(&text).map_err(|error| format!("holds {error}")));
    secret.map_err(|problem| reader.note(key, Some(file), problem)).ok()
}
