//! A growing text kept encoded: append, truncate to any byte, and see which tokens changed.

use std::ops::Range;
use std::sync::Arc;

use crate::bytes;
use crate::error::{Error, Result};
use crate::limits::MAX_TEXT;
use crate::model::{Lattice, Model, Window};
use crate::normalize::nfc;
use crate::split::pieces::{PieceKind, PieceState};
use crate::token::Token;
use crate::tokenizer::added::{BEHIND, Dropped, Hit, OPEN};
use crate::tokenizer::{Backend, Encode, FastPath, Prefix, Tokenizer};
use crate::utf8;

/// Pieces longer than this (in bytes) are not encoded anew when they grow: only a window at their end is.
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
    resume: PieceState,
    /// Whether it is an added token.
    added: bool,
}

/// One stretch of text between two special tokens, kept as the ids that its tokenizer gives for it.
///
/// The ids cover whole characters: up to three bytes of an unfinished one are [`held`](Self::held)
/// until the rest arrives. Text that spells a special token stays text, as with
/// `encode_special_tokens = True` in the `tokenizers` library.
///
/// Cost of [`splice`](Self::splice): proportional to the bytes that are new, whatever the length of the
/// text (on the slow path: proportional to the text).
#[derive(Debug)]
pub struct Stream {
    tokenizer: Arc<Tokenizer>,
    /// Whether the text begins where the tokenizer may put a space before it.
    at_start: bool,
    /// The text, after `lead` bytes that the tokenizer puts before it.
    text: Vec<u8>,
    lead: usize,
    /// `text[..complete]` is encoded; the rest is an unfinished character.
    complete: usize,
    tokens: Vec<Token>,
    pieces: Vec<Piece>,
    /// Per set of added tokens: none begins before this that isn't among the pieces.
    clear: [usize; 2],
    /// Per set: what was found, but is text.
    dropped: [Vec<Dropped>; 2],
    /// The first character of the text that makes it one that the tokenizer would change.
    unfaithful: usize,
    /// In the first piece before which the tokenizer would put a space that the text doesn't have.
    unspaced: usize,
    window: Window,
    lattice: Lattice,
}

/// Tokens, with their ends in the text, and whether they begin at a boundary that the text's own
/// encoding doesn't have.
#[derive(Debug)]
pub(crate) struct Continuation {
    pub(crate) tokens: Vec<(u32, usize)>,
    pub(crate) forced: bool,
}

impl Piece {
    /// One that begins at `start` and whose end is not known yet.
    fn new(start: usize, stretch: usize, first: usize) -> Self {
        Self { start, end: start, stretch, first, examined: OPEN, resume: PieceState::default(), added: false }
    }
}

impl Stream {
    /// An empty text. `at_start`: the tokenizer's rule for the start of a text applies to it.
    pub fn new(tokenizer: Arc<Tokenizer>, at_start: bool) -> Self {
        Self {
            tokenizer,
            at_start,
            text: Vec::new(),
            lead: 0,
            complete: 0,
            tokens: Vec::new(),
            pieces: Vec::new(),
            clear: [0; 2],
            dropped: Default::default(),
            unfaithful: OPEN,
            unspaced: OPEN,
            window: Window::default(),
            lattice: Lattice::default(),
        }
    }

