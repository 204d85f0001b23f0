//! What a file or a text may ask for at most. Each bounds memory or time that an input could
//! otherwise choose.

/// Ids above this are taken for damage in the file, not for a vocabulary.
pub(crate) const MAX_ID: u32 = 1 << 24;

/// The most ids without a token: for more, a file of a few bytes would make tables of any size.
pub(crate) const MAX_GAPS: usize = 1 << 20;

/// The most bytes of an added token or a Unigram model's piece, and the most characters of what
/// merges make, on the incremental path: at each byte, that much of the text may be read again. The
/// longest known is one of 512 spaces.
pub(crate) const MAX_SPELLING: usize = 1024;

/// The most bytes of text between two special tokens: offsets are `u32`.
pub(crate) const MAX_TEXT: usize = u32::MAX as usize - 8;
