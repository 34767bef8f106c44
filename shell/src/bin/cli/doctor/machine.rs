//! The machine: configuration, files, room, shares, certificates, keys of the API, backups.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use mpc_wallet_shell::{
    access::KeyFile,
    backup,
    config::Settings,
    journal::DATABASE_FILE,
    quic::{TlsFiles, inspect},
    secrets::{SECRETS_DIRECTORY, SealedSecrets},
    units::{now, rfc3339_of_unix},
};

use super::{Check, span};

/// Days before the end of a certificate from which a node warns, too.
const CERTIFICATE_DAYS: i64 = 14;
/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// A journal grows by some kilobytes a payment; below this there is hardly time to react.
const LITTLE_ROOM_MIB: u64 = 1_024;
/// Below this SQLite may fail within hours.
const NO_ROOM_MIB: u64 = 100;
/// Age of a backup from which votes and payments of days would have to come from the peers.
const OLD_BACKUP_S: u64 = 7 * 24 * 60 * 60;

/// Reads the configuration, each problem a check of its own.
pub(super) fn configuration(file: &Path, checks: &mut Vec<Check>) -> Option<Settings> {
    const NAME: &str = "configuration";
    match Settings::load(file) {
        Ok(settings) => {
            checks.push(Check::ok(NAME, format!("{}: no problem found", file.display())));
            Some(settings)
        }
        Err(errors) => {
            checks.extend(errors.0.iter().map(|problem| Check::fail(NAME, problem.to_string())));
            None
        }
    }
}

pub(super) fn check(settings: &Settings, file: &Path, checks: &mut Vec<Check>) {
    checks.push(files(settings, file));
    checks.push(data_directory(&settings.data_dir));
    checks.extend(room(&settings.data_dir));
    checks.push(shares(settings));
    checks.push(certificate(settings));
    checks.push(authority(&settings.tls.ca));
    checks.push(api_keys(settings));
    checks.push(backups(&settings.data_dir));
}

/// Who may write the configuration decides what the node does. Files with keys were checked when they were read.
fn files(settings: &Settings, file: &Path) -> Check {
    const NAME: &str = "permissions";
    let writable =
        |path: &&Path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 != 0);
    let open: Vec<_> = [file, settings.manifest.as_path(), settings.tls.ca.as_path()]
        .into_iter()
        .filter(writable)
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        return Check::ok(NAME, "nobody else writes configuration, manifest or CA, or reads keys");
    }
    let open = open.join(" ");
    Check::warn(NAME, format!("group or others may write {open}; chmod go-w {open}"))
}

fn data_directory(data_dir: &Path) -> Check {
    const NAME: &str = "data directory";
    let shown = data_dir.display();
    let Ok(metadata) = fs::metadata(data_dir) else {
        return Check::warn(NAME, format!("{shown} is not there; the node makes it at its first start"));
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Check::warn(
            NAME,
            format!("{shown} has mode {mode:04o}; others can look into it: chmod 700 {shown}"),
        );
    }
    if data_dir.join(DATABASE_FILE).exists() {
        Check::ok(NAME, format!("{shown} has the node's journal"))
    } else {
        Check::warn(NAME, format!("{shown} has no journal; the node has not run here"))
    }
}

/// Room left where the data is; `df` knows it for every file system. `None` before there is a directory.
fn room(data_dir: &Path) -> Option<Check> {
    const NAME: &str = "disk space";
    if !data_dir.exists() {
        return None;
    }
    let output = Command::new("df").args(["-P", "-k"]).arg(data_dir).output();
    let free = output.ok().and_then(|output| free_kib(&String::from_utf8_lossy(&output.stdout)));
    let Some(free) = free else {
        return Some(Check::warn(NAME, format!("df does not say how much room {} has", data_dir.display())));
    };
    let free = free / 1_024;
    let told = format!("{free} MiB left for {}", data_dir.display());
    Some(match free {
        0..NO_ROOM_MIB => Check::fail(NAME, format!("{told}; a node without room stops: make some")),
        NO_ROOM_MIB..LITTLE_ROOM_MIB => Check::warn(NAME, format!("{told}; make room, or move data_dir")),
        _ => Check::ok(NAME, told),
    })
}

/// The fourth column of the last line of `df -P -k`.
fn free_kib(listing: &str) -> Option<u64> {
    listing.lines().last()?.split_whitespace().nth(3)?.parse().ok()
}

