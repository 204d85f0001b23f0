//! Byte-exact incremental translation between the token ids of two tokenizers.
//!
//! The interchange is bytes. A [`IncrementalEncoder`] keeps a growing text encoded by one [`Tokenizer`]; a [`Bridge`]
//! joins two of them, and a [`Translation`] is one text in both vocabularies: drafts of the assistant become
//! candidates for the target, committed target ids become an edit of the assistant's cache.
//!
//! ```
//! use std::sync::Arc;
//!
//! // Two byte-level vocabularies: one of single bytes, one that also has "ab".
//! let json = |extra: &str, merges: &str| {
//!     let letters: Vec<String> =
//!         (0..=255u8).map(|b| format!("{:?}:{b}", uag::bytes::byte_char(b).to_string())).collect();
//!     format!(
//!         r#"{{"model":{{"type":"BPE","vocab":{{{}{extra}}},"merges":[{merges}]}},
//!             "pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}},
//!             "decoder":{{"type":"ByteLevel"}}}}"#,
//!         letters.join(",")
//!     )
//! };
//! let target = Arc::new(uag::Tokenizer::from_json(&json(r#","ab":256"#, r#"["a","b"]"#))?);
//! let assistant = Arc::new(uag::Tokenizer::from_json(&json("", ""))?);
//! let bridge = Arc::new(uag::Bridge::new(target, assistant, &[]));
//!
//! let mut text = bridge.start(&[256], &[97, 98])?;           // "ab" | "a" "b"
//! let proposal = text.propose(&[97, 98, 99])?;               // the assistant drafts "abc"
//! assert_eq!(proposal.ids, [256, 99]);                           // "ab" "c"
//! let edit = text.commit(&[256, 100])?;                      // the target says "ab" "d"
//! assert_eq!((edit.keep, edit.feed), (4, vec![100]));
//! # Ok::<(), uag::Error>(())
//! ```

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod bytes;
mod encoder;
mod error;
mod json;
mod limits;
pub mod lookup;
mod model;
mod normalize;
#[doc(hidden)]
pub mod split;
mod token;
mod tokenizer;
mod translation;
#[doc(hidden)]
pub mod utf8;

pub use encoder::IncrementalEncoder;
pub use error::{Error, Result};
pub use token::Token;
pub use tokenizer::{Encode, Tokenizer};
pub use translation::{Bridge, Cause, Cut, Edit, Proposal, Translation};
