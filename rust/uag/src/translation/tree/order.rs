//! The order of a tree's nodes.

use std::cmp::Ordering;

/// The nodes depth first, where children of the same parent come as in `nodes`.
pub(super) fn depth_first(parents: &[Option<u32>], nodes: impl DoubleEndedIterator<Item = usize>) -> Vec<usize> {
    // The first child of each node is after it, that of the root is first.
    let mut first: Vec<Option<u32>> = vec![None; parents.len() + 1];
    let mut sibling: Vec<Option<u32>> = vec![None; parents.len()];
    for node in nodes.rev() {
        sibling[node] = first[parents[node].map_or(0, |parent| parent as usize + 1)].replace(node as u32);
    }
    let mut order = Vec::with_capacity(parents.len());
    let mut open = vec![first[0]];
    while let Some(next) = open.pop() {
        if let Some(node) = next.map(|node| node as usize) {
            order.push(node);
            open.push(sibling[node]);
            open.push(first[node + 1]);
        }
    }
    order
}

/// Sorts nodes by weight, the heaviest first; of equals, the one that comes first.
pub(super) fn sort_by_weight(nodes: &mut [usize], weights: &[f64]) {
    nodes.sort_by(|&a, &b| weights[b].partial_cmp(&weights[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b)));
}
