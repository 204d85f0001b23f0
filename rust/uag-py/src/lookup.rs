//! `Texts` and `Search`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::sequence::Sequence;

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Texts(Mutex<uag::Texts>);

impl Texts {
    /// Another thread's panic leaves a queue that is still sound.
    fn lock(&self) -> MutexGuard<'_, uag::Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Texts {
    #[classattr]
    const LIMIT: usize = uag::Texts::LIMIT;

    #[new]
    fn new(limit: usize) -> Self {
        Self(Mutex::new(uag::Texts::new(limit)))
    }

    // Whoever waits for the lock must not hold the GIL, which the holder might want.
    fn remember(&self, py: Python, text: &[u8]) -> bool {
        py.detach(|| self.lock().remember(text))
    }

    fn search(&self, py: Python) -> Search {
        Search { search: uag::Search::new(py.detach(|| self.lock().trees())), read: 0 }
    }

    #[getter]
    fn texts(&self, py: Python) -> Vec<Vec<u8>> {
        py.detach(|| self.lock().iter().map(<[u8]>::to_vec).collect())
    }

    #[getter]
    fn bytes(&self, py: Python) -> usize {
        py.detach(|| self.lock().bytes())
    }

    #[getter]
    fn memory(&self, py: Python) -> usize {
        py.detach(|| self.lock().memory())
    }
}

#[pyclass(module = "uag._core")]
pub(crate) struct Search {
    search: uag::Search,
    /// How many ids of a sequence it has read.
    read: usize,
}

#[pymethods]
impl Search {
    fn append(&mut self, py: Python, data: &[u8]) {
        py.detach(|| self.search.append([data]));
    }

    fn follow(&mut self, py: Python, sequence: &Sequence) {
        py.detach(|| self.search.append(sequence.0.texts_from(self.read)));
        self.read = sequence.0.target_ids().len();
    }

    fn find(&self, limit: usize, min_match: usize) -> Found {
        Found(self.search.find(limit, min_match))
    }

    #[getter]
    fn text(&self) -> &[u8] {
        self.search.text()
    }

    #[getter]
    fn memory(&self) -> usize {
        self.search.memory()
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Found(uag::Found);

#[pymethods]
impl Found {
    #[getter]
    fn data(&self) -> &[u8] {
        &self.0.bytes
    }

    #[getter]
    fn shares(&self) -> &[f32] {
        &self.0.shares
    }

    #[getter]
    fn limited(&self) -> bool {
        self.0.limited
    }

    #[getter]
    fn matched(&self) -> usize {
        self.0.matched
    }

    #[getter]
    fn places(&self) -> usize {
        self.0.places
    }

    fn __repr__(&self) -> String {
        format!("Found(matched={}, places={}, bytes={})", self.0.matched, self.0.places, self.0.bytes.len())
    }
}
