//! The target's side: ids that are never rewritten, and the text's own encoding beside them.

use crate::encoder::{IncrementalEncoder, Seam};
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

    /// Length of the committed text.
    pub(super) fn committed(&self) -> usize {
        self.committed
    }

    /// Where its ids end, in the text as it is now.
    fn seam(&self) -> Seam {
        self.encoder.seam(self.committed, self.ends.is_empty())
    }

    /// Replaces what follows the first `keep` bytes after the committed text, and finds the tokens
    /// after it again. Returns how many of them are certainly those of the last call, whose seam is
    /// given.
    pub(super) fn follow(&mut self, keep: usize, bytes: &[u8], last: &mut Option<Seam>) -> Result<usize> {
        let stable = self.encoder.splice(self.committed + keep, bytes)?;
        self.agree(stable);
        let seam = self.seam();
        let same = if *last == Some(seam) && !seam.forced { stable.saturating_sub(seam.next) } else { 0 };
        let same = same.min(self.found.len());
        *last = Some(seam);
        self.encoder.continuation(seam, same, &mut self.found)?;
        Ok(same)
    }

    /// How many tokens were found after the committed text.
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// Token `at` of those found, if it can stand for the text after its first `end` bytes.
    pub(super) fn candidate(&self, bridge: &Bridge, at: usize, end: usize) -> Option<Token> {
        let token = *self.found.get(at)?;
        let first = at == 0 && self.ends.is_empty();
        let spelled = self.encoder.bytes_of(token.id, first) == self.encoder.text().get(end..token.end as usize);
        (spelled && !bridge.to_assistant.contains_key(&token.id)).then_some(token)
    }

    /// Candidates that spell the draft, of which the text already holds `known` bytes.
    pub(super) fn candidates(&mut self, bridge: &Bridge, draft: &mut DraftText, known: usize) -> Result<Proposal> {
        self.put(&draft.bytes[known..])?;
        let seam = self.seam();
        self.encoder.continuation(seam, 0, &mut self.found)?;
        let Self { encoder, committed, ends, agree, found, .. } = &*self;
        // Tokens without bytes are part of neither.
        let all = encoder.count() <= ends.len() + found.len();
        let exact = *agree == ends.len() && encoder.exact() && all && !seam.forced;
        let room = found.len() + usize::from(draft.special.is_some());
        let (ids, draft_ends) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut proposal = Proposal { ids, draft_ends, exact, cut: draft.cut };
        let mut drafted = 0;
        let mut end = *committed;
        while let Some(token) = self.candidate(bridge, proposal.ids.len(), end) {
            end = token.end as usize;
            let reached = end - committed + known;
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
        if proposal.ids.len() < found.len() || end < encoder.len() {
            proposal.cut = Cut::NotRepresentable;
            proposal.exact = false;
        } else if let Some(id) = draft.special {
            proposal.ids.push(id);
            proposal.draft_ends.push(draft.ends.len() as u32 + 1);
        }
        Ok(proposal)
    }
}
