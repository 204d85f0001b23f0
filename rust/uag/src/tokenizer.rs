//! A compiled tokenizer: everything about it that a [`crate::Stream`] needs, immutable and shared.

use std::fmt;

use serde_json::Value;

use crate::added::Matcher;
use crate::bpe::Bpe;
use crate::bytes;
use crate::charsmap::CharsMap;
use crate::error::{Error, Result, unsupported};
use crate::json::{self, Spec, VocabSpec};
use crate::limits::{MAX_GAPS, MAX_ID, MAX_SPELLING};
use crate::pieces::Pieces;
use crate::token::Token;
use crate::unigram::Unigram;
use crate::vocab::Vocab;

/// The real tokenizer, for what the incremental path can't do.
pub trait Encode: Send + Sync {
    /// The tokens of `text` without any special token added or recognised; ends are in bytes.
    ///
    /// # Errors
    /// The tokenizer's own words.
    fn encode(&self, text: &str) -> std::result::Result<Vec<Token>, String>;
}

/// How the tokenizer treats the start of a stretch of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing is put before it.
    None,
    /// A space is put before it (`Prepend`).
    Always,
    /// A space is put before it unless one is there (`Metaspace`, `add_prefix_space`).
    UnlessSpace,
    /// The same, but only at the very start of a sequence (`prepend_scheme: first`).
    FirstUnlessSpace,
}

/// The model that encodes a piece.
#[derive(Debug)]
pub(crate) enum Model {
    Bpe(Bpe),
    Unigram(Unigram),
}

/// The incremental path.
#[derive(Debug)]
pub(crate) struct Fast {
    pub(crate) model: Model,
    pub(crate) pieces: Pieces,
    /// Added tokens looked for in the text as it is, and, between those, in the normalised text.
    pub(crate) added: [Matcher; 2],
    /// Whether text is normalised to NFC.
    pub(crate) nfc: bool,
    /// SentencePiece's own normalisation.
    pub(crate) charsmap: Option<CharsMap>,
    /// Whether the text's spaces are `▁` to the model, so that a literal `▁` is not faithful.
    pub(crate) metaspace: bool,
}

/// How text is encoded.
pub(crate) enum Path {
    Fast(Box<Fast>),
    Slow { encode: Box<dyn Encode>, reason: String },
}

/// A compiled tokenizer.
pub struct Tokenizer {
    vocab: Vocab,
    family: &'static str,
    pub(crate) prefix: Prefix,
    pub(crate) path: Path,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("family", &self.family)
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Compiles what `tokenizers.Tokenizer.to_str()` writes for the incremental path.
    ///
    /// # Errors
    /// [`Error::Json`] if it is no such thing, [`Error::Unsupported`] if a part of it is unknown.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::fast(&parse(text)?)
    }

    /// The same, but what the incremental path doesn't know goes through `encode`.
    ///
    /// # Errors
    /// [`Error::Json`], or [`Error::Unsupported`] if not even the bytes of the tokens can be told.
    pub fn with_fallback(text: &str, encode: Box<dyn Encode>) -> Result<Self> {
        let spec = parse(text)?;
        match Self::fast(&spec) {
            Err(error @ Error::Unsupported { .. }) => Self::slow(&spec, encode, error.to_string()),
            other => other,
        }
    }

    /// Always through `encode`, for the `reason` given.
    ///
    /// # Errors
    /// As [`Self::with_fallback`].
    pub fn through(text: &str, encode: Box<dyn Encode>, reason: impl Into<String>) -> Result<Self> {
        Self::slow(&parse(text)?, encode, reason.into())
    }

    fn fast(spec: &Spec) -> Result<Self> {
        let kind = model_kind(&spec.model)?;
        let normalizer = Normalizer::from_json(&spec.normalizer)?;
        let (pieces, prefix) = pieces_and_prefix(spec, &normalizer)?;
        let metaspace = normalizer.replaces_spaces || pieces.is_metaspace();
        let spelling = Spelling::from_json(&spec.decoder)?;
        if spelling != (if metaspace { Spelling::Metaspace } else { Spelling::ByteLevel }) {
            return unsupported("decoder", "it doesn't undo what the pre_tokenizer does");
        }
        let model = match kind {
            Kind::Bpe => Model::Bpe(Bpe::new(&spec.model, metaspace)?),
            Kind::Unigram if metaspace => Model::Unigram(Unigram::new(&spec.model)?),
            _ => return unsupported("model", "neither BPE nor Unigram over SentencePiece-style text"),
        };
        let family = kind.family(&spelling);
        let cuts_before_spaces = matches!(&model, Model::Bpe(bpe) if bpe.cuts_before_spaces);
        let pieces = pieces.refined(cuts_before_spaces);
        let normalized = |token: &&json::AddedToken| token.normalized;
        if normalizer.prepends && spec.added_tokens.iter().any(|t| t.normalized && !t.special) {
            return unsupported("added_tokens", "normalized tokens behind a Prepend normalizer");
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
        let fast = Fast { model, pieces, added, nfc: normalizer.nfc, charsmap: normalizer.charsmap, metaspace };
        Ok(Self { vocab: vocab(spec, &spelling)?, family, prefix, path: Path::Fast(Box::new(fast)) })
    }

    fn slow(spec: &Spec, encode: Box<dyn Encode>, reason: String) -> Result<Self> {
        let spelling = Spelling::from_json(&spec.decoder)?;
        let prefix = if spelling.strips_start(&spec.decoder) { Prefix::UnlessSpace } else { Prefix::None };
        let family = model_kind(&spec.model)?.family(&spelling);
        Ok(Self { vocab: vocab(spec, &spelling)?, family, prefix, path: Path::Slow { encode, reason } })
    }

    /// Highest id + 1.
    pub fn vocab_size(&self) -> usize {
        self.vocab.size()
    }

    /// The bytes of `id`, or `None` if it carries no text: special, a padding row, out of range, or empty.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.bytes(id).filter(|bytes| !bytes.is_empty())
    }

    /// Whether `id` is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocab.is_special(id)
    }

    /// `byte-level BPE`, `SentencePiece-style BPE`, `Unigram`, `WordPiece`, `WordLevel` or `BPE` (of another kind).
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// Why text goes through the real tokenizer; `None` on the incremental path.
    pub fn reason(&self) -> Option<&str> {
        match &self.path {
            Path::Fast(_) => None,
            Path::Slow { reason, .. } => Some(reason),
        }
    }

    /// Whether the first token of a stretch of text may carry a space that the text doesn't have.
    pub(crate) fn has_prefix(&self) -> bool {
        self.prefix != Prefix::None
    }
}

