//! Two tokenizers, and how a text in both vocabularies begins.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::encoder::IncrementalEncoder;
use crate::error::Result;
use crate::tokenizer::{Prefix, Tokenizer};

use super::Translation;
use super::assistant::Assistant;
use super::target::{Target, agreement};

/// A target and an assistant tokenizer, and which of their special tokens mean the same.
#[derive(Debug, Clone)]
pub struct Bridge {
    pub(super) target: Arc<Tokenizer>,
    pub(super) assistant: Arc<Tokenizer>,
    pub(super) to_assistant: FxHashMap<u32, u32>,
    pub(super) to_target: FxHashMap<u32, u32>,
}

impl Bridge {
    /// `special_pairs`: `(target id, assistant id)` of tokens that play the same role, such as the
    /// end of text. Where an id stands in several pairs its first counts.
    pub fn new(target: Arc<Tokenizer>, assistant: Arc<Tokenizer>, special_pairs: &[(u32, u32)]) -> Self {
        let mut bridge =
            Self { target, assistant, to_assistant: FxHashMap::default(), to_target: FxHashMap::default() };
        for &(target, assistant) in special_pairs {
            bridge.to_assistant.entry(target).or_insert(assistant);
            bridge.to_target.entry(assistant).or_insert(target);
        }
        bridge
    }

    /// Begins a text from the ids of both prompts.
    ///
    /// # Errors
    /// [`crate::Error::TooLong`]; on the slow path [`crate::Error::Encode`].
    pub fn start(self: &Arc<Self>, target_ids: &[u32], assistant_ids: &[u32]) -> Result<Translation> {
        let target = Target::new(open(&self.target, &self.to_assistant, target_ids)?, target_ids);
        let assistant = Assistant::new(open(&self.assistant, &self.to_target, assistant_ids)?, assistant_ids)?;
        Ok(Translation::new(Arc::clone(self), target, assistant))
    }

    /// Whether an id of the assistant carries no text: it has a counterpart, or stands for nothing.
    pub(super) fn is_control(&self, assistant_id: u32) -> bool {
        is_control(&self.assistant, &self.to_target, assistant_id)
    }
}

/// Whether `id` carries no text: it has a counterpart among the `pairs`, or stands for nothing.
fn is_control(tokenizer: &Tokenizer, pairs: &FxHashMap<u32, u32>, id: u32) -> bool {
    pairs.contains_key(&id) || tokenizer.token_bytes(id).is_none()
}

/// The text that begins after a special token.
pub(super) fn after_special(tokenizer: &Arc<Tokenizer>) -> IncrementalEncoder {
    IncrementalEncoder::new(Arc::clone(tokenizer), tokenizer.prefix() != Prefix::FirstUnlessSpace)
}

/// The text at the end of a prompt.
pub(super) struct Opened {
    pub(super) encoder: IncrementalEncoder,
    /// The ends of its ids.
    pub(super) ends: Vec<u32>,
    /// The index of the first of them in the prompt.
    pub(super) first: usize,
}

/// The text after the last id that carries none.
fn open(tokenizer: &Arc<Tokenizer>, pairs: &FxHashMap<u32, u32>, ids: &[u32]) -> Result<Opened> {
    let control = |id: &u32| is_control(tokenizer, pairs, *id);
    let first = ids.iter().rposition(control).map_or(0, |at| at + 1);
    let fresh = ids[..first].iter().all(control);
    let ids = &ids[first..];
    let read = |at_start: bool| -> Result<Opened> {
        let mut encoder = IncrementalEncoder::new(Arc::clone(tokenizer), at_start);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(ids.len()));
        for (at, &id) in ids.iter().enumerate() {
            bytes.extend_from_slice(encoder.bytes_of(id, at == 0).unwrap_or(&[]));
            ends.push(bytes.len() as u32);
        }
        encoder.append(&bytes)?;
        Ok(Opened { encoder, ends, first })
    };
    let agrees = |opened: &Opened| agreement(&opened.encoder, ids, &opened.ends, 0) == ids.len();
    let at_start = tokenizer.prefix() != Prefix::FirstUnlessSpace || fresh;
    let opened = read(at_start)?;
    let spaced = ids.first().and_then(|&id| tokenizer.token_bytes(id)).is_some_and(|bytes| bytes[0] == b' ');
    let unruled = match tokenizer.prefix() {
        Prefix::None | Prefix::Always => false,
        // No space was put before one that was there.
        Prefix::UnlessSpace => spaced,
        // Nor after special tokens that were part of the text.
        Prefix::FirstUnlessSpace => spaced || first > 0,
    };
    if at_start && unruled && !agrees(&opened) {
        let plain = read(false)?;
        if agrees(&plain) {
            return Ok(plain);
        }
    }
    Ok(opened)
}
