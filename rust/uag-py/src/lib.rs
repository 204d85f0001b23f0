//! Python bindings of the uag core: convert, call, convert.

// PyO3 hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod convert;
mod error;
mod guard;
mod lookup;
mod tokenizer;
mod translation;

use pyo3::prelude::*;

/// Translation between the token ids of two tokenizers. See `python/uag/_core.pyi`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::error::CoreError;
    #[pymodule_export]
    use crate::error::UnsupportedTokenizer;
    #[pymodule_export]
    use crate::lookup::{Found, Search, Texts};
    #[pymodule_export]
    use crate::tokenizer::{IncrementalEncoder, Tokenizer};
    #[pymodule_export]
    use crate::translation::{Bridge, Edit, Proposal, Translation, TreeProposal};
}
