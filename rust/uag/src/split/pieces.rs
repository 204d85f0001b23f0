//! How a stretch of text falls into the pieces that the model encodes one by one.

use super::{Resume, Scan, Splitter};
use crate::utf8;

/// What cuts a stretch into pieces.
#[derive(Debug)]
pub(crate) enum Pieces {
    /// A pattern of byte-level vocabularies.
    Pattern(Splitter),
    /// Nothing does: SentencePiece-style text without a pre-tokenizer.
    Stretch,
    /// The same text where no token holds a space after another character: no merge crosses the
    /// place before a run of spaces, so cutting there changes nothing and keeps pieces short.
    Words,
    /// `Metaspace` with `split`: every space begins a piece.
    EachSpace,
    /// `WhitespaceSplit` before it: words with one space before them; all other white space is
    /// lost.
    Spaced,
}

/// Where scanning a piece can go on when the text has grown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PieceState {
    pattern: Resume,
    /// For the spaces of SentencePiece-style text: the text before this has been looked at.
    seen: usize,
}

impl PieceState {
    /// The same for `text[..len]`.
    pub(crate) fn clip(self, len: usize) -> Self {
        Self { pattern: self.pattern.clip(len), seen: self.seen.min(len) }
    }
}

/// A piece: where it ends and how much of the text decided that (more than there is: its end).
#[derive(Debug, Clone, Copy)]
pub(crate) struct PieceScan {
    pub(crate) end: usize,
    pub(crate) examined: usize,
    pub(crate) state: PieceState,
    pub(crate) kind: PieceKind,
}

/// What becomes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// The model encodes it.
    Encoded,
    /// The model would encode it with a space before it that the text doesn't have.
    Unspaced,
    /// It has no tokens.
    Silent,
}

impl Pieces {
    pub(crate) fn is_metaspace(&self) -> bool {
        !matches!(self, Self::Pattern(_))
    }

    /// `Stretch` as `Words`, where the vocabulary allows it.
    pub(crate) fn refined(self, cuts_before_spaces: bool) -> Self {
        match self {
            Self::Stretch if cuts_before_spaces => Self::Words,
            other => other,
        }
    }

    /// The piece of `text` that begins at `start`.
    pub(crate) fn scan(&self, text: &[u8], start: usize, state: PieceState) -> PieceScan {
        match self {
            Self::Pattern(splitter) => {
                let Scan { end, examined, resume } = splitter.scan(text, start, state.pattern);
                PieceScan { end, examined, state: PieceState { pattern: resume, seen: 0 }, kind: PieceKind::Encoded }
            }
            Self::Stretch => ending(text.len()),
            Self::EachSpace => ending(next_space(text, state.seen.max(start + 1))),
            Self::Words => {
                let mut at = state.seen.max(start);
                // A space after a word would have ended the piece: so these are the leading ones.
                if at == start || text[at - 1] == b' ' {
                    at += text[at..].iter().take_while(|&&b| b == b' ').count();
                }
                ending(next_space(text, at))
            }
            Self::Spaced => spaced(text, start, state.seen.max(start)),
        }
    }
}

fn next_space(text: &[u8], from: usize) -> usize {
    let from = from.min(text.len());
    memchr::memchr(b' ', &text[from..]).map_or(text.len(), |found| from + found)
}

/// A piece that ends at `end`, the next space or the end of the text, having looked no further.
fn ending(end: usize) -> PieceScan {
    let state = PieceState { seen: end, ..PieceState::default() };
    PieceScan { end, examined: end + 1, state, kind: PieceKind::Encoded }
}

/// The next of the words and of the white space that is lost between them.
fn spaced(text: &[u8], start: usize, seen: usize) -> PieceScan {
    let run = |from: usize, white: bool| {
        let mut at = from;
        while at < text.len() && is_white(text, at) == white {
            at += utf8::char_at(text, at).1;
        }
        at
    };
    let words = run(start, true);
    let space = words > start && text[words - 1] == b' ';
    let scan = |end: usize, kind| PieceScan { kind, examined: (end + 4).min(text.len() + 1), ..ending(end) };
    if words == text.len() {
        scan(words, PieceKind::Silent)
    } else if words == start {
        scan(run(seen, false), PieceKind::Unspaced)
    } else if space && words == start + 1 {
        scan(run(seen.max(words), false), PieceKind::Encoded)
    } else {
        PieceScan { examined: words + 1, ..scan(words - usize::from(space), PieceKind::Silent) }
    }
}

fn is_white(text: &[u8], at: usize) -> bool {
    utf8::char_at(text, at).0.is_some_and(char::is_whitespace)
}
