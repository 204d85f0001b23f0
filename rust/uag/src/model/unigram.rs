//! Unigram: the most probable segmentation of a piece, kept so that it can grow.
//!
//! The library's Viterbi pass (`encode_optimized`, after SentencePiece's `unigram_model.cc`) runs
//! forward: the best path to a position depends on the text before it only. So the table of a piece
//! stays true when the piece grows or shrinks, and sums are made in the same order to the last bit.

use crate::bytes;
use crate::error::{Result, unsupported};
use crate::json::{self, VocabSpec};
use crate::limits::MAX_SPELLING;
use crate::token::Token;
use crate::utf8;

use super::suffix_trie::SuffixTrie;

/// What the library takes off the least score for a character outside the vocabulary.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A compiled Unigram model.
#[derive(Debug)]
pub(crate) struct Unigram {
    pieces: SuffixTrie,
    /// By id.
    scores: Vec<f64>,
    unknown: u32,
    unknown_score: f64,
    fallback: Option<Box<[u32; 256]>>,
}

/// The best way to one position.
#[derive(Debug, Clone, Copy)]
struct BestPath {
    score: f64,
    /// Where its last token starts.
    start: u32,
    /// Its last token; `None` for a character outside the vocabulary or a position inside one.
    id: Option<u32>,
}

/// The table of one piece: `paths[i]` is the best way to its byte `i`.
#[derive(Debug, Default)]
pub(crate) struct Lattice {
    start: usize,
    paths: Vec<BestPath>,
    /// A buffer: where the pieces start that end at a position, and their ids.
    found: Vec<(u32, u32)>,
}

impl Lattice {
    /// Drops what depended on `text[len..]`.
    pub(crate) fn clip(&mut self, len: usize) {
        self.paths.truncate((len + 1).saturating_sub(self.start));
    }
}

impl Unigram {
    pub(crate) fn new(model: &json::Model) -> Result<Self> {
        let VocabSpec::Scores(vocab) = &model.vocab else {
            return unsupported("model", "a Unigram model without scores");
        };
        let Some(unknown) = model.unk_id else {
            return unsupported("model", "a Unigram model without unk_id");
        };
        let mut pieces = Vec::with_capacity(vocab.len());
        let mut fallback = [None; 256];
        for (id, (piece, _)) in vocab.iter().enumerate() {
            let mut spelled = Vec::new();
            bytes::push_metaspace(piece, &mut spelled);
            if let Some(byte) = bytes::fallback_byte(piece) {
                fallback[byte as usize] = Some(id as u32);
            }
            pieces.push((spelled, id as u32));
        }
        let least = vocab.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let all: Option<Vec<u32>> = fallback.into_iter().collect();
        let fallback = match (model.byte_fallback, all) {
            (true, Some(ids)) => ids.try_into().ok().map(Box::new),
            (true, None) => return unsupported("model", "byte_fallback without all byte tokens"),
            (false, _) => None,
        };
        let longest = pieces.iter().map(|(piece, _)| piece.len()).max().unwrap_or(0);
        if longest > MAX_SPELLING {
            return unsupported("model", format!("a piece of {longest} bytes, of at most {MAX_SPELLING}"));
        }
        let scores = vocab.iter().map(|(_, score)| *score).collect();
        Ok(Self { pieces: SuffixTrie::new(pieces), scores, unknown, unknown_score: least - UNKNOWN_PENALTY, fallback })
    }

    /// Appends the tokens of `text[start..end]` to `out`, whose tokens from `first` on are those of
    /// the same piece as it was; returns how many tokens in all are unchanged.
    pub(crate) fn encode(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        lattice: &mut Lattice,
        first: usize,
        out: &mut Vec<Token>,
    ) -> usize {
        if lattice.start != start || lattice.paths.is_empty() {
            lattice.start = start;
            lattice.paths.clear();
            lattice.paths.push(BestPath { score: 0.0, start: start as u32, id: None });
        }
        self.extend(text, end, lattice);
        // Walk back until an old boundary is met: the best way to it is what it was.
        let mut found: Vec<Token> = Vec::new();
        let unknown = |at: usize| lattice.paths[at - start].id.is_none_or(|id| id == self.unknown);
        let (mut at, mut unknown_follows) = (end, false);
        loop {
            while out.len() > first && out[out.len() - 1].end as usize > at {
                out.pop();
            }
            let meets = out.len() > first && out[out.len() - 1].end as usize == at;
            // Unknown characters that follow each other are one token: an old one may have to grow.
            let grows = meets && out[out.len() - 1].id == self.unknown;
            if at == start || (meets && !grows) {
                break;
            }
            let path = lattice.paths[at - start];
            let before = path.start as usize;
            match (path.id.filter(|&id| id != self.unknown), &self.fallback) {
                (Some(id), _) => found.push(Token { id, end: at as u32 }),
                (None, Some(fallback)) => {
                    // The unknown token's own name is that token where nothing unknown is beside
                    // it.
                    let lone = path.id.is_some() && !unknown_follows && !(before > start && unknown(before));
                    if lone {
                        found.push(Token { id: self.unknown, end: at as u32 });
                    } else {
                        let byte = |i| Token { id: fallback[text[i] as usize], end: i as u32 + 1 };
                        found.extend((before..at).rev().map(byte));
                    }
                }
                (None, None) => match found.last_mut() {
                    Some(next) if next.id == self.unknown => {} // fused: it starts earlier, ends the same
                    _ => found.push(Token { id: self.unknown, end: at as u32 }),
                },
            }
            unknown_follows = unknown(at);
            at = before;
        }
        let unchanged = out.len();
        out.extend(found.into_iter().rev());
        unchanged
    }

    fn extend(&self, text: &[u8], end: usize, lattice: &mut Lattice) {
        let start = lattice.start;
        let mut from = start + lattice.paths.len() - 1;
        while from < end {
            let (_, len) = utf8::char_at(&text[..end], from);
            let at = from + len;
            // No token ends inside a character.
            lattice.paths.resize(at - start, BestPath { score: f64::NEG_INFINITY, start: from as u32, id: None });
            let Lattice { paths, found, .. } = lattice;
            found.clear();
            self.pieces.ends_of(&text[start..at], |s, id| found.push((s as u32, id)));
            // Earlier starts first and only better ones replace: so ties keep the longest token.
            let mut best: Option<BestPath> = None;
            for &(s, id) in found.iter().rev() {
                let score = self.scores[id as usize] + paths[s as usize].score;
                if best.is_none_or(|b| score > b.score) {
                    best = Some(BestPath { score, start: start as u32 + s, id: Some(id) });
                }
            }
            // The shortest is found first.
            if found.first().is_none_or(|&(s, _)| start + s as usize != from) {
                let score = self.unknown_score + paths[from - start].score;
                if best.is_none_or(|b| score > b.score) {
                    best = Some(BestPath { score, start: from as u32, id: None });
                }
            }
            paths.push(best.expect("a character is a piece or unknown"));
            from = at;
        }
    }
}
