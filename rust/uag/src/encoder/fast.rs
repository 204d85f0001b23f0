//! The fast encoder: exact, in time proportional to what is new.
//!
//! A text is cut at added tokens into stretches, and each stretch into pieces that the model
//! encodes one by one. Every piece knows how much of the text decided it, so a change drops those
//! pieces that depend on what changed, and scanning goes on from there.

use std::ops::Range;

use crate::bytes;
use crate::model::{Lattice, Model, Window};
use crate::normalize::nfc;
use crate::split::pieces::{PieceKind, PieceState};
use crate::token::Token;
use crate::tokenizer::added::{AFTER, Dropped, Hit, OPEN};
use crate::tokenizer::{FastPath, Prefix};
use crate::utf8;

use super::text::EncodedText;

/// Pieces longer than this (in bytes) are not encoded anew when they grow: only a window at their
/// end is.
const LONG: usize = 48;

/// A piece of the text. Its tokens are `tokens[first..]` up to the next piece's.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    /// Where its stretch, the text between two added tokens, begins.
    stretch: usize,
    first: usize,
    /// The piece, and all before it, depend on `text[..examined]` only, or on the end of the text.
    examined: usize,
    state: PieceState,
    /// Whether it is an added token.
    added: bool,
}

impl Piece {
    /// One that begins at `start` and whose end is not known yet.
    fn new(start: usize, stretch: usize, first: usize) -> Self {
        Self { start, end: start, stretch, first, examined: OPEN, state: PieceState::default(), added: false }
    }
}

/// Where a stretch ends, as far as is known.
#[derive(Debug, Clone, Copy)]
struct StretchEnd {
    /// At the added token that follows, or at the end of the text.
    at: usize,
    added: Option<Hit>,
    /// An added token may yet begin here, once there is more text.
    sure: usize,
}

/// Keeps the pieces of a text.
#[derive(Debug)]
pub(super) struct FastEncoder {
    pieces: Vec<Piece>,
    /// Per set of added tokens: none begins before this that isn't among the pieces.
    clear: [usize; 2],
    /// Per set: what was found, but is text.
    dropped: [Vec<Dropped>; 2],
    /// The first character of the text that the tokenizer would change.
    unfaithful: usize,
    /// In the first piece before which the tokenizer would put a space that the text doesn't have.
    unspaced: usize,
    window: Window,
    lattice: Lattice,
}

impl FastEncoder {
    pub(super) fn new() -> Self {
        Self {
            pieces: Vec::new(),
            clear: [0; 2],
            dropped: Default::default(),
            unfaithful: OPEN,
            unspaced: OPEN,
            window: Window::default(),
            lattice: Lattice::default(),
        }
    }