fn parse(text: &str) -> Result<Spec<'_>> {
    if text.len() > u32::MAX as usize {
        return Err(Error::Json(format!("{} bytes are more than {}", text.len(), u32::MAX)));
    }
    serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()))
}

#[derive(PartialEq, Eq)]
enum Kind {
    Bpe,
    Unigram,
    WordPiece,
    WordLevel,
}

impl Kind {
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

fn model_kind(model: &json::Model) -> Result<Kind> {
    Ok(match (model.kind.as_deref(), &model.vocab) {
        (Some("BPE"), VocabSpec::Ids(_)) => Kind::Bpe,
        (None, VocabSpec::Ids(_)) if model.merges.is_some() => Kind::Bpe,
        (Some("Unigram") | None, VocabSpec::Scores(_)) => Kind::Unigram,
        (Some("WordPiece") | None, VocabSpec::Ids(_)) => Kind::WordPiece,
        (Some("WordLevel"), VocabSpec::Ids(_)) => Kind::WordLevel,
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What to call a component in a message: its type, or the start of its JSON.
fn name(value: &Value) -> String {
    let text = value["type"].as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(60).collect()
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
            let splitter = crate::split::Splitter::from_json(value)
                .map_err(|reason| Error::Unsupported { part: "pre_tokenizer", reason })?;
            let spaced = kind == Some("ByteLevel") && value["add_prefix_space"] == true;
            Ok((Pieces::Pattern(splitter), if spaced { Prefix::UnlessSpace } else { Prefix::None }))
        }
    }
}

/// How the strings of a vocabulary spell bytes.
#[derive(Debug, PartialEq, Eq)]
enum Spelling {
    ByteLevel,
    Metaspace,
    /// `##` (or another prefix) continues a word; anything else begins one.
    WordPiece(String),
    /// `</w>` (or another suffix) ends a word.
    Suffix(String),
}

impl Spelling {
    fn from_json(decoder: &Value) -> Result<Self> {
        match decoder["type"].as_str() {
            Some("ByteLevel") => Ok(Self::ByteLevel),
            Some("Metaspace") if decoder["replacement"] == "▁" => Ok(Self::Metaspace),
            Some("WordPiece") => Ok(Self::WordPiece(decoder["prefix"].as_str().unwrap_or("##").to_owned())),
            Some("BPEDecoder") => Ok(Self::Suffix(decoder["suffix"].as_str().unwrap_or("</w>").to_owned())),
            Some("Sequence") => {
                let mut metaspace = false;
                for part in list(&decoder["decoders"]) {
                    match part["type"].as_str() {
                        Some("Replace") if part["pattern"]["String"] == "▁" && part["content"] == " " => {
                            metaspace = true;
                        }
                        Some("Metaspace") if part["replacement"] == "▁" => metaspace = true,
                        Some("ByteFallback" | "Fuse") => {}
                        Some("Strip") if part["content"] == " " && part["stop"] == 0 => {}
                        Some("ByteLevel") => return Ok(Self::ByteLevel),
                        _ => return unsupported("decoder", name(part)),
                    }
                }
                if metaspace { Ok(Self::Metaspace) } else { unsupported("decoder", "a sequence without ▁") }
            }
            _ => unsupported("decoder", name(decoder)),
        }
    }

    /// Whether decoding drops a space at the start of a sequence.
    fn strips_start(&self, decoder: &Value) -> bool {
        match self {
            Self::ByteLevel | Self::Suffix(_) => false,
            Self::WordPiece(_) => true,
            Self::Metaspace => {
                decoder["type"] == "Metaspace" || list(&decoder["decoders"]).iter().any(|part| part["type"] == "Strip")
            }
        }
    }

    /// An added token is its own text: only a SentencePiece-style one writes spaces as `▁`.
    fn push_added(&self, content: &str, out: &mut Vec<u8>) {
        match self {
            Self::Metaspace => bytes::push_metaspace(content, out),
            _ => out.extend_from_slice(content.as_bytes()),
        }
    }

    fn push(&self, token: &str, out: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => bytes::push_byte_level(token, out),
            Self::Metaspace => match bytes::fallback_byte(token) {
                Some(byte) => out.push(byte),
                None => bytes::push_metaspace(token, out),
            },
            Self::WordPiece(prefix) => match token.strip_prefix(prefix.as_str()) {
                Some(rest) => out.extend_from_slice(rest.as_bytes()),
                None => {
                    out.push(b' ');
                    out.extend_from_slice(token.as_bytes());
                }
            },
            Self::Suffix(suffix) => match token.strip_suffix(suffix.as_str()) {
                Some(word) => {
                    out.extend_from_slice(word.as_bytes());
                    out.push(b' ');
                }
                None => out.extend_from_slice(token.as_bytes()),
            },
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
