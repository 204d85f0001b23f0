//! Reading a tokenizer.json: which of its parts the incremental path knows, and what they become.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result, unsupported};
use crate::json::{self, Spec, VocabSpec, list, name};
use crate::limits::{MAX_GAPS, MAX_ID, MAX_SPELLING};
use crate::model::{Bpe, Model, Unigram};
use crate::normalize::CharsMap;
use crate::split::Splitter;
use crate::split::pieces::Pieces;

use super::added::Matcher;
use super::spelling::Spelling;
use super::vocab::Vocab;
use super::{Backend, Encode, FastPath, Prefix, SlowPath, Tokenizer};

impl Tokenizer {
    /// Compiles what `tokenizers.Tokenizer.to_str()` writes for the incremental path.
    ///
    /// # Errors
    /// [`Error::Json`] if it is no such thing, [`Error::Unsupported`] if a part of it is unknown.
    pub fn from_json(text: &str) -> Result<Self> {
        fast(&parse(text)?)
    }

    /// A byte-level BPE tokenizer from nothing but merges: for tests, examples and benchmarks.
    ///
    /// The ids from 0 to 255 are the bytes. Each merge, in the order of its rank, makes the next
    /// id, unless its result has one already. Both of its sides must be bytes or results of merges.
    /// The text isn't split into words, there are no special tokens, and nothing is normalised.
    ///
    /// ```
    /// let tokenizer = std::sync::Arc::new(uag::Tokenizer::from_merges(&[(b"a", b"b"), (b"ab", b"c")])?);
    /// let mut text = uag::IncrementalEncoder::new(tokenizer, true);
    /// text.append(b"abcab")?;
    /// assert_eq!(text.ids(0).collect::<Vec<_>>(), [257, 256]);
    /// # Ok::<(), uag::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a side of a merge is no token, or a token is too long.
    pub fn from_merges(merges: &[(&[u8], &[u8])]) -> Result<Self> {
        fast(&Spec::from_merges(merges))
    }

    /// The same as [`Self::from_json`], but what the incremental path doesn't know goes through
    /// `encode`.
    ///
    /// # Errors
    /// [`Error::Json`], or [`Error::Unsupported`] if not even the bytes of the tokens can be told.
    pub fn with_fallback(text: &str, encode: Box<dyn Encode>) -> Result<Self> {
        let spec = parse(text)?;
        match fast(&spec) {
            Err(error @ Error::Unsupported { .. }) => slow(&spec, encode, error.to_string()),
            other => other,
        }
    }

    /// Always through `encode`, for the `reason` given.
    ///
    /// # Errors
    /// As [`Self::with_fallback`].
    pub fn through(text: &str, encode: Box<dyn Encode>, reason: impl Into<String>) -> Result<Self> {
        slow(&parse(text)?, encode, reason.into())
    }
}

fn fast(spec: &Spec) -> Result<Tokenizer> {
    let kind = model_kind(&spec.model)?;
    let normalizer = Normalizer::from_json(&spec.normalizer)?;
    let (pieces, prefix) = pieces_and_prefix(spec, &normalizer)?;
    let metaspace = normalizer.replaces_spaces || pieces.is_metaspace();
    let spelling = Spelling::from_json(&spec.decoder)?;
    if spelling != (if metaspace { Spelling::Metaspace } else { Spelling::ByteLevel }) {
        return unsupported("decoder", "it doesn't undo what the pre_tokenizer does");
    }
    let model = match kind {
        ModelKind::Bpe => Model::Bpe(Bpe::new(&spec.model, metaspace)?),
        ModelKind::Unigram if metaspace => Model::Unigram(Unigram::new(&spec.model)?),
        _ => return unsupported("model", "neither BPE nor Unigram over SentencePiece-style text"),
    };
    let family = kind.family(&spelling);
    let cuts_before_spaces = matches!(&model, Model::Bpe(bpe) if bpe.cuts_before_spaces);
    let pieces = pieces.refined(cuts_before_spaces);
    let normalized = |token: &&json::AddedToken| token.normalized;
    if normalizer.prepends && spec.added_tokens.iter().any(|t| t.normalized && !t.special) {
        return unsupported("added_tokens", "normalized tokens after a Prepend normalizer");
    }
    if let Some(token) = spec.added_tokens.iter().find(|token| token.content.len() > MAX_SPELLING) {
        let reason = format!("id {} is {} bytes long, of at most {MAX_SPELLING}", token.id, token.content.len());
        return unsupported("added_tokens", reason);
    }
    let added = [
        Matcher::new(spec.added_tokens.iter().filter(|t| !normalized(t)), |c| c.as_bytes().to_vec()),
        Matcher::new(spec.added_tokens.iter().filter(normalized), |c| {
            let mut content = Vec::new();
            spelling.push_added(c, &mut content);
            content
        }),
    ];
    let Normalizer { nfc, charsmap, .. } = normalizer;
    let fast = FastPath { prefix, model, pieces, added, nfc, charsmap, metaspace };
    Ok(Tokenizer { vocab: vocab(spec, &spelling)?, family, backend: Backend::Fast(Arc::new(fast)) })
}

