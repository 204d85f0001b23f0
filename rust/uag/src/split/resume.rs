//! Where a scan stopped, so that it can go on after the text has grown or shrunk.

/// Which run a piece was in. What may follow is up to the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing known: from the start of the piece.
    #[default]
    Start,
    Letters,
    Digits,
    Han,
    /// The upper-case (and caseless) part of a word whose lower-case part may follow.
    Upper,
    /// The lower-case (and caseless) part of a word, from `turn` on.
    Lower,
    Symbols,
    /// The ASCII letters after a punctuation mark.
    AsciiLetters,
    /// Letters that DeepSeek-LLM's punctuation has, too.
    Latin,
    /// The line ends after symbols, from `turn` on.
    Tail,
    Spaces,
    /// Characters that no alternative of the pattern matches: a piece of what is left over.
    Gap,
}

/// State of a scan: from it, the scan of the same piece goes on where it stopped.
///
/// It is good for the piece and the text it was returned for: another start, or a change of bytes
/// before the end of the piece, needs [`Resume::START`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    pub(super) phase: Phase,
    /// The length of the text that led into the phase: without all of it, another one might follow.
    pub(super) floor: usize,
    /// Everything before is known to belong to the run.
    pub(super) pos: usize,
    /// Where [`Phase::Lower`] or [`Phase::Tail`] took over from the phase before it.
    pub(super) turn: usize,
    /// In [`Phase::Spaces`] the end of the last line end, in the phases of a word that of the last
    /// caseless character of its first part, in DeepSeek-LLM's phases of what may end in white
    /// space that of the last character that isn't white space: where the piece ends if nothing
    /// better comes. 0 if there is no such place.
    pub(super) mark: usize,
}

/// A `mark` that was cut off: there may be an earlier one.
pub(super) const LOST: usize = usize::MAX;

impl Resume {
    /// No state: scans the piece from its start.
    pub const START: Resume = Resume { phase: Phase::Start, floor: 0, pos: 0, turn: 0, mark: 0 };

    /// The state for a text of which only the first `len` bytes are left.
    ///
    /// `len` must not be inside a character. What comes after may differ from what was there.
    #[must_use]
    pub fn clip(mut self, len: usize) -> Resume {
        if len < self.floor {
            return Resume::START;
        }
        if len >= self.pos {
            return self;
        }
        self.pos = len;
        if self.mark > len {
            self.mark = LOST;
        }
        match self.phase {
            Phase::Lower if len <= self.turn => self.phase = Phase::Upper,
            Phase::Tail if len <= self.turn => self.phase = Phase::Symbols,
            _ => {}
        }
        self
    }
}
