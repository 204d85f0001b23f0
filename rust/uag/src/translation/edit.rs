//! What a commit does to the assistant's cache.

use std::fmt;

/// What a commit does to the assistant's ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// How many ids stay, from the very first on.
    pub keep: usize,
    /// What follows them.
    pub feed: Vec<u32>,
    /// Why the ids after the first `keep` don't stay.
    pub cause: Cause,
}

/// Why cached assistant ids don't survive a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// All of them do.
    #[default]
    None,
    /// The draft runs past what is committed, and agrees with it so far.
    Ahead,
    /// The committed text is another.
    Text,
    /// The text is the same, but its tokens end elsewhere.
    Boundary,
    /// A special token stands on one side only.
    Special,
    /// The committed text ends inside a character.
    Unfinished,
}

impl Cause {
    /// In a word; none for [`Cause::None`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Ahead => "ahead",
            Self::Text => "text",
            Self::Boundary => "boundary",
            Self::Special => "special",
            Self::Unfinished => "unfinished",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}
