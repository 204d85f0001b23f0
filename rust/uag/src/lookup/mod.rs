//! Drafts without a model: what followed where the end of a text stood before.

mod search;
mod suffix_tree;
mod texts;

pub use search::{Found, Search};
pub use texts::Texts;
