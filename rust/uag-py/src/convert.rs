//! Values on their way across the boundary.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyInt};

/// A list of token ids.
pub(crate) struct Ids(pub(crate) Vec<u32>);

impl<'a, 'py> FromPyObject<'a, 'py> for Ids {
    type Error = PyErr;

    fn extract(ids: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        ids.extract().map(Self).map_err(|_| wrong(ids, "token id", 0))
    }
}

/// A list of nodes of a tree.
pub(crate) struct Nodes(pub(crate) Vec<u32>);

impl<'a, 'py> FromPyObject<'a, 'py> for Nodes {
    type Error = PyErr;

    fn extract(nodes: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        nodes.extract().map(Self).map_err(|_| wrong(nodes, "node", 0))
    }
}

/// A list of nodes' parents, where -1 is the end of the text.
pub(crate) struct Parents(pub(crate) Vec<Option<u32>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Parents {
    type Error = PyErr;

    fn extract(parents: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let read = |parent: i64| if parent == -1 { Some(None) } else { u32::try_from(parent).ok().map(Some) };
        let numbers = parents.extract::<Vec<i64>>().ok();
        let read = numbers.and_then(|numbers| numbers.into_iter().map(read).collect());
        read.map(Self).ok_or_else(|| wrong(parents, "parent", -1))
    }
}

/// Nodes as Python has them.
pub(crate) fn numbers(nodes: &[Option<u32>]) -> Vec<i64> {
    nodes.iter().map(|node| node.map_or(-1, i64::from)).collect()
}

/// Says which value of a list is wrong.
fn wrong(values: Borrowed<'_, '_, PyAny>, what: &str, lowest: i64) -> PyErr {
    let find = || -> PyResult<PyErr> {
        for (at, value) in values.try_iter()?.enumerate() {
            let value = value?;
            if !value.extract().is_ok_and(|value| (lowest..=i64::from(u32::MAX)).contains(&value)) {
                let message = format!("{what} {value} at index {at} is not an integer from {lowest} to {}", u32::MAX);
                let is_int = value.is_instance_of::<PyInt>();
                return Ok(if is_int { PyValueError::new_err(message) } else { PyTypeError::new_err(message) });
            }
        }
        Ok(PyTypeError::new_err(format!("{what}s must be a list of integers")))
    };
    find().unwrap_or_else(|error| error)
}
