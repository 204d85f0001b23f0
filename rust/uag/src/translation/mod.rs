//! One text in two vocabularies: candidates from drafts, and what a commit does to the assistant's
//! cache.

mod assistant;
mod bridge;
mod draft;
mod edit;
mod prompt;
mod proposal;
mod target;
mod tree;

use std::sync::Arc;

use crate::error::{Error, Result};

pub use bridge::Bridge;
pub use edit::{Cause, Edit};
pub use proposal::{Cut, Proposal};
pub use tree::{DraftTree, TreeProposal};

use assistant::Assistant;
use draft::DraftText;
use prompt::open;
use target::Target;

/// A growing text in both vocabularies.
///
/// The target's ids are what it has emitted; the assistant's are the encoding of the same text,
/// from the end of its own prompt on.
///
/// One round is [`propose`](Self::propose), the target's forward pass, [`commit`](Self::commit).
/// Both cost time proportional to the new text only. After an error the two sides may differ, so a
/// translation that returned one is [broken](Self::is_broken): each later round gives
/// [`Error::Broken`].
#[derive(Debug)]
pub struct Translation {
    bridge: Arc<Bridge>,
    target: Target,
    assistant: Assistant,
    /// Whether a round was begun and not completed.
    broken: bool,
    /// Buffers.
    draft: DraftText,
    bytes: Vec<u8>,
}

impl Bridge {
    /// Begins a text from the ids of both prompts.
    ///
    /// # Errors
    /// [`crate::Error::TooLong`]; on the slow path [`crate::Error::Encode`].
    pub fn start(self: &Arc<Self>, target_ids: &[u32], assistant_ids: &[u32]) -> Result<Translation> {
        let target = Target::new(open(&self.target, &self.to_assistant, target_ids)?, target_ids);
        let assistant = Assistant::new(open(&self.assistant, &self.to_target, assistant_ids)?, assistant_ids)?;
        let (draft, bytes) = (DraftText::default(), Vec::new());
        Ok(Translation { bridge: Arc::clone(self), target, assistant, broken: false, draft, bytes })
    }
}

impl Translation {
    /// All committed target ids.
    pub fn target_ids(&self) -> &[u32] {
        &self.target.ids
    }

    /// The bytes of each committed target id from the index `from` on that carries text.
    pub fn texts_from(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let ids = self.target.ids.get(from..).unwrap_or_default();
        ids.iter().filter_map(|&id| self.bridge.target.token_bytes(id))
    }

    /// The assistant's ids for the same text.
    pub fn assistant_ids(&self) -> &[u32] {
        &self.assistant.ids
    }

    /// How many bytes at the end of the text the assistant's ids leave out: those of a character
    /// that the target has only begun.
    pub fn held(&self) -> usize {
        self.assistant.encoder.held().len()
    }

    /// Whether an earlier round failed. The ids are then those of no text in particular.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Translates a draft: assistant ids that continue [`assistant_ids`](Self::assistant_ids).
    ///
    /// Their bytes, after those of the committed text, are encoded as the target's tokenizer would
    /// encode the whole text. Where that has no boundary at the end of the committed ids, or wants
    /// those to be others, the text after them is encoded from there. Always
    /// `bytes(committed) + bytes(candidates) == bytes(committed) + bytes(draft)`, up to the cut.
    ///
    /// # Errors
    /// [`Error::TooLong`]; on the slow path [`Error::Encode`]; after either, [`Error::Broken`].
    pub fn propose(&mut self, draft_ids: &[u32]) -> Result<Proposal> {
        self.propose_then(draft_ids, &[])
    }

    /// The same for a draft that goes on with `text`, which is in neither vocabulary. A draft that
    /// ends with a special token does not go on. Without ids the text continues the committed text,
    /// an unfinished character of the target's too.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn propose_then(&mut self, draft_ids: &[u32], text: &[u8]) -> Result<Proposal> {
        self.unbroken(|it| {
            let Self { bridge, target, assistant, draft, .. } = it;
            assistant.hold(draft_ids.iter().copied());
            draft.truncate(0);
            for &id in draft_ids {
                assistant.read(bridge, id, draft);
            }
            let held = if draft_ids.is_empty() { &[] } else { assistant.encoder.held() };
            if let Err(cut) = draft.carries_on(held) {
                return Ok(Proposal { ids: Vec::new(), draft_ends: Vec::new(), exact: false, cut });
            }
            if !draft.is_over() {
                draft.bytes.extend_from_slice(text);
            }
            target.candidates(bridge, draft, held.len())
        })
    }

    /// Appends ids that the target has emitted: accepted candidates and its own.
    ///
    /// Ids without text count too: a special token that has a counterpart becomes it, others leave
    /// the assistant's text unchanged.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn commit(&mut self, target_ids: &[u32]) -> Result<Edit> {
        self.unbroken(|it| {
            let mut stable = it.assistant.ids.len();
            it.bytes.clear();
            for &id in target_ids {
                let paired = it.bridge.to_assistant.get(&id).copied();
                let first = it.target.is_fresh();
                let text = it.target.encoder.bytes_of(id, first).filter(|_| paired.is_none());
                if let Some(text) = text {
                    it.bytes.extend_from_slice(text);
                    it.target.push(id, it.bytes.len());
                } else {
                    stable = stable.min(it.flush()?);
                    it.target.push_special(id, &it.bridge);
                    if let Some(id) = paired {
                        it.assistant.push_special(id, &it.bridge);
                    }
                }
            }
            stable = stable.min(it.flush()?);
            Ok(it.assistant.edit(&it.bridge, stable))
        })
    }

    /// Gives the collected bytes to both sides.
    fn flush(&mut self) -> Result<usize> {
        self.target.commit(&self.bytes)?;
        let stable = self.assistant.append(&self.bytes)?;
        self.bytes.clear();
        Ok(stable)
    }

    /// Runs a round, which leaves a broken translation unless it is completed.
    fn unbroken<R>(&mut self, round: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if self.broken {
            return Err(Error::Broken);
        }
        self.broken = true;
        let done = round(self)?;
        self.broken = false;
        Ok(done)
    }
}
