//! The core's errors, and a bug in it, as exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    uag._core,
    UnsupportedTokenizer,
    PyValueError,
    "A part of the tokenizer that neither the incremental path nor the fallback can handle."
);

create_exception!(
    uag._core,
    CoreError,
    PyRuntimeError,
    "A bug in the core. The object that raised it is unusable, and says so; others go on."
);

/// The core's errors as exceptions.
pub(crate) fn error(error: uag::Error) -> PyErr {
    match error {
        uag::Error::Unsupported { .. } => UnsupportedTokenizer::new_err(error.to_string()),
        uag::Error::Broken => CoreError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}