fn slow(spec: &Spec, encode: Box<dyn Encode>, reason: String) -> Result<Tokenizer> {
    let spelling = Spelling::from_json(&spec.decoder)?;
    let prefix = if spelling.strips_start(&spec.decoder) { Prefix::UnlessSpace } else { Prefix::None };
    let family = model_kind(&spec.model)?.family(&spelling);
    let slow = SlowPath { prefix, encode, reason };
    Ok(Tokenizer { vocab: vocab(spec, &spelling)?, family, backend: Backend::Slow(Arc::new(slow)) })
}

fn parse(text: &str) -> Result<Spec<'_>> {
    if text.len() > u32::MAX as usize {
        return Err(Error::Json(format!("{} bytes are more than {}", text.len(), u32::MAX)));
    }
    serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()))
}

#[derive(PartialEq, Eq)]
enum ModelKind {
    Bpe,
    Unigram,
    WordPiece,
    WordLevel,
}

impl ModelKind {
    /// What people call a tokenizer of this kind whose vocabulary is spelled so.
    fn family(&self, spelling: &Spelling) -> &'static str {
        match (self, spelling) {
            (Self::Bpe, Spelling::ByteLevel) => "byte-level BPE",
            (Self::Bpe, Spelling::Metaspace) => "SentencePiece-style BPE",
            (Self::Bpe, _) => "BPE",
            (Self::Unigram, _) => "Unigram",
            (Self::WordPiece, _) => "WordPiece",
            (Self::WordLevel, _) => "WordLevel",
        }
    }
}

fn model_kind(model: &json::Model) -> Result<ModelKind> {
    Ok(match (model.kind.as_deref(), &model.vocab) {
        (Some("BPE"), VocabSpec::Ids(_)) => ModelKind::Bpe,
        (None, VocabSpec::Ids(_)) if model.merges.is_some() => ModelKind::Bpe,
        (Some("Unigram") | None, VocabSpec::Scores(_)) => ModelKind::Unigram,
        (Some("WordPiece") | None, VocabSpec::Ids(_)) => ModelKind::WordPiece,
        (Some("WordLevel"), VocabSpec::Ids(_)) => ModelKind::WordLevel,
        (kind, _) => return unsupported("model", format!("unknown type {kind:?}")),
    })
}

/// The normalisers that are understood.
#[derive(Debug, Default)]
struct Normalizer {
    nfc: bool,
    charsmap: Option<CharsMap>,
    prepends: bool,
    replaces_spaces: bool,
}

impl Normalizer {
    fn from_json(value: &Value) -> Result<Self> {
        let mut found = Self::default();
        found.read(value)?;
        Ok(found)
    }

    fn read(&mut self, value: &Value) -> Result<()> {
        match value["type"].as_str() {
            None if value.is_null() => Ok(()),
            Some("NFC") if !self.prepends && !self.replaces_spaces => {
                self.nfc = true;
                Ok(())
            }
            Some("Prepend") if value["prepend"] == "▁" && !self.prepends && !self.replaces_spaces => {
                self.prepends = true;
                Ok(())
            }
            Some("Replace") if value["pattern"]["String"] == " " && value["content"] == "▁" => {
                self.replaces_spaces = true;
                Ok(())
            }
            Some("Precompiled") if !self.prepends && !self.replaces_spaces && !self.nfc => {
                let Some(map) = value["precompiled_charsmap"].as_str() else {
                    return unsupported("normalizer", "Precompiled without its map");
                };
                self.charsmap = Some(CharsMap::new(map)?);
                Ok(())
            }
            Some("Sequence") => list(&value["normalizers"]).iter().try_for_each(|part| self.read(part)),
            _ => unsupported("normalizer", name(value)),
        }
    }
}

