//! Every committed seed keeps its target's promise. A finding of a fuzzer becomes a seed, so it stays found.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mpc_wallet_fuzz::{TARGETS, Target};

/// A corpus that outgrows this is not minimal.
const LARGEST: u64 = 1024 * 1024;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn files(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(name)).expect("a folder of seeds for each target");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a seed").path()).collect();
    files.sort();
    files
}

fn replay(name: &str, least: usize) {
    let target: Target = TARGETS.iter().find(|(target, _)| *target == name).expect("a target").1;
    let files = files(name);
    assert!(files.len() >= least, "{name} has {} seeds", files.len());
    for file in files {
        let bytes = fs::read(&file).expect("a seed");
        // A panic's own words come first; these say which file to run again.
        let outcome = std::panic::catch_unwind(|| target(&bytes));
        assert!(outcome.is_ok(), "REPLAY: cargo run --bin {name} {}", file.display());
    }
}

#[test]
fn messages_are_refused_or_exactly_what_they_encode_to() {
    replay("message", 18);
}

#[test]
fn records_are_refused_or_exactly_what_they_encode_to() {
    replay("record", 16);
}

#[test]
fn streams_give_the_same_frames_however_they_are_cut() {
    replay("frame", 4);
}

#[test]
fn bodies_are_refused_or_become_the_command_they_say() {
    replay("rest_body", 20);
}

#[test]
fn configurations_are_refused_by_name_or_say_the_same_when_written_out() {
    replay("config", 15);
}

#[test]
fn certificates_let_in_only_whom_the_ca_signed_for() {
    replay("certificate", 20);
}

#[test]
fn clusters_keep_their_promises_whatever_the_plan() {
    replay("plan", 20);
}

#[test]
fn every_folder_of_seeds_has_a_target_and_together_they_are_small() {
    let folders = fs::read_dir(folder()).expect("seeds");
    let mut bytes = 0;
    for folder in folders {
        let name = folder.expect("a folder").file_name().into_string().expect("a name");
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name} has no target");
        bytes += files(&name).iter().map(|file| file.metadata().expect("a seed").len()).sum::<u64>();
    }
    assert!(bytes < LARGEST, "{bytes} bytes of seeds");
}
