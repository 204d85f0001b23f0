//! The target's side: ids that are never rewritten, and the text's own encoding beside them.

use crate::encoder::IncrementalEncoder;
use crate::error::Result;
use crate::token::Token;

use super::bridge::Bridge;
use super::draft::DraftText;
use super::prompt::{Opened, after_special, agreement};
use super::proposal::{Cut, Proposal};

/// The target's side of a text.
#[derive(Debug)]
pub(super) struct Target {
    /// The committed text since the last special token, perhaps followed by that of a draft.
    pub(super) encoder: IncrementalEncoder,
    /// Length of the committed part.
    committed: usize,
    pub(super) ids: Vec<u32>,
    /// `ids[first..]` spell the committed text; these are their ends in it.
    ends: Vec<u32>,
    first: usize,
    /// How many of those are also the text's own encoding.
    agree: usize,
    /// A buffer: the tokens after the committed ones.
    found: Vec<Token>,
}

impl Target {
    pub(super) fn new(opened: Opened, ids: &[u32]) -> Self {
        let Opened { encoder, ends, first } = opened;
        let committed = encoder.len();
        let mut target = Self { encoder, committed, ids: ids.to_vec(), ends, first, agree: 0, found: Vec::new() };
        target.agree(0);
        target
    }

    /// Compares committed ids and encoding again, of which `stable` tokens are unchanged.
    fn agree(&mut self, stable: usize) {
        let from = self.agree.min(stable);
        self.agree = agreement(&self.encoder, &self.ids[self.first..], &self.ends, from);
    }

    /// Makes `bytes` the text after the committed part.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let stable = self.encoder.splice(self.committed, bytes)?;
        self.agree(stable);
        Ok(())
    }

    /// Commits the `bytes` of the ids that were pushed last.
    pub(super) fn commit(&mut self, bytes: &[u8]) -> Result<()> {
        self.put(bytes)?;
        self.committed += bytes.len();
        Ok(())
    }

    /// Whether no id of the text is committed yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.ends.is_empty()
    }

    /// Enters an id that carries text; `pending` bytes, with its own, are not committed yet.
    pub(super) fn push(&mut self, id: u32, pending: usize) {
        self.ids.push(id);
        self.ends.push((self.committed + pending) as u32);
    }

    /// Enters an id that carries none: the text begins anew after it.
    pub(super) fn push_special(&mut self, id: u32, bridge: &Bridge) {
        self.ids.push(id);
        self.first = self.ids.len();
        self.ends.clear();
        (self.committed, self.agree) = (0, 0);
        self.encoder = after_special(&bridge.target);
    }

    /// Candidates that spell the draft, of which the text already holds `known` bytes.
    pub(super) fn candidates(&mut self, bridge: &Bridge, draft: &mut DraftText, known: usize) -> Result<Proposal> {
        self.put(&draft.bytes[known..])?;
        let Self { encoder, committed, ends, agree, found, .. } = self;
        let fresh = ends.is_empty();
        let forced = encoder.continuation(*committed, fresh, found)?;
        // Tokens without bytes are part of neither.
        let all = encoder.count() <= ends.len() + found.len();
        let exact = *agree == ends.len() && encoder.exact() && all && !forced;
        let room = found.len() + usize::from(draft.special.is_some());
        let (ids, draft_ends) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut proposal = Proposal { ids, draft_ends, exact, cut: draft.cut };
        let mut drafted = 0;
        let mut end = *committed;
        for token in found.iter() {
            let token_end = token.end as usize;
            let spelled =
                encoder.bytes_of(token.id, fresh && proposal.ids.is_empty()) == encoder.text().get(end..token_end);
            if !spelled || bridge.to_assistant.contains_key(&token.id) {
                proposal.cut = Cut::NotRepresentable;
                proposal.exact = false;
                break;
            }
            end = token_end;
            let reached = end - *committed + known;
            while draft.ends.get(drafted).is_some_and(|&draft_end| draft_end < reached) {
                drafted += 1;
            }
            if drafted == draft.ends.len() {
                // In the text after the draft: a unit of its own.
                draft.ends.push(reached);
            }
            proposal.ids.push(token.id);
            proposal.draft_ends.push(drafted as u32 + 1);
        }
        if end < encoder.len() {
            proposal.cut = Cut::NotRepresentable;
            proposal.exact = false;
        } else if let Some(id) = draft.special {
            proposal.ids.push(id);
            proposal.draft_ends.push(draft.ends.len() as u32 + 1);
        }
        Ok(proposal)
    }
}
