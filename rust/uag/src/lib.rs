#![doc = include_str!("../README.md")]
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
pub use translation::{Bridge, Cause, Cut, DraftTree, Edit, Proposal, Translation, TreeProposal};
