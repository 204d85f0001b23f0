//! Files and texts made to do harm: refused, or read in memory and time that their size accounts
//! for.

mod common;

use std::sync::Arc;

use common::{byte_level, metaspace};
use serde_json::{Value, json};
use uag::{Bridge, Cause, Cut, Encode, Error, IncrementalEncoder, Token, Tokenizer};

/// In the place of the real tokenizer.
struct None;

impl Encode for None {
    fn encode(&self, _: &str) -> Result<Vec<Token>, String> {
        Ok(Vec::new())
    }
}

fn with(tokenizer: &str, path: &str, value: Value) -> String {
    let mut tokenizer: Value = serde_json::from_str(tokenizer).expect("it was made as JSON");
    *tokenizer.pointer_mut(path).expect(path) = value;
    tokenizer.to_string()
}

fn stream(json: &str, text: &[u8]) -> IncrementalEncoder {
    let mut stream = IncrementalEncoder::new(Arc::new(Tokenizer::from_json(json).expect("it is one")), true);
    stream.append(text).expect("short");
    stream
}

/// Refused on either path, for the reason given.
fn is_refused(json: &str, because: &str) {
    for found in [Tokenizer::from_json(json), Tokenizer::with_fallback(json, Box::new(None))] {
        let error = found.expect_err("refused").to_string();
        assert!(error.contains(because), "{error}");
    }
}

#[test]
fn ids_far_beyond_the_tokens_make_no_tables() {
    let far = |id: u64| with(&byte_level(&["a"], &[], false, true), "/added_tokens/0/id", json!(id));
    assert_eq!(Tokenizer::from_json(&far(1_000_000)).expect("rows of padding").vocab_size(), 1_000_001);
    is_refused(&far(1_100_000), "token id 1100000 of only 258 tokens");
    is_refused(&far(1 << 24), "beyond 16777216");
    is_refused(&far(u64::from(u32::MAX)), "beyond 16777216");
    is_refused(&far(1 << 32), "not a tokenizer.json");
}

#[test]
fn ids_may_stand_twice() {
    let json = with(&byte_level(&["a", "b"], &[(0, 1)], false, true), "/added_tokens/0/id", json!(97));
    let tokenizer = Tokenizer::from_json(&json).expect("it is one");
    assert_eq!(tokenizer.token_bytes(97), Some(&b"<t>"[..]), "an added token takes the place of the model's");
}

