//! A small, complete tokenizer of each kind: what streams are fuzzed with, and where the fuzzing of
//! files begins.

use std::sync::Arc;

use serde_json::{Value, json};
use uag::{Encode, Token, Tokenizer};

use super::{common, patterns};

/// Words that become tokens, each by merging from its start.
const WORDS: [&[&str]; 2] = [
    &[
        " the", "ab", "aa", "aaaa", "aab", " a", "  ", "    ", "\n\n", "'s", "12", "123", "==", "日本", "é", "ing",
        "😀", "文 ",
    ],
    &[
        "the", "bc", "abc", "ba", "aaa", "aaaaaa", " ab", "\r\n", " \n", "23", " 中", "日", "ed", "HT", "!!",
        "e\u{301}", "   ",
    ],
];

/// Merges over `spell`ed words, and the vocabulary with the tokens that they make.
fn model(mut vocab: Vec<String>, words: &[&str], spell: impl Fn(&str) -> Vec<String>) -> Value {
    let mut merges = Vec::new();
    for word in words {
        let symbols = spell(word);
        let mut left = symbols[0].clone();
        for right in &symbols[1..] {
            let merge = json!([left, right]);
            left += right;
            if !merges.contains(&merge) {
                merges.push(merge);
            }
            vocab.extend((!vocab.contains(&left)).then(|| left.clone()));
        }
    }
    json!({"type": "BPE", "vocab": common::ids(&vocab), "merges": merges})
}

fn byte_spelling(word: &str) -> Vec<String> {
    word.bytes().map(|byte| uag::bytes::byte_char(byte).to_string()).collect()
}

fn byte_level(pre_tokenizer: &Value, words: &[&str]) -> Value {
    let alphabet = (0..=255).map(|byte| uag::bytes::byte_char(byte).to_string()).collect();
    complete(&model(alphabet, words, byte_spelling), &Value::Null, pre_tokenizer, &json!({"type": "ByteLevel"}))
}

/// SentencePiece-style BPE over characters; with all bytes where it falls back to them.
fn metaspace(fallback: bool, normalizer: &Value, pre_tokenizer: &Value, words: &[&str]) -> Value {
    let mut vocab = vec!["<unk>".to_owned()];
    vocab.extend((0..=255).filter(|_| fallback).map(|byte| format!("<0x{byte:02X}>")));
    vocab.extend("▁abcdehintsHT'12=日本中é".chars().map(String::from));
    let known = |word: &&&str| word.chars().all(|c| c == ' ' || vocab.iter().any(|token| *token == c.to_string()));
    let words: Vec<&str> = words.iter().filter(known).copied().collect();
    let spell = |word: &str| word.replace(' ', "▁").chars().map(String::from).collect();
    let mut model = model(vocab.clone(), &words, spell);
    model["unk_token"] = "<unk>".into();
    model["byte_fallback"] = fallback.into();
    complete(&model, normalizer, pre_tokenizer, &replacing())
}

fn unigram(fallback: bool, normalizer: &Value, pre_tokenizer: &Value) -> Value {
    let mut vocab = vec![json!(["<unk>", 0.0])];
    vocab.extend((0..=255).filter(|_| fallback).map(|byte| json!([format!("<0x{byte:02X}>"), -9.0])));
    for (at, piece) in
        ["▁", "a", "b", "ab", "▁a", "aa", "aab", "▁the", "e", "日本", "日", "1", "12", "s", "▁▁", "a▁b", "fi", "é"]
            .iter()
            .enumerate()
    {
        vocab.push(json!([piece, -1.0 - f64::from(at as u32 * 7 % 5)]));
    }
    let model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": fallback});
    complete(&model, normalizer, pre_tokenizer, pre_tokenizer.get("pretokenizers").map_or(pre_tokenizer, |all| &all[1]))
}

fn complete(model: &Value, normalizer: &Value, pre_tokenizer: &Value, decoder: &Value) -> Value {
    let size = match &model["vocab"] {
        Value::Array(pieces) => pieces.len(),
        ids => ids.as_object().map_or(0, serde_json::Map::len),
    };
    json!({
        "version": "1.0",
        "added_tokens": common::added(size),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "decoder": decoder,
        "model": model,
    })
}

fn replaced() -> Value {
    json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
}

