//! `Texts` and `Search`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::guard::{Fragile, guarded};
use crate::translation::Translation;

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Texts(Mutex<uag::lookup::Texts>);

impl Texts {
    /// Another thread's panic leaves a queue that is still sound.
    fn lock(&self) -> MutexGuard<'_, uag::lookup::Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Texts {
    #[classattr]
    const LIMIT: usize = uag::lookup::Texts::LIMIT;

    #[new]
    fn new(limit: usize) -> PyResult<Self> {
        guarded(|| Ok(Self(Mutex::new(uag::lookup::Texts::new(limit)))))
    }

    // A thread that waits for the lock must not hold the GIL: the lock's holder may need it.
    fn remember(&self, py: Python, text: &[u8]) -> PyResult<bool> {
        py.detach(|| guarded(|| Ok(self.lock().remember(text))))
    }

    fn search(&self, py: Python) -> PyResult<Search> {
        let search = || Ok(self.lock().search());
        Ok(Search { search: Fragile::new(py.detach(|| guarded(search))?), read: 0 })
    }

    #[getter]
    fn texts(&self, py: Python) -> PyResult<Vec<Vec<u8>>> {
        py.detach(|| guarded(|| Ok(self.lock().iter().map(<[u8]>::to_vec).collect())))
    }

    #[getter]
    fn bytes(&self, py: Python) -> PyResult<usize> {
        py.detach(|| guarded(|| Ok(self.lock().bytes())))
    }

    #[getter]
    fn memory(&self, py: Python) -> PyResult<usize> {
        py.detach(|| guarded(|| Ok(self.lock().memory())))
    }
}

#[pyclass(module = "uag._core")]
pub(crate) struct Search {
    search: Fragile<uag::lookup::Search>,
    /// How many ids of a translation it has read.
    read: usize,
}

#[pymethods]
impl Search {
    fn append(&mut self, py: Python, data: &[u8]) -> PyResult<()> {
        let Self { search, .. } = self;
        py.detach(|| {
            search.change(|search| {
                search.append([data]);
                Ok(())
            })
        })
    }

    fn follow(&mut self, py: Python, sequence: &Translation) -> PyResult<()> {
        let (sequence, Self { search, read }) = (sequence.get()?, self);
        py.detach(|| {
            search.change(|search| {
                search.append(sequence.texts_from(*read));
                Ok(())
            })
        })?;
        *read = sequence.target_ids().len();
        Ok(())
    }

    fn find(&self, limit: usize, min_match: usize) -> PyResult<Found> {
        let search = self.search.get()?;
        guarded(|| Ok(Found(search.find(limit, min_match))))
    }

    #[getter]
    fn text(&self) -> PyResult<&[u8]> {
        Ok(self.search.get()?.text())
    }

    #[getter]
    fn memory(&self) -> PyResult<usize> {
        Ok(self.search.get()?.memory())
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Found(uag::lookup::Found);

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
