//! What fuzzing has found worth keeping runs on every compiler.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Each input in the target's folder; the one that fails is named.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the corpus is there").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 20, "{} inputs in {}", files.len(), folder.display());
    for file in files {
        let data = fs::read(&file).expect("a file");
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&data))) {
            eprintln!("that was {}", file.display());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn tokenizer_json() {
    replay("tokenizer_json", fuzz::tokenizer_json);
}

#[test]
fn streams() {
    replay("streams", fuzz::streams);
}

#[test]
fn lookup() {
    replay("lookup", fuzz::lookup);
}

/// Writes a tokenizer of each kind to where fuzzing begins.
#[test]
#[ignore = "writes files; to be run when the tokenizers change"]
fn seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/tokenizer_json");
    fs::create_dir_all(&folder).expect("a folder");
    for (name, json) in fuzz::families() {
        fs::write(folder.join(format!("{}.json", name.replace(' ', "_"))), json).expect("a file");
    }
}

#[test]
fn the_tokenizers_are_of_each_kind() {
    let slow = |(_, json): &(_, String)| uag::Tokenizer::from_json(json).is_err();
    let slow: Vec<_> = fuzz::families().iter().filter(|family| slow(family)).map(|family| family.0).collect();
    assert_eq!(slow, ["bert", "words", "clip"]);
}