fn prepended() -> Value {
    json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replaced()]})
}

fn replacing() -> Value {
    json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
}

fn metaspaced(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

/// Added tokens with every flag.
fn flagged(mut tokenizer: Value, normalized: bool) -> Value {
    let first = tokenizer["added_tokens"][0]["id"].as_u64().unwrap_or(0);
    let token = |at: u64, content: &str, flag: &str| {
        let mut token = json!({"id": first + at, "content": content, "special": false, "normalized": normalized,
                               "lstrip": false, "rstrip": false, "single_word": false});
        token[flag] = true.into();
        token
    };
    tokenizer["added_tokens"] = json!([
        token(0, "<t>", "normalized"),
        token(1, "<end>", "special"),
        token(2, "<l>", "lstrip"),
        token(3, "<r>", "rstrip"),
        token(4, "<w>", "single_word"),
        token(5, "a b", "single_word"),
        token(6, "<", "rstrip"),
        token(7, "  ", "special"),
        token(8, "日", "lstrip"),
    ]);
    tokenizer
}

/// A precompiled map that replaces the `keys`: their double array, without what they become.
fn charsmap(keys: &[&str]) -> Value {
    // Nodes by the bytes that lead to them, and the numbers of their children.
    let mut units: Vec<Option<u32>> = vec![None; 0x300];
    units[0] = Some(0);
    let mut open: Vec<(usize, Vec<&[u8]>)> = vec![(0, keys.iter().map(|key| key.as_bytes()).collect())];
    while let Some((at, rests)) = open.pop() {
        let mut labels: Vec<u8> = rests.iter().filter_map(|rest| rest.first().copied()).collect();
        labels.sort_unstable();
        labels.dedup();
        let leaf = rests.iter().any(|rest| rest.is_empty());
        let slots =
            |base: usize| labels.iter().copied().chain(leaf.then_some(0)).map(move |label| base ^ usize::from(label));
        let base = (1..0x200).find(|&base| slots(base).all(|slot| units[slot].is_none()));
        let base = base.unwrap_or_else(|| unreachable!("a few keys fit"));
        let own = units[at].unwrap_or(0);
        units[at] = Some(own | u32::from(leaf) << 8 | ((at ^ base) as u32) << 10);
        if leaf {
            units[base] = Some(1 << 31);
        }
        for label in labels {
            units[base ^ usize::from(label)] = Some(u32::from(label));
            let under = rests.iter().filter(|rest| rest.first() == Some(&label)).map(|rest| &rest[1..]);
            open.push((base ^ usize::from(label), under.collect()));
        }
    }
    let trie: Vec<u8> = units.iter().flat_map(|unit| unit.unwrap_or(0).to_le_bytes()).collect();
    let data = [&(trie.len() as u32).to_le_bytes()[..], &trie, b"fi\0 \0"].concat();
    json!({"type": "Precompiled", "precompiled_charsmap": base64(&data)})
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in data.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
            out.push(if at <= group.len() { digit } else { '=' });
        }
    }
    out
}

/// Words, and again with what is around the star.
fn words(around: &str, kind: &str, decoder: &Value) -> Value {
    let words = ["[UNK]", "a", "b", "the", "ing", "日", "1"].iter();
    let vocab: Vec<String> = words.flat_map(|word| [(*word).to_owned(), around.replace('*', word)]).collect();
    let mut model = json!({"type": kind, "vocab": common::ids(&vocab), "unk_token": "[UNK]"});
    if kind == "BPE" {
        model["merges"] = json!([]);
    }
    complete(&model, &Value::Null, &json!({"type": "BertPreTokenizer"}), decoder)
}

fn with(mut tokenizer: Value, path: &str, value: Value) -> Value {
    let (parent, field) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(parent) = tokenizer.pointer_mut(parent) {
        parent[field] = value;
    }
    tokenizer
}

