//! A draft, read.

use super::proposal::Cut;

/// The text of a draft.
#[derive(Debug, Default)]
pub(super) struct DraftText {
    pub(super) bytes: Vec<u8>,
    /// Where each of its ids ends in the bytes.
    pub(super) ends: Vec<usize>,
    /// The target's counterpart of the special token that it ends with.
    pub(super) special: Option<u32>,
    /// Why it ends before its ids do.
    pub(super) cut: Cut,
}