#[test]
fn nesting_is_no_recursion_without_end() {
    let deep =
        format!(r#"{{"normalizer":{}{}}}"#, r#"{"type":"Sequence","normalizers":["#.repeat(5000), "]}".repeat(5000));
    is_refused(&deep, "recursion limit");
}

/// What would be read again at each byte of a text is left to the tokenizer itself.
#[test]
fn long_spellings_go_the_slow_way() {
    let long = "x".repeat(1025);
    let bytes = byte_level(&["a"], &[], false, true);
    assert!(Tokenizer::from_json(&with(&bytes, "/added_tokens/0/content", json!(long[1..]))).is_ok());
    let added = with(&bytes, "/added_tokens/0/content", json!(long));
    let unigram = with(&common::unigram(&[]), "/model/vocab", json!([["<unk>", 0.0], [long, -1.0]]));
    for json in [added, unigram] {
        assert!(matches!(Tokenizer::from_json(&json), Err(Error::Unsupported { .. })));
        let slow = Tokenizer::with_fallback(&json, Box::new(None)).expect("read");
        assert!(slow.reason().is_some_and(|reason| reason.contains("1025 bytes")), "{:?}", slow.reason());
    }
}

/// Merges of which each doubles the token, up to a length in bytes.
fn doubling(longest: usize) -> String {
    let mut vocab: Vec<String> = (0..=255).map(|byte| uag::bytes::byte_char(byte).to_string()).collect();
    let mut merges = Vec::new();
    let mut token = "a".to_owned();
    while token.len() < longest {
        merges.push(json!([token, token]));
        token = token.repeat(2);
        vocab.push(token.clone());
    }
    let json = with(&byte_level(&[], &[], false, false), "/model/vocab", common::ids(&vocab));
    let json = with(&json, "/model/merges", json!(merges));
    with(&json, "/added_tokens", json!([]))
}

#[test]
fn long_tokens_are_merged_as_short_ones() {
    let mut stream = stream(&doubling(1024), "a".repeat(3000).as_bytes());
    for _ in 0..20 {
        stream.append(b"a").expect("short");
    }
    let lengths: Vec<usize> = (0..stream.count()).map(|i| stream.token(i).1).collect();
    assert_eq!(lengths, [1024, 2048, 2560, 2816, 2944, 3008, 3016, 3020]);
    let slow = Tokenizer::with_fallback(&doubling(2048), Box::new(None)).expect("read");
    assert!(slow.reason().is_some_and(|reason| reason.contains("more than 1024 characters")), "{:?}", slow.reason());
}

/// Each of the merges takes the place of the one before it: what a text ends with decides how it
/// begins.
#[test]
fn merges_that_depend_on_each_other_are_followed_to_the_start() {
    let letters: Vec<String> = ('\u{4e00}'..'\u{5600}').map(String::from).collect();
    let pairs: Vec<String> = letters.windows(2).map(<[String]>::concat).collect();
    let merges: Vec<_> = letters.windows(2).map(|pair| json!([pair[0], pair[1]])).rev().collect();
    let json = with(&metaspace(&[], &[]), "/model/vocab", {
        let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
        common::ids(&bytes.chain(["▁".to_owned()]).chain(letters.clone()).chain(pairs).collect::<Vec<_>>())
    });
    let json = with(&with(&json, "/model/merges", json!(merges)), "/added_tokens", json!([]));
    let mut stream = stream(&json, letters.concat().as_bytes());
    assert_eq!(stream.count(), 1 + letters.len() / 2, "pairs, from the end");
    for _ in 0..10 {
        stream.truncate(stream.len() - 3).expect("shorter");
        assert_eq!(stream.count(), 2 + (letters.len() - 1) / 2, "one letter is left at the start");
        stream.append(letters[letters.len() - 1].as_bytes()).expect("short");
    }
}

/// Each prefix of them would be looked at as a whole.
#[test]
fn marks_without_end_are_found_not_to_be_normal_soon() {
    let mut json: Value = serde_json::from_str(&byte_level(&["a"], &[], false, true)).expect("it was made as JSON");
    json["normalizer"] = json!({"type": "NFC"});
    let marks = "a\u{323}".to_owned() + &"\u{302}".repeat(50_000);
    let normal = "\u{1ea1}".to_owned() + &"\u{302}".repeat(50_000);
    assert!(!stream(&json.to_string(), marks.as_bytes()).exact());
    assert!(!stream(&json.to_string(), (normal + "\u{323}").as_bytes()).exact());
}

/// A byte that belongs to no character hid the `▁` before it, after it was cut off.
#[test]
fn what_makes_a_text_inexact_is_found_before_what_else_does() {
    let mut stream = stream(&metaspace(&["a"], &[]), b"a\xe2\x96\x81a\xffa");
    assert!(!stream.exact());
    stream.truncate(5).expect("shorter");
    assert_eq!(stream.text(), "a▁a".as_bytes());
    assert!(!stream.exact());
}

/// The first of the assistant's ids may carry a space that the text doesn't have, where the target
/// has begun the text with half of a character, too.
#[test]
fn a_draft_goes_on_with_a_character_that_begins_the_text() {
    let target = Arc::new(Tokenizer::from_json(&byte_level(&["a"], &[], false, true)).expect("it is one"));
    let json = metaspace(&["a", " "], &[]);
    let assistant = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
    let bridge = Arc::new(Bridge::new(target, assistant, &[]));
    let mut translation = bridge.start(&[], &[]).expect("short");
    translation.commit(&[0xC3]).expect("short");
    assert_eq!((translation.held(), translation.assistant_ids()), (1, &[][..]));
    let space = 257;
    let proposal = translation.propose(&[space, 0xC3, 0xA9]).expect("short");
    assert_eq!((proposal.ids, proposal.cut), (vec![0xA9], Cut::No));
}

/// What spells a special token is text, and no other token begins inside it: until the text is cut
/// there.
#[test]
fn a_token_is_found_once_the_special_one_around_it_is_cut() {
    let token = |id: u32, content: &str, special: bool| json!({"id": id, "content": content, "special": special});
    let json = byte_level(&["a"], &[], false, true);
    let json = with(
        &json,
        "/added_tokens",
        json!([token(256, "<end>", true), token(257, "<", false), token(258, "d>a", false)]),
    );
    let mut stream = stream(&json, b"a<end>a b c d e f g");
    for (len, more, expected) in [
        (10, "", vec![97, 60, 101, 110, 100, 62, 97, 32, 98, 32]),
        (8, "a", vec![97, 60, 101, 110, 100, 62, 97, 32, 97]),
        (4, "", vec![97, 257, 101, 110]),
        (4, "x d>a", vec![97, 257, 101, 110, 120, 32, 258]),
    ] {
        stream.splice(len, more.as_bytes()).expect("short");
        assert_eq!(stream.ids(0).collect::<Vec<_>>(), expected);
    }
}

/// A tokenizer may give tokens that stand for no text: what leaves them out is not exact.
#[test]
fn tokens_without_bytes_are_not_overlooked() {
    struct Trailing;

    impl Encode for Trailing {
        fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
            let end = text.len() as u32;
            Ok(text
                .bytes()
                .zip(1..)
                .map(|(id, end)| Token { id: id.into(), end })
                .chain([Token { id: 5, end }])
                .collect())
        }
    }

    let json = byte_level(&["a"], &[], false, true);
    let tokenizer = Arc::new(Tokenizer::through(&json, Box::new(Trailing), "asked for").expect("read"));
    let plain = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
    let mut translation = Arc::new(Bridge::new(tokenizer, plain, &[])).start(&[97], &[97]).expect("short");
    let proposal = translation.propose(&[]).expect("short");
    assert_eq!((&proposal.ids[..], proposal.exact), (&[][..], false), "the tokenizer gives 97 and 5");
}

