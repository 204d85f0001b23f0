//! A compiled tokenizer: everything about it that a [`crate::IncrementalEncoder`] needs, immutable
//! and shared.

pub(crate) mod added;
mod load;
mod spelling;
mod vocab;

use std::fmt;
use std::sync::Arc;

use crate::model::Model;
use crate::normalize::CharsMap;
use crate::split::pieces::Pieces;
use crate::token::Token;

use added::Matcher;
use vocab::Vocab;

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

/// All that the incremental path needs besides the bytes of the tokens.
#[derive(Debug)]
pub(crate) struct FastPath {
    pub(crate) prefix: Prefix,
    pub(crate) model: Model,
    pub(crate) pieces: Pieces,
    /// Added tokens to look for in the raw text, and, between those, in the normalised text.
    pub(crate) added: [Matcher; 2],
    /// Whether text is normalised to NFC.
    pub(crate) nfc: bool,
    /// SentencePiece's own normalisation.
    pub(crate) charsmap: Option<CharsMap>,
    /// Whether the text's spaces are `▁` to the model, so that a literal `▁` is not faithful.
    pub(crate) metaspace: bool,
}

/// The real tokenizer, and why it is asked.
pub(crate) struct SlowPath {
    prefix: Prefix,
    pub(crate) encode: Box<dyn Encode>,
    reason: String,
}

/// How text is encoded.
pub(crate) enum Backend {
    Fast(Arc<FastPath>),
    Slow(Arc<SlowPath>),
}

/// A compiled tokenizer.
pub struct Tokenizer {
    vocab: Vocab,
    family: &'static str,
    pub(crate) backend: Backend,
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
    /// Highest id + 1.
    pub fn vocab_size(&self) -> usize {
        self.vocab.size()
    }

    /// The bytes of `id`, or `None` if it carries no text: special, a padding row, out of range, or
    /// empty.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.bytes(id).filter(|bytes| !bytes.is_empty())
    }

    /// Whether `id` is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocab.is_special(id)
    }

    /// `byte-level BPE`, `SentencePiece-style BPE`, `Unigram`, `WordPiece`, `WordLevel` or `BPE`
    /// (of another kind).
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// Why text goes through the real tokenizer; `None` on the incremental path.
    pub fn reason(&self) -> Option<&str> {
        match &self.backend {
            Backend::Fast(_) => None,
            Backend::Slow(slow) => Some(&slow.reason),
        }
    }

    pub(crate) fn prefix(&self) -> Prefix {
        match &self.backend {
            Backend::Fast(fast) => fast.prefix,
            Backend::Slow(slow) => slow.prefix,
        }
    }

    /// Whether the first token of a stretch of text may carry a space that the text doesn't have.
    pub(crate) fn has_prefix(&self) -> bool {
        self.prefix() != Prefix::None
    }
}
