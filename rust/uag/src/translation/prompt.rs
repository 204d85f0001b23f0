//! Where a text begins: after a prompt, or after a special token.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::encoder::IncrementalEncoder;
use crate::error::Result;
use crate::tokenizer::{Prefix, Tokenizer};

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
pub(super) fn open(tokenizer: &Arc<Tokenizer>, pairs: &FxHashMap<u32, u32>, ids: &[u32]) -> Result<Opened> {
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

/// How far two encodings of the same text agree from their start.
pub(super) fn agreement(encoder: &IncrementalEncoder, ids: &[u32], ends: &[u32], from: usize) -> usize {
    let limit = encoder.count().min(ends.len());
    (from..limit).find(|&i| encoder.token(i) != (ids[i], ends[i] as usize)).unwrap_or(limit.max(from))
}
