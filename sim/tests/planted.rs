//! Every planted bug has exactly one place in the sources that asks for it, and every rare situation one that counts
//! it: nothing is measured that is not there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mpc_wallet_core::{mutant::Mutant, sometimes::Situation};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// How often each name is given to a macro, in the sources of the core and of this crate.
fn uses(invocation: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    sources(&here.join("src"), &mut files);
    sources(&here.join("../core/src"), &mut files);
    assert!(files.len() > 50, "the sources are elsewhere");
    let mut uses: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        for piece in fs::read_to_string(&file).unwrap().split(invocation).skip(1) {
            let name: String =
                piece.trim_start().chars().take_while(|letter| letter.is_alphanumeric()).collect();
            uses.entry(name).or_default().push(file.clone());
        }
    }
    uses
}

#[test]
fn every_planted_bug_has_exactly_one_place() {
    let mut uses = uses("mutant!(");
    for mutant in Mutant::ALL {
        let places = uses.remove(mutant.name()).unwrap_or_default();
        assert_eq!(places.len(), 1, "{} is asked for at {places:?}", mutant.name());
    }
    assert!(uses.is_empty(), "unknown bugs: {uses:?}");
}

#[test]
fn every_planted_bug_says_in_a_sentence_what_it_breaks() {
    for mutant in Mutant::ALL {
        let sentence = mutant.sentence();
        assert!(sentence.len() > 20 && sentence.ends_with('.'), "{}: {sentence}", mutant.name());
    }
}

#[test]
fn every_rare_situation_has_exactly_one_place() {
    let mut uses = uses("sometimes!(");
    for situation in Situation::ALL {
        let places = uses.remove(situation.name()).unwrap_or_default();
        assert_eq!(places.len(), 1, "{} is counted at {places:?}", situation.name());
    }
    // The module's own text links to the macro.
    uses.retain(|name, _| !name.is_empty());
    assert!(uses.is_empty(), "unknown situations: {uses:?}");
}
