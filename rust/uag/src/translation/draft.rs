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

impl DraftText {
    /// Whether it has ended, so that ids after it are not read.
    pub(super) fn is_over(&self) -> bool {
        self.special.is_some() || self.cut != Cut::No
    }

    /// Keeps the text of the first `count` ids that were given.
    pub(super) fn truncate(&mut self, count: usize) {
        if count <= self.ends.len() {
            self.ends.truncate(count);
            self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
            (self.special, self.cut) = (None, Cut::No);
        }
    }

    /// Whether it begins with the unfinished character that is `held`; if not, why there are no
    /// candidates.
    pub(super) fn carries_on(&self, held: &[u8]) -> Result<(), Cut> {
        if self.bytes.starts_with(held) {
            return Ok(());
        }
        let begun = held.starts_with(&self.bytes) && self.special.is_none();
        Err(if begun { self.cut } else { Cut::Mismatch })
    }
}
