//! What stands between a bug in the core and Python: a panic becomes an exception.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::error::{CoreError, error};

/// Run what may panic, but leaves nothing half-done: what it works on is never changed.
pub(crate) fn guarded<R>(work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    // Unwind safety is about values that are seen half-changed: here there are none, and `Fragile`
    // doesn't show its own again.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) => Err(CoreError::new_err(format!("a bug in the core: {}; please report it", words(&*panic)))),
    }
}

/// A value that changes, and that nobody sees again after a change that wasn't completed.
pub(crate) struct Fragile<T>(Option<T>);

impl<T> Fragile<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Look at the value.
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.0.as_ref().ok_or_else(unusable)
    }

    /// Change the value. An error leaves it as the core says; after a panic it is gone.
    pub(crate) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> PyResult<R>) -> PyResult<R> {
        let mut value = self.0.take().ok_or_else(unusable)?;
        let (value, done) = guarded(move || {
            let done = change(&mut value);
            Ok((value, done))
        })?;
        self.0 = Some(value);
        done
    }
}

fn unusable() -> PyErr {
    error(uag::Error::Broken)
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}
