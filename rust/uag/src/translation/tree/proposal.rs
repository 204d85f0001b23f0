//! What a tree of drafts becomes for the target.

use crate::error::Result;

use super::super::proposal::Cut;
use super::draft_tree::refused;
use super::order::{depth_first, sort_by_weight};
use super::trie::Origin;

/// Candidate target ids for a tree of drafts: a trie, depth first, of siblings the heaviest first.
/// So the first of them are the heaviest path.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TreeProposal {
    /// They continue the committed target ids.
    pub ids: Vec<u32>,
    /// For each, the index of the candidate before it; `None` at the end of the text.
    pub parents: Vec<Option<u32>>,
    /// For each, the chance that the text passes it. Never more than its parent's.
    pub weights: Vec<f64>,
    /// For each, the drafted node that its bytes end in; `None` in looked-up text. Where several paths
    /// pass it, that of the first, depth first.
    pub nodes: Vec<Option<u32>>,
    /// For each, the number of draft ids that its bytes reach into, on the path to that node. In
    /// looked-up text, one more than its parent's.
    pub draft_ends: Vec<u32>,
    /// Why the candidates of the first path end early: from the end of the text on, each node's
    /// first child.
    pub cut: Cut,
}

impl TreeProposal {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            ids: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            weights: Vec::with_capacity(count),
            nodes: Vec::with_capacity(count),
            draft_ends: Vec::with_capacity(count),
            cut: Cut::No,
        }
    }

    /// Adds a node; returns its index.
    pub(super) fn push(&mut self, id: u32, parent: Option<u32>, weight: f64, origin: Origin) -> u32 {
        self.ids.push(id);
        self.parents.push(parent);
        self.weights.push(weight);
        self.nodes.push(origin.node);
        self.draft_ends.push(origin.draft_end);
        self.ids.len() as u32 - 1
    }

    /// The `most` heaviest candidates. They are connected, as a parent is chosen before its
    /// children.
    #[must_use]
    pub fn best(&self, most: usize) -> Self {
        self.heaviest(&self.weights, most)
    }

    /// The same by other weights, one for each candidate, of which larger is better. A candidate
    /// counts for no more than its parent, and keeps that as its weight.
    ///
    /// # Errors
    /// [`crate::Error::Tree`] for another number of weights, or one that isn't a number.
    pub fn select(&self, weights: &[f64], most: usize) -> Result<Self> {
        let count = self.ids.len();
        if weights.len() != count {
            return refused(format!("{count} candidates have {} weights; give one for each", weights.len()));
        }
        if let Some(at) = weights.iter().position(|weight| weight.is_nan()) {
            return refused(format!("the weight of candidate {at} is NaN; give a number"));
        }
        let mut bounded = weights.to_vec();
        for (at, &parent) in self.parents.iter().enumerate() {
            if let Some(parent) = parent {
                bounded[at] = bounded[at].min(bounded[parent as usize]);
            }
        }
        Ok(self.heaviest(&bounded, most))
    }

    /// By weights that never rise from a parent to its child.
    fn heaviest(&self, weights: &[f64], most: usize) -> Self {
        let mut chosen: Vec<usize> = (0..self.ids.len()).collect();
        sort_by_weight(&mut chosen, weights);
        chosen.truncate(most);
        self.arranged(&chosen, weights)
    }

    /// The chosen ones with new weights, depth first, where siblings come as they are chosen.
    pub(super) fn arranged(&self, chosen: &[usize], weights: &[f64]) -> Self {
        let order = depth_first(&self.parents, chosen.iter().copied());
        let mut place = vec![None; self.ids.len()];
        let mut arranged = Self { cut: self.cut, ..Self::with_capacity(order.len()) };
        for &node in &order {
            let origin = Origin { node: self.nodes[node], draft_end: self.draft_ends[node] };
            let parent = self.parents[node].and_then(|parent| place[parent as usize]);
            place[node] = Some(arranged.push(self.ids[node], parent, weights[node], origin));
        }
        arranged
    }
}
