//! The assistant's side: ids that follow the text's encoding, and what its cache is assumed to
//! hold.

use std::sync::Arc;

use crate::encoder::IncrementalEncoder;
use crate::error::Result;

use super::bridge::Bridge;
use super::draft::DraftText;
use super::edit::{Cause, Edit};
use super::prompt::{Opened, after_special};
use super::proposal::Cut;

/// The assistant's side of a text.
#[derive(Debug)]
pub(super) struct Assistant {
    pub(super) encoder: IncrementalEncoder,
    /// Ids before `first` are settled; from there on they are those of the encoder.
    pub(super) ids: Vec<u32>,
    first: usize,
    /// The ids and the last draft.
    cached: Vec<u32>,
}

impl Assistant {
    pub(super) fn new(opened: Opened, ids: &[u32]) -> Result<Self> {
        let Opened { encoder, ends, first } = opened;
        let mut assistant = Self { encoder, ids: ids.to_vec(), cached: ids.to_vec(), first };
        assistant.pin(&ends)?;
        Ok(assistant)
    }

    /// Where the prompt's ids aren't its text's encoding, they are kept and the text begins after
    /// them: after the last one that differs if the rest alone is an encoding, else after all.
    fn pin(&mut self, ends: &[u32]) -> Result<()> {
        let ids = &self.ids[self.first..];
        if self.encoder.held().is_empty() && self.encoder.ids(0).eq(ids.iter().copied()) {
            return Ok(());
        }
        let count = self.encoder.count();
        let same = (0..ids.len().min(count))
            .take_while(|i| {
                self.encoder.token(count - 1 - i) == (ids[ids.len() - 1 - i], ends[ids.len() - 1 - i] as usize)
            })
            .count();
        let keep = ids.len() - if self.encoder.held().is_empty() { same } else { 0 };
        let from = if keep == 0 { 0 } else { ends[keep - 1] as usize };
        let mut rest = IncrementalEncoder::new(Arc::clone(self.encoder.tokenizer()), false);
        rest.append(&self.encoder.text()[from..])?;
        if rest.ids(0).eq(ids[keep..].iter().copied()) {
            self.first += keep;
            self.encoder = rest;
        } else {
            self.first = self.ids.len();
            self.encoder = IncrementalEncoder::new(Arc::clone(self.encoder.tokenizer()), false);
        }
        Ok(())
    }

    /// Notes what the cache holds after the ids.
    pub(super) fn hold(&mut self, draft: impl IntoIterator<Item = u32>) {
        self.cached.truncate(self.ids.len());
        self.cached.extend(draft);
    }

    /// Reads one more id of a draft.
    pub(super) fn read(&self, bridge: &Bridge, id: u32, draft: &mut DraftText) {
        if draft.is_over() {
            return;
        }
        draft.special = bridge.to_target.get(&id).copied();
        if draft.special.is_some() {
            return;
        }
        // Of its ids: the text may have begun with an unfinished character, which has none.
        let first = self.encoder.count() == 0 && draft.ends.is_empty();
        let Some(text) = self.encoder.bytes_of(id, first) else {
            draft.cut = if bridge.assistant.is_special(id) { Cut::Special } else { Cut::NoText };
            return;
        };
        draft.bytes.extend_from_slice(text);
        draft.ends.push(draft.bytes.len());
    }

    /// Appends text; returns how many ids are certainly unchanged.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<usize> {
        let stable = self.encoder.append(bytes)?;
        self.ids.truncate(self.first + stable);
        self.ids.extend(self.encoder.ids(stable));
        Ok(self.first + stable)
    }

    /// Enters an id that carries no text: the text begins anew after it.
    pub(super) fn push_special(&mut self, id: u32, bridge: &Bridge) {
        self.ids.push(id);
        self.first = self.ids.len();
        self.encoder = after_special(&bridge.assistant);
    }

    /// What turns the cached ids into the text's, of which `stable` are unchanged.
    pub(super) fn edit(&mut self, bridge: &Bridge, stable: usize) -> Edit {
        let Self { ids, cached, .. } = self;
        let same = ids[stable..].iter().zip(&cached[stable..]).take_while(|(a, b)| a == b).count();
        let keep = stable + same;
        let feed = ids[keep..].to_vec();
        let cause = self.cause(bridge, keep);
        self.cached.truncate(keep);
        self.cached.extend_from_slice(&feed);
        Edit { keep, feed, cause }
    }

    /// Why the cached id at `keep` doesn't stay.
    fn cause(&self, bridge: &Bridge, keep: usize) -> Cause {
        let Self { encoder, ids, cached, first } = self;
        let Some(&old) = cached.get(keep) else { return Cause::None };
        if bridge.is_control(old) || ids.get(keep).is_some_and(|&id| bridge.is_control(id)) || keep < *first {
            return Cause::Special;
        }
        let from = if keep == *first { 0 } else { encoder.token(keep - first - 1).1 };
        let rest = &encoder.text()[from..];
        let spelled = encoder.bytes_of(old, keep == *first).unwrap_or(&[]);
        if rest.starts_with(spelled) {
            Cause::Boundary
        } else if !spelled.starts_with(rest) {
            Cause::Text
        } else if encoder.held().is_empty() {
            if rest.is_empty() { Cause::Ahead } else { Cause::Boundary }
        } else {
            Cause::Unfinished
        }
    }
}