fn shares(settings: &Settings) -> Check {
    const NAME: &str = "key shares";
    if !settings.data_dir.join(SECRETS_DIRECTORY).exists() {
        return Check::warn(NAME, "there are none yet; key generation makes them: mpc-wallet-cli dkg start");
    }
    let (cluster, me) = (settings.core.cluster.id(), settings.core.me);
    let opened = SealedSecrets::open(&settings.data_dir, &settings.secret_key_file, cluster, me)
        .and_then(|secrets| secrets.load_all());
    match opened {
        Err(error) => Check::fail(NAME, error.to_string()),
        Ok(shares) if shares.is_empty() => {
            Check::warn(NAME, "there are none yet; key generation makes them: mpc-wallet-cli dkg start")
        }
        Ok(shares) => {
            let keys: Vec<_> = shares.iter().map(|(_, key, _)| key.to_string()).collect();
            Check::ok(NAME, format!("the sealing key opens the shares of {}", keys.join(", ")))
        }
    }
}

fn certificate(settings: &Settings) -> Check {
    const NAME: &str = "certificate";
    let tls = &settings.tls;
    let files = TlsFiles { ca: tls.ca.clone(), cert: tls.cert.clone(), key: tls.key.clone() };
    match inspect::check(&files, settings.core.me) {
        Err(error) => Check::fail(NAME, error.to_string()),
        Ok(end) => expiry(NAME, &tls.cert, end, "scripts/generate-certs.sh --renew makes another"),
    }
}

fn authority(ca: &Path) -> Check {
    const NAME: &str = "CA";
    match inspect::certificates_of(ca) {
        Err(error) => Check::fail(NAME, error.to_string()),
        Ok(certificates) => {
            let end = certificates.iter().map(|certificate| certificate.not_after).min().unwrap_or(0);
            expiry(NAME, ca, end, "scripts/generate-certs.sh --new-ca makes another; see docs/operations.md")
        }
    }
}

fn expiry(name: &'static str, file: &Path, end: i64, remedy: &str) -> Check {
    let now = i64::try_from(now().0 / 1_000).unwrap_or(i64::MAX);
    let days = end.saturating_sub(now).div_euclid(DAY);
    let told = format!("{} is valid until {} ({days} days)", file.display(), rfc3339_of_unix(end));
    if days < 0 {
        Check::fail(name, format!("{} has expired on {}; {remedy}", file.display(), rfc3339_of_unix(end)))
    } else if days < CERTIFICATE_DAYS {
        Check::warn(name, format!("{told}; {remedy}"))
    } else {
        Check::ok(name, told)
    }
}

fn api_keys(settings: &Settings) -> Check {
    const NAME: &str = "API keys";
    let Some(keyring) = &settings.rest.keyring else {
        return Check::warn(NAME, "the API is open: whoever reaches it may pay; [rest] api_keys closes it");
    };
    let path = keyring.path();
    match KeyFile::read(path) {
        Err(error) => Check::fail(NAME, error.to_string()),
        Ok(file) if file.keys().is_empty() => Check::warn(
            NAME,
            format!("{} has no key, so nobody gets in; mpc-wallet-cli key create makes one", path.display()),
        ),
        Ok(file) => Check::ok(NAME, format!("{} has {} keys", path.display(), file.keys().len())),
    }
}

fn backups(data_dir: &Path) -> Check {
    const NAME: &str = "backup";
    const REMEDY: &str = "mpc-wallet-cli backup create takes one";
    match backup::last(data_dir) {
        None => Check::warn(NAME, format!("none was ever taken here; {REMEDY}")),
        Some(taken) => {
            let age = now().since(taken).0 / 1_000;
            let told = format!("the last one is {} old", span(age));
            if age > OLD_BACKUP_S {
                Check::warn(NAME, format!("{told}; {REMEDY}"))
            } else {
                Check::ok(NAME, told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn room_is_read_from_the_listing_that_posix_prescribes() {
        let listing = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n\
                       /dev/vda         263174212 62441128  33224960      66% /\n";
        assert_eq!(free_kib(listing), Some(33_224_960));
        assert_eq!(free_kib(""), None);
        assert_eq!(free_kib("df: no such file\n"), None);
    }

    #[test]
    fn a_certificate_is_warned_of_before_its_end_and_fails_after_it() {
        let at = |days: i64| {
            let now = i64::try_from(now().0 / 1_000).unwrap_or_default();
            expiry("certificate", Path::new("node1.crt"), now + days * DAY + 60, "renew it").verdict
        };
        assert_eq!(
            [15, 14, 13, 0, -2].map(at),
            [Verdict::Ok, Verdict::Ok, Verdict::Warn, Verdict::Warn, Verdict::Fail]
        );
    }
}
