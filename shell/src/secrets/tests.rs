#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use std::os::unix::fs::PermissionsExt;

use mpc_wallet_core::{
    Scheme,
    mpc::{KeygenParams, Machine, Output, Progress, Recipient, Slot, Suite},
};
use tempfile::TempDir;

use super::*;

const KEY: KeyId = KeyId { scheme: Scheme::Taproot, epoch: 1 };
const CEREMONY: SessionId = SessionId::from_bytes([3; 32]);
const CLUSTER: ClusterId = ClusterId::from_bytes([7; 32]);
const ME: NodeId = NodeId::new(2);

/// Both shares of a real 2-of-2 key.
fn shares(seed: u8) -> Vec<KeyShare> {
    let params = |slot| KeygenParams { execution_id: [9; 32], me: Slot(slot), parties: 2, threshold: 2 };
    let mut machines: Vec<Box<dyn Machine>> = (0..2_u16)
        .map(|slot| Suite::Givre.keygen(params(slot), [seed + u8::try_from(slot).unwrap(); 32]).unwrap())
        .collect();
    let mut done: Vec<Option<KeyShare>> = vec![None, None];
    // Far more turns than the protocol has rounds.
    for turn in 0..64 {
        let (slot, other) = (turn % 2, 1 - turn % 2);
        if done[slot].is_some() {
            continue;
        }
        let advance = machines[slot].advance();
        for outgoing in advance.outgoing {
            assert_ne!(outgoing.to, Recipient::One(Slot(u16::try_from(slot).unwrap())));
            machines[other].receive(Slot(u16::try_from(slot).unwrap()), &outgoing.payload);
        }
        match advance.progress {
            Progress::Running => {}
            Progress::Finished(Output::KeyShare(share)) => done[slot] = Some(share),
            Progress::Finished(Output::Presignature(_) | Output::Signatures(_)) => {
                panic!("key generation signs nothing")
            }
            Progress::Failed(fault) => panic!("{fault:?}"),
        }
    }
    done.into_iter().map(Option::unwrap).collect()
}

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        SealedSecrets::generate_key_file(&dir.path().join("kek")).unwrap();
        Self { dir }
    }
    fn key_file(&self) -> PathBuf {
        self.dir.path().join("kek")
    }
    fn open_as(&self, cluster: ClusterId, node: NodeId) -> SealedSecrets {
        SealedSecrets::open(self.dir.path(), &self.key_file(), cluster, node).unwrap()
    }
    fn open(&self) -> SealedSecrets {
        self.open_as(CLUSTER, ME)
    }
    fn sealed_file(&self) -> PathBuf {
        self.dir.path().join(format!("secrets/taproot-1-{CEREMONY}.share"))
    }
}