fn pieces_and_prefix(spec: &Spec, normalizer: &Normalizer) -> Result<(Pieces, Prefix)> {
    let mut value = &spec.pre_tokenizer;
    let mut spaced = false;
    if let [split, then] = list(&value["pretokenizers"])
        && split["type"] == "WhitespaceSplit"
        && then["type"] == "Metaspace"
    {
        (value, spaced) = (then, true);
    }
    let own_prefix = if normalizer.prepends { Prefix::Always } else { Prefix::None };
    match value["type"].as_str() {
        Some("Metaspace") if !normalizer.replaces_spaces && !normalizer.prepends => {
            if value["replacement"] != "▁" {
                return unsupported("pre_tokenizer", "Metaspace with another replacement");
            }
            let prefix = match value["prepend_scheme"].as_str() {
                Some("always") => Prefix::UnlessSpace,
                Some("first") => Prefix::FirstUnlessSpace,
                Some("never") => Prefix::None,
                _ => return unsupported("pre_tokenizer", "Metaspace without a known prepend_scheme"),
            };
            match value["split"].as_bool() {
                Some(true) if spaced && prefix == Prefix::UnlessSpace => Ok((Pieces::Spaced, prefix)),
                _ if spaced => {
                    unsupported("pre_tokenizer", "WhitespaceSplit and a Metaspace that doesn't split always")
                }
                Some(true) => Ok((Pieces::EachSpace, prefix)),
                Some(false) => Ok((Pieces::Stretch, prefix)),
                None => unsupported("pre_tokenizer", "Metaspace without split"),
            }
        }
        // After normalisation there is no space left to split at.
        Some("Split") if normalizer.replaces_spaces && value["pattern"]["String"] == " " && value["invert"] != true => {
            Ok((Pieces::Stretch, own_prefix))
        }
        None if value.is_null() && normalizer.replaces_spaces => Ok((Pieces::Stretch, own_prefix)),
        _ if normalizer.replaces_spaces || normalizer.prepends => {
            unsupported("pre_tokenizer", format!("{} after a normalizer that replaces spaces", name(value)))
        }
        kind => {
            let splitter = Splitter::from_json(value)?;
            let spaced = kind == Some("ByteLevel") && value["add_prefix_space"] == true;
            Ok((Pieces::Pattern(splitter), if spaced { Prefix::UnlessSpace } else { Prefix::None }))
        }
    }
}

/// The bytes of every id: the model's tokens, then the added ones over them.
fn vocab(spec: &Spec, spelling: &Spelling) -> Result<Vocab> {
    let mut data = Vec::new();
    let mut entries: Vec<(u32, usize, bool)> = Vec::new();
    let unknown = spec.model.unk_token.as_deref();
    match &spec.model.vocab {
        VocabSpec::Ids(tokens) => {
            for (token, id) in tokens {
                spelling.push(token, &mut data);
                entries.push((*id, data.len(), unknown == Some(token.as_ref())));
            }
        }
        VocabSpec::Scores(pieces) => {
            for (id, (piece, _)) in pieces.iter().enumerate() {
                spelling.push(piece, &mut data);
                entries.push((id as u32, data.len(), spec.model.unk_id == Some(id as u32)));
            }
        }
    }
    for token in &spec.added_tokens {
        spelling.push_added(&token.content, &mut data);
        entries.push((token.id, data.len(), token.special));
    }
    let size = entries.iter().map(|e| e.0).max().map_or(0, |id| id.saturating_add(1));
    if size > MAX_ID {
        return unsupported("model", format!("token id {} is beyond {MAX_ID}", size - 1));
    }
    if size as usize > entries.len() + MAX_GAPS {
        let reason = format!("token id {} of only {} tokens: {MAX_GAPS} ids may have none", size - 1, entries.len());
        return unsupported("model", reason);
    }
    let starts = std::iter::once(0).chain(entries.iter().map(|e| e.1));
    let tokens = starts.zip(&entries).map(|(start, &(id, end, special))| (id, &data[start..end], special));
    Ok(Vocab::new(tokens))
}
