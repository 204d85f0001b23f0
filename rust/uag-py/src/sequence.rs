//! `Bridge`, `Sequence` and what they return.

use std::sync::Arc;

use pyo3::prelude::*;
use uag::{Cause, Cut};

use crate::convert::{Ids, error};
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

    fn start(&self, py: Python, target_ids: Ids, assistant_ids: Ids) -> PyResult<Sequence> {
        let start = || self.0.start(&target_ids.0, &assistant_ids.0).map_err(error);
        Ok(Sequence(Fragile::new(py.detach(|| guarded(start))?)))
    }
}

#[pyclass(module = "uag._core")]
pub(crate) struct Sequence(pub(crate) Fragile<uag::Sequence>);

#[pymethods]
impl Sequence {
    // A round takes microseconds: less than giving the GIL away and taking it back.
    #[pyo3(signature = (draft_ids, text = None))]
    fn propose(&mut self, draft_ids: Ids, text: Option<&[u8]>) -> PyResult<Proposal> {
        let text = text.unwrap_or_default();
        self.0.change_or_lose(|sequence| sequence.propose_then(&draft_ids.0, text).map(Proposal).map_err(error))
    }

    fn commit(&mut self, target_ids: Ids) -> PyResult<Edit> {
        self.0.change_or_lose(|sequence| sequence.commit(&target_ids.0).map(Edit).map_err(error))
    }

    #[getter]
    fn target_ids(&self) -> PyResult<&[u32]> {
        Ok(self.0.get()?.target_ids())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.0.get()?.target_ids().len())
    }

    #[getter]
    fn assistant_ids(&self) -> PyResult<&[u32]> {
        Ok(self.0.get()?.assistant_ids())
    }

    #[getter]
    fn held(&self) -> PyResult<usize> {
        Ok(self.0.get()?.held())
    }

    /// Panics as a bug in the core would: for tests of what becomes of it.
    fn _panic(&mut self, words: &str) -> PyResult<()> {
        self.0.change_or_lose(|_| panic!("{words}"))
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Proposal(uag::Proposal);

#[pymethods]
impl Proposal {
    #[getter]
    fn ids(&self) -> &[u32] {
        &self.0.ids
    }

    #[getter]
    fn draft_ends(&self) -> &[u32] {
        &self.0.draft_ends
    }

    #[getter]
    fn exact(&self) -> bool {
        self.0.exact
    }

    #[getter]
    fn cut(&self) -> &'static str {
        match self.0.cut {
            Cut::No => "",
            Cut::Special => "special",
            Cut::NoText => "no text",
            Cut::Mismatch => "mismatch",
            Cut::NotRepresentable => "not representable",
        }
    }

    fn __repr__(&self) -> String {
        let exact = if self.0.exact { "True" } else { "False" };
        format!(
            "Proposal(ids={:?}, draft_ends={:?}, exact={exact}, cut={:?})",
            self.0.ids,
            self.0.draft_ends,
            self.cut()
        )
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Edit(uag::Edit);

#[pymethods]
impl Edit {
    #[getter]
    fn keep(&self) -> usize {
        self.0.keep
    }

    #[getter]
    fn feed(&self) -> &[u32] {
        &self.0.feed
    }

    #[getter]
    fn cause(&self) -> &'static str {
        match self.0.cause {
            Cause::None => "",
            Cause::Ahead => "ahead",
            Cause::Text => "text",
            Cause::Boundary => "boundary",
            Cause::Special => "special",
            Cause::Unfinished => "unfinished",
        }
    }

    fn __repr__(&self) -> String {
        format!("Edit(keep={}, feed={:?}, cause={:?})", self.0.keep, self.0.feed, self.cause())
    }
}