    /// The tokenizer that the text is kept encoded with.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        self.text.len() - self.lead
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text[self.lead..]
    }

    /// The unfinished character at the end, which no token covers yet.
    pub fn held(&self) -> &[u8] {
        &self.text[self.complete.max(self.lead)..]
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        self.tokens.len()
    }

    /// Id of token `index`, and where it ends in the text.
    pub fn token(&self, index: usize) -> (u32, usize) {
        let token = self.tokens[index];
        (token.id, (token.end as usize).saturating_sub(self.lead))
    }

    /// The ids from token `from` on.
    pub fn ids(&self, from: usize) -> impl Iterator<Item = u32> {
        self.tokens[from..].iter().map(|token| token.id)
    }

    /// Whether the ids are what the tokenizer gives for the whole text (but for what is held).
    pub fn exact(&self) -> bool {
        self.unfaithful == OPEN && self.unspaced == OPEN
    }

    /// The bytes that `id` stands for in this text; `None` if it carries no text. The `first` token
    /// may spell the space that the tokenizer puts before a text.
    pub fn bytes_of(&self, id: u32, first: bool) -> Option<&[u8]> {
        let bytes = self.tokenizer.token_bytes(id)?;
        let strips = first && self.at_start && self.tokenizer.has_prefix();
        Some(if strips { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes })
    }

    /// The tokens of the text after its first `from` bytes, unfinished character included: those of its
    /// encoding if one ends there, else those of the rest of that piece by itself, and of all after it.
    /// `fresh`: there is no token before them, not even one for a space put before the text.
    pub(crate) fn continuation(&mut self, from: usize, fresh: bool) -> Result<Continuation> {
        let at = if fresh { 0 } else { from + self.lead };
        let next = self.tokens.len() - self.tokens.iter().rev().take_while(|token| token.end as usize > at).count();
        let forced = at > 0 && (next == 0 || self.tokens[next - 1].end as usize != at);
        let mut tokens = Vec::new();
        let tokenizer = Arc::clone(&self.tokenizer);
        match &tokenizer.backend {
            Backend::Fast(fast) => {
                let whole = if forced && at < self.complete { self.rest_of_piece(fast, at, &mut tokens) } else { next };
                tokens.extend_from_slice(&self.tokens[whole..]);
                if let Model::Bpe(bpe) = &fast.model {
                    let held = at.max(self.complete);
                    bpe.merge(&self.text, held, self.text.len(), &mut self.window.scratch, &mut tokens);
                }
            }
            Backend::Slow(slow) if forced && at < self.complete => {
                if let Ok(rest) = std::str::from_utf8(&self.text[at..self.complete]) {
                    let failed = |reason| Error::Encode { bytes: rest.len(), reason };
                    let rest = slow.encode.encode(rest).map_err(failed)?;
                    tokens.extend(rest.iter().map(|token| Token { end: token.end + at as u32, ..*token }));
                }
            }
            Backend::Slow(_) => tokens.extend_from_slice(&self.tokens[next..]),
        }
        let tokens = tokens.iter().map(|token| (token.id, (token.end as usize).saturating_sub(self.lead))).collect();
        Ok(Continuation { tokens, forced })
    }

    /// Encodes what is left at `at` of the piece around it; returns the first token of the next piece.
    fn rest_of_piece(&mut self, fast: &FastPath, at: usize, out: &mut Vec<Token>) -> usize {
        let index = self.pieces.len() - 1 - self.pieces.iter().rev().take_while(|piece| piece.start > at).count();
        let end = self.pieces[index].end;
        match &fast.model {
            Model::Bpe(bpe) if end - at <= LONG => bpe.merge(&self.text, at, end, &mut self.window.scratch, out),
            Model::Bpe(bpe) => _ = self.window.grow(bpe, &self.text, at..end, 0, out),
            Model::Unigram(unigram) => _ = unigram.encode(&self.text, (at, end), &mut Lattice::default(), 0, out),
        }
        self.pieces.get(index + 1).map_or(self.tokens.len(), |piece| piece.first)
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

    /// Replaces all after the first `len` bytes by `bytes`. Returns how many tokens at the start are
    /// certainly unchanged; those after may be equal or not.
    ///
    /// # Errors
    /// [`Error::TooLong`], before anything changes; on the slow path [`Error::Encode`], after which the
    /// text is as asked for, but has no tokens until the next change.
    pub fn splice(&mut self, len: usize, bytes: &[u8]) -> Result<usize> {
        let mut keep = self.lead + len.min(self.len());
        let same = self.text[keep..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
        keep += same;
        let bytes = &bytes[same..];
        if keep == self.text.len() && bytes.is_empty() {
            return Ok(self.tokens.len());
        }
        if keep + bytes.len() > MAX_TEXT {
            return Err(Error::TooLong { limit: MAX_TEXT });
        }
        if keep == self.lead {
            keep = self.restart(bytes);
        }
        let unchanged = keep.min(self.complete);
        self.text.truncate(keep);
        self.text.extend_from_slice(bytes);
        let tail = self.lead.max(self.text.len().saturating_sub(3));
        self.complete = self.text.len() - utf8::unfinished(&self.text[tail..]);
        // What is known holds up to the last whole character that stayed.
        let unchanged = unchanged - utf8::unfinished(&self.text[unchanged.saturating_sub(3)..unchanged]);
        let tokenizer = Arc::clone(&self.tokenizer);
        match &tokenizer.backend {
            Backend::Fast(fast) => {
                self.check_faithful(fast, unchanged);
                Ok(self.encode(fast, unchanged))
            }
            Backend::Slow(slow) => self.encode_slowly(slow.encode.as_ref()),
        }
    }

    /// Begins the text anew with `first`: settles whether a space goes before it.
    fn restart(&mut self, first: &[u8]) -> usize {
        self.pieces.clear();
        self.tokens.clear();
        self.text.clear();
        self.lattice.clip(0);
        self.complete = 0;
        self.clear = [0; 2];
        self.dropped = Default::default();
        let fast = matches!(self.tokenizer.backend, Backend::Fast(_));
        let space = fast
            && self.at_start
            && match self.tokenizer.prefix() {
                Prefix::None => false,
                Prefix::Always => !first.is_empty(),
                Prefix::UnlessSpace | Prefix::FirstUnlessSpace => first.first().is_some_and(|&b| b != b' '),
            };
        self.lead = usize::from(space);
        self.text.resize(self.lead, b' ');
        self.lead
    }

    /// Brings pieces and tokens up to date, given that `text[..keep]` is as it was.
    fn encode(&mut self, fast: &FastPath, keep: usize) -> usize {
        let mut piece = match self.pieces.last() {
            Some(last) if last.added => Piece::new(last.end, last.end, self.tokens.len()),
            Some(last) => Piece::new(last.end, last.stretch, self.tokens.len()),
            None => Piece::new(0, 0, 0),
        };
        // What the first of the pieces that change had in common with what it becomes.
        let mut common = piece.start;
        while let Some(popped) = self.pieces.pop_if(|piece| piece.examined > keep) {
            common = if popped.added { popped.start } else { popped.end.min(keep) };
            if popped.added {
                self.clear = self.clear.map(|clear| clear.min(popped.start));
            }
            piece =
                Piece { resume: popped.resume.clip(keep), ..Piece::new(popped.start, popped.stretch, popped.first) };
        }
        if self.unspaced >= piece.start {
            self.unspaced = OPEN;
        }
        self.lattice.clip(keep);
        for ((clear, dropped), added) in self.clear.iter_mut().zip(&mut self.dropped).zip(&fast.added) {
            *clear = (*clear).min(keep.saturating_sub(added.longest + BEHIND));
            while let Some(popped) = dropped.pop_if(|dropped| dropped.examined > keep) {
                *clear = (*clear).min(popped.start);
            }
        }
        // From the end: a binary search through a long context would be a cache miss a step.
        let stale = self.tokens.iter().rev().take_while(|token| token.end as usize > common).count();
        self.tokens.truncate((self.tokens.len() - stale).max(piece.first));
        let mut stable = self.tokens.len();
        // Where nothing is finished yet there is no text to put a space before.
        while self.complete > self.lead && piece.start < self.complete {
            let (hit, sure) = self.next_added(fast, piece.start, piece.stretch);
            let limit = hit.map_or(self.complete, |hit| hit.start);
            while piece.start < limit {
                let scan = fast.pieces.scan(&self.text[..limit], piece.start, piece.resume.clip(limit));
                let seen = if scan.examined <= limit { scan.examined } else { hit.map_or(OPEN, |hit| hit.examined) };
                // A token that may yet begin at `sure` would end the stretch there.
                let examined = if seen > sure && limit > sure { OPEN } else { seen };
                if scan.kind == PieceKind::Unspaced {
                    self.unspaced = self.unspaced.min(piece.start);
                }
                // The space is put before text, and an added token at its start is none.
                let lead_alone = limit <= self.lead && hit.is_some();
                if scan.kind == PieceKind::Silent || lead_alone {
                    self.tokens.truncate(piece.first);
                    stable = stable.min(piece.first);
                } else {
                    if piece.stretch > 0 && piece.start == piece.stretch && self.gets_space(piece.start) {
                        // One that the text here can't hold.
                        self.unspaced = self.unspaced.min(piece.start);
                    }
                    stable = stable.min(self.encode_piece(fast, piece.start..scan.end, piece.first));
                }
                self.push(Piece { end: scan.end, examined, resume: scan.resume, ..piece });
                piece = Piece::new(scan.end, piece.stretch, self.tokens.len());
            }
            if let Some(hit) = hit {
                self.tokens.truncate(piece.first);
                stable = stable.min(piece.first);
                self.tokens.push(Token { id: hit.id, end: hit.end as u32 });
                self.push(Piece { end: hit.end, examined: hit.examined, added: true, ..piece });
                piece = Piece::new(hit.end, hit.end, self.tokens.len());
            }
        }
        self.tokens.truncate(piece.first);
        stable.min(piece.first)
    }

    /// Whether the tokenizer puts a space before the text from `at` on, which follows an added token.
    fn gets_space(&self, at: usize) -> bool {
        match self.tokenizer.prefix() {
            Prefix::None | Prefix::FirstUnlessSpace => false,
            Prefix::UnlessSpace => self.text[at] != b' ',
            Prefix::Always => true,
        }
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

    /// The next added token at or after `at`, and where one that isn't there yet might begin.
    fn next_added(&mut self, fast: &FastPath, at: usize, stretch: usize) -> (Option<Hit>, usize) {
        let Self { text, lead, clear, dropped: [raw_dropped, dropped], .. } = self;
        let text = &text[..self.complete];
        let from = clear[0].max(*lead).max(at).min(text.len());
        let raw = fast.added[0].find(text, from, stretch, *lead, raw_dropped);
        let limit = raw.hit.map_or(text.len(), |hit| hit.start);
        // Only a normalizer's space is there when tokens are looked for in the normalised text.
        let at = if self.tokenizer.prefix() == Prefix::Always { at } else { at.max(*lead) };
        let from = clear[1].max(at).min(limit);
        let normal = fast.added[1].find(&text[..limit], from, stretch, stretch, dropped);
        // Those of the second kind lie between those of the first.
        *clear = [raw.clear, normal.clear.min(raw.clear)];
        let hit = match (normal.hit, raw.hit) {
            // So it depends on where those are.
            (Some(hit), _) if hit.end > raw.clear => Some(Hit { examined: OPEN, ..hit }),
            (Some(hit), Some(other)) if hit.examined == OPEN => Some(Hit { examined: other.examined, ..hit }),
            (hit, other) => hit.or(other),
        };
        (hit, raw.clear.min(normal.clear).max(at))
    }

    /// Encodes a piece whose tokens, as far as they are already there, are `tokens[first..]`.
    fn encode_piece(&mut self, fast: &FastPath, piece: Range<usize>, first: usize) -> usize {
        let Self { text, tokens, window, lattice, .. } = self;
        match &fast.model {
            Model::Bpe(bpe) if piece.len() <= LONG => {
                tokens.truncate(first);
                bpe.encode(text, piece.start, piece.end, &mut window.scratch, tokens);
                first
            }
            Model::Bpe(bpe) => window.grow(bpe, text, piece, first, tokens),
            Model::Unigram(unigram) => unigram.encode(text, (piece.start, piece.end), lattice, first, tokens),
        }
    }

    /// Finds the first character from `start` on that makes the text another to the tokenizer.
    fn check_faithful(&mut self, fast: &FastPath, start: usize) {
        if self.unfaithful < start {
            return;
        }
        let (text, new) = (&self.text[..self.complete], &self.text[start..self.complete]);
        self.unfaithful = OPEN;
        if let Some(map) = &fast.charsmap {
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
        let changed = if fast.metaspace {
            valid.find(bytes::METASPACE).map(|at| start + at)
        } else if fast.nfc && valid.bytes().any(|b| b >= 0xCC) {
            // Below U+0300 nothing composes.
            nfc::first_change(&text[..start + valid.len()], start)
        } else {
            None
        };
        self.unfaithful = self.unfaithful.min(changed.unwrap_or(broken));
    }

    fn encode_slowly(&mut self, encode: &dyn Encode) -> Result<usize> {
        let mut tokens = Vec::new();
        self.unfaithful = OPEN;
        let mut at = 0;
        for chunk in self.text[..self.complete].utf8_chunks() {
            let valid = chunk.valid();
            if !valid.is_empty() {
                let found = encode.encode(valid).map_err(|reason| {
                    self.tokens.clear();
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
                self.unfaithful = self.unfaithful.min(at);
            }
            at += chunk.invalid().len();
        }
        let stable = self.tokens.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        self.tokens = tokens;
        Ok(stable)
    }
}
