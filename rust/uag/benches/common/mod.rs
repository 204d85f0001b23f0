//! A text, and merges learned from it: made anew each time, always the same.

// Each of the benchmarks uses some of it; ranks are small.
#![allow(dead_code, clippy::cast_precision_loss)]

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use uag::{IncrementalEncoder, Tokenizer};

/// Numbers that look random: Knuth's MMIX generator.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Sentences of words made of syllables, the first words far more often than the last.
pub(crate) fn text(bytes: usize, seed: u64) -> String {
    const SYLLABLES: [&str; 24] = [
        "the", "an", "to", "re", "in", "er", "at", "on", "en", "or", "ti", "es", "al", "st", "ar", "nd", "it", "me",
        "co", "de", "ra", "ly", "ing", "ed",
    ];
    let mut spelling = Numbers(1);
    let words: Vec<String> =
        (0..400).map(|rank| (0..=rank % 3).map(|_| SYLLABLES[spelling.below(SYLLABLES.len())]).collect()).collect();
    let mut numbers = Numbers(seed);
    let mut text = String::new();
    while text.len() < bytes {
        // The product of two: small ranks are frequent.
        let rank = numbers.below(words.len()) * numbers.below(words.len()) / words.len();
        text.push_str(&words[rank]);
        text.push_str([" ", " ", " ", " ", " ", ", ", ". "][numbers.below(7)]);
    }
    text.truncate(bytes);
    text
}

/// Byte pairs, merged by how often they occur in a text: the classic training.
pub(crate) fn merges(text: &str, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut tokens: Vec<Vec<u8>> = text.bytes().map(|byte| vec![byte]).collect();
    let mut merges = Vec::with_capacity(count);
    while merges.len() < count {
        let mut pairs: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
        for pair in tokens.windows(2) {
            *pairs.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        let best = pairs
            .iter()
            .max_by_key(|&(pair, times)| (*times, *pair))
            .map(|((left, right), _)| (left.to_vec(), right.to_vec()));
        let Some((left, right)) = best else { break };
        let mut merged = Vec::with_capacity(tokens.len());
        let mut rest = tokens.into_iter().peekable();
        while let Some(mut token) = rest.next() {
            if token == left
                && let Some(next) = rest.next_if(|next| *next == right)
            {
                token.extend(next);
            }
            merged.push(token);
        }
        tokens = merged;
        merges.push((left, right));
    }
    merges
}

/// The tokenizer of some merges.
pub(crate) fn tokenizer(merges: &[(Vec<u8>, Vec<u8>)]) -> Arc<Tokenizer> {
    let merges: Vec<(&[u8], &[u8])> = merges.iter().map(|(left, right)| (left.as_slice(), right.as_slice())).collect();
    Arc::new(Tokenizer::from_merges(&merges).expect("merges of tokens"))
}

/// A Unigram tokenizer of what the merges make, from the most frequent to the rarest, and of
/// letters.
pub(crate) fn unigram(merges: &[(Vec<u8>, Vec<u8>)]) -> Arc<Tokenizer> {
    let spelled = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(' ', "▁");
    let letters = (b' '..127).map(|byte| spelled(&[byte]));
    let made = merges.iter().map(|(left, right)| spelled(&[left.as_slice(), right].concat()));
    let ranked = made.chain(letters).enumerate().map(|(rank, piece)| json!([piece, -1.0 - rank as f64 / 100.0]));
    let vocab: Vec<Value> = [json!(["<unk>", 0.0])].into_iter().chain(ranked).collect();
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false});
    let json = json!({
        "pre_tokenizer": metaspace,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab},
    });
    Arc::new(Tokenizer::from_json(&json.to_string()).expect("it is one"))
}

/// The ids of a text.
pub(crate) fn ids(tokenizer: &Arc<Tokenizer>, text: &str) -> Vec<u32> {
    let mut encoder = IncrementalEncoder::new(Arc::clone(tokenizer), true);
    encoder.append(text.as_bytes()).expect("short");
    encoder.ids(0).collect()
}
