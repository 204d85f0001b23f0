//! Small tokenizers written by hand, and the textbook way to merge.

// Each of the tests uses some of it.
#![allow(dead_code)]

use serde_json::{Value, json};

/// `picks` chooses pairs among the tokens so far; every pair becomes a merge and its token.
fn grow(vocab: &mut Vec<String>, letters: &[String], picks: &[(usize, usize)]) -> Vec<Value> {
    let mut parts: Vec<String> = letters.to_vec();
    let mut merges = Vec::new();
    for &(left, right) in picks {
        let (left, right) = (parts[left % parts.len()].clone(), parts[right % parts.len()].clone());
        let joined = format!("{left}{right}");
        if joined.len() > 60 || merges.contains(&json!([left, right])) {
            continue;
        }
        merges.push(json!([left, right]));
        if !vocab.contains(&joined) {
            vocab.push(joined.clone());
            parts.push(joined);
        }
    }
    merges
}

pub(crate) fn ids(vocab: &[String]) -> Value {
    vocab.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect::<serde_json::Map<_, _>>().into()
}

pub(crate) fn added(first: usize) -> Value {
    let token = |id: usize, content: &str, special: bool| {
        json!({"id": id, "content": content, "special": special, "normalized": false,
               "lstrip": false, "rstrip": false, "single_word": false})
    };
    json!([token(first, "<t>", false), token(first + 1, "<end>", true)])
}

/// A byte-level vocabulary split as GPT-2's, or not at all.
pub(crate) fn byte_level(letters: &[&str], picks: &[(usize, usize)], ignore_merges: bool, split: bool) -> String {
    let spell = |text: &str| text.bytes().map(uag::bytes::byte_char).collect::<String>();
    let mut vocab: Vec<String> = (0..=255).map(|byte| uag::bytes::byte_char(byte).to_string()).collect();
    let letters: Vec<String> = letters.iter().map(|letter| spell(letter)).collect();
    let merges = grow(&mut vocab, &letters, picks);
    json!({
        "added_tokens": added(vocab.len()),
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": ids(&vocab), "merges": merges, "ignore_merges": ignore_merges},
    })
    .to_string()
}

/// SentencePiece-style: a space before every text, byte fallback.
pub(crate) fn metaspace(letters: &[&str], picks: &[(usize, usize)]) -> String {
    let mut vocab: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
    let letters: Vec<String> = letters.iter().map(|letter| letter.replace(' ', "▁")).collect();
    vocab.extend(letters.iter().cloned());
    let merges = grow(&mut vocab, &letters, picks);
    json!({
        "added_tokens": added(vocab.len()),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "vocab": ids(&vocab), "merges": merges, "byte_fallback": true, "fuse_unk": true},
    })
    .to_string()
}

/// Scores from a handful of values, so that paths tie.
pub(crate) fn unigram(picks: &[(usize, usize)]) -> String {
    let mut vocab = vec![json!(["<unk>", 0.0])];
    let mut seen = vec!["<unk>".to_owned()];
    for (at, &(left, right)) in picks.iter().enumerate() {
        let letters = ["a", "b", "▁", "c", "日", "1"];
        let piece = letters[left % 6].to_owned() + letters[right % 6] + letters[at % 6];
        let piece: String = piece.chars().take(1 + (left + right) % 3).collect();
        if !seen.contains(&piece) {
            vocab.push(json!([piece, -1.0 - f64::from(right as u32 % 4)]));
            seen.push(piece);
        }
    }
    json!({
        "added_tokens": added(vocab.len()),
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false},
    })
    .to_string()
}

/// The ids of `text` by the definition: merge the pair with the least rank, leftmost first, until
/// none is left.
pub(crate) fn reference(json: &str, text: &str) -> Vec<u32> {
    let spec: Value = serde_json::from_str(json).expect("it was made as JSON");
    let merges: Vec<(String, String)> = serde_json::from_value(spec["model"]["merges"].clone()).expect("pairs");
    let mut parts: Vec<String> = text.bytes().map(|byte| uag::bytes::byte_char(byte).to_string()).collect();
    for _ in 0..text.len() {
        let ranked = parts.windows(2).enumerate().filter_map(|(at, pair)| {
            let rank = merges.iter().position(|(left, right)| *left == pair[0] && *right == pair[1])?;
            Some((rank, at))
        });
        let Some((_, at)) = ranked.min() else { break };
        let right = parts.remove(at + 1);
        parts[at] += &right;
    }
    parts.iter().map(|part| spec["model"]["vocab"][part].as_u64().expect("in the vocabulary") as u32).collect()
}

/// The ids of a text without spaces by the definition: of all segmentations, one of the best score.
/// Of equals the one whose last token is the longest.
pub(crate) fn most_probable(json: &str, text: &str) -> Vec<u32> {
    let spec: Value = serde_json::from_str(json).expect("it was made as JSON");
    let vocab: Vec<(String, f64)> = serde_json::from_value(spec["model"]["vocab"].clone()).expect("pieces");
    let least = vocab.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let text = "▁".to_owned() + text;
    // The score, the start and the id of the last token up to each place.
    let mut best: Vec<Option<(f64, usize, u32)>> = vec![None; text.len() + 1];
    best[0] = Some((0.0, 0, 0));
    for (at, letter) in text.char_indices() {
        let (before, ..) = best[at].expect("each character is in some token");
        let known = (0u32..).zip(&vocab).filter(|(_, (piece, _))| text[at..].starts_with(piece.as_str()));
        let mut tokens: Vec<(usize, f64, u32)> = known.map(|(id, (piece, score))| (piece.len(), *score, id)).collect();
        if !tokens.iter().any(|(length, ..)| *length == letter.len_utf8()) {
            tokens.push((letter.len_utf8(), least - 10.0, 0));
        }
        for (length, score, id) in tokens {
            let place = &mut best[at + length];
            if place.is_none_or(|(other, ..)| before + score > other) {
                *place = Some((before + score, at, id));
            }
        }
    }
    let mut ids: Vec<u32> = Vec::new();
    let mut at = text.len();
    while at > 0 {
        let (_, start, id) = best[at].expect("it was reached");
        // Unknown characters beside each other are one token.
        if id != 0 || ids.last() != Some(&0) {
            ids.push(id);
        }
        at = start;
    }
    ids.reverse();
    ids
}
