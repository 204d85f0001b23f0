//! A tree of drafts: what the assistant believes of the text to come.

use crate::error::{Error, Result};

/// A tree of drafted assistant ids, and text that was looked up.
#[derive(Debug, Clone, Copy)]
pub struct DraftTree<'a> {
    pub(super) ids: &'a [u32],
    pub(super) parents: &'a [Option<u32>],
    chances: &'a [f64],
    held: &'a [u32],
    pub(super) text: &'a [u8],
    pub(super) text_chances: &'a [f64],
}

impl<'a> DraftTree<'a> {
    /// Node `i` is the id `ids[i]` after the path to node `parents[i]`, which is less than `i`, or
    /// the end of the text if that is `None`; the assistant gives it the chance `chances[i]` there.
    ///
    /// # Errors
    /// [`Error::Tree`] for lists of different lengths, a parent that doesn't come before its node,
    /// and a chance that isn't from 0 to 1.
    pub fn new(ids: &'a [u32], parents: &'a [Option<u32>], chances: &'a [f64]) -> Result<Self> {
        if parents.len() != ids.len() || chances.len() != ids.len() {
            return refused(format!(
                "a tree of {} ids has {} parents and {} chances; give one of each for each id",
                ids.len(),
                parents.len(),
                chances.len()
            ));
        }
        if let Some((node, Some(parent))) =
            parents.iter().enumerate().find(|&(node, it)| it.is_some_and(|it| it as usize >= node))
        {
            return refused(format!("the parent of node {node} is {parent}; list each node after its parent"));
        }
        check_chances("node", chances)?;
        Ok(Self { ids, parents, chances, held: &[], text: &[], text_chances: &[] })
    }

    /// The nodes that the assistant's cache holds after the text, each the parent of the next: what
    /// the next edit begins from. None unless they are given.
    ///
    /// # Errors
    /// [`Error::Tree`] if they are no path from the end of the text on.
    pub fn held(self, nodes: &'a [u32]) -> Result<Self> {
        let mut parent = None;
        for &node in nodes {
            if self.parents.get(node as usize) != Some(&parent) {
                return refused(format!(
                    "held node {node} of a tree of {} does not follow the one before it; give a path from a root on",
                    self.ids.len()
                ));
            }
            parent = Some(node);
        }
        Ok(Self { held: nodes, ..self })
    }

    /// Bytes that were looked up after the text. `chances` are of their first target ids, each
    /// after those before it; ids without one are left out.
    ///
    /// # Errors
    /// [`Error::Tree`] for a chance that isn't from 0 to 1.
    pub fn text(self, text: &'a [u8], chances: &'a [f64]) -> Result<Self> {
        check_chances("looked-up id", chances)?;
        Ok(Self { text, text_chances: chances, ..self })
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn held_ids(&self) -> impl Iterator<Item = u32> {
        self.held.iter().map(|&node| self.ids[node as usize])
    }

    /// For each node, the chance that the text follows the path to it and then none of its
    /// children.
    pub(super) fn masses(&self) -> Vec<f64> {
        let mut passes = Vec::with_capacity(self.len());
        for (&parent, chance) in self.parents.iter().zip(self.chances) {
            passes.push(chance * parent.map_or(1.0, |parent| passes[parent as usize]));
        }
        let mut masses = passes.clone();
        for (&parent, pass) in self.parents.iter().zip(&passes) {
            if let Some(parent) = parent {
                masses[parent as usize] -= pass;
            }
        }
        // Rounded chances may add up to more than their parent's.
        masses.into_iter().map(|mass| mass.max(0.0)).collect()
    }
}

fn check_chances(of: &str, chances: &[f64]) -> Result<()> {
    match chances.iter().enumerate().find(|(_, chance)| !(0.0..=1.0).contains(*chance)) {
        Some((at, chance)) => refused(format!("the chance of {of} {at} is {chance}; give one from 0 to 1")),
        None => Ok(()),
    }
}

pub(super) fn refused<T>(why: String) -> Result<T> {
    Err(Error::Tree(why))
}
