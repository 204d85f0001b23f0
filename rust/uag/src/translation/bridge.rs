//! Two tokenizers, and which of their special tokens mean the same.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::tokenizer::Tokenizer;

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

    /// Whether an id of the assistant carries no text: it has a counterpart, or stands for nothing.
    pub(super) fn is_control(&self, assistant_id: u32) -> bool {
        self.to_target.contains_key(&assistant_id) || self.assistant.token_bytes(assistant_id).is_none()
    }
}