    /// Forgets the text.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.lattice.clip(0);
        self.clear = [0; 2];
        self.dropped = Default::default();
    }

    /// Whether the tokens are what the tokenizer gives for the whole text.
    pub(super) fn exact(&self) -> bool {
        self.unfaithful == OPEN && self.unspaced == OPEN
    }

    /// Brings pieces and tokens up to date, given that `text.bytes[..keep]` is as it was. Returns
    /// how many tokens at the start are certainly unchanged.
    pub(super) fn update(&mut self, path: &FastPath, text: &mut EncodedText, keep: usize) -> usize {
        self.check_faithful(path, text, keep);
        let (mut piece, common) = self.rewind(path, text, keep);
        text.tokens.truncate(text.tokens_until(common).max(piece.first));
        let mut stable = text.tokens.len();
        // Where nothing is finished yet there is no text to put a space before.
        while text.complete > text.lead && piece.start < text.complete {
            let end = self.stretch_end(path, text, &piece);
            while piece.start < end.at {
                stable = stable.min(self.encode_next(path, text, &mut piece, &end));
            }
            if let Some(hit) = end.added {
                text.tokens.truncate(piece.first);
                stable = stable.min(piece.first);
                text.tokens.push(Token { id: hit.id, end: hit.end as u32 });
                self.push(Piece { end: hit.end, examined: hit.examined, added: true, ..piece });
                piece = Piece::new(hit.end, hit.end, text.tokens.len());
            }
        }
        text.tokens.truncate(piece.first);
        stable.min(piece.first)
    }

    /// Drops all that depends on more than `text[..keep]`. Returns the first piece to scan again,
    /// and how much of the text it has in common with the piece that was there.
    fn rewind(&mut self, path: &FastPath, text: &EncodedText, keep: usize) -> (Piece, usize) {
        // An added token may begin before this, whatever was there.
        let mut open = keep;
        for ((clear, dropped), added) in self.clear.iter_mut().zip(&mut self.dropped).zip(&path.added) {
            *clear = (*clear).min(keep.saturating_sub(added.longest + AFTER));
            let mut begun = keep;
            while let Some(popped) = dropped.pop_if(|dropped| dropped.examined > keep) {
                begun = begun.min(popped.start);
            }
            *clear = (*clear).min(begun);
            open = open.min(added.reach(&text.bytes, begun));
        }
        let tokens = text.tokens.len();
        let mut piece = match self.pieces.last() {
            Some(last) if last.added => Piece::new(last.end, last.end, tokens),
            Some(last) => Piece::new(last.end, last.stretch, tokens),
            None => Piece::new(0, 0, 0),
        };
        let mut common = piece.start;
        while let Some(popped) = self.pieces.pop_if(|piece| piece.examined > keep || piece.end > open) {
            common = if popped.added { popped.start } else { popped.end.min(keep) };
            if popped.added {
                self.clear = self.clear.map(|clear| clear.min(popped.start));
            }
            piece = Piece { state: popped.state.clip(keep), ..Piece::new(popped.start, popped.stretch, popped.first) };
        }
        if self.unspaced >= piece.start {
            self.unspaced = OPEN;
        }
        self.lattice.clip(keep);
        (piece, common)
    }

    /// Where the stretch around `piece` ends.
    fn stretch_end(&mut self, path: &FastPath, text: &EncodedText, piece: &Piece) -> StretchEnd {
        let Self { clear, dropped: [raw_dropped, dropped], .. } = self;
        let Piece { start: at, stretch, .. } = *piece;
        let (lead, text) = (text.lead, &text.bytes[..text.complete]);
        let from = clear[0].max(lead).max(at).min(text.len());
        let raw = path.added[0].find(text, from, stretch, lead, raw_dropped);
        let limit = raw.hit.map_or(text.len(), |hit| hit.start);
        // Only a normalizer's space is there when tokens are looked for in the normalised text.
        let at = if path.prefix == Prefix::Always { at } else { at.max(lead) };
        let from = clear[1].max(at).min(limit);
        let normal = path.added[1].find(&text[..limit], from, stretch, stretch, dropped);
        // Those of the second kind lie between those of the first.
        *clear = [raw.clear, normal.clear.min(raw.clear)];
        let added = match (normal.hit, raw.hit) {
            // So it depends on where those are.
            (Some(hit), _) if hit.end > raw.clear => Some(Hit { examined: OPEN, ..hit }),
            (Some(hit), Some(other)) if hit.examined == OPEN => Some(Hit { examined: other.examined, ..hit }),
            (hit, other) => hit.or(other),
        };
        let sure = raw.clear.min(normal.clear).max(at);
        StretchEnd { at: added.map_or(text.len(), |hit| hit.start), added, sure }
    }

    /// Finds the end of `piece` and encodes it, and makes it the piece that follows. Returns how
    /// many tokens are certainly unchanged.
    fn encode_next(&mut self, path: &FastPath, text: &mut EncodedText, piece: &mut Piece, end: &StretchEnd) -> usize {
        let Piece { start, stretch, first, .. } = *piece;
        let scan = path.pieces.scan(&text.bytes[..end.at], start, piece.state.clip(end.at));
        let seen = match end.added {
            _ if scan.examined <= end.at => scan.examined,
            Some(hit) => hit.examined,
            None => OPEN,
        };
        // A token that may yet begin at `sure` would end the stretch there.
        let examined = if seen > end.sure && end.at > end.sure { OPEN } else { seen };
        if scan.kind == PieceKind::Unspaced {
            self.unspaced = self.unspaced.min(start);
        }
        // The space is put before text, and an added token at the start isn't text.
        let lead_alone = end.at <= text.lead && end.added.is_some();
        let stable = if scan.kind == PieceKind::Silent || lead_alone {
            text.tokens.truncate(first);
            first
        } else {
            if stretch > 0 && start == stretch && gets_space(path.prefix, text.bytes[start]) {
                // One that the text here can't hold.
                self.unspaced = self.unspaced.min(start);
            }
            self.encode_piece(path, text, start..scan.end, first)
        };
        self.push(Piece { end: scan.end, examined, state: scan.state, ..*piece });
        *piece = Piece::new(scan.end, stretch, text.tokens.len());
        stable
    }

    /// Pieces depend on those before them, so what they have looked at never falls.
    fn push(&mut self, mut piece: Piece) {
        piece.examined = piece.examined.max(self.pieces.last().map_or(0, |before| before.examined));
        for dropped in &self.dropped {
            let inside = dropped.partition_point(|dropped| dropped.start < piece.end);
            piece.examined = piece.examined.max(dropped[..inside].last().map_or(0, |dropped| dropped.examined));
        }
        self.pieces.push(piece);
    }

    /// Encodes a piece whose tokens, as far as they are already there, are `tokens[first..]`.
    fn encode_piece(&mut self, path: &FastPath, text: &mut EncodedText, piece: Range<usize>, first: usize) -> usize {
        let Self { window, lattice, .. } = self;
        let EncodedText { bytes, tokens, .. } = text;
        match &path.model {
            Model::Bpe(bpe) if piece.len() <= LONG => {
                tokens.truncate(first);
                bpe.encode(bytes, piece.start, piece.end, &mut window.scratch, tokens);
                first
            }
            Model::Bpe(bpe) => window.grow(bpe, bytes, piece, first, tokens),
            Model::Unigram(unigram) => unigram.encode(bytes, (piece.start, piece.end), lattice, first, tokens),
        }
    }

    /// Finds the first character from `start` on that the tokenizer would change.
    fn check_faithful(&mut self, path: &FastPath, text: &EncodedText, start: usize) {
        if self.unfaithful < start {
            return;
        }
        let (text, new) = (&text.bytes[..text.complete], &text.bytes[start..text.complete]);
        self.unfaithful = OPEN;
        if let Some(map) = &path.charsmap {
            // What comes may join with the character before it.
            self.unfaithful = map.first_change(text, utf8::before(text, start)).unwrap_or(OPEN);
        }
        if new.is_ascii() {
            return;
        }
        let (valid, broken) = match std::str::from_utf8(new) {
            Ok(valid) => (valid, OPEN),
            Err(error) => {
                let valid = std::str::from_utf8(&new[..error.valid_up_to()]).unwrap_or("");
                (valid, start + valid.len())
            }
        };
        let changed = if path.metaspace {
            valid.find(bytes::METASPACE).map(|at| start + at)
        } else if path.nfc && valid.bytes().any(|b| b >= 0xCC) {
            // Below U+0300 nothing composes.
            nfc::first_change(&text[..start + valid.len()], start)
        } else {
            None
        };
        self.unfaithful = self.unfaithful.min(changed.unwrap_or(broken));
    }

    /// Appends the tokens of the text from `at` on to `out`: those from `next` on, or where
    /// `forced`, as no token ends there, those of the rest of the piece alone and then those of all
    /// after it.
    pub(super) fn continuation(
        &mut self,
        path: &FastPath,
        text: &EncodedText,
        at: usize,
        next: usize,
        forced: bool,
        out: &mut Vec<Token>,
    ) {
        let whole = if forced && at < text.complete { self.rest_of_piece(path, text, at, out) } else { next };
        out.extend_from_slice(&text.tokens[whole..]);
        if let Model::Bpe(bpe) = &path.model {
            let held = at.max(text.complete);
            bpe.merge(&text.bytes, held, text.bytes.len(), &mut self.window.scratch, out);
        }
    }

    /// Encodes what is left at `at` of the piece around it; returns the first token of the next
    /// piece.
    fn rest_of_piece(&mut self, path: &FastPath, text: &EncodedText, at: usize, out: &mut Vec<Token>) -> usize {
        let index = self.pieces.len() - 1 - self.pieces.iter().rev().take_while(|piece| piece.start > at).count();
        let end = self.pieces[index].end;
        match &path.model {
            Model::Bpe(bpe) if end - at <= LONG => bpe.merge(&text.bytes, at, end, &mut self.window.scratch, out),
            Model::Bpe(bpe) => _ = self.window.grow(bpe, &text.bytes, at..end, 0, out),
            Model::Unigram(unigram) => _ = unigram.encode(&text.bytes, (at, end), &mut Lattice::default(), 0, out),
        }
        self.pieces.get(index + 1).map_or(text.tokens.len(), |piece| piece.first)
    }
}

/// Whether the tokenizer puts a space before text that follows an added token and begins with
/// `first`.
fn gets_space(prefix: Prefix, first: u8) -> bool {
    match prefix {
        Prefix::None | Prefix::FirstUnlessSpace => false,
        Prefix::UnlessSpace => first != b' ',
        Prefix::Always => true,
    }
}