#[tokio::test]
async fn a_sealed_share_comes_back_after_a_restart_and_sealing_it_again_is_fine() {
    let place = Place::new();
    let share = &shares(10)[0];
    place.open().seal(CEREMONY, KEY, share).await.unwrap();
    let before = fs::read(place.sealed_file()).unwrap();
    place.open().seal(CEREMONY, KEY, share).await.unwrap();
    assert_eq!(fs::read(place.sealed_file()).unwrap(), before);

    let loaded = place.open().load_all().unwrap();
    let [(ceremony, key, read)] = loaded.as_slice() else { panic!("{} shares", loaded.len()) };
    assert_eq!((*ceremony, *key), (CEREMONY, KEY));
    let bytes = |share: &KeyShare| share.to_secret_bytes().unwrap();
    assert!(bytes(read) == bytes(share));
    let plain = bytes(share);
    assert!(!before.windows(32).any(|window| plain.windows(32).any(|secret| secret == window)));
    let mode = fs::metadata(place.sealed_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_different_share_of_the_same_ceremony_is_never_written_over_the_first() {
    let place = Place::new();
    let shares = shares(20);
    place.open().seal(CEREMONY, KEY, &shares[0]).await.unwrap();
    let before = fs::read(place.sealed_file()).unwrap();
    let refused = place.open().seal(CEREMONY, KEY, &shares[1]).await.unwrap_err();
    assert!(refused.to_string().contains("is not overwritten"), "{refused}");
    assert_eq!(fs::read(place.sealed_file()).unwrap(), before);
}

#[tokio::test]
async fn a_changed_file_is_refused_wherever_the_change_is() {
    let place = Place::new();
    place.open().seal(CEREMONY, KEY, &shares(30)[0]).await.unwrap();
    let good = fs::read(place.sealed_file()).unwrap();
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1;
        fs::write(place.sealed_file(), &bad).unwrap();
        let refused = place.open().load_all().unwrap_err();
        assert!(refused.to_string().contains(place.sealed_file().to_str().unwrap()), "{refused}");
    }
    for length in 0..good.len() {
        fs::write(place.sealed_file(), &good[..length]).unwrap();
        assert!(place.open().load_all().is_err(), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn a_wrong_key_a_foreign_place_and_another_name_are_told_apart() {
    let place = Place::new();
    place.open().seal(CEREMONY, KEY, &shares(40)[0]).await.unwrap();
    let other_node = place.open_as(CLUSTER, NodeId::new(3)).load_all().unwrap_err();
    assert!(matches!(other_node, SecretsError::Foreign { .. }), "{other_node}");
    let other_cluster = place.open_as(ClusterId::from_bytes([8; 32]), ME).load_all().unwrap_err();
    assert!(matches!(other_cluster, SecretsError::Foreign { .. }), "{other_cluster}");

    fs::remove_file(place.key_file()).unwrap();
    SealedSecrets::generate_key_file(&place.key_file()).unwrap();
    let wrong_key = place.open().load_all().unwrap_err();
    assert!(matches!(wrong_key, SecretsError::NotAuthentic { .. }), "{wrong_key}");

    let elsewhere = place.sealed_file().with_file_name("taproot-2.share");
    fs::rename(place.sealed_file(), elsewhere).unwrap();
    let renamed = place.open().load_all().unwrap_err();
    assert!(matches!(renamed, SecretsError::Foreign { .. }), "{renamed}");
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_ignored_and_replaced() {
    let place = Place::new();
    let store = place.open();
    fs::write(place.sealed_file().with_extension("tmp"), b"half").unwrap();
    assert!(store.load_all().unwrap().is_empty());
    store.seal(CEREMONY, KEY, &shares(50)[0]).await.unwrap();
    assert_eq!(store.load_all().unwrap().len(), 1);
    assert_eq!(fs::read_dir(place.dir.path().join(SECRETS_DIRECTORY)).unwrap().count(), 1);
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
    let place = Place::new();
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = SealedSecrets::open(place.dir.path(), &place.key_file(), CLUSTER, ME).err().unwrap();
    let path = place.key_file();
    let path = path.display();
    assert_eq!(
        refused.to_string(),
        format!("key file {path} has mode 0640, others can read or change it; run: chmod 600 {path}")
    );
}

#[test]
fn a_key_file_is_sixty_four_digits_and_never_overwritten() {
    let place = Place::new();
    assert_eq!(fs::metadata(place.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(
        SealedSecrets::generate_key_file(&place.key_file()),
        Err(SecretsError::KeyFileExists { .. })
    ));
    let good = fs::read_to_string(place.key_file()).unwrap();
    for bad in ["", "00", &good.repeat(2), &good.replace('\n', "0"), &good.replace('\n', "\n\n\n")] {
        fs::write(place.key_file(), bad).unwrap();
        let refused = SealedSecrets::open(place.dir.path(), &place.key_file(), CLUSTER, ME).err().unwrap();
        assert!(matches!(refused, SecretsError::KeyFileContent { .. }), "{bad:?}: {refused}");
    }
}
