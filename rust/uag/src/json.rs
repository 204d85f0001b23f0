//! The shape of a `tokenizer.json`, read without copying the strings of the vocabulary.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use crate::bytes;

/// What `tokenizers.Tokenizer.to_str()` writes, as far as encoding depends on it. The
/// post-processor, padding and truncation act on prompts, not inside a text.
#[derive(Debug, serde::Deserialize)]
pub struct Spec<'a> {
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub decoder: Value,
    #[serde(borrow)]
    pub model: Model<'a>,
}

impl Spec<'_> {
    /// Byte-level BPE without a pre-tokenizer's pattern: the bytes, then what the merges make.
    pub fn from_merges(merges: &[(&[u8], &[u8])]) -> Self {
        let spelled = |token: &[u8]| token.iter().map(|&byte| bytes::byte_char(byte)).collect::<String>();
        let mut ids: Vec<(Cow<str>, u32)> = (0..=255).map(|byte| (spelled(&[byte]).into(), byte.into())).collect();
        let mut known = HashSet::new();
        let mut pairs = Vec::with_capacity(merges.len());
        for (left, right) in merges {
            let joined = [*left, *right].concat();
            if joined.len() > 1 && known.insert(joined.clone()) {
                ids.push((spelled(&joined).into(), ids.len() as u32));
            }
            pairs.push(MergeSpec(spelled(left).into(), spelled(right).into()));
        }
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
        Spec {
            added_tokens: Vec::new(),
            normalizer: Value::Null,
            pre_tokenizer: byte_level.clone(),
            decoder: byte_level,
            model: Model { vocab: VocabSpec::Ids(ids), merges: Some(pairs), ..Model::default() },
        }
    }
}

/// One entry of `added_tokens`.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct AddedToken {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
    #[serde(default)]
    pub special: bool,
}

/// The model; which kind it is follows from `type` or, in older files, from its fields.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Model<'a> {
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(borrow)]
    pub vocab: VocabSpec<'a>,
    #[serde(borrow, default)]
    pub merges: Option<Vec<MergeSpec<'a>>>,
    #[serde(default)]
    pub dropout: Option<f64>,
    #[serde(default)]
    pub unk_token: Option<String>,
    #[serde(default)]
    pub unk_id: Option<u32>,
    #[serde(default)]
    pub continuing_subword_prefix: Option<String>,
    #[serde(default)]
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
}

/// A vocabulary: `{token: id}` (BPE, `WordPiece`) or `[[piece, score]]` (Unigram).
#[derive(Debug)]
pub enum VocabSpec<'a> {
    Ids(Vec<(Cow<'a, str>, u32)>),
    Scores(Vec<(Cow<'a, str>, f64)>),
}

impl Default for VocabSpec<'_> {
    fn default() -> Self {
        Self::Ids(Vec::new())
    }
}

/// A merge, written `["a", "b"]` or, in older files, `"a b"`.
#[derive(Debug)]
pub struct MergeSpec<'a>(pub Cow<'a, str>, pub Cow<'a, str>);

/// A borrowed string where the file allows it: `Cow<str>` alone always copies.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for VocabSpec<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = VocabSpec<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a vocabulary: an object of ids or a list of [piece, score]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut ids = Vec::new();
                while let Some((Text(token), id)) = map.next_entry()? {
                    ids.push((token, id));
                }
                Ok(VocabSpec::Ids(ids))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut scores = Vec::new();
                while let Some((Text(piece), score)) = seq.next_element()? {
                    scores.push((piece, score));
                }
                Ok(VocabSpec::Scores(scores))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MergeSpec<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = MergeSpec<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(r#"a merge: ["a", "b"] or "a b""#)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let Text(left) = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let Text(right) = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
                Ok(MergeSpec(left, right))
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, pair: &'de str) -> Result<Self::Value, E> {
                let (left, right) = pair.split_once(' ').ok_or_else(|| E::custom("a merge without a space"))?;
                Ok(MergeSpec(Cow::Borrowed(left), Cow::Borrowed(right)))
            }

            fn visit_str<E: serde::de::Error>(self, pair: &str) -> Result<Self::Value, E> {
                let (left, right) = pair.split_once(' ').ok_or_else(|| E::custom("a merge without a space"))?;
                Ok(MergeSpec(Cow::Owned(left.to_owned()), Cow::Owned(right.to_owned())))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// The elements of a list; none if it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What to call a component in a message: its type, or the start of its JSON.
pub(crate) fn name(value: &Value) -> String {
    let text = value["type"].as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(60).collect()
}
