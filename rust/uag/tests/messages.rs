//! Errors say which part of a tokenizer.json is meant, once, and what about it is unknown.

mod common;

use common::{byte_level, metaspace};
use serde_json::{Value, json};
use uag::{Encode, Token, Tokenizer};

/// In the place of the real tokenizer.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &str) -> Result<Vec<Token>, String> {
        Ok(Vec::new())
    }
}

/// The error of a tokenizer of which one field is another.
fn message(tokenizer: &str, field: &str, value: Value) -> String {
    let mut json: Value = serde_json::from_str(tokenizer).expect("it was made as JSON");
    match json.pointer_mut(field) {
        Some(found) => *found = value,
        None => json[&field[1..]] = value,
    }
    let error = Tokenizer::from_json(&json.to_string()).expect_err(field).to_string();
    if let Ok(slow) = Tokenizer::with_fallback(&json.to_string(), Box::new(Nothing)) {
        assert_eq!(slow.reason(), Some(error.as_str()), "the slow path's reason is the error");
    }
    error
}

#[test]
fn the_part_is_named_once() {
    let bytes = byte_level(&["a"], &[], false, true);
    let spaces = metaspace(&["a"], &[]);
    let split = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]});
    for (tokenizer, field, value, expected) in [
        (&bytes, "/normalizer", json!({"type": "Lowercase"}), "normalizer: Lowercase"),
        (&bytes, "/normalizer", json!({"type": "Precompiled"}), "normalizer: Precompiled without its map"),
        (
            &bytes,
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "!"}),
            "normalizer: Precompiled: not base64",
        ),
        (&bytes, "/pre_tokenizer", Value::Null, "pre_tokenizer: none, where tokens spell bytes"),
        (&bytes, "/pre_tokenizer", json!({}), "pre_tokenizer: no type"),
        (&bytes, "/pre_tokenizer", json!({"type": "Whitespace"}), "pre_tokenizer: unknown type Whitespace"),
        (&bytes, "/pre_tokenizer", split, "pre_tokenizer: unknown split pattern x+"),
        (
            &bytes,
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits"}]}),
            "pre_tokenizer: individual_digits is missing",
        ),
        (
            &spaces,
            "/pre_tokenizer",
            json!({"type": "Whitespace"}),
            "pre_tokenizer: Whitespace after a normalizer that replaces spaces",
        ),
        (&bytes, "/decoder", json!({"type": "CTC"}), "decoder: CTC"),
        (&bytes, "/decoder", json!({"type": "WordPiece"}), "decoder: it doesn't undo what the pre_tokenizer does"),
        (&bytes, "/model/type", json!("Other"), r#"model: unknown type Some("Other")"#),
        (&bytes, "/model/merges", json!([["a", "zz"]]), r#"model: merge 0 needs token "azz", which has no id"#),
        (
            &bytes,
            "/added_tokens/0/content",
            json!("x".repeat(1025)),
            "added_tokens: id 256 is 1025 bytes long, of at most 1024",
        ),
    ] {
        assert_eq!(message(tokenizer, field, value), expected);
    }
}

#[test]
fn merges_of_what_is_no_token_are_refused() {
    let message = |merges: &[(&[u8], &[u8])]| Tokenizer::from_merges(merges).expect_err("refused").to_string();
    assert_eq!(message(&[(b"a", b"bc")]), r#"model: merge 0 needs token "bc", which has no id"#);
    assert_eq!(message(&[(b"", b"a")]), r#"model: merge 0 needs token "", which has no id"#);
}
