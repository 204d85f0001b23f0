//! What is fuzzed, and the laws it is held to. `tests/corpus.rs` runs the kept inputs through the
//! same functions.

#[path = "../../tests/common/mod.rs"]
mod common;
mod families;
mod lookup;
#[path = "../../tests/common/lookup.rs"]
mod lookup_reference;
#[path = "../../tests/common/patterns.rs"]
mod patterns;
mod reader;
mod rounds;
mod streams;
mod tokenizer_json;
#[path = "../../tests/common/trees.rs"]
mod trees;

pub use families::families;
pub use lookup::lookup;
pub use streams::streams;
pub use tokenizer_json::tokenizer_json;
