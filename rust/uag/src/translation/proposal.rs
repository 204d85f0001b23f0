//! What a draft becomes for the target.

use std::fmt;

/// Candidate target ids for a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposal {
    /// They continue the committed target ids.
    pub ids: Vec<u32>,
    /// For each, the number of draft ids that its bytes reach into. In the text after the draft, if
    /// there is one, each candidate counts as one id more.
    pub draft_ends: Vec<u32>,
    /// Whether committed ids and candidates are what the target's tokenizer gives for the whole
    /// text.
    pub exact: bool,
    /// Why they end early.
    pub cut: Cut,
}

/// Why candidates end before the draft does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// They don't.
    #[default]
    No,
    /// The draft holds a special token that has no counterpart.
    Special,
    /// The draft holds an id that carries no text: a padding row, out of range, or empty.
    NoText,
    /// The draft doesn't begin with the unfinished character that the target has begun.
    Mismatch,
    /// The target's vocabulary can't spell the draft's text.
    NotRepresentable,
}

impl Cut {
    /// In words; none for [`Cut::No`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Special => "special",
            Self::NoText => "no text",
            Self::Mismatch => "mismatch",
            Self::NotRepresentable => "not representable",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}
