//! Backups: taken beside a node that writes, proven by what they hold, restored where nothing is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use mpc_wallet_core::{
    BootId, KeyId, Scheme, SessionId, Timestamp,
    mpc::{KeyShare, KeygenParams, Output, Progress, Slot, Suite},
    record::{Fact, Record},
};
use mpc_wallet_shell::{
    backup::{self, BackupError},
    config::{ClusterPlan, Settings, init_cluster},
    journal::Store,
    ports::{Journal as _, SecretStore as _},
    secrets::SealedSecrets,
};
use tempfile::TempDir;

const KEY: KeyId = KeyId { scheme: Scheme::Taproot, epoch: 1 };

/// A node that has run: three records, one sealed share, and the presignatures of an orderly stop.
struct Place {
    dir: TempDir,
    config: PathBuf,
    store: Store,
}

fn load(config: &Path) -> Settings {
    Settings::load_with(config, []).map_err(|errors| errors.to_string()).unwrap()
}

/// One of the two shares of a key.
fn share() -> KeyShare {
    let params = |slot| KeygenParams { execution_id: [9; 32], me: Slot(slot), parties: 2, threshold: 2 };
    let mut machines =
        [0, 1].map(|slot| Suite::Givre.keygen(params(slot), [u8::try_from(slot).unwrap(); 32]).unwrap());
    // Far more turns than the protocol has rounds.
    for turn in 0..16 {
        let (slot, other) = (turn % 2, 1 - turn % 2);
        let advance = machines[slot].advance();
        if let Progress::Finished(Output::KeyShare(share)) = advance.progress {
            return share;
        }
        for outgoing in advance.outgoing {
            machines[other].receive(Slot(u16::try_from(slot).unwrap()), &outgoing.payload);
        }
    }
    panic!("the ceremony does not end");
}

impl Place {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let files = init_cluster(dir.path(), &ClusterPlan::default()).unwrap();
        fs::create_dir(&files.certs).unwrap();
        for name in ["ca.crt", "node1.crt", "node1.key", "node2.crt", "node2.key"] {
            fs::write(files.certs.join(name), "").unwrap();
        }
        let config = files.nodes[0].clone();
        let settings = load(&config);
        let (cluster, me) = (settings.core.cluster.id(), settings.core.me);
        let (mut store, _) = Store::open(&settings.data_dir, cluster, me).unwrap();
        store.append((1..=3).map(booted).collect()).await.unwrap();
        let secrets =
            SealedSecrets::open(&settings.data_dir, &settings.secret_key_file, cluster, me).unwrap();
        secrets.seal(SessionId::from_bytes([3; 32]), KEY, &share()).await.unwrap();
        fs::write(settings.data_dir.join("secrets/presignatures.sealed"), "one-time").unwrap();
        Self { dir, config, store }
    }

    fn settings(&self) -> Settings {
        load(&self.config)
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    fn create(&self) -> Result<backup::Contents, BackupError> {
        backup::create(&self.settings(), &self.config, &self.backup())
    }

    /// Ends the node and loses its disk.
    fn destroy(self) -> (TempDir, PathBuf, Settings) {
        let settings = self.settings();
        drop(self.store);
        fs::remove_dir_all(&settings.data_dir).unwrap();
        (self.dir, self.config, settings)
    }
}

fn booted(boot: u64) -> Record {
    Record { at: Timestamp(boot), fact: Fact::Booted { boot: BootId(boot) } }
}

/// Every file below a folder.
fn listed(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            names.extend(listed(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_beside_a_writing_node_brings_everything_back_but_what_is_used_once() {
    let mut place = Place::new().await;
    let contents = place.create().unwrap();
    assert_eq!((contents.node, contents.journal_position), (1, 3));
    let share = format!("secrets/taproot-1-{}.share", "03".repeat(32));
    let expected = ["backup.json", "config/cluster.toml", "config/node.toml", "node.db", share.as_str()]
        .map(str::to_owned);
    assert_eq!(listed(&place.backup()), expected);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.backup()), mode(&place.backup().join("node.db"))), (0o700, 0o600));
    let taken = backup::last(&place.settings().data_dir).unwrap();
    assert_eq!(taken.0, contents.created_at * 1_000);

    // The node goes on; the backup does not.
    place.store.append(vec![booted(4)]).await.unwrap();
    let key = place.settings().secret_key_file;
    let verified = backup::verify(&place.backup(), Some(&key)).unwrap();
    assert_eq!((verified.shares_opened, verified.contents.journal_position), (Some(1), 3));
    assert_eq!(backup::verify(&place.backup(), None).unwrap().shares_opened, None);

    let copy = place.backup();
    let (dir, _, settings) = place.destroy();
    backup::restore(&copy, &settings).unwrap();
    assert_eq!(listed(&settings.data_dir), ["last-backup", "node.db", share.as_str()].map(str::to_owned));
    assert_eq!(backup::last(&settings.data_dir), Some(taken));
    let (cluster, me) = (settings.core.cluster.id(), settings.core.me);
    let (_store, records) = Store::open(&settings.data_dir, cluster, me).unwrap();
    assert_eq!(records, (1..=3).map(booted).collect::<Vec<_>>());
    let secrets = SealedSecrets::open(&settings.data_dir, &settings.secret_key_file, cluster, me).unwrap();
    assert_eq!(secrets.load_all().unwrap().len(), 1);
    assert!(secrets.take_presignatures().unwrap().is_none());
    drop(dir);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let place = Place::new().await;
    place.create().unwrap();
    assert!(matches!(place.create(), Err(BackupError::Exists(_))));
    let refused = backup::restore(&place.backup(), &place.settings()).unwrap_err();
    assert!(matches!(refused, BackupError::Occupied(_)), "{refused}");
    let copy = place.backup();
    let (_dir, _, settings) = place.destroy();
    // An empty folder, as a mounted volume is at first, is no data.
    fs::create_dir(&settings.data_dir).unwrap();
    backup::restore(&copy, &settings).unwrap();
}

