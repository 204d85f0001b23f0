//! A text and its tokens: what both encoders work on.

use crate::token::Token;
use crate::utf8;

/// A text, encoded but for an unfinished character at its end.
#[derive(Debug, Default)]
pub(super) struct EncodedText {
    /// The text, after `lead` bytes that the tokenizer puts before it.
    pub(super) bytes: Vec<u8>,
    pub(super) lead: usize,
    /// `bytes[..complete]` is encoded; the rest is an unfinished character.
    pub(super) complete: usize,
    pub(super) tokens: Vec<Token>,
}

impl EncodedText {
    /// Drops all tokens, and all bytes but the space before the text, if there is one.
    pub(super) fn clear(&mut self, lead: usize) {
        self.tokens.clear();
        self.bytes.clear();
        self.bytes.resize(lead, b' ');
        self.lead = lead;
        self.complete = 0;
    }

    /// Replaces the bytes after the first `keep`. Returns how many bytes of whole characters stay;
    /// the tokens are not changed yet.
    pub(super) fn replace(&mut self, keep: usize, new: &[u8]) -> usize {
        let stays = keep.min(self.complete);
        self.bytes.truncate(keep);
        self.bytes.extend_from_slice(new);
        let tail = self.lead.max(self.bytes.len().saturating_sub(3));
        self.complete = self.bytes.len() - utf8::unfinished(&self.bytes[tail..]);
        stays - utf8::unfinished(&self.bytes[stays.saturating_sub(3)..stays])
    }

    /// How many tokens end at or before `at`.
    pub(super) fn tokens_until(&self, at: usize) -> usize {
        // From the end: a binary search through a long context would be a cache miss a step.
        self.tokens.len() - self.tokens.iter().rev().take_while(|token| token.end as usize > at).count()
    }
}
