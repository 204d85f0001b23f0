//! A growing trie of target ids.

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::super::proposal::Cut;
use super::order::sort_by_weight;
use super::proposal::TreeProposal;

/// What a node stands for, by the first path that passes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) node: Option<u32>,
    pub(super) draft_end: u32,
}

/// Target ids of many paths. Parents come before their children.
#[derive(Debug)]
pub(super) struct Trie {
    /// What it becomes. A weight is the mass of the paths that end there.
    nodes: TreeProposal,
    children: FxHashMap<(Option<u32>, u32), u32>,
    /// Whether a path that has no children passes it.
    kept: Vec<bool>,
    /// The chance that looked-up text gives it.
    looked_up: Vec<f64>,
}

impl Trie {
    pub(super) fn new(paths: usize) -> Self {
        let children = FxHashMap::with_capacity_and_hasher(2 * paths, FxBuildHasher);
        Self { nodes: TreeProposal::with_capacity(2 * paths), children, kept: Vec::new(), looked_up: Vec::new() }
    }

    /// The child of a node that is `id`: a new one comes from `origin`.
    pub(super) fn child(&mut self, parent: Option<u32>, id: u32, origin: Origin) -> u32 {
        let Self { nodes, children, kept, looked_up } = self;
        *children.entry((parent, id)).or_insert_with(|| {
            kept.push(false);
            looked_up.push(0.0);
            nodes.push(id, parent, 0.0, origin)
        })
    }

    /// How many drafted ids a node's bytes reach into.
    pub(super) fn draft_end(&self, node: Option<u32>) -> u32 {
        node.map_or(0, |node| self.nodes.draft_ends[node as usize])
    }

    /// Adds the mass of a path that ends at a node.
    pub(super) fn add(&mut self, node: Option<u32>, mass: f64, keep: bool) {
        if let Some(node) = node.map(|node| node as usize) {
            self.nodes.weights[node] += mass;
            self.kept[node] |= keep;
        }
    }

    /// Enters the chance of a looked-up path at one of its nodes.
    pub(super) fn look_up(&mut self, node: u32, chance: f64) {
        let node = node as usize;
        self.looked_up[node] = chance;
        self.kept[node] = true;
    }

    /// Those that are kept, the heaviest path first.
    pub(super) fn into_proposal(self, cut: Cut) -> TreeProposal {
        let Self { mut nodes, mut kept, looked_up, .. } = self;
        for node in (0..nodes.ids.len()).rev() {
            if let Some(parent) = nodes.parents[node].map(|parent| parent as usize) {
                nodes.weights[parent] += nodes.weights[node];
                kept[parent] |= kept[node];
            }
        }
        let weights: Vec<f64> =
            nodes.weights.iter().zip(&looked_up).map(|(drafted, found)| drafted.max(*found)).collect();
        let mut chosen: Vec<usize> = (0..kept.len()).filter(|&node| kept[node]).collect();
        sort_by_weight(&mut chosen, &weights);
        nodes.cut = cut;
        nodes.arranged(&chosen, &weights)
    }
}