#[tokio::test]
async fn a_backup_that_would_not_bring_its_node_back_is_refused() {
    type Harm = fn(&Path);
    let table: [(Harm, &str); 8] = [
        (|dir| fs::remove_file(dir.join("node.db")).unwrap(), "node.db is missing"),
        (|dir| fs::write(dir.join("node.db"), "x").unwrap(), "bytes, not"),
        (|dir| flip(&dir.join("node.db")), "does not have the SHA-256"),
        (|dir| flip(&share_of(dir)), "does not have the SHA-256"),
        (|dir| fs::write(dir.join("secrets/other.share"), "x").unwrap(), "is not listed in backup.json"),
        (|dir| fs::remove_file(dir.join("backup.json")).unwrap(), "backup.json: No such file"),
        (|dir| fs::write(dir.join("backup.json"), "{}").unwrap(), "is no backup of this version"),
        (|dir| retell(dir, "\"format\": 1", "\"format\": 2"), "its format is 2, this software knows 1"),
    ];
    for (harm, told) in table {
        let place = Place::new().await;
        place.create().unwrap();
        harm(&place.backup());
        let refused = backup::verify(&place.backup(), None).unwrap_err().to_string();
        assert!(refused.contains(told), "{told}: {refused}");
        let copy = place.backup();
        let (_dir, _, settings) = place.destroy();
        assert!(backup::restore(&copy, &settings).is_err(), "{told}");
        assert!(!settings.data_dir.exists(), "{told}");
    }
}

fn share_of(dir: &Path) -> PathBuf {
    fs::read_dir(dir.join("secrets")).unwrap().next().unwrap().unwrap().path()
}

/// Changes one bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn retell(dir: &Path, from: &str, to: &str) {
    let path = dir.join("backup.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn shares_that_the_key_does_not_open_are_told_before_they_are_needed() {
    let place = Place::new().await;
    place.create().unwrap();
    let other = place.dir.path().join("other.key");
    SealedSecrets::generate_key_file(&other).unwrap();
    let refused = backup::verify(&place.backup(), Some(&other)).unwrap_err();
    assert!(refused.to_string().contains("does not open with the key"), "{refused}");
}

#[tokio::test]
async fn another_nodes_backup_is_refused() {
    let place = Place::new().await;
    place.create().unwrap();
    let copy = place.backup();
    let (dir, config, first) = place.destroy();
    let second = load(&dir.path().join("node-2/node.toml"));
    let swapped = Settings { secret_key_file: first.secret_key_file.clone(), ..second };
    let refused = backup::restore(&copy, &swapped).unwrap_err();
    assert!(matches!(refused, BackupError::Foreign { .. }), "{refused}");
    assert!(!swapped.data_dir.exists());
    // Its manifest tells another cluster than its document.
    retell(&copy, &format!("\"cluster\": \"{}", first.core.cluster.id()), "\"cluster\": \"00");
    let refused = backup::verify(&copy, None).unwrap_err();
    assert!(matches!(refused, BackupError::Foreign { .. }), "{refused}");
    drop(config);
}

#[tokio::test]
async fn a_node_that_has_not_run_has_nothing_to_back_up() {
    let place = Place::new().await;
    let copy = place.backup();
    let (_dir, config, settings) = place.destroy();
    let refused = backup::create(&settings, &config, &copy).unwrap_err();
    assert!(matches!(refused, BackupError::NoJournal(_)), "{refused}");
    assert!(!copy.exists());
}