fn byte_families() -> Vec<(&'static str, Value)> {
    let known = patterns::known().into_iter().enumerate();
    let mut all: Vec<(&'static str, Value)> =
        known.map(|(at, (name, pre_tokenizer, _))| (name, byte_level(&pre_tokenizer, WORDS[at % 2]))).collect();
    let gpt2 = patterns::byte_level(true);
    let mut holes = byte_level(&gpt2, &["ab", " the", "日本"]);
    if let Some(vocab) = holes["model"]["vocab"].as_object_mut() {
        vocab.retain(|token, id| "abcthe'Ġ".contains(token.as_str()) || id.as_u64() > Some(127));
    }
    all.extend([
        ("whole", byte_level(&patterns::byte_level(false), WORDS[0])),
        ("ignore_merges", with(byte_level(&gpt2, WORDS[1]), "/model/ignore_merges", true.into())),
        ("prefix_space", byte_level(&with(gpt2.clone(), "add_prefix_space", true.into()), WORDS[0])),
        ("nfc", with(byte_level(&gpt2, WORDS[0]), "normalizer", json!({"type": "NFC"}))),
        ("holes", holes),
        ("flags", flagged(byte_level(&gpt2, WORDS[0]), false)),
        ("normalized_flags", flagged(byte_level(&patterns::splits(&[patterns::CL100K]), WORDS[1]), true)),
    ]);
    all
}

fn metaspace_families() -> Vec<(&'static str, Value)> {
    let none = Value::Null;
    let spaces =
        json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    let [a, b] = WORDS;
    vec![
        ("llama", metaspace(true, &prepended(), &none, a)),
        ("gemma", metaspace(true, &replaced(), &spaces, b)),
        ("unknown", metaspace(false, &prepended(), &none, b)),
        ("fuse_unk", with(metaspace(false, &prepended(), &none, a), "/model/fuse_unk", true.into())),
        ("metaspace_first", flagged(metaspace(true, &none, &metaspaced("first", false), a), false)),
        ("metaspace_never", flagged(metaspace(true, &none, &metaspaced("never", true), b), true)),
        ("metaspace_always", flagged(metaspace(true, &none, &metaspaced("always", true), a), false)),
    ]
}

fn unigram_families() -> Vec<(&'static str, Value)> {
    let none = Value::Null;
    let always = metaspaced("always", true);
    let spaced = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, always]});
    vec![
        ("unigram", unigram(false, &none, &always)),
        ("unigram_bytes", flagged(unigram(true, &none, &metaspaced("first", false)), true)),
        ("t5", unigram(false, &charsmap(&["ﬁ", "\u{a0}", "e\u{301}", "Ａ"]), &spaced)),
        ("albert", unigram(true, &charsmap(&["½", "\u{200b}"]), &metaspaced("never", false))),
    ]
}

/// Those that go through the tokenizer itself.
fn slow_families() -> Vec<(&'static str, Value)> {
    vec![
        ("bert", words("##*", "WordPiece", &json!({"type": "WordPiece", "prefix": "##"}))),
        ("words", words("*s", "WordLevel", &json!({"type": "WordPiece"}))),
        ("clip", words("*</w>", "BPE", &json!({"type": "BPEDecoder", "suffix": "</w>"}))),
    ]
}

/// Each by name: what `tokenizers` would write.
pub fn families() -> Vec<(&'static str, String)> {
    let all = [byte_families(), metaspace_families(), unigram_families(), slow_families()].concat();
    all.into_iter().map(|(name, tokenizer)| (name, tokenizer.to_string())).collect()
}

/// In the place of the real tokenizer, on the slow path: some tokens for words, with ends as a
/// hostile one may give.
pub(crate) struct Words {
    pub(crate) size: u32,
    /// Whether it refuses texts with a digit 0.
    pub(crate) refuses: bool,
}

impl Encode for Words {
    fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        if self.refuses && text.contains('0') {
            return Err("a zero".into());
        }
        let mut tokens = Vec::new();
        let mut end = 0;
        for word in text.split_inclusive(char::is_whitespace) {
            end += word.len() as u32;
            let sum: u32 = word.bytes().map(u32::from).sum();
            let back = if sum.is_multiple_of(11) { end } else { 0 };
            tokens.push(Token { id: sum % self.size.max(1), end: end - back });
            if sum.is_multiple_of(7) {
                tokens.push(Token { id: u32::MAX - sum, end });
            }
        }
        Ok(tokens)
    }
}

/// Reads it, slowly where need be.
pub(crate) fn read(json: &str, size: u32, refuses: bool) -> uag::Result<Arc<Tokenizer>> {
    Ok(Arc::new(Tokenizer::with_fallback(json, Box::new(Words { size, refuses }))?))
}
