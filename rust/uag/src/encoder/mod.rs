//! A growing text kept encoded: append, truncate to any byte, and see which tokens changed.

mod fast;
mod slow;
mod text;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::MAX_TEXT;
use crate::token::Token;
use crate::tokenizer::{Backend, FastPath, Prefix, SlowPath, Tokenizer};

use fast::FastEncoder;
use slow::SlowEncoder;
use text::EncodedText;

/// One stretch of text between two special tokens, kept as the ids that its tokenizer gives for it.
///
/// The ids cover whole characters: up to three bytes of an unfinished one are [`held`](Self::held)
/// until the rest arrives. Text that spells a special token stays text, as with
/// `encode_special_tokens = True` in the `tokenizers` library.
///
/// Cost of [`splice`](Self::splice): proportional to the bytes that are new, whatever the length of
/// the text (on the slow path: proportional to the text).
#[derive(Debug)]
pub struct IncrementalEncoder {
    tokenizer: Arc<Tokenizer>,
    /// Whether the text begins where the tokenizer may put a space before it.
    at_start: bool,
    text: EncodedText,
    method: Method,
}

/// How the text is encoded.
enum Method {
    Fast(Arc<FastPath>, Box<FastEncoder>),
    Slow(Arc<SlowPath>, SlowEncoder),
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Fast(_, encoder) => encoder.fmt(f),
            Self::Slow(_, encoder) => encoder.fmt(f),
        }
    }
}

impl IncrementalEncoder {
    /// An empty text. `at_start`: the tokenizer's rule for the start of a text applies to it.
    pub fn new(tokenizer: Arc<Tokenizer>, at_start: bool) -> Self {
        let method = match &tokenizer.backend {
            Backend::Fast(path) => Method::Fast(Arc::clone(path), Box::new(FastEncoder::new())),
            Backend::Slow(path) => Method::Slow(Arc::clone(path), SlowEncoder::new()),
        };
        Self { tokenizer, at_start, text: EncodedText::default(), method }
    }

    /// The tokenizer that the text is kept encoded with.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        self.text.bytes.len() - self.text.lead
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text.bytes[self.text.lead..]
    }

    /// The unfinished character at the end, which no token covers yet.
    pub fn held(&self) -> &[u8] {
        &self.text.bytes[self.text.complete.max(self.text.lead)..]
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        self.text.tokens.len()
    }

    /// Id of token `index`, and where it ends in the text.
    ///
    /// # Panics
    /// If there is no such token: `index` must be less than [`count`](Self::count).
    pub fn token(&self, index: usize) -> (u32, usize) {
        let token = self.text.tokens[index];
        (token.id, (token.end as usize).saturating_sub(self.text.lead))
    }

    /// The ids from token `from` on.
    ///
    /// # Panics
    /// If `from` is more than [`count`](Self::count).
    pub fn ids(&self, from: usize) -> impl Iterator<Item = u32> {
        self.text.tokens[from..].iter().map(|token| token.id)
    }

    /// Whether the ids are what the tokenizer gives for the whole text (but for what is held).
    pub fn exact(&self) -> bool {
        match &self.method {
            Method::Fast(_, encoder) => encoder.exact(),
            Method::Slow(_, encoder) => encoder.exact(),
        }
    }

    /// The bytes that `id` stands for in this text; `None` if it carries no text. The `first` token
    /// may spell the space that the tokenizer puts before a text.
    pub fn bytes_of(&self, id: u32, first: bool) -> Option<&[u8]> {
        let bytes = self.tokenizer.token_bytes(id)?;
        let strips = first && self.at_start && self.tokenizer.has_prefix();
        Some(if strips { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// As [`Self::splice`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<usize> {
        self.splice(self.len(), bytes)
    }

    /// Drops all but the first `len` bytes.
    ///
    /// # Errors
    /// As [`Self::splice`].
    pub fn truncate(&mut self, len: usize) -> Result<usize> {
        self.splice(len, &[])
    }

    /// Replaces all after the first `len` bytes by `bytes`. Returns how many tokens at the start
    /// are certainly unchanged; those after may be equal or not.
    ///
    /// # Errors
    /// [`Error::TooLong`], before anything changes; on the slow path [`Error::Encode`], after which the
    /// text is as asked for, but has no tokens until the next change.
    pub fn splice(&mut self, len: usize, bytes: &[u8]) -> Result<usize> {
        let mut keep = self.text.lead + len.min(self.len());
        let same = self.text.bytes[keep..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
        keep += same;
        let bytes = &bytes[same..];
        if keep == self.text.bytes.len() && bytes.is_empty() {
            return Ok(self.text.tokens.len());
        }
        if keep + bytes.len() > MAX_TEXT {
            return Err(Error::TooLong { limit: MAX_TEXT });
        }
        if keep == self.text.lead {
            keep = self.restart(bytes);
        }
        let unchanged = self.text.replace(keep, bytes);
        match &mut self.method {
            Method::Fast(path, encoder) => Ok(encoder.update(path, &mut self.text, unchanged)),
            Method::Slow(path, encoder) => encoder.update(path, &mut self.text),
        }
    }

    /// Begins the text anew with `first`: settles whether a space goes before it.
    fn restart(&mut self, first: &[u8]) -> usize {
        let mut space = false;
        if let Method::Fast(path, encoder) = &mut self.method {
            encoder.clear();
            space = self.at_start
                && match path.prefix {
                    Prefix::None => false,
                    Prefix::Always => !first.is_empty(),
                    Prefix::UnlessSpace | Prefix::FirstUnlessSpace => first.first().is_some_and(|&b| b != b' '),
                };
        }
        self.text.clear(usize::from(space));
        self.text.lead
    }

    /// Where the tokens after the text's first `from` bytes begin. `fresh`: there is no token before
    /// them, not even one for a space put before the text.
    pub(crate) fn seam(&self, from: usize, fresh: bool) -> Seam {
        let at = if fresh { 0 } else { from + self.text.lead };
        let next = self.text.tokens_until(at);
        let forced = at > 0 && (next == 0 || self.text.tokens[next - 1].end as usize != at);
        Seam { at, next, forced }
    }

    /// Puts the tokens after a `seam`, an unfinished character included, in `out`, of which the
    /// first `same` are there already: those of the text's encoding or, at a forced seam, those of
    /// the rest of that piece alone, and of all after it.
    pub(crate) fn continuation(&mut self, seam: Seam, same: usize, out: &mut Vec<Token>) -> Result<()> {
        let Self { text, method, .. } = self;
        let Seam { at, next, forced } = seam;
        out.truncate(same);
        match method {
            Method::Fast(path, encoder) => encoder.continuation(path, text, at, next + same, forced, out),
            Method::Slow(path, _) => SlowEncoder::continuation(path, text, at, next + same, forced, out)?,
        }
        for token in &mut out[same..] {
            token.end = token.end.saturating_sub(text.lead as u32);
        }
        Ok(())
    }
}

/// A place in a text where ids end that need not be those of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seam {
    /// In the bytes, with those put before the text.
    at: usize,
    /// The first token that doesn't end at or before it.
    pub(crate) next: usize,
    /// Whether the text's encoding has no boundary there.
    pub(crate) forced: bool,
}
