//! `Tokenizer` and `IncrementalEncoder`.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::error::error;
use crate::guard::{Fragile, guarded};

/// The real tokenizer as a Python callable: `text -> [(id, start, end)]` in characters.
struct Callback(Py<PyAny>);

impl uag::Encode for Callback {
    fn encode(&self, text: &str) -> Result<Vec<uag::Token>, String> {
        let found: Vec<(u32, usize, usize)> =
            Python::attach(|py| self.0.call1(py, (text,))?.extract(py)).map_err(|error: PyErr| error.to_string())?;
        let mut ends: Vec<u32> = text.char_indices().map(|(at, _)| at as u32).collect();
        ends.push(text.len() as u32);
        let token = |(id, _, end): (u32, usize, usize)| match ends.get(end) {
            Some(&end) => Ok(uag::Token { id, end }),
            None => Err(format!("it gave a token that ends at {end}, after the text's {} characters", ends.len() - 1)),
        };
        found.into_iter().map(token).collect()
    }
}

#[pyclass(frozen, module = "uag._core")]
pub(crate) struct Tokenizer(pub(crate) Arc<uag::Tokenizer>);

#[pymethods]
impl Tokenizer {
    #[new]
    #[pyo3(signature = (json, encode = None, slow_reason = None))]
    fn new(py: Python, json: &str, encode: Option<Py<PyAny>>, slow_reason: Option<String>) -> PyResult<Self> {
        let read = || match (encode, slow_reason) {
            (Some(encode), Some(reason)) => uag::Tokenizer::through(json, Box::new(Callback(encode)), reason),
            (Some(encode), None) => uag::Tokenizer::with_fallback(json, Box::new(Callback(encode))),
            (None, _) => uag::Tokenizer::from_json(json),
        };
        let tokenizer = py.detach(|| guarded(|| read().map_err(error)))?;
        Ok(Self(Arc::new(tokenizer)))
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    #[getter]
    fn fast(&self) -> bool {
        self.0.reason().is_none()
    }

    #[getter]
    fn reason(&self) -> &str {
        self.0.reason().unwrap_or("")
    }

    #[getter]
    fn family(&self) -> &str {
        self.0.family()
    }

    fn token_bytes(&self, id: u32) -> PyResult<Option<&[u8]>> {
        guarded(|| Ok(self.0.token_bytes(id)))
    }

    fn is_special(&self, id: u32) -> PyResult<bool> {
        guarded(|| Ok(self.0.is_special(id)))
    }

    fn encode(&self, py: Python, data: &[u8]) -> PyResult<Vec<u32>> {
        let encode = || {
            let mut encoder = uag::IncrementalEncoder::new(Arc::clone(&self.0), true);
            encoder.append(data).map_err(error)?;
            Ok(encoder.ids(0).collect())
        };
        py.detach(|| guarded(encode))
    }
}

#[pyclass(module = "uag._core")]
pub(crate) struct IncrementalEncoder(Fragile<uag::IncrementalEncoder>);

#[pymethods]
impl IncrementalEncoder {
    #[new]
    #[pyo3(signature = (tokenizer, at_start = true))]
    fn new(tokenizer: &Tokenizer, at_start: bool) -> PyResult<Self> {
        guarded(|| Ok(Self(Fragile::new(uag::IncrementalEncoder::new(Arc::clone(&tokenizer.0), at_start)))))
    }

    fn append(&mut self, data: &[u8]) -> PyResult<usize> {
        self.0.change(|encoder| encoder.append(data).map_err(error))
    }

    fn truncate(&mut self, length: usize) -> PyResult<usize> {
        self.0.change(|encoder| encoder.truncate(length).map_err(error))
    }

    #[getter]
    fn ids(&self) -> PyResult<Vec<u32>> {
        let encoder = self.0.get()?;
        guarded(|| Ok(encoder.ids(0).collect()))
    }

    #[getter]
    fn ends(&self) -> PyResult<Vec<usize>> {
        let encoder = self.0.get()?;
        guarded(|| Ok((0..encoder.count()).map(|i| encoder.token(i).1).collect()))
    }

    #[getter]
    fn text(&self) -> PyResult<&[u8]> {
        Ok(self.0.get()?.text())
    }

    #[getter]
    fn held(&self) -> PyResult<&[u8]> {
        Ok(self.0.get()?.held())
    }

    #[getter]
    fn exact(&self) -> PyResult<bool> {
        Ok(self.0.get()?.exact())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.0.get()?.len())
    }
}
