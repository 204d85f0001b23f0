//! Any bytes as a tokenizer.json, and texts in what could be read of it.

use std::sync::Arc;

use uag::{Error, Tokenizer};

use super::families::{Words, read};
use super::reader::Reader;
use super::rounds::{edits, refusals, rounds};

/// Choices where an input brings none: a text, cut and grown.
const CHOICES: &[u8] = b"\x00\x00\x1f\x00\x14\x02\x48\x01\x2e\x14\x58\x59\x03\x01\x50\x29\x30\x1d\xe6\x97\x02\x03\x05\x12\x01\x00\x06\x30\x31\x20\x5b\x00\x00";

/// The file, then a byte 0, which no JSON has, and choices.
pub fn tokenizer_json(data: &[u8]) {
    let (json, choices) = match data.iter().position(|&byte| byte == 0) {
        // All of a text is read again at each step.
        Some(at) => (&data[..at], &data[at + 1..data.len().min(at + 300)]),
        None => (data, CHOICES),
    };
    let Ok(json) = std::str::from_utf8(json) else { return };
    let fast = Tokenizer::from_json(json);
    let either = read(json, 7, false);
    match (&fast, &either) {
        (Ok(_), Ok(either)) => assert_eq!(either.reason(), None),
        (Err(Error::Unsupported { part, .. }), Ok(either)) => {
            assert!(either.reason().is_some_and(|reason| reason.starts_with(part)), "the reason is the error's");
        }
        (Err(Error::Json(_)), Err(Error::Json(_)))
        | (Err(Error::Unsupported { .. }), Err(Error::Unsupported { .. })) => {}
        (fast, either) => panic!("{fast:?}, but {either:?}"),
    }
    let Ok(tokenizer) = either else { return };
    let size = tokenizer.vocab_size() as u32;
    assert!(u64::from(size) <= json.len() as u64 + (1 << 20), "ids that the file doesn't have");
    for id in (0..size.min(40)).chain([size.saturating_sub(1), size, u32::MAX]) {
        let carries = tokenizer.token_bytes(id).is_some();
        assert!(!(carries && (tokenizer.is_special(id) || id >= size)));
        assert!(tokenizer.token_bytes(id).is_none_or(|bytes| !bytes.is_empty() && bytes.len() <= json.len() * 2));
    }
    edits(&tokenizer, &mut Reader::new(choices));
    rounds(&tokenizer, &tokenizer, &mut Reader::new(choices));
    let through = |refuses| Tokenizer::through(json, Box::new(Words { size, refuses }), "asked for");
    // Not each can be read so: the spelling of a Unigram's decoder, say, may be one that only texts
    // need.
    if let Ok(slow) = through(false) {
        rounds(&tokenizer, &Arc::new(slow), &mut Reader::new(choices));
    }
    if let Ok(slow) = through(true) {
        refusals(&Arc::new(slow), &Words { size, refuses: true }, &mut Reader::new(choices));
    }
}
