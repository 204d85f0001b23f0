//! A tree of drafts becomes one trie of target ids.

mod draft_tree;
mod order;
mod proposal;
mod trie;

use crate::encoder::Seam;
use crate::error::Result;

use super::Translation;
use super::bridge::Bridge;
use super::draft::DraftText;
use super::proposal::Cut;
use super::target::Target;

pub use draft_tree::DraftTree;
pub use proposal::TreeProposal;

use order::depth_first;
use trie::{Origin, Trie};

impl Translation {
    /// Translates each path of a tree of drafts as [`propose`](Self::propose) translates a draft,
    /// and joins them in a trie. Text that was looked up is one more path.
    ///
    /// The candidates are those of the paths to leaves. Each path adds its chance, less that of its
    /// children, to the candidates that it passes. Paths share what they have in common: the cost
    /// is proportional to the text that is new in each.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn propose_tree(&mut self, tree: &DraftTree) -> Result<TreeProposal> {
        self.unbroken(|it| {
            let Self { bridge, target, assistant, draft, .. } = it;
            assistant.hold(tree.held_ids());
            let held = assistant.encoder.held();
            let mut walk = Walk { bridge, target, trie: Trie::new(tree.len()), spine: Vec::new(), seam: None };
            let (masses, order) = (tree.masses(), depth_first(tree.parents, 0..tree.len()));
            let mut first = None;
            let mut path = Vec::new();
            let mut shared = 0;
            draft.truncate(0);
            for (at, &node) in order.iter().enumerate() {
                while !path.is_empty() && path.last().copied() != tree.parents[node] {
                    path.pop();
                }
                draft.truncate(path.len());
                shared = draft.bytes.len().saturating_sub(held.len()).min(shared);
                path.push(node as u32);
                assistant.read(bridge, tree.ids[node], draft);
                let (end, cut) = match draft.carries_on(held) {
                    Ok(()) => {
                        let found = walk.drafted(draft, &path, held.len(), shared)?;
                        shared = draft.bytes.len() - held.len();
                        found
                    }
                    Err(cut) => (None, cut),
                };
                let is_leaf = order.get(at + 1).is_none_or(|&next| tree.parents[next] != Some(node as u32));
                walk.trie.add(end, masses[node], is_leaf);
                if is_leaf {
                    first.get_or_insert(cut);
                }
            }
            walk.looked_up(tree.text, tree.text_chances)?;
            Ok(walk.trie.into_proposal(first.unwrap_or_default()))
        })
    }
}

/// Follows one path of text after the other.
struct Walk<'a> {
    bridge: &'a Bridge,
    target: &'a mut Target,
    trie: Trie,
    /// The candidates of the last path: where each is in the trie, and where its bytes end.
    spine: Vec<(u32, usize)>,
    seam: Option<Seam>,
}

impl Walk<'_> {
    /// Follows a path of drafted nodes, whose text begins with `known` bytes of the committed text.
    /// The next `shared` bytes are those of the last path. Returns where it ends in the trie, and
    /// why early.
    fn drafted(&mut self, draft: &DraftText, path: &[u32], known: usize, shared: usize) -> Result<(Option<u32>, Cut)> {
        let same = self.target.follow(shared, &draft.bytes[known + shared..], &mut self.seam)?;
        self.spine.truncate(same);
        let start = self.target.committed();
        let (mut at, mut end) = self.spine.last().map_or((None, start), |&(node, end)| (Some(node), end));
        let origin = |drafted: usize| Origin { node: path.get(drafted).copied(), draft_end: drafted as u32 + 1 };
        while let Some(token) = self.target.candidate(self.bridge, self.spine.len(), end) {
            end = token.end as usize;
            let reached = end - start + known;
            let node = self.trie.child(at, token.id, origin(draft.ends.partition_point(|&each| each < reached)));
            self.spine.push((node, end));
            at = Some(node);
        }
        if self.spine.len() < self.target.found() || end < self.target.encoder.len() {
            return Ok((at, Cut::NotRepresentable));
        }
        if let Some(id) = draft.special {
            at = Some(self.trie.child(at, id, origin(draft.ends.len())));
        }
        Ok((at, draft.cut))
    }

    /// Follows text that was looked up, as far as its target ids have chances.
    fn looked_up(&mut self, text: &[u8], chances: &[f64]) -> Result<()> {
        if text.is_empty() || chances.is_empty() {
            return Ok(());
        }
        self.target.follow(0, text, &mut self.seam)?;
        let (mut at, mut end, mut passes) = (None, self.target.committed(), 1.0);
        for (index, chance) in chances.iter().enumerate() {
            let Some(token) = self.target.candidate(self.bridge, index, end) else { break };
            end = token.end as usize;
            let origin = Origin { node: None, draft_end: self.trie.draft_end(at) + 1 };
            let node = self.trie.child(at, token.id, origin);
            passes *= chance;
            self.trie.look_up(node, passes);
            at = Some(node);
        }
        Ok(())
    }
}
