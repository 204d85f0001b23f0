//! Trees of drafts, each path translated by itself.

// Each of the tests uses some of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use uag::{Cut, DraftTree, Translation, TreeProposal};

/// A tree of drafts, and text that was looked up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) ids: Vec<u32>,
    pub(crate) parents: Vec<Option<u32>>,
    pub(crate) chances: Vec<f64>,
    pub(crate) held: Vec<u32>,
    pub(crate) text: Vec<u8>,
    pub(crate) text_chances: Vec<f64>,
}

impl Tree {
    pub(crate) fn push(&mut self, id: u32, parent: Option<u32>, chance: f64) {
        self.ids.push(id);
        self.parents.push(parent);
        self.chances.push(chance);
    }

    pub(crate) fn propose(&self, translation: &mut Translation) -> TreeProposal {
        let tree = DraftTree::new(&self.ids, &self.parents, &self.chances).expect("parents come before children");
        let tree = tree.held(&self.held).expect("a path").text(&self.text, &self.text_chances).expect("chances");
        translation.propose_tree(&tree).expect("short")
    }

    /// The ids that the assistant's cache holds after its own.
    pub(crate) fn held_ids(&self) -> Vec<u32> {
        self.held.iter().map(|&node| self.ids[node as usize]).collect()
    }

    /// The nodes from the end of the text to this one.
    pub(crate) fn path(&self, node: u32) -> Vec<u32> {
        let mut path = vec![node];
        while let Some(parent) = self.parents[path[path.len() - 1] as usize] {
            path.push(parent);
        }
        path.reverse();
        path
    }

    fn passes(&self, node: u32) -> f64 {
        self.path(node).iter().map(|&node| self.chances[node as usize]).product()
    }

    fn children(&self, node: Option<u32>) -> Vec<u32> {
        (0..self.ids.len() as u32).filter(|&child| self.parents[child as usize] == node).collect()
    }

    fn depth_first(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        order.sort_by_key(|&node| self.path(node));
        order
    }
}

/// What is known of a candidate.
#[derive(Debug)]
struct Candidate {
    weight: f64,
    node: Option<u32>,
    draft_end: u32,
    kept: bool,
}

/// Each candidate by the path to it, and why the first draft is cut.
fn expected(translation: &mut Translation, tree: &Tree) -> (BTreeMap<Vec<u32>, Candidate>, Cut) {
    let mut trie: BTreeMap<Vec<u32>, Candidate> = BTreeMap::new();
    let mut cut = None;
    for node in tree.depth_first() {
        let (path, children) = (tree.path(node), tree.children(Some(node)));
        let ids: Vec<u32> = path.iter().map(|&node| tree.ids[node as usize]).collect();
        let proposal = translation.propose(&ids).expect("short");
        let mass = (tree.passes(node) - children.iter().map(|&child| tree.passes(child)).sum::<f64>()).max(0.0);
        for (at, &draft_end) in proposal.draft_ends.iter().enumerate() {
            let node = path.get(draft_end as usize - 1).copied();
            let new = Candidate { weight: 0.0, node, draft_end, kept: false };
            let candidate = trie.entry(proposal.ids[..=at].to_vec()).or_insert(new);
            candidate.weight += mass;
            candidate.kept |= children.is_empty();
        }
        if children.is_empty() {
            cut.get_or_insert(proposal.cut);
        }
    }
    let looked_up = translation.propose_then(&[], &tree.text).expect("short").ids;
    let mut passes = 1.0;
    for (at, chance) in (0..looked_up.len()).zip(&tree.text_chances) {
        passes *= chance;
        let draft_end = trie.get(&looked_up[..at]).map_or(0, |before| before.draft_end) + 1;
        let new = Candidate { weight: 0.0, node: None, draft_end, kept: true };
        let candidate = trie.entry(looked_up[..=at].to_vec()).or_insert(new);
        candidate.weight = candidate.weight.max(passes);
        candidate.kept = true;
    }
    trie.retain(|_, candidate| candidate.kept);
    (trie, cut.unwrap_or_default())
}

/// The ids on the way to each candidate.
pub(crate) fn paths(proposal: &TreeProposal) -> Vec<Vec<u32>> {
    let mut paths: Vec<Vec<u32>> = Vec::new();
    for (&id, parent) in proposal.ids.iter().zip(&proposal.parents) {
        let before = parent.map_or(&[][..], |parent| &paths[parent as usize]);
        paths.push([before, &[id]].concat());
    }
    paths
}

/// Depth first, of siblings the heaviest first, and none is heavier than its parent.
fn check_order(proposal: &TreeProposal) {
    let TreeProposal { parents, weights, .. } = proposal;
    let mut last_child: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    for (node, parent) in parents.iter().enumerate() {
        let before = node.checked_sub(1).map(|before| before as u32);
        let mut branch = before;
        while branch.is_some() && branch != *parent {
            branch = branch.and_then(|node| parents[node as usize]);
        }
        assert_eq!(branch, *parent, "a child of the node before it, or of one that that one is under");
        assert!(parent.is_none_or(|parent| weights[parent as usize] >= weights[node]));
        if let Some(elder) = last_child.insert(*parent, node) {
            assert!(weights[elder] >= weights[node], "the heaviest first");
        }
    }
}

/// The proposal for a tree, checked; so are its heaviest candidates.
pub(crate) fn check(translation: &mut Translation, tree: &Tree, most: usize) -> TreeProposal {
    let (trie, cut) = expected(translation, tree);
    let proposal = tree.propose(translation);
    assert_eq!(tree.propose(translation), proposal, "asking changes nothing");
    check_order(&proposal);
    let paths = paths(&proposal);
    assert_eq!(proposal.cut, cut);
    assert_eq!(paths.len(), trie.len());
    for (at, path) in paths.iter().enumerate() {
        let candidate = trie.get(path).expect("of one of the paths");
        assert_eq!((proposal.nodes[at], proposal.draft_ends[at]), (candidate.node, candidate.draft_end));
        let (weight, expected) = (proposal.weights[at], candidate.weight);
        assert!((weight - expected).abs() <= 1e-12 * expected + 1e-15, "{weight} for {expected}");
    }
    let best = proposal.best(most);
    check_order(&best);
    assert_eq!(best.ids.len(), most.min(paths.len()));
    let lightest = best.weights.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(proposal.weights.iter().filter(|&&weight| weight > lightest).count() <= best.ids.len(), "the heaviest");
    proposal
}
