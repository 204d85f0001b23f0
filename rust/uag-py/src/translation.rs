//! `Bridge`, `Translation` and what they return.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::convert::{Ids, Nodes, Parents, numbers};
use crate::error::error;
use crate::guard::{Fragile, guarded};
use crate::tokenizer::Tokenizer;

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Bridge(Arc<uag::Bridge>);

#[pymethods]
impl Bridge {
    #[new]
    fn new(target: &Tokenizer, assistant: &Tokenizer, special_pairs: Vec<(u32, u32)>) -> PyResult<Self> {
        let (target, assistant) = (Arc::clone(&target.0), Arc::clone(&assistant.0));
        guarded(|| Ok(Self(Arc::new(uag::Bridge::new(target, assistant, &special_pairs)))))
    }

    fn start(&self, py: Python, target_ids: Ids, assistant_ids: Ids) -> PyResult<Translation> {
        let start = || self.0.start(&target_ids.0, &assistant_ids.0).map_err(error);
        Ok(Translation(Fragile::new(py.detach(|| guarded(start))?)))
    }
}

#[pyclass(module = "uag._core")]
pub(crate) struct Translation(Fragile<uag::Translation>);

impl Translation {
    /// Look at it, unless it is broken.
    pub(crate) fn get(&self) -> PyResult<&uag::Translation> {
        let translation = self.0.get()?;
        if translation.is_broken() { Err(error(uag::Error::Broken)) } else { Ok(translation) }
    }
}

#[pymethods]
impl Translation {
    // A round takes microseconds: less than giving the GIL away and taking it back.
    #[pyo3(signature = (draft_ids, text = None))]
    fn propose(&mut self, draft_ids: Ids, text: Option<&[u8]>) -> PyResult<Proposal> {
        let text = text.unwrap_or_default();
        self.0.change(|translation| translation.propose_then(&draft_ids.0, text).map(Proposal::from).map_err(error))
    }

    #[pyo3(signature = (ids, parents, chances, held = None, text = None, text_chances = None))]
    fn propose_tree(
        &mut self,
        ids: Ids,
        parents: Parents,
        chances: Vec<f64>,
        held: Option<Nodes>,
        text: Option<&[u8]>,
        text_chances: Option<Vec<f64>>,
    ) -> PyResult<TreeProposal> {
        let held = held.map_or_else(Vec::new, |held| held.0);
        let (text, text_chances) = (text.unwrap_or_default(), text_chances.unwrap_or_default());
        let tree = uag::DraftTree::new(&ids.0, &parents.0, &chances).and_then(|tree| tree.held(&held));
        let tree = tree.and_then(|tree| tree.text(text, &text_chances)).map_err(error)?;
        self.0.change(|translation| translation.propose_tree(&tree).map(TreeProposal).map_err(error))
    }

    fn commit(&mut self, target_ids: Ids) -> PyResult<Edit> {
        self.0.change(|translation| translation.commit(&target_ids.0).map(Edit::from).map_err(error))
    }

    #[getter]
    fn target_ids(&self) -> PyResult<&[u32]> {
        Ok(self.get()?.target_ids())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.get()?.target_ids().len())
    }

    #[getter]
    fn assistant_ids(&self) -> PyResult<&[u32]> {
        Ok(self.get()?.assistant_ids())
    }

    #[getter]
    fn held(&self) -> PyResult<usize> {
        Ok(self.get()?.held())
    }

    /// Panics as a bug in the core would: for tests of what becomes of it.
    fn _test_panic(&mut self, words: &str) -> PyResult<()> {
        self.0.change(|_| panic!("{words}"))
    }
}

/// A word given in Python; those of the core are static.
fn word(word: &str) -> Cow<'static, str> {
    if word.is_empty() { Cow::Borrowed("") } else { Cow::Owned(word.to_owned()) }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Proposal {
    ids: Vec<u32>,
    draft_ends: Vec<u32>,
    exact: bool,
    cut: Cow<'static, str>,
}

impl From<uag::Proposal> for Proposal {
    fn from(found: uag::Proposal) -> Self {
        let uag::Proposal { ids, draft_ends, exact, cut, .. } = found;
        Self { ids, draft_ends, exact, cut: Cow::Borrowed(cut.as_str()) }
    }
}

#[pymethods]
impl Proposal {
    #[new]
    #[pyo3(signature = (ids, draft_ends, cut = ""))]
    fn new(ids: Ids, draft_ends: Ids, cut: &str) -> Self {
        Self { ids: ids.0, draft_ends: draft_ends.0, exact: false, cut: word(cut) }
    }

    #[getter]
    fn ids(&self) -> &[u32] {
        &self.ids
    }

    #[getter]
    fn draft_ends(&self) -> &[u32] {
        &self.draft_ends
    }

    #[getter]
    fn exact(&self) -> bool {
        self.exact
    }

    #[getter]
    fn cut(&self) -> &str {
        &self.cut
    }

    fn __repr__(&self) -> String {
        let Self { ids, draft_ends, cut, .. } = self;
        let exact = if self.exact { "True" } else { "False" };
        format!("Proposal(ids={ids:?}, draft_ends={draft_ends:?}, exact={exact}, cut={cut:?})")
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct TreeProposal(uag::TreeProposal);

#[pymethods]
impl TreeProposal {
    fn best(&self, most: usize) -> PyResult<Self> {
        guarded(|| Ok(Self(self.0.best(most))))
    }

    fn select(&self, weights: Vec<f64>, most: usize) -> PyResult<Self> {
        guarded(|| self.0.select(&weights, most).map(Self).map_err(error))
    }

    #[getter]
    fn ids(&self) -> &[u32] {
        &self.0.ids
    }

    #[getter]
    fn parents(&self) -> Vec<i64> {
        numbers(&self.0.parents)
    }

    #[getter]
    fn weights(&self) -> &[f64] {
        &self.0.weights
    }

    #[getter]
    fn nodes(&self) -> Vec<i64> {
        numbers(&self.0.nodes)
    }

    #[getter]
    fn draft_ends(&self) -> &[u32] {
        &self.0.draft_ends
    }

    #[getter]
    fn cut(&self) -> &str {
        self.0.cut.as_str()
    }

    fn __repr__(&self) -> String {
        let uag::TreeProposal { ids, weights, cut, .. } = &self.0;
        let (parents, cut) = (self.parents(), cut.as_str());
        format!("TreeProposal(ids={ids:?}, parents={parents:?}, weights={weights:?}, cut={cut:?})")
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Edit {
    keep: usize,
    feed: Vec<u32>,
    cause: Cow<'static, str>,
}

impl From<uag::Edit> for Edit {
    fn from(edit: uag::Edit) -> Self {
        let uag::Edit { keep, feed, cause, .. } = edit;
        Self { keep, feed, cause: Cow::Borrowed(cause.as_str()) }
    }
}

#[pymethods]
impl Edit {
    #[new]
    #[pyo3(signature = (keep, feed, cause = ""))]
    fn new(keep: usize, feed: Ids, cause: &str) -> Self {
        Self { keep, feed: feed.0, cause: word(cause) }
    }

    #[getter]
    fn keep(&self) -> usize {
        self.keep
    }

    #[getter]
    fn feed(&self) -> &[u32] {
        &self.feed
    }

    #[getter]
    fn cause(&self) -> &str {
        &self.cause
    }

    fn __repr__(&self) -> String {
        format!("Edit(keep={}, feed={:?}, cause={:?})", self.keep, self.feed, self.cause)
    }
}
