//! Values on their way across the boundary.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyAnyMethods;

/// A list of token ids.
pub(crate) struct Ids(pub(crate) Vec<u32>);

impl<'a, 'py> FromPyObject<'a, 'py> for Ids {
    type Error = PyErr;

    fn extract(ids: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(ids) = ids.extract::<Vec<u32>>() {
            return Ok(Self(ids));
        }
        // Something is wrong with one of them: say which.
        for (at, id) in ids.try_iter()?.enumerate() {
            let id = id?;
            if id.extract::<u32>().is_err() {
                let message = format!("token id {id} at index {at} is not an integer from 0 to {}", u32::MAX);
                let is_int = id.is_instance_of::<pyo3::types::PyInt>();
                return Err(if is_int { PyValueError::new_err(message) } else { PyTypeError::new_err(message) });
            }
        }
        Err(PyTypeError::new_err("token ids must be a list of integers"))
    }
}
