//! Everything that can go wrong in the core, with what a caller needs to act on it.

/// An error of the core. Messages are lower case and name the offending part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text isn't a tokenizer as `tokenizers.Tokenizer.to_str()` writes it.
    #[error("not a tokenizer.json: {0}")]
    Json(String),
    /// A part of the tokenizer that the incremental path doesn't know.
    #[error("{part}: {reason}")]
    Unsupported {
        /// Which part: `normalizer`, `pre_tokenizer`, `model`, `decoder` or `added_tokens`.
        part: &'static str,
        /// What about it is unknown.
        reason: String,
    },
    /// The real tokenizer, called on the slow path, failed.
    #[error("the tokenizer failed on {bytes} bytes of text: {reason}")]
    Encode {
        /// Length of the text it was given.
        bytes: usize,
        /// Its own words.
        reason: String,
    },
    /// More text than can be held.
    #[error("a sequence holds at most {limit} bytes of text between two special tokens")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A tree of drafts, or weights of one, that can't be.
    #[error("{0}")]
    Tree(String),
    /// An earlier call of the same [`Translation`](crate::Translation) failed, and left it
    /// unusable.
    #[error("unusable: an earlier call failed half-way; begin a new one")]
    Broken,
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Shorthand for [`Error::Unsupported`].
pub(crate) fn unsupported<T>(part: &'static str, reason: impl Into<String>) -> Result<T> {
    Err(Error::Unsupported { part, reason: reason.into() })
}
