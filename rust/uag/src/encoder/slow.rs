//! The slow encoder: the real tokenizer reads the whole text again after each change.

use crate::error::{Error, Result};
use crate::tokenizer::SlowPath;
use crate::tokenizer::added::OPEN;

use super::text::EncodedText;
use crate::token::Token;

/// Encodes through [`crate::Encode`].
#[derive(Debug)]
pub(super) struct SlowEncoder {
    /// The first byte that belongs to no character, and so was left out.
    left_out: usize,
}

impl SlowEncoder {
    pub(super) fn new() -> Self {
        Self { left_out: OPEN }
    }

    /// Whether all of the text was encoded.
    pub(super) fn exact(&self) -> bool {
        self.left_out == OPEN
    }

    /// Encodes the text anew. Returns how many tokens at the start are as they were. After an error
    /// there are none.
    pub(super) fn update(&mut self, path: &SlowPath, text: &mut EncodedText) -> Result<usize> {
        let mut tokens = Vec::new();
        self.left_out = OPEN;
        let mut at = 0;
        for chunk in text.bytes[..text.complete].utf8_chunks() {
            let valid = chunk.valid();
            if !valid.is_empty() {
                let found = path.encode.encode(valid).map_err(|reason| {
                    text.tokens.clear();
                    Error::Encode { bytes: valid.len(), reason }
                })?;
                let ends = found.iter().scan(0, |end, token| {
                    *end = token.end.max(*end);
                    Some(Token { id: token.id, end: at as u32 + *end })
                });
                tokens.extend(ends);
            }
            at += valid.len();
            if !chunk.invalid().is_empty() {
                self.left_out = self.left_out.min(at);
            }
            at += chunk.invalid().len();
        }
        let stable = text.tokens.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        text.tokens = tokens;
        Ok(stable)
    }

    /// Appends the tokens of the text from `at` on to `out`: those from `next` on, or where
    /// `forced`, as no token ends there, those of the rest of the text alone.
    pub(super) fn continuation(
        path: &SlowPath,
        text: &EncodedText,
        at: usize,
        next: usize,
        forced: bool,
        out: &mut Vec<Token>,
    ) -> Result<()> {
        if !forced || at >= text.complete {
            out.extend_from_slice(&text.tokens[next..]);
        } else if let Ok(rest) = std::str::from_utf8(&text.bytes[at..text.complete]) {
            let failed = |reason| Error::Encode { bytes: rest.len(), reason };
            let rest = path.encode.encode(rest).map_err(failed)?;
            out.extend(rest.iter().map(|token| Token { end: token.end + at as u32, ..*token }));
        }
        Ok(())
    }
}