/// What an added token begins with is other tokens where the text goes on otherwise, and so are the
/// spaces that it swallows: those are not kept when the text changes.
#[test]
fn text_that_changes_may_complete_an_added_token() {
    for (lstrip, first, then) in
        [(false, "<to x", "<tool>"), (true, "a  'x", "a  <tool>"), (true, "a  <to x", "a  <tool>")]
    {
        for split in [false, true] {
            let json = with(&byte_level(&["a"], &[], false, split), "/added_tokens/0/content", json!("<tool>"));
            let json = with(&json, "/added_tokens/0/lstrip", json!(lstrip));
            let at_once = stream(&json, then.as_bytes());
            for keep in 0..first.len() {
                let mut changed = stream(&json, first.as_bytes());
                changed.truncate(keep).expect("shorter");
                changed.splice(0, then.as_bytes()).expect("short");
                assert!(changed.ids(0).eq(at_once.ids(0)), "{first} cut to {keep} bytes");
            }
        }
    }
}

/// After a failed round the two sides may differ: there is no other one.
#[test]
fn a_translation_that_failed_is_broken() {
    struct Refusing;

    impl Encode for Refusing {
        fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
            if text.contains('!') {
                return Err("no".into());
            }
            Ok(text.bytes().zip(1..).map(|(id, end)| Token { id: id.into(), end }).collect())
        }
    }

    let json = byte_level(&["a"], &[], false, true);
    let slow = Arc::new(Tokenizer::through(&json, Box::new(Refusing), "asked for").expect("read"));
    let fast = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
    let bridge = Arc::new(Bridge::new(fast, slow, &[]));
    let mut text = bridge.start(&[97], &[97]).expect("short");
    text.propose(&[98]).expect("short");
    assert!(!text.is_broken());
    let failed = text.commit(&[33]).expect_err("refused");
    assert_eq!(failed, Error::Encode { bytes: 2, reason: "no".into() });
    assert!(text.is_broken());
    assert_eq!(text.propose(&[98]), Err(Error::Broken));
    assert_eq!(text.commit(&[98]), Err(Error::Broken));
    assert_eq!(Error::Broken.to_string(), "unusable: an earlier call failed half-way; begin a new one");
}

#[test]
fn cuts_and_causes_have_words() {
    let cuts = [Cut::No, Cut::Special, Cut::NoText, Cut::Mismatch, Cut::NotRepresentable].map(|cut| cut.to_string());
    assert_eq!(cuts, ["", "special", "no text", "mismatch", "not representable"]);
    let causes = [Cause::None, Cause::Ahead, Cause::Text, Cause::Boundary, Cause::Special, Cause::Unfinished]
        .map(|c| c.to_string());
    assert_eq!(causes, ["", "ahead", "text", "boundary", "special", "unfinished"]);
}
