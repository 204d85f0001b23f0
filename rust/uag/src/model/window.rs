//! Long pieces: only a window at their end is encoded again when they grow.

use std::ops::Range;

use crate::token::Token;
use crate::utf8;

use super::bpe::{Bpe, Scratch};

/// How much of a long piece is encoded at a time. Merging is quadratic in it.
const BLOCK: usize = 48;

/// Buffers kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) scratch: Scratch,
    tokens: Vec<Token>,
    pair: Vec<Token>,
}

impl Window {
    /// Encodes a long piece from its tokens so far: a window at their end, taken back until it
    /// fits. Returns how many tokens in all are unchanged.
    ///
    /// `tokens[first..]` are those of a prefix of the piece before it grew, and so an encoding of
    /// their own bytes (see [`super::bpe`]); what follows may be joined to them where the pair at
    /// the seam is one too.
    pub(crate) fn grow(
        &mut self,
        bpe: &Bpe,
        text: &[u8],
        piece: Range<usize>,
        first: usize,
        tokens: &mut Vec<Token>,
    ) -> usize {
        if let Some(id) = bpe.whole(&text[piece.clone()]) {
            tokens.truncate(first);
            tokens.push(Token { id, end: piece.end as u32 });
            return first;
        }
        while tokens.len() > first && tokens[tokens.len() - 1].end as usize > piece.end {
            tokens.pop();
        }
        let mut stable = tokens.len();
        let mut covered = tokens.get(first..).and_then(<[Token]>::last).map_or(piece.start, |t| t.end as usize);
        while covered < piece.end {
            let goal = (covered + BLOCK..piece.end).find(|&at| utf8::is_boundary(text, at)).unwrap_or(piece.end);
            let begin = |index: usize| if index == first { piece.start } else { tokens[index - 1].end as usize };
            // Appending revises one or two tokens nearly always; four at most in real text.
            let mut back = 2;
            let kept = loop {
                let mut kept = tokens.len().saturating_sub(back).max(first);
                while kept > first && !utf8::is_boundary(text, begin(kept)) {
                    kept -= 1;
                }
                self.tokens.clear();
                bpe.merge(text, begin(kept), goal, &mut self.scratch, &mut self.tokens);
                if kept == first || self.fits(bpe, text, begin(kept - 1), tokens[kept - 1]) {
                    break kept;
                }
                back *= 2;
            };
            stable = stable.min(kept);
            tokens.truncate(kept);
            tokens.append(&mut self.tokens);
            covered = goal;
        }
        stable
    }

    /// Whether `left`, which begins at `start`, and the first of the window after it are the
    /// encoding of their own bytes.
    fn fits(&mut self, bpe: &Bpe, text: &[u8], start: usize, left: Token) -> bool {
        let Some(&right) = self.tokens.first() else { return true };
        self.pair.clear();
        bpe.merge(text, start, right.end as usize, &mut self.scratch, &mut self.pair);
        self.pair == [left, right]
    }
}
